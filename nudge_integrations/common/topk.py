"""Top-k search: partial sorts, bounded memory, exact scores, diversity."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nudge_integrations.errors import DataError

Found: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]

_BUDGET_BYTES = 64 * 2**20
_MAX_QUERIES = 1024
# One score is held as float32, once more in the copy that is partitioned, and as one bool.
_BYTES_PER_SCORE = 9


def top_k(scores: npt.NDArray[Any], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Find the `k` highest scores of each row.

    Equal scores are ordered by ascending index, and where they meet at the border the smallest
    indices are kept: the answer never depends on the partial sort.

    Args:
        scores: Signed numbers, shape `(q, n)`; higher is better. Never written to.
        k: How many to keep, at least 1.

    Returns:
        Indices, int64, and scores, in the type of `scores`; both of shape `(q, min(k, n))`,
        best first.

    Raises:
        DataError: `k` below 1, scores not two-dimensional, or NaN among them.
    """
    if k < 1:
        raise DataError(f"k must be at least 1, got {k}")
    if scores.ndim != 2:
        raise DataError(f"scores must be a 2D array (one row a query), got shape {scores.shape}")
    n = scores.shape[1]
    k = min(k, n)
    if k == 0 or scores.shape[0] == 0:
        return np.empty((scores.shape[0], k), np.int64), np.empty(
            (scores.shape[0], k), scores.dtype
        )
    border = np.partition(scores, n - k, axis=1)[:, n - k]
    keep = scores >= border[:, None]
    counts = np.count_nonzero(keep, axis=1)
    # NaN sorts above every number but compares as no match, so it shows as a count that is short.
    if counts.min() < k:
        raise DataError(f"scores must not be NaN: row {int(counts.argmin())} holds some")
    for row in np.flatnonzero(counts > k):
        at_border = np.flatnonzero(scores[row] == border[row])
        keep[row, at_border[k - counts[row] :]] = False
    indices = np.nonzero(keep)[1].astype(np.int64, copy=False).reshape(-1, k)
    values = np.take_along_axis(scores, indices, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)


def search(
    queries: npt.NDArray[Any], rows: npt.NDArray[Any], k: int, *, block_rows: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the `k` rows with the highest inner product with each query.

    Products are taken a block at a time and merged into a running top k: beyond the inputs and
    the answer no more than about 64 MB is held, whatever the number of queries and rows. Blocks
    of another size round the products differently in the last digits of a float32.

    Args:
        queries: Shape `(q, d)`, any floating type.
        rows: Shape `(n, d)`, any floating type; float16 and memory-mapped rows are widened a
            block at a time.
        k: How many rows to keep for each query, at least 1.
        block_rows: Rows in one block; by default as many as the budget holds.

    Returns:
        Row indices, int64, and inner products, float32; both of shape `(q, min(k, n))`, best
        first, equal products by ascending index.

    Raises:
        DataError: `k` or `block_rows` below 1, other shapes, or products that are NaN.
    """
    if queries.ndim != 2 or rows.ndim != 2 or queries.shape[1] != rows.shape[1]:
        raise DataError(
            f"queries of shape {queries.shape} and rows of shape {rows.shape} do not fit: "
            "both must be 2D, with as many columns"
        )
    if block_rows is not None and block_rows < 1:
        raise DataError(f"block_rows must be at least 1, got {block_rows}")
    at_once = max(1, min(queries.shape[0], _MAX_QUERIES))
    if block_rows is None:
        bytes_per_row = 4 * rows.shape[1] + _BYTES_PER_SCORE * at_once
        block_rows = max(1, _BUDGET_BYTES // bytes_per_row)
    if k < 1:
        raise DataError(f"k must be at least 1, got {k}")
    asked = [
        np.asarray(queries[start : start + at_once], dtype=np.float32)
        for start in range(0, max(1, queries.shape[0]), at_once)
    ]
    best: list[Found] = [
        (np.empty((len(each), 0), np.int64), np.empty((len(each), 0), np.float32)) for each in asked
    ]
    for start in range(0, rows.shape[0], block_rows):
        block = np.asarray(rows[start : start + block_rows], dtype=np.float32)
        best = [
            merged(held, top_k(each @ block.T, k), k, start)
            for held, each in zip(best, asked, strict=True)
        ]
    indices, values = zip(*best, strict=True)
    return np.concatenate(indices), np.concatenate(values)


def nothing(queries: int) -> Found:
    """The answer to some queries before anything was searched, for `merged`."""
    return np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32)


def merged(held: Found, found: Found, k: int, start: int) -> Found:
    """The `k` best of two answers to the same queries, equal scores by ascending row.

    Args:
        held: Rows and scores among the rows before `start`, as `top_k` gives them.
        found: The same among the rows from `start` on, which are numbered from 0.
        k: How many to keep.
        start: How many rows come first.
    """
    rows = np.concatenate([held[0], found[0] + start], axis=1)
    order, scores = top_k(np.concatenate([held[1], found[1]], axis=1), k)
    return np.take_along_axis(rows, order, axis=1), scores


def nearest(
    query: npt.NDArray[np.float64],
    rows: npt.NDArray[np.float32],
    norms: npt.NDArray[np.float64],
    k: int,
    *,
    cosine: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the `k` rows nearest to one query, such that equal rows always score equally.

    A float32 product rounds the same row differently from place to place. So one such product
    only narrows the rows down, by its worst rounding error, to those that can be in the top k;
    these few are scored again in float64.

    Args:
        query: Shape `(d,)`; of length 1 under cosine.
        rows: Shape `(n, d)`.
        norms: Length of each row, shape `(n,)`.
        k: How many rows to keep, at least 1.
        cosine: Whether products are divided by the length of the row.

    Returns:
        Row indices and scores, of shape `(min(k, n),)`, best first, equal scores by ascending
        index.

    Raises:
        DataError: Products too large for float32.
    """
    if len(rows) == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        rough = (rows @ query.astype(np.float32)).astype(np.float64)
    if not np.isfinite(rough).all():
        raise DataError("inner products are too large for float32: scale the vectors down")
    # The classic bound, d u |x| |y|, and some u for the rounding of the query itself.
    error = (rows.shape[1] + 4) * 2.0**-24 * np.linalg.norm(query)
    if cosine:
        rough /= norms
        slack: Any = error
    else:
        slack = error * norms
    at = max(len(rough) - k, 0)
    border = np.partition(rough - slack, at)[at]
    near = np.flatnonzero(rough + slack >= border)
    exact = np.einsum("ij,j->i", rows[near], query, dtype=np.float64)
    if cosine:
        exact /= norms[near]
    order, scores = top_k(exact.astype(np.float32)[None], k)
    return near[order[0]], scores[0]


def diverse(
    rows: npt.NDArray[np.float64], relevance: npt.NDArray[Any], k: int, lambda_mult: float
) -> list[int]:
    """Choose rows by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each step takes the row with the highest
    `lambda_mult * relevance[row] - (1 - lambda_mult) * max over chosen c of rows[row] @ rows[c]`;
    the first takes the most relevant one.

    Args:
        rows: Candidates, shape `(n, d)`, of length 1 for cosine.
        relevance: Similarity of each candidate to the query, shape `(n,)`.
        k: How many to choose.
        lambda_mult: From 0 (most diverse) to 1 (pure relevance).

    Returns:
        `min(k, n)` row indices in the order of choice; of equal ones, up to the rounding of a
        float32, the lowest comes first.
    """
    chosen: list[int] = []
    redundancy = np.full(len(rows), -np.inf)
    worth = relevance = relevance.astype(np.float64)
    # A query that is itself a row makes all others equal at lambda 0.5: rounding must not choose.
    rounding = 1e-6 * np.abs(relevance).max(initial=0.0)
    for _ in range(min(k, len(rows))):
        row = int((worth >= worth.max() - rounding).argmax())
        chosen.append(row)
        redundancy = np.maximum(redundancy, rows @ rows[row])
        worth = lambda_mult * relevance - (1 - lambda_mult) * redundancy
        worth[chosen] = -np.inf
    return chosen
