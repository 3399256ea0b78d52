"""The life of a tuned LangChain store after the first day.

    pip install 'nudge-integrations[demo]'
    python examples/next_week_langchain.py

Documents come in, change and go through `langchain_core.indexing.index`, the process restarts,
new questions arrive, old and new tuning are compared side by side, and everything is undone. The
store holds the base model's vectors and `apply` moves them, so each step can be taken back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index

from nudge_integrations import RelevanceDataset, TunedVectors, compare
from nudge_integrations.demo import demo_datasets
from nudge_integrations.langchain import (
    NudgeEmbeddings,
    NudgeFinetuneEngine,
    NudgeRetriever,
    NudgeVectorStore,
    evaluate_retriever,
)

MODULES = ("itertools.", "str.", "os.", "shutil.", "random.", "collections.", "re.", "math.")


def over_the_store(store: NudgeVectorStore, questions: RelevanceDataset) -> RelevanceDataset:
    """The questions whose answers are in the store, with its ids.

    `index` names a document by a hash of its content; `source` is the name that judgments use.
    """
    held = store.store
    ids = {each["metadata"]["source"]: id_ for id_, each in held.items()}
    qrels = {
        query: {ids[name]: grade for name, grade in judged.items() if name in ids}
        for query, judged in questions.qrels.items()
    }
    qrels = {query: judged for query, judged in qrels.items() if judged}
    corpus = {id_: each["text"] for id_, each in held.items()}
    return RelevanceDataset({query: questions.queries[query] for query in qrels}, corpus, qrels)


def tune(
    store: NudgeVectorStore, questions: RelevanceDataset, model: NudgeEmbeddings
) -> NudgeFinetuneEngine:
    """A run over all documents of the store; it always starts from the base model's vectors."""
    engine = NudgeFinetuneEngine(
        over_the_store(store, questions), embeddings=model, show_progress=False
    )
    engine.finetune()
    return engine


def moved(store: NudgeVectorStore, model: NudgeEmbeddings, ids: list[str]) -> int:
    """How many of these documents have another vector than the base model gives them."""
    texts = [document.page_content for document in store.get_by_ids(ids)]
    base = np.array(model.embed_documents(texts), np.float32)
    return int((~np.isclose(base, store.get_embeddings(ids), atol=1e-5).all(axis=1)).sum())


def main() -> None:
    """One week."""
    data = demo_datasets()
    train, test = data["train"], data["test"]
    documents = [
        Document(page_content=text, metadata={"source": name})
        for name, text in train.corpus.items()
        if name.startswith(MODULES)
    ]
    # Yours: any Embeddings.
    model = NudgeEmbeddings("sentence-transformers/all-MiniLM-L6-v2")
    store = NudgeVectorStore(model)
    records = InMemoryRecordManager(namespace="documents")
    records.create_schema()

    def ingest(whole: list[Document]) -> list[str]:
        """Add what is new, replace what changed, delete what is gone; the ids that are new."""
        before = set(store.store)
        done = index(
            whole, records, store, cleanup="full", source_id_key="source", key_encoder="sha256"
        )
        print(f"  {done['num_added']} added, {done['num_deleted']} deleted")
        return [id_ for id_ in store.store if id_ not in before]

    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    names = list(train.queries)
    with folder:
        print("Monday: the first documents, and half of the questions")
        ingest(documents[:-40])
        first = tune(store, train.subset(names[::2]), model)
        store.apply(first.tuned)
        first.save(Path(folder.name, "run"))
        print(f"  {first.report.summary().splitlines()[0]}")

        print("Tuesday: 40 new documents, one changed, one deleted")
        changed = Document(
            page_content=f"{documents[0].page_content} (changed)", metadata=documents[0].metadata
        )
        new = ingest([changed, *documents[2:]])
        store.apply(first.tuned)  # what is new moves with its neighbours
        print(f"  {moved(store, model, new)} of {len(new)} new documents have moved")

        print("Wednesday: a restart")
        store.save(Path(folder.name, "store"))
        again = NudgeVectorStore.load(Path(folder.name, "store"), model)
        old = TunedVectors.load(Path(folder.name, "run"))
        ids = list(store.store)
        same = np.array_equal(again.get_embeddings(ids), store.get_embeddings(ids))
        print(f"  The same vectors, byte for byte: {same}")
        store = again

        print("Thursday: all questions; old and new side by side, over the original vectors")
        store.revert(old)
        second = tune(store, train, model)
        asked = over_the_store(store, test)
        before, after = (
            evaluate_retriever(NudgeRetriever(vector_store=store, tuned=each, k=10), asked)
            for each in (old, second.tuned)
        )
        report = compare(before, after, judged_on="test questions, old run and new run")
        print(f"  ndcg@10 {report.row().before:.3f} -> {report.row().after:.3f}")
        store.apply(second.tuned)

        print("Friday: everything undone")
        store.revert(second.tuned)
        print(f"  Documents that differ from the base model: {moved(store, model, ids)}")


if __name__ == "__main__":
    main()
