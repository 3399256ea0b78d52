"""Measuring any LangChain retriever on judged questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from tqdm import tqdm

from nudge_integrations.errors import DataError
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
    id_key: str | None = None,
    show_progress: bool = False,
) -> Scores:
    """Ask a retriever every judged question, and score the documents that it returns.

    Args:
        retriever: Any retriever; make it return as many documents as the largest cut-off asks
            for, since those that it leaves out count as not found.
        dataset: Judged questions: a `RelevanceDataset` or anything that `coerce` takes. Its
            document ids are those of the store.
        metrics: Such as `"ndcg@10"`.
        id_key: Metadata key with the id, for stores that do not set `Document.id` (`"_id"` for
            Qdrant's).
        show_progress: Whether to show a progress bar.

    Returns:
        Scores of each question; `compare(before, after, ...)` makes a report of two.

    Raises:
        DataError: The dataset cannot be used, a metric is unknown, a document came without an
            id, or not one came with an id of the dataset's corpus.
    """
    judged, wanted = _checked(retriever, dataset, metrics)
    asked = tqdm(judged.judged_queries, desc="Retrieving", disable=not show_progress)
    found = {name: _ids(retriever.invoke(judged.queries[name]), id_key) for name in asked}
    return _scored(found, judged, wanted)


async def aevaluate_retriever(
    retriever: BaseRetriever,
    dataset: Any,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    id_key: str | None = None,
) -> Scores:
    """Like `evaluate_retriever`, through the retriever's own async method, one by one."""
    judged, wanted = _checked(retriever, dataset, metrics)
    found = {
        name: _ids(await retriever.ainvoke(judged.queries[name]), id_key)
        for name in judged.judged_queries
    }
    return _scored(found, judged, wanted)


def _checked(
    retriever: Any, dataset: Any, metrics: str | Sequence[str]
) -> tuple[RelevanceDataset, list[Metric]]:
    """Dataset and metrics, refused before anything is retrieved, since that can take long."""
    check_retriever(
        retriever,
        "invoke",
        {
            "as_retriever": "its .as_retriever(search_kwargs={'k': 10})",
            "retrieve": "it to nudge_integrations.llama_index.evaluate_retriever",
        },
    )
    several = [metrics] if isinstance(metrics, str) else metrics
    return RelevanceDataset.coerce(dataset), [parse_metric(metric) for metric in several]


def _scored(
    found: Mapping[str, Sequence[str]], judged: RelevanceDataset, wanted: list[Metric]
) -> Scores:
    remedy = (
        "add documents under the dataset's ids, or name the metadata key that holds these: "
        "evaluate_retriever(..., id_key=...)"
    )
    check_retrieved(found, judged.corpus, remedy)
    return evaluate_rankings(found, judged.qrels, wanted)


def _ids(hits: Sequence[Document], id_key: str | None) -> list[str]:
    return [_id(document, id_key) for document in hits]


def _id(document: Document, id_key: str | None) -> str:
    value = document.id if id_key is None else document.metadata.get(id_key)
    if value is None:
        raise DataError(
            f"a retrieved document ({document.page_content[:40]!r}) has no "
            f"{'id' if id_key is None else f'metadata {id_key!r}'}: add documents with ids, or "
            "name the metadata key that holds it: evaluate_retriever(..., id_key=...)"
        )
    return str(value)
