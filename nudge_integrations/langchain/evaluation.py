"""Evaluate any LangChain retriever on judged questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import DEFAULT_METRICS, RetrieverTrial, Scores, check_retriever
from nudge_integrations.relevance import RelevanceDataset

# Where stores and retrievers keep ids: Qdrant, and a parent document's chunks.
_METADATA_IDS = ("_id", "id", "doc_id", "parent_id")
_INSTEAD = {
    "as_retriever": "its .as_retriever(search_kwargs={'k': 10})",
    "retrieve": "it to nudge_integrations.llama_index.evaluate_retriever",
}
_REMEDY = (
    "add documents under the dataset's ids, or name the metadata key that holds these: "
    "evaluate_retriever(..., id_key=...)"
)


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
        retriever: Any retriever. It should return as many documents as the largest cut-off asks
            for, since documents that it leaves out count as not found.
        dataset: Judged questions: a `RelevanceDataset` or anything that `coerce` takes. Its
            document ids are those of the store.
        metrics: Such as `"ndcg@10"`.
        id_key: Metadata key of the id. By default `Document.id`; if those ids are not the
            dataset's, the metadata `_id` (Qdrant's), `id`, `doc_id` (a parent's) or `parent_id`.
        show_progress: Whether to show a progress bar.

    Returns:
        Scores of each question; `compare(before, after, ...)` makes a report of two.

    Raises:
        DataError: The dataset cannot be used, a metric is unknown, a document has no id, or no
            id is in the dataset.
    """
    trial = _trial(retriever, dataset, metrics)
    for name, question in trial.questions(show_progress):
        trial.add(name, [_ids(document, id_key) for document in retriever.invoke(question)])
    return trial.scores()


async def aevaluate_retriever(
    retriever: BaseRetriever,
    dataset: Any,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    id_key: str | None = None,
) -> Scores:
    """Like `evaluate_retriever`, through the retriever's own async method, one by one."""
    trial = _trial(retriever, dataset, metrics)
    for name, question in trial.questions():
        found = await retriever.ainvoke(question)
        trial.add(name, [_ids(document, id_key) for document in found])
    return trial.scores()


def _trial(retriever: Any, dataset: Any, metrics: Sequence[str]) -> RetrieverTrial:
    check_retriever(retriever, "invoke", _INSTEAD)
    return RetrieverTrial(RelevanceDataset.coerce(dataset), metrics, _REMEDY)


def _ids(document: Document, id_key: str | None) -> dict[str, str]:
    held = document.metadata
    ids = {key: held.get(key) for key in ((id_key,) if id_key else _METADATA_IDS)}
    if id_key is None:
        ids = {"": document.id, **ids}
    given = {key: str(value) for key, value in ids.items() if value is not None}
    if not given:
        raise DataError(
            f"a retrieved document ({document.page_content[:40]!r}) has no "
            f"{'id' if id_key is None else f'metadata {id_key!r}'}: add documents with ids, or "
            "name the metadata key that holds it: evaluate_retriever(..., id_key=...)"
        )
    return given
