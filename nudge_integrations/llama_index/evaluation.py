"""Evaluate any LlamaIndex retriever on judged questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode

from nudge_integrations.evaluation import DEFAULT_METRICS, RetrieverTrial, Scores, check_retriever
from nudge_integrations.relevance import RelevanceDataset

_INSTEAD = {
    "as_retriever": "its .as_retriever(similarity_top_k=10)",
    "invoke": "it to nudge_integrations.langchain.evaluate_retriever",
}
_REMEDY = (
    "index nodes whose node_id is the dataset's (a splitter gives its chunks new ones), or "
    "make the dataset from the nodes of the index"
)


def evaluate_retriever(
    retriever: BaseRetriever,
    dataset: Any,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    show_progress: bool = False,
) -> Scores:
    """Ask a retriever every judged question, and score the nodes that it returns.

    Args:
        retriever: Any retriever. It should return as many nodes as the largest cut-off asks for,
            since nodes that it leaves out count as not found.
        dataset: Judged questions: a `RelevanceDataset` or anything that `coerce` takes. Its
            document ids are node ids; if no node id is among them, those of the nodes' parents or
            of their source documents.
        metrics: Such as `"ndcg@10"`.
        show_progress: Whether to show a progress bar.

    Returns:
        Scores of each question; `compare(before, after, ...)` makes a report of two.

    Raises:
        DataError: The dataset cannot be used, a metric is unknown, or no id is in the dataset.
    """
    trial = _trial(retriever, dataset, metrics)
    for name, question in trial.questions(show_progress):
        trial.add(name, [_ids(hit.node) for hit in retriever.retrieve(question)])
    return trial.scores()


async def aevaluate_retriever(
    retriever: BaseRetriever, dataset: Any, metrics: Sequence[str] = DEFAULT_METRICS
) -> Scores:
    """Like `evaluate_retriever`, through the retriever's own async method, one by one."""
    trial = _trial(retriever, dataset, metrics)
    for name, question in trial.questions():
        trial.add(name, [_ids(hit.node) for hit in await retriever.aretrieve(question)])
    return trial.scores()


def _trial(retriever: Any, dataset: Any, metrics: Sequence[str]) -> RetrieverTrial:
    check_retriever(retriever, "retrieve", _INSTEAD)
    return RetrieverTrial(RelevanceDataset.coerce(dataset), metrics, _REMEDY)


def _ids(node: BaseNode) -> dict[str, str]:
    parent = node.parent_node
    ids = {
        "node": node.node_id,
        "parent": None if parent is None else parent.node_id,
        "source": node.ref_doc_id,
    }
    return {kind: each for kind, each in ids.items() if each}
