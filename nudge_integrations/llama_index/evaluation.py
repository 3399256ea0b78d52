"""Measuring any LlamaIndex retriever on judged questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore
from tqdm import tqdm

from nudge_integrations.evaluation import (
    DEFAULT_METRICS,
    Metric,
    Scores,
    check_retrieved,
    check_retriever,
    evaluate_rankings,
    parse_metric,
)
from nudge_integrations.relevance import RelevanceDataset


def evaluate_retriever(
    retriever: BaseRetriever,
    dataset: Any,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    show_progress: bool = False,
) -> Scores:
    """Ask a retriever every judged question, and score the nodes that it returns.

    Args:
        retriever: Any retriever; make it return as many nodes as the largest cut-off asks for,
            since those that it leaves out count as not found.
        dataset: Judged questions: a `RelevanceDataset` or anything that `coerce` takes. Its
            document ids are node ids.
        metrics: Such as `"ndcg@10"`.
        show_progress: Whether to show a progress bar.

    Returns:
        Scores of each question; `compare(before, after, ...)` makes a report of two.

    Raises:
        DataError: The dataset cannot be used, a metric is unknown, or not one node came with an
            id of the dataset's corpus.
    """
    judged, wanted = _checked(retriever, dataset, metrics)
    asked = tqdm(judged.judged_queries, desc="Retrieving", disable=not show_progress)
    found = {name: _ids(retriever.retrieve(judged.queries[name])) for name in asked}
    return _scored(found, judged, wanted)


async def aevaluate_retriever(
    retriever: BaseRetriever, dataset: Any, metrics: Sequence[str] = DEFAULT_METRICS
) -> Scores:
    """Like `evaluate_retriever`, through the retriever's own async method, one by one."""
    judged, wanted = _checked(retriever, dataset, metrics)
    found = {
        name: _ids(await retriever.aretrieve(judged.queries[name]))
        for name in judged.judged_queries
    }
    return _scored(found, judged, wanted)


def _checked(
    retriever: Any, dataset: Any, metrics: str | Sequence[str]
) -> tuple[RelevanceDataset, list[Metric]]:
    """Dataset and metrics, refused before anything is retrieved, since that can take long."""
    check_retriever(
        retriever,
        "retrieve",
        {
            "as_retriever": "its .as_retriever(similarity_top_k=10)",
            "invoke": "it to nudge_integrations.langchain.evaluate_retriever",
        },
    )
    several = [metrics] if isinstance(metrics, str) else metrics
    return RelevanceDataset.coerce(dataset), [parse_metric(metric) for metric in several]


def _scored(
    found: Mapping[str, Sequence[str]], judged: RelevanceDataset, wanted: list[Metric]
) -> Scores:
    remedy = (
        "index nodes whose node_id is the dataset's (a splitter gives its chunks new ones), or "
        "make the dataset from the nodes of the index"
    )
    check_retrieved(found, judged.corpus, remedy)
    return evaluate_rankings(found, judged.qrels, wanted)


def _ids(hits: Sequence[NodeWithScore]) -> list[str]:
    return [hit.node.node_id for hit in hits]
