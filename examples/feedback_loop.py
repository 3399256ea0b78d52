"""Clicks become judgments, judgments tune the vectors, next week's clicks are added.

    pip install 'nudge-integrations[demo,langchain]'
    python examples/feedback_loop.py

THE CLICKS ARE SIMULATED. The questions and their answers are the demo's, written by hand. Each
training question is asked by four visitors, who are shown the ten documents that the store finds
then. Where a right one is shown, a visitor clicks it with probability 0.6; where none is, the
visitor asks the support desk with probability 0.2, which names a right one (a thumb up). Besides,
with probability 0.3, a visitor clicks one of the ten at random: a misleading click. Week 1 asks one
half of the questions, week 2 the other half, of the store that week 1 tuned. Test questions are
never asked by visitors. Clicks alone teach little, since they follow what is found already: see
what remains with SUPPORT = 0.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from langchain_core.vectorstores import VectorStore

from nudge_integrations import RelevanceDataset
from nudge_integrations.demo import demo_datasets
from nudge_integrations.evaluation import compare
from nudge_integrations.langchain import NudgeEmbeddings, NudgeVectorStore, evaluate_retriever
from nudge_integrations.stores import tune

VISITORS, RIGHT, SUPPORT, MISLEADING = 4, 0.6, 0.2, 0.3
ROW = "  {0.metric:<10}  {0.group:<6}  {0.queries:>3} questions  {0.before:.3f} -> {0.after:.3f}"


def simulated_clicks(
    asked: RelevanceDataset, store: VectorStore, chance: random.Random
) -> Iterator[dict[str, str]]:
    """Yield the clicks of a week; yours come from the log of your application."""
    for query, text in asked.queries.items():
        shown = [str(hit.id) for hit in store.similarity_search(text, k=10)]
        right = [name for name in shown if name in asked.answers(query)]
        for _ in range(VISITORS):
            if right and chance.random() < RIGHT:
                yield {"query": text, "document_id": right[0], "signal": "click"}
            if not right and chance.random() < SUPPORT:
                yield {"query": text, "document_id": asked.answers(query)[0], "signal": "thumbs_up"}
            if chance.random() < MISLEADING:
                yield {"query": text, "document_id": chance.choice(shown), "signal": "click"}


def describe(log: Path, judged: RelevanceDataset, truth: RelevanceDataset) -> None:
    """Print how much of the log and of its judgments is right, which only a simulation knows."""
    answers = {text: truth.answers(query) for query, text in truth.queries.items()}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    wrong = sum(row["document_id"] not in answers[row["query"]] for row in rows)
    pairs = [
        (judged.queries[query], name) for query in judged.queries for name in judged.answers(query)
    ]
    kept = sum(name not in answers[text] for text, name in pairs)
    print(f"  {len(rows):,} rows in the log, {wrong:,} of them name a wrong document")
    print(f"  {len(pairs):,} judgments of {len(judged)} questions, {kept} of them wrong")


def main() -> None:
    """Two weeks of clicks."""
    data = demo_datasets()
    train, test = data["train"], data["test"]
    # Yours: a store of LangChain's or LlamaIndex's that `tune` takes, with your embedding model.
    embeddings = NudgeEmbeddings("sentence-transformers/all-MiniLM-L6-v2")
    store = NudgeVectorStore(embeddings)
    store.add_texts(list(train.corpus.values()), ids=list(train.corpus))
    retriever = store.as_retriever(search_kwargs={"k": 10})
    before = evaluate_retriever(retriever, test, ["ndcg@10"])

    chance = random.Random(0)
    half = len(train) // 2
    weeks = list(train.queries)[:half], list(train.queries)[half:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "clicks.jsonl")
        for number, week in enumerate(weeks, 1):
            print(f"\nWeek {number}")
            with log.open("a", encoding="utf-8") as file:
                for click in simulated_clicks(train.subset(week), store, chance):
                    print(json.dumps(click), file=file)
            # A thumb counts 1, a click 0.3, and an answer needs 0.5: one slip makes no judgment.
            judged = RelevanceDataset.from_feedback(log, train.corpus)
            describe(log, judged, train)

            # The log is whole, so what it no longer says is forgotten (fresh); tuning starts from
            # the original vectors each week. Yours: leave `journal` out.
            journal = f"{folder}/journal"
            plan = tune(store, judged, embed_query=embeddings, fresh=True, journal=journal)
            plan.apply()
            named = {name for query in judged.judged_queries for name in judged.answers(query)}
            seen = {query for query in test.judged_queries if named & set(test.answers(query))}
            after = evaluate_retriever(retriever, test, ["ndcg@10"])
            for row in compare(before, after, judged_on="test questions", seen=seen).rows:
                if row.queries:  # of a group without questions there is nothing to say
                    print(ROW.format(row))


if __name__ == "__main__":
    main()
