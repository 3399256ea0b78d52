"""A LlamaIndex query engine over Qdrant, before and after its collection is tuned in place.

    pip install 'nudge-integrations[demo,qdrant]' llama-index-vector-stores-qdrant
    python examples/qdrant_llama_index_query_engine.py

The vectors in the collection are exchanged (`nudge_integrations.stores.tune`), so index and query
engine are made once and stay the same objects. Where nodes live in memory, `NudgeFinetuneEngine`
of `nudge_integrations.llama_index` does it in fewer lines. Nothing needs a network: the language
model is a stand-in that answers with the first passage it is given.
"""

from __future__ import annotations

import tempfile
import uuid
from typing import Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.llms import CompletionResponse, MockLLM
from llama_index.core.schema import TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from nudge_integrations import RelevanceDataset
from nudge_integrations.demo import demo_datasets
from nudge_integrations.evaluation import compare
from nudge_integrations.llama_index import NudgeEmbedding, evaluate_retriever
from nudge_integrations.stores import tune

QUESTION = "clone an object so that changes do not affect the original"  # not a training question
PASSAGES = 5
# How often a right passage is among the five that the model gets, and how often it is the first.
METRICS = [f"hit_rate@{PASSAGES}", "hit_rate@1"]
ROW = "  {0.metric:<10}  {0.group:<6}  {0.queries:>3} questions  {0.before:.3f} -> {0.after:.3f}"


class FirstPassage(MockLLM):
    """Stands in for a language model."""

    def complete(self, prompt: str, **_: Any) -> CompletionResponse:
        """Answer with the first passage, which LlamaIndex's own prompt has after a line of "-"."""
        return CompletionResponse(text=prompt.split("-" * 21)[1].strip().split("\n\n")[0])


def node_id(name: str) -> str:
    """Give a document the id that its node has: Qdrant takes whole numbers and UUIDs only."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def by_node(dataset: RelevanceDataset) -> RelevanceDataset:
    """Name documents in the judgments as the store does; their texts are not needed."""
    judged = {
        query: {node_id(name): grade for name, grade in grades.items()}
        for query, grades in dataset.qrels.items()
    }
    return RelevanceDataset(dataset.queries, {}, judged)


def main() -> None:
    """Ask, tune, ask again, revert."""
    # Yours: RelevanceDataset(queries, {}, qrels); document ids are node ids.
    data = demo_datasets()
    train, test = by_node(data["train"]), by_node(data["test"])
    nodes = [TextNode(id_=node_id(name), text=text) for name, text in data["train"].corpus.items()]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Yours: QdrantClient(url=...), the collection that is there, and your embedding model.
        store = QdrantVectorStore("docs", client=QdrantClient(path=f"{folder}/qdrant"))
        embed_model = NudgeEmbedding("sentence-transformers/all-MiniLM-L6-v2")
        context = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex(nodes, storage_context=context, embed_model=embed_model)
        retriever = index.as_retriever(similarity_top_k=PASSAGES)
        llm = FirstPassage()  # yours: OpenAI(model="gpt-4o-mini")
        query_engine = index.as_query_engine(llm=llm, similarity_top_k=PASSAGES)
        before = evaluate_retriever(retriever, test, METRICS)
        answer_before = str(query_engine.query(QUESTION))

        # Reads and searches only. Here the originals go into a folder; in your own project leave
        # `journal` out, and they are kept in the store's own database, for any later process.
        plan = tune(store, train, embed_query=embed_model, journal=f"{folder}/journal")
        print(plan.apply())

        after = evaluate_retriever(retriever, test, METRICS)
        answer_after = str(query_engine.query(QUESTION))
        named = {name for query in train.judged_queries for name in train.answers(query)}
        seen = {query for query in test.judged_queries if named & set(test.answers(query))}
        report = compare(before, after, judged_on=f"{len(test)} test questions", seen=seen)
        print(f"\nThe same query engine on {report.judged_on}, none of them used for tuning")
        print("(seen: a training question names an answer of theirs; unseen: none does)")
        for row in report.rows:
            if row.queries:  # of a group without questions there is nothing to say
                print(ROW.format(row))
        print(f"\n{QUESTION}\n  before: {answer_before!r}\n  after:  {answer_after!r}")

        print(f"\n{plan.revert()}")  # local Qdrant rounds last digits by itself; a server does not
        same = str(query_engine.query(QUESTION)) == answer_before
        print("After revert the query engine answers as before:", same)


if __name__ == "__main__":
    main()
