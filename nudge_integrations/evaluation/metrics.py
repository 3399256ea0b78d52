"""Retrieval metrics on arrays of grades, exact, each written once.

A ranking comes in as the grades of its documents in rank order: 0 for a document that is not
judged, or judged irrelevant. A document is an *answer* when its grade is above 0. What else a
metric needs to know about a query (all its answers, found or not) is in `QueryTotals`.

The definitions are trec_eval's (https://github.com/usnistgov/trec_eval) where it has the metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError

Floats = npt.NDArray[np.float64]

_LARGEST_K = 10**9


@dataclass(frozen=True)
class Metric:
    """A metric with its cutoff; `str()` gives the name that `parse_metric` reads.

    Args:
        name: One of `METRIC_NAMES`.
        k: How many of the first documents count, from 1.

    Raises:
        DataError: No such metric, or a `k` below 1.
    """

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.name not in _FORMULAS or not 1 <= self.k <= _LARGEST_K:
            raise _unknown(f"{self.name}@{self.k}")

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"


def parse_metric(metric: str | Metric) -> Metric:
    """Read a metric such as `"ndcg@10"`, in capitals or not.

    Raises:
        DataError: No such metric, or no cutoff; the message lists what exists.
    """
    if isinstance(metric, Metric):
        return metric
    match = re.fullmatch(r"([a-z_]+)@([0-9]{1,9})", str(metric).strip().lower())
    if match is None:
        raise _unknown(metric)
    return Metric(match[1], int(match[2]))


def _unknown(metric: object) -> DataError:
    listed = ", ".join(f"{name}@k" for name in METRIC_NAMES)
    name = str(metric).partition("@")[0]
    meant = "" if name in METRIC_NAMES else did_you_mean(name, METRIC_NAMES)
    return DataError(
        f"unknown metric {str(metric)!r}: give one of {listed}, with a whole number from 1 for k, "
        f"such as 'ndcg@10'{meant}"
    )


@dataclass(frozen=True, eq=False)
class QueryTotals:
    """What metrics need to know about each query besides its ranking.

    Made by `from_csr` or `from_grades`.

    Attributes:
        indptr: int64 `(queries + 1,)`; query `i` owns `gains[indptr[i] : indptr[i + 1]]`.
        gains: float64; the grades above 0, highest first within each query.
    """

    indptr: IntVector
    gains: Floats

    @classmethod
    def from_csr(cls, indptr: npt.ArrayLike, grades: npt.ArrayLike) -> QueryTotals:
        """Take the judgments of query `i` from `grades[indptr[i] : indptr[i + 1]]`.

        Args:
            indptr: Whole numbers `(queries + 1,)`, from 0, never falling, up to `len(grades)`.
            grades: Real numbers, finite; one below 0 counts as 0, as in trec_eval.

        Raises:
            DataError: The two do not fit, or a grade is not finite.
        """
        starts = np.asarray(indptr, dtype=np.int64)
        judged = np.asarray(grades, dtype=np.float64)
        if starts.ndim != 1 or judged.ndim != 1 or len(starts) == 0:
            raise DataError(
                f"indptr and grades must be 1D arrays, indptr not empty; "
                f"got shapes {starts.shape} and {judged.shape}"
            )
        if starts[0] != 0 or starts[-1] != len(judged) or (np.diff(starts) < 0).any():
            raise DataError(
                f"indptr must rise from 0 to the number of grades, {len(judged)}; "
                f"it goes from {starts[0]} to {starts[-1]}"
            )
        if not np.isfinite(judged).all():
            place = int(np.flatnonzero(~np.isfinite(judged))[0])
            raise DataError(f"grades must be finite: grade number {place} is {judged[place]}")
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        positive = judged > 0
        rows, gains = rows[positive], judged[positive]
        counts = np.bincount(rows, minlength=len(starts) - 1)
        return cls(np.concatenate([[0], np.cumsum(counts)]), gains[np.lexsort((-gains, rows))])

    @classmethod
    def from_grades(cls, grades: Sequence[npt.ArrayLike]) -> QueryTotals:
        """Take one list of grades per query: those of all its judged documents, in any order.

        Raises:
            DataError: A grade is not finite.
        """
        lists = [np.asarray(each, dtype=np.float64).ravel() for each in grades]
        ends = np.cumsum([0, *(len(each) for each in lists)])
        return cls.from_csr(ends, np.concatenate([np.zeros(0), *lists]))

    @property
    def number_of_answers(self) -> IntVector:
        """How many answers each query has: int64 `(queries,)`."""
        return np.diff(self.indptr)

    def ideal_dcg(self, k: int) -> Floats:
        """The DCG@k of the best possible ranking: float64 `(queries,)`."""
        queries = len(self.indptr) - 1
        rows = np.repeat(np.arange(queries), np.diff(self.indptr))
        ranks = np.arange(len(self.gains)) - self.indptr[rows]
        counted = ranks < k
        rows, ranks, gains = rows[counted], ranks[counted], self.gains[counted]
        # bincount adds in order, as `_ndcg` does: a perfect ranking scores 1 to the last bit.
        weights = gains * _discounts(ranks)
        return np.bincount(rows, weights=weights, minlength=queries).astype(np.float64)


def score_rankings(metric: str | Metric, grades: npt.NDArray[Any], totals: QueryTotals) -> Floats:
    """Score many rankings at once.

    To score the same queries many times (such as once per step), put the times in leading axes:
    an array of `(steps * queries, K)` goes in as `.reshape(steps, queries, K)`, which is free.

    Args:
        metric: Which metric, such as `"ndcg@10"`.
        grades: Real numbers `(..., queries, K)`: grades of the ranked documents in rank order, 0
            where not judged. Documents past `K` count as not relevant, so `K` should be at least
            the metric's `k` or all documents. No document may occur twice in a ranking.
        totals: All the judgments of the same queries, in the same order.

    Returns:
        float64 `(..., queries)`, each from 0 to 1; 0 for a query without answers.

    Raises:
        DataError: Unknown metric, or `grades` is not for the queries of `totals`.
    """
    wanted = parse_metric(metric)
    array = np.asarray(grades)
    queries = len(totals.indptr) - 1
    if array.ndim < 2 or array.shape[-2] != queries:
        raise DataError(
            f"grades must have shape (..., {queries}, K) for {queries} queries, got {array.shape}"
        )
    gains = np.maximum(array[..., : wanted.k].astype(np.float64), 0)
    return _FORMULAS[wanted.name](gains, totals, wanted.k)


def first_answer_rank(grades: npt.NDArray[Any]) -> IntVector:
    """Rank of the first answer in each ranking, from 1; 0 where there is none.

    Args:
        grades: Real numbers `(..., K)` in rank order.

    Returns:
        int64 `(...)`.
    """
    hits = np.asarray(grades) > 0
    if hits.shape[-1] == 0:
        return np.zeros(hits.shape[:-1], dtype=np.int64)
    return np.where(hits.any(axis=-1), hits.argmax(axis=-1) + 1, 0).astype(np.int64)


def _ndcg(gains: Floats, totals: QueryTotals, k: int) -> Floats:
    """NDCG@k = DCG@k / ideal DCG@k, with DCG@k = sum over ranks r <= k of grade / log2(r + 1).

    trec_eval's `ndcg_cut`; Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002, with the linear gain. The ideal ranking is over all the
    judged documents of the query, found or not.
    """
    dcg = np.zeros(gains.shape[:-1])
    for rank, discount in enumerate(_discounts(np.arange(gains.shape[-1]))):
        dcg += gains[..., rank] * discount
    return _ratio(dcg, totals.ideal_dcg(k))


def _mrr(gains: Floats, _totals: QueryTotals, _k: int) -> Floats:
    """RR@k = 1 / rank of the first answer, 0 if it is not among the first k; MRR is its mean.

    trec_eval's `recip_rank`, cut at k; Voorhees, "The TREC-8 question answering track report",
    1999. The cut at 10 is MS MARCO's.
    """
    ranks = first_answer_rank(gains)
    return _ratio((ranks > 0).astype(np.float64), ranks)


def _recall(gains: Floats, totals: QueryTotals, _k: int) -> Floats:
    """Recall@k = answers among the first k / all answers of the query. trec_eval's `recall`."""
    return _ratio(_hits(gains), totals.number_of_answers)


def _recall_cap(gains: Floats, totals: QueryTotals, k: int) -> Floats:
    """Capped recall@k = answers among the first k / min(all answers of the query, k).

    The recall of the NUDGE paper (Zeighami, Wu and Shen, arXiv 2409.02343, 2024), and BEIR's
    `R_cap@k` (Thakur et al., arXiv 2104.08663, 2021): 1 is within reach whatever k is.
    """
    return _ratio(_hits(gains), np.minimum(totals.number_of_answers, k))


def _precision(gains: Floats, _totals: QueryTotals, k: int) -> Floats:
    """P@k = answers among the first k / k, also where fewer than k came. trec_eval's `P`."""
    return _hits(gains) / k


def _hit_rate(gains: Floats, _totals: QueryTotals, _k: int) -> Floats:
    """Hit rate@k = 1 if any answer is among the first k, else 0. trec_eval's `success`."""
    return np.where(_hits(gains) > 0, 1.0, 0.0)


def _hits(gains: Floats) -> Floats:
    hits: IntVector = np.count_nonzero(gains > 0, axis=-1)
    return hits.astype(np.float64)


def _ratio(numerator: Floats, denominator: npt.NDArray[Any]) -> Floats:
    """`numerator / denominator`, and 0 where the denominator is 0 (a query without answers)."""
    result: Floats = np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0
    )
    return result


def _discounts(ranks: npt.NDArray[np.int64]) -> Floats:
    """1 / log2(rank + 1) for ranks that here count from 0."""
    result: Floats = 1.0 / np.log2(ranks + 2.0)
    return result


_FORMULAS: dict[str, Callable[[Floats, QueryTotals, int], Floats]] = {
    "ndcg": _ndcg,
    "mrr": _mrr,
    "recall": _recall,
    "recall_cap": _recall_cap,
    "precision": _precision,
    "hit_rate": _hit_rate,
}

METRIC_NAMES: tuple[str, ...] = tuple(_FORMULAS)
