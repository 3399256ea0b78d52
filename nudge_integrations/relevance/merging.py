"""The union of two datasets' parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import Judgments, Texts

if TYPE_CHECKING:
    from nudge_integrations.relevance.dataset import RelevanceDataset

_T = TypeVar("_T")


def merged_parts(
    first: RelevanceDataset, second: RelevanceDataset
) -> tuple[Texts, Texts, Judgments]:
    """Queries, corpus and judgments of both; see `RelevanceDataset.merge`.

    Raises:
        DataError: The two disagree about an id.
    """
    qrels = {query_id: dict(judged) for query_id, judged in first.qrels.items()}
    for query_id, judged in second.qrels.items():
        message = f"query {query_id!r} has two grades for document"
        qrels[query_id] = _united(qrels.get(query_id, {}), judged, message)
    return (
        _united(first.queries, second.queries, "there are two texts for query"),
        _united(first.corpus, second.corpus, "there are two texts for document"),
        qrels,
    )


def _united(first: Mapping[str, _T], second: Mapping[str, _T], conflict: str) -> dict[str, _T]:
    for name, value in second.items():
        if first.get(name, value) != value:
            raise DataError(
                f"{conflict} {name!r} in the datasets to merge, {first[name]!r:.80} and "
                f"{value!r:.80}; give one of them another id or make them the same"
            )
    return {**first, **second}
