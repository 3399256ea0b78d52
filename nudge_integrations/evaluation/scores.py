"""Scores of every query, from ranked document ids or from a run with scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector, name_some
from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import (
    Metric,
    QueryTotals,
    parse_metric,
    score_rankings,
)

DEFAULT_METRICS: tuple[str, ...] = ("ndcg@10", "recall@10", "mrr@10")


@dataclass(frozen=True, eq=False)
class Scores:
    """How well each query was answered.

    Attributes:
        query_ids: The queries, each once.
        values: For each metric, such as `"ndcg@10"`, float64 `(queries,)` from 0 to 1.
        first_answer: Rank of each query's first answer, from 1, and 0 where none was ranked:
            int64 `(queries,)`, or None where it is not known.

    Raises:
        DataError: A query stands twice, or values do not fit the queries or are not finite.
    """

    query_ids: tuple[str, ...]
    values: Mapping[str, npt.NDArray[np.float64]]
    first_answer: IntVector | None = None

    def __post_init__(self) -> None:
        if len(set(self.query_ids)) != len(self.query_ids):
            twice = [each for each, times in Counter(self.query_ids).items() if times > 1]
            raise DataError(f"queries must have one score each; twice: {name_some(twice)}")
        columns = {str(parse_metric(name)): column for name, column in self.values.items()}
        object.__setattr__(self, "values", columns)
        for name, column in columns.items():
            if column.shape != (len(self.query_ids),) or not np.isfinite(column).all():
                raise DataError(
                    f"{name} needs one finite number for each of {len(self.query_ids)} queries, "
                    f"got shape {column.shape}, {int((~np.isfinite(column)).sum())} not finite"
                )
        if self.first_answer is not None and self.first_answer.shape != (len(self.query_ids),):
            raise DataError(
                f"first_answer needs one rank for each of {len(self.query_ids)} queries, "
                f"got shape {self.first_answer.shape}"
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


def evaluate_rankings(
    rankings: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, float]],
    metrics: str | Sequence[str | Metric] = DEFAULT_METRICS,
) -> Scores:
    """Score ranked document ids against relevance judgments.

    A document that stands twice in a ranking counts where it stands first. A query that has
    answers but no ranking, or an empty one, scores 0. A query without answers is left out.

    Args:
        rankings: For each query id, document ids, best first.
        qrels: For each query id, the grade of each judged document id; above 0 is an answer.
        metrics: Which metrics, such as `"ndcg@10"`; one, or several.

    Returns:
        Scores of the queries that have answers, in the order of `qrels`.

    Raises:
        DataError: No query has an answer, no ranked query is judged, a ranking is a string, or
            a metric is unknown.
    """
    several = [metrics] if isinstance(metrics, str) else metrics
    wanted = [parse_metric(metric) for metric in several]
    query_ids = _answered_queries(qrels)
    if rankings and not any(query_id in qrels for query_id in rankings):
        raise DataError(
            f"no ranked query is judged: rankings name {name_some(list(rankings))}, "
            f"judgments {name_some(list(qrels))}; use the same query ids in both"
        )
    ranked = [_ranked_grades(each, rankings.get(each, ()), qrels[each]) for each in query_ids]
    deepest = max((metric.k for metric in wanted), default=0)
    depth = min(deepest, max(map(len, ranked)))
    grades = np.zeros((len(query_ids), depth))
    for row, judged in enumerate(ranked):
        grades[row, : len(judged)] = judged[:depth]
    totals = QueryTotals.from_grades([list(qrels[each].values()) for each in query_ids])
    firsts = [next((rank for rank, g in enumerate(row, 1) if g > 0), 0) for row in ranked]
    return Scores(
        tuple(query_ids),
        {str(metric): score_rankings(metric, grades, totals) for metric in wanted},
        np.array(firsts, dtype=np.int64),
    )


def evaluate_run(
    run: Mapping[str, Mapping[str, float]],
    qrels: Mapping[str, Mapping[str, float]],
    metrics: str | Sequence[str | Metric] = DEFAULT_METRICS,
) -> Scores:
    """Score a run of document ids with similarities, as trec_eval does.

    Documents are ranked by similarity as float32, highest first; equal ones by id, the last in
    the alphabet first. That is trec_eval's order for ties: it gives no system an advantage, and
    makes the numbers those of pytrec_eval. Everything else is as in `evaluate_rankings`.

    Args:
        run: For each query id, the similarity of each retrieved document id.
        qrels: For each query id, the grade of each judged document id; above 0 is an answer.
        metrics: Which metrics, such as `"ndcg@10"`; one, or several.

    Raises:
        DataError: As `evaluate_rankings`; or a similarity is NaN.
    """
    rankings = {query_id: _ranked_ids(query_id, scored) for query_id, scored in run.items()}
    return evaluate_rankings(rankings, qrels, metrics)


def check_retriever(retriever: Any, method: str, instead: Mapping[str, str]) -> None:
    """Refuse what is no retriever of a framework.

    Args:
        retriever: What was given for one.
        method: The method that the framework's retrievers are asked by.
        instead: What to pass, by the attribute that tells what was given.

    Raises:
        DataError: It has no such method.
    """
    if not hasattr(retriever, method) or isinstance(retriever, type):
        known = [remedy for name, remedy in instead.items() if hasattr(retriever, name)]
        raise DataError(
            f"a retriever is needed, not {described(retriever)}: pass "
            f"{known[0] if known else 'what as_retriever() of an index or a store returns'}"
        )


def check_retrieved(
    rankings: Mapping[str, Sequence[str]], documents: Collection[str], remedy: str
) -> None:
    """Refuse rankings of documents whose ids are none of a dataset's.

    Args:
        rankings: For each query id, the retrieved document ids.
        documents: Ids of the dataset's documents; where there are none, nothing is known.
        remedy: What to do, for the message.

    Raises:
        DataError: Documents were retrieved, and not one is in the dataset.
    """
    retrieved = [document for ranking in rankings.values() for document in ranking]
    if retrieved and documents and not any(document in documents for document in retrieved):
        raise DataError(
            f"no retrieved id is in the dataset: the retriever gave {retrieved[0]!r}, the "
            f"dataset has {next(iter(documents))!r}; {remedy}"
        )


def _answered_queries(qrels: Mapping[str, Mapping[str, float]]) -> list[str]:
    answered = [
        query_id for query_id, judged in qrels.items() if any(g > 0 for g in judged.values())
    ]
    if not answered:
        raise DataError(
            f"none of the {len(qrels)} judged queries has a document with a grade above 0; "
            "there is nothing to measure: give judgments with answers"
        )
    return answered


def _ranked_grades(
    query_id: str, ranking: Sequence[str], judged: Mapping[str, float]
) -> list[float]:
    """Grades of a ranking's documents, each document once."""
    if isinstance(ranking, str):
        raise DataError(
            f"the ranking of query {query_id!r} is a string, {ranking[:40]!r}; "
            "give a list of document ids"
        )
    return [judged.get(document, 0) for document in dict.fromkeys(ranking)]


def _ranked_ids(query_id: str, scored: Mapping[str, Any]) -> list[str]:
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
