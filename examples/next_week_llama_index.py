"""The life of a tuned LlamaIndex store after the first day.

    pip install 'nudge-integrations[demo]'
    python examples/next_week_llama_index.py

Documents come in, change and go through an `IngestionPipeline` with a docstore, the process
restarts, new questions arrive, old and new tuning are compared side by side, and everything is
undone. The store holds the base model's vectors and `apply` moves them, so each step can be taken
back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, MetadataMode
from llama_index.core.storage.docstore import SimpleDocumentStore

from nudge_integrations import RelevanceDataset, TunedVectors, compare
from nudge_integrations.demo import demo_datasets
from nudge_integrations.llama_index import (
    NudgeEmbedding,
    NudgeFinetuneEngine,
    NudgeRetriever,
    NudgeVectorStore,
    evaluate_retriever,
)

MODULES = ("itertools.", "str.", "os.", "shutil.", "random.", "collections.", "re.", "math.")


def over_the_store(store: NudgeVectorStore, questions: RelevanceDataset) -> RelevanceDataset:
    """The questions whose answers are in the store, with the ids of its nodes.

    A splitter gives the nodes of a document new ids; judgments name the document.
    """
    nodes: dict[str, list[str]] = {}
    for node in store.get_nodes():
        nodes.setdefault(node.ref_doc_id or node.node_id, []).append(node.node_id)
    qrels = {
        query: {node: grade for name, grade in judged.items() for node in nodes.get(name, ())}
        for query, judged in questions.qrels.items()
    }
    qrels = {query: judged for query, judged in qrels.items() if judged}
    return RelevanceDataset({query: questions.queries[query] for query in qrels}, {}, qrels)


def tune(
    store: NudgeVectorStore, questions: RelevanceDataset, model: NudgeEmbedding
) -> NudgeFinetuneEngine:
    """A run over all nodes of the store; it always starts from the base model's vectors."""
    engine = NudgeFinetuneEngine(
        over_the_store(store, questions),
        embed_model=model,
        nodes=store.get_nodes(),
        show_progress=False,
    )
    engine.finetune()
    return engine


def moved(store: NudgeVectorStore, model: NudgeEmbedding, ids: list[str]) -> int:
    """How many of these nodes have another vector than the base model gives them."""
    texts = [node.get_content(MetadataMode.EMBED) for node in store.get_nodes(ids)]
    base = np.array(model.get_text_embedding_batch(texts), np.float32)
    return int((~np.isclose(base, store.client.get(ids), atol=1e-5).all(axis=1)).sum())


def main() -> None:
    """One week."""
    data = demo_datasets()
    train, test = data["train"], data["test"]
    documents = [
        Document(id_=name, text=text)
        for name, text in train.corpus.items()
        if name.startswith(MODULES)
    ]
    # Yours: any BaseEmbedding.
    model = NudgeEmbedding("sentence-transformers/all-MiniLM-L6-v2")
    store = NudgeVectorStore()
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), model],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        vector_store=store,
    )

    def ingest(whole: list[Document]) -> list[str]:
        """Add what is new, replace what changed, delete what is gone; the ids that are new."""
        before = set(store.client.ids)
        pipeline.run(documents=whole)
        after = set(store.client.ids)
        print(f"  {len(after - before)} nodes added, {len(before - after)} deleted")
        return sorted(after - before)

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
        changed = Document(id_=documents[0].doc_id, text=f"{documents[0].text} (changed)")
        new = ingest([changed, *documents[2:]])
        store.apply(first.tuned)  # what is new moves with its neighbours
        print(f"  {moved(store, model, new)} of {len(new)} new nodes have moved")

        print("Wednesday: a restart")
        index = VectorStoreIndex.from_vector_store(store, embed_model=model)
        index.storage_context.persist(Path(folder.name, "index"))
        storage = StorageContext.from_defaults(persist_dir=str(Path(folder.name, "index")))
        again, old = storage.vector_store, TunedVectors.load(Path(folder.name, "run"))
        ids = store.client.ids
        same = np.array_equal(again.client.get(ids), store.client.get(ids))
        print(f"  The same vectors, byte for byte: {same}")
        store = again

        print("Thursday: all questions; old and new side by side, over the original vectors")
        store.revert(old)
        second = tune(store, train, model)
        asked = over_the_store(store, test)
        index = VectorStoreIndex.from_vector_store(store, embed_model=model)
        before, after = (
            evaluate_retriever(NudgeRetriever(index, each, similarity_top_k=10), asked)
            for each in (old, second.tuned)
        )
        report = compare(before, after, judged_on="test questions, old run and new run")
        print(f"  ndcg@10 {report.row().before:.3f} -> {report.row().after:.3f}")
        store.apply(second.tuned)

        print("Friday: everything undone")
        store.revert(second.tuned)
        print(f"  Nodes that differ from the base model: {moved(store, model, ids)}")


if __name__ == "__main__":
    main()
