"""Measuring any LangChain retriever on judged questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from tqdm import tqdm

from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import DEFAULT_METRICS, Scores, evaluate_rankings
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
        DataError: The dataset cannot be used, or a document came without an id.
    """
    judged = RelevanceDataset.coerce(dataset)
    asked = tqdm(judged.judged_queries, desc="Retrieving", disable=not show_progress)
    found = {name: retriever.invoke(judged.queries[name]) for name in asked}
    return evaluate_rankings(_ids(found, id_key), judged.qrels, metrics)


async def aevaluate_retriever(
    retriever: BaseRetriever,
    dataset: Any,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    id_key: str | None = None,
) -> Scores:
    """Like `evaluate_retriever`, through the retriever's own async method, one by one."""
    judged = RelevanceDataset.coerce(dataset)
    found = {name: await retriever.ainvoke(judged.queries[name]) for name in judged.judged_queries}
    return evaluate_rankings(_ids(found, id_key), judged.qrels, metrics)


def _ids(found: Mapping[str, Sequence[Document]], id_key: str | None) -> dict[str, list[str]]:
    return {name: [_id(document, id_key) for document in hits] for name, hits in found.items()}


def _id(document: Document, id_key: str | None) -> str:
    value = document.id if id_key is None else document.metadata.get(id_key)
    if value is None:
        raise DataError(
            f"a retrieved document ({document.page_content[:40]!r}) has no "
            f"{'id' if id_key is None else f'metadata {id_key!r}'}: add documents with ids, or "
            "name the metadata key that holds it: evaluate_retriever(..., id_key=...)"
        )
    return str(value)
