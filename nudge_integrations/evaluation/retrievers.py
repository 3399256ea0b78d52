"""Measuring a retriever of any framework; the framework's own file says how it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import Metric, parse_metric
from nudge_integrations.evaluation.scores import Scores, check_retrieved, evaluate_rankings


class Judged(Protocol):
    """What a trial needs of a dataset."""

    @property
    def queries(self) -> Mapping[str, str]:
        """Query id -> text."""

    @property
    def corpus(self) -> Mapping[str, str]:
        """Document id -> text; may be empty."""

    @property
    def qrels(self) -> Mapping[str, Mapping[str, int]]:
        """Query id -> document id -> grade."""

    @property
    def judged_queries(self) -> Sequence[str]:
        """Ids of the queries with an answer."""


class RetrieverTrial:
    """The judged questions, and what a retriever found for each.

    A retrieved document may have several ids (its own, one that its store keeps in the metadata,
    its parent's). One kind of id is used for all documents: the first kind, unless only another
    one occurs in the dataset.

    Args:
        dataset: The judged questions.
        metrics: Such as `"ndcg@10"`.
        remedy: What to do if no retrieved id is in the dataset, for the message.

    Raises:
        DataError: A metric is unknown.
    """

    def __init__(self, dataset: Judged, metrics: str | Sequence[str], remedy: str) -> None:
        several = [metrics] if isinstance(metrics, str) else metrics
        self._metrics: list[str | Metric] = [parse_metric(metric) for metric in several]
        self._dataset, self._remedy = dataset, remedy
        self._found: dict[str, list[Mapping[str, str]]] = {}

    def questions(self, show_progress: bool = False) -> Iterator[tuple[str, str]]:
        """Id and text of each judged question, behind a progress bar if wanted."""
        from tqdm import tqdm

        names = self._dataset.judged_queries
        for name in tqdm(names, desc="Retrieving", disable=not show_progress):
            yield name, self._dataset.queries[name]

    def add(self, query_id: str, hits: Iterable[Mapping[str, str]]) -> None:
        """Keep what was found for a question: for each document, best first, its ids by kind."""
        self._found[query_id] = list(hits)

    def scores(self) -> Scores:
        """Score what was found.

        Raises:
            DataError: Documents were retrieved, and no id of theirs is in the dataset.
        """
        judged = self._dataset
        known = set(judged.corpus or (doc for row in judged.qrels.values() for doc in row))
        hits = [hit for found in self._found.values() for hit in found]
        kinds = dict.fromkeys(kind for hit in hits for kind in hit)
        met = [kind for kind in kinds if any(hit.get(kind) in known for hit in hits)]
        kind = next(iter([*met, *kinds]), "")
        rankings = {
            name: [hit.get(kind) or next(iter(hit.values())) for hit in found]
            for name, found in self._found.items()
        }
        check_retrieved(rankings, known, self._remedy)
        texts = {name: judged.queries[name] for name in self._found}
        return evaluate_rankings(rankings, judged.qrels, self._metrics, corpus=known, texts=texts)


def check_retriever(retriever: Any, method: str, instead: Mapping[str, str]) -> None:
    """Refuse an object that is not a retriever of the framework.

    Args:
        retriever: The object.
        method: The method by which the framework's retrievers are asked.
        instead: What to pass, keyed by the attribute that gives the object away.

    Raises:
        DataError: It has no such method.
    """
    if not hasattr(retriever, method) or isinstance(retriever, type):
        known = [remedy for name, remedy in instead.items() if hasattr(retriever, name)]
        raise DataError(
            f"a retriever is needed, not {described(retriever)}: pass "
            f"{known[0] if known else 'what as_retriever() of an index or a store returns'}"
        )
