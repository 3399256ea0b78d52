"""Scores of every query, from ranked document ids or from a run with similarities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector, name_some
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import (
    Metric,
    QueryTotals,
    parse_metric,
    score_rankings,
)

T = TypeVar("T")

DEFAULT_METRICS: tuple[str, ...] = ("ndcg@10", "recall@10", "mrr@10")


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """The score of every query by every metric; printed, it shows the means.

    Attributes:
        query_ids: The queries, each once.
        values: For each metric, such as `"ndcg@10"`, float64 `(queries,)` from 0 to 1.
        first_answer: Rank of each query's first answer, from 1, and 0 if none was ranked: int64
            `(queries,)`, or None if ranks are not known.
        texts: Text of each query id where it is known, for the examples of a report.

    Raises:
        DataError: A query occurs twice, or values do not fit the queries or are not finite.
    """

    query_ids: tuple[str, ...]
    values: Mapping[str, npt.NDArray[np.float64]]
    first_answer: IntVector | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_twice(self.query_ids, "queries must have one score each; twice")
        columns = {str(parse_metric(name)): column for name, column in self.values.items()}
        object.__setattr__(self, "values", columns)
        ranks = {} if self.first_answer is None else {"first_answer": self.first_answer}
        for name, column in {**columns, **ranks}.items():
            if column.shape != (len(self.query_ids),) or not np.isfinite(column).all():
                raise DataError(
                    f"{name} needs one finite number for each of {len(self.query_ids)} queries, "
                    f"got shape {column.shape}, {int((~np.isfinite(column)).sum())} not finite"
                )

    def mean(self, metric: str | Metric) -> float:
        """Mean of a metric over the queries; the same to the last bit in any order of them.

        Raises:
            DataError: The metric was not measured, or there are no queries.
        """
        name = str(parse_metric(metric))
        if name not in self.values:
            raise DataError(f"{name} was not measured, only {', '.join(self.values)}")
        if not self.query_ids:
            raise DataError(f"no queries: {name} has no mean")
        return math.fsum(self.values[name].tolist()) / len(self.query_ids)

    def __repr__(self) -> str:
        count = len(self.query_ids)
        means = [f"{name} {self.mean(name):.4f}" for name in self.values] if count else []
        return f"Scores({', '.join([*means, f'{count:,} queries'])})"


def parse_metrics(metrics: str | Metric | Sequence[str | Metric]) -> list[Metric]:
    """One metric, or several.

    Raises:
        DataError: One of them is unknown.
    """
    several = [metrics] if isinstance(metrics, str | Metric) else metrics
    return [parse_metric(metric) for metric in several]


def evaluate_rankings(
    rankings: Mapping[str, Sequence[str] | Mapping[str, float]],
    qrels: Mapping[str, Mapping[str, float]],
    metrics: str | Sequence[str | Metric] = DEFAULT_METRICS,
    *,
    corpus: Collection[str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Scores:
    """Score ranked document ids against relevance judgments.

    A document that occurs twice in a ranking counts at its first place. A query that has answers
    but no ranking, or an empty one, scores 0. A query without answers is left out. Ids are
    compared as text, so the number 7 and `"7"` are the same document.

    Args:
        rankings: For each query id, document ids, best first; or a run, the similarity of each
            document id, which is ranked as `evaluate_run` does.
        qrels: For each query id, the grade of each judged document id; above 0 is an answer.
        metrics: One metric such as `"ndcg@10"`, or several.
        corpus: Ids of all documents. Without it only judged ids are known, and rankings that
            contain none of them are taken for a mistake.
        texts: Text of each query id, kept for the examples of a report.

    Returns:
        Scores of the queries that have answers, in the order of `qrels`.

    Raises:
        DataError: No query has an answer, no ranked query is judged, no ranked document is known,
            a ranking is a string, a similarity is NaN, or a metric is unknown.
    """
    wanted = parse_metrics(metrics)
    judged = {name: _by_text(each, "documents") for name, each in _by_text(qrels).items()}
    query_ids = [name for name, each in judged.items() if any(g > 0 for g in each.values())]
    if not query_ids:
        raise DataError(
            f"none of the {len(judged)} judged queries has a document with a grade above 0; "
            "there is nothing to measure: give judgments with answers"
        )
    ranked = {name: _ranked_ids(name, each) for name, each in _by_text(rankings).items()}
    if ranked and not any(name in judged for name in ranked):
        raise DataError(
            f"no ranked query is judged: rankings name {name_some(list(ranked))}, "
            f"judgments {name_some(list(judged))}; use the same query ids in both"
        )
    known = {name for each in judged.values() for name in each} | set(map(str, corpus or ()))
    check_retrieved(
        ranked, known, "use the same ids in both, or name all documents if they are right: corpus="
    )
    graded = [[judged[name].get(doc, 0) for doc in ranked.get(name, ())] for name in query_ids]
    depth = min(max((metric.k for metric in wanted), default=0), max(map(len, graded)))
    grades = np.zeros((len(query_ids), depth))
    for row, each in enumerate(graded):
        grades[row, : len(each)] = each[:depth]
    totals = QueryTotals.from_grades([list(judged[name].values()) for name in query_ids])
    values = {str(metric): score_rankings(metric, grades, totals) for metric in wanted}
    firsts = [next((rank for rank, g in enumerate(row, 1) if g > 0), 0) for row in graded]
    return Scores(tuple(query_ids), values, np.array(firsts, dtype=np.int64), texts or {})


def evaluate_run(
    run: Mapping[str, Mapping[str, float]],
    qrels: Mapping[str, Mapping[str, float]],
    metrics: str | Sequence[str | Metric] = DEFAULT_METRICS,
    *,
    corpus: Collection[str] | None = None,
) -> Scores:
    """Score a run of document ids with similarities, as trec_eval does.

    Documents are ranked by similarity as float32, highest first; equal ones by id, the last in
    the alphabet first. That is trec_eval's order for ties: it favours no system, and makes the
    numbers those of pytrec_eval. Everything else is as in `evaluate_rankings`.

    Args:
        run: For each query id, the similarity of each retrieved document id.
        qrels: For each query id, the grade of each judged document id; above 0 is an answer.
        metrics: One metric such as `"ndcg@10"`, or several.
        corpus: Ids of all documents; see `evaluate_rankings`.

    Raises:
        DataError: As `evaluate_rankings`; or a query has a ranking without similarities.
    """
    for query_id, scored in run.items():
        if not isinstance(scored, Mapping):
            raise DataError(
                f"the run of query {query_id!r} must map document ids to similarities; "
                "evaluate_rankings takes rankings without them"
            )
    return evaluate_rankings(run, qrels, metrics, corpus=corpus)


def check_retrieved(
    rankings: Mapping[str, Sequence[str]], documents: Collection[str], remedy: str
) -> None:
    """Refuse rankings in which no document is known.

    Args:
        rankings: For each query id, the retrieved document ids.
        documents: Ids of the known documents; if there are none, nothing is checked.
        remedy: What to do, for the message.

    Raises:
        DataError: Documents were retrieved, and none of them is known.
    """
    retrieved = [document for ranking in rankings.values() for document in ranking]
    if retrieved and documents and not any(document in documents for document in retrieved):
        raise DataError(
            f"no retrieved id is in the dataset: the retriever gave {retrieved[0]!r}, the "
            f"dataset has {min(documents)!r}; {remedy}"
        )


def _by_text(content: Mapping[Any, T], what: str = "queries") -> dict[str, T]:
    """The mapping with its ids as text."""
    _refuse_twice(map(str, content), f"{what} have the same id as a number and as text")
    return {str(name): each for name, each in content.items()}


def _refuse_twice(names: Iterable[str], rule: str) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{rule}: {name_some(twice)}")


def _ranked_ids(query_id: str, ranking: Sequence[Any] | Mapping[Any, Any]) -> list[str]:
    """Document ids, best first, each once."""
    if isinstance(ranking, str):
        raise DataError(
            f"the ranking of query {query_id!r} is a string, {ranking[:40]!r}; "
            "give a list of document ids"
        )
    if not isinstance(ranking, Mapping):
        return list(dict.fromkeys(map(str, ranking)))
    scored = _by_text(ranking, "documents")
    with np.errstate(over="ignore"):
        values = np.array(list(scored.values()), dtype=np.float64).astype(np.float32)
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        raise DataError(
            f"query {query_id!r} has NaN as the similarity of document "
            f"{list(scored)[bad[0]]!r}; a run needs numbers"
        )
    pairs = sorted(zip(values.tolist(), scored, strict=True), reverse=True)
    return [document for _, document in pairs]
