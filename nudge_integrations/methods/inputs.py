"""Checks of what users hand to a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nudge_integrations.common.arrays import FloatMatrix, IntVector, as_matrix
from nudge_integrations.errors import DataError
from nudge_integrations.methods.judgments import Judgments, concatenate
from nudge_integrations.methods.paths import Float64

Similarity = Literal["cosine", "dot"]


class QuerySet(NamedTuple):
    """Query vectors, which documents answer them, and what else competes.

    Attributes:
        queries: Shape `(q, d)`, float32.
        judgments: Which documents answer them.
        neighbours: Shape `(q, any)`, float32: scores of documents that are not in the corpus at hand
            but are in the store, and answer no question; -inf for none.
    """

    queries: FloatMatrix
    judgments: Judgments
    neighbours: FloatMatrix | None = None

    def some(self, rows: npt.NDArray[Any]) -> QuerySet:
        """Some of the queries (row numbers or a mask), with all that belongs to them."""
        neighbours = None if self.neighbours is None else self.neighbours[rows]
        return QuerySet(self.queries[rows], self.judgments.select(rows), neighbours)

    def and_those_of(self, other: QuerySet) -> QuerySet:
        """These queries, then the others."""
        return QuerySet(
            np.concatenate([self.queries, other.queries]),
            concatenate(self.judgments, other.judgments),
            None
            if self.neighbours is None or other.neighbours is None
            else np.concatenate([self.neighbours, other.neighbours]),
        )

    def on(self, n_documents: int) -> QuerySet:
        """The same over a corpus with more documents behind."""
        return QuerySet(self.queries, replace(self.judgments, n_documents=n_documents))


def with_neighbours(
    train: QuerySet, held_out: QuerySet | None, neighbours: Any
) -> tuple[QuerySet, QuerySet | None]:
    """Both sets of queries with the scores of further documents outside the corpus.

    Raises:
        DataError: Not one row of scores a query, or scores that are NaN or +inf.
    """
    scores = np.asarray(neighbours, np.float32)
    first = len(train.queries)
    count = first + (0 if held_out is None else len(held_out.queries))
    if scores.ndim != 2 or len(scores) != count:
        raise DataError(
            f"neighbours must hold one row of scores per query: shape ({count}, k), "
            f"got {scores.shape}"
        )
    if not (scores < np.inf).all():
        raise DataError("neighbours must be scores, or -inf for none; it holds NaN or +inf")
    if held_out is not None:
        held_out = held_out._replace(neighbours=scores[first:])
    return train._replace(neighbours=scores[:first]), held_out


def checked_device(device: Any) -> torch.device:
    """The device asked for; CUDA where there is one, else the CPU, if none is.

    Raises:
        DataError: torch does not know it, or cannot use it here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise DataError(f"device {device!r} cannot be used here: {error}") from error
    return found


def checked_groups(groups: Any, count: int) -> IntVector:
    """One whole number a query, int64.

    Raises:
        DataError: Another shape, or not whole numbers.
    """
    values = np.asarray(groups)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise DataError(
            f"groups must be whole numbers of shape ({count},), "
            f"got {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.int64)


def checked_steps(steps: Sequence[float] | Float64 | str, largest: float) -> Float64:
    """Steps in ascending order, once each, with 0 in front.

    Raises:
        DataError: No step, or one that is not a number within 0 .. `largest`.
    """
    try:
        values = np.atleast_1d(np.asarray(steps))
    except ValueError as error:
        raise DataError(f"steps (gamma) must be numbers, got {steps!r}") from error
    if values.ndim != 1 or len(values) == 0:
        raise DataError(f"steps (gamma) must be numbers, such as 0.3, got {steps!r}")
    if values.dtype.kind not in "fiu":  # also strings that read as numbers
        raise DataError(f"steps (gamma) must be numbers, such as 0.3, got {steps!r}")
    values = values.astype(np.float64)
    wrong = values[~((values >= 0) & (values <= largest) & (values < np.inf))]
    if len(wrong):
        raise DataError(f"steps (gamma) must be within 0 .. {largest:g}, got {wrong[0]:g}")
    return np.unique(np.concatenate([[0.0], values]))


def check_judgments(
    queries: FloatMatrix, judgments: Judgments, n_documents: int, what: str
) -> None:
    """Raise a DataError unless `judgments` are of these queries over so many documents."""
    if not isinstance(judgments, Judgments):
        raise DataError(f"{what}: make the judgments with Judgments.from_lists, got {judgments!r}")
    if judgments.n_documents != n_documents:
        raise DataError(
            f"{what}: judgments over {judgments.n_documents} documents, "
            f"but there are {n_documents} document vectors"
        )
    if len(queries) != judgments.n_queries:
        raise DataError(
            f"{what}: {len(queries)} query vectors, but judgments of {judgments.n_queries} queries"
        )


def read_set(
    queries_and_answers: Mapping[str, Any], n_documents: int, dimension: int, what: str
) -> QuerySet:
    """Read nudge-ft's `{"q_embs": ..., "q_ans_indx": ...}`.

    Raises:
        DataError: A key is missing, or what it holds does not fit.
    """
    for key in ("q_embs", "q_ans_indx"):
        if not isinstance(queries_and_answers, Mapping) or key not in queries_and_answers:
            raise DataError(f"{what} must be a dict with 'q_embs' and 'q_ans_indx'; no {key!r}")
    queries = as_matrix(queries_and_answers["q_embs"], f"{what}['q_embs']", dimension=dimension)
    judgments = Judgments.from_lists(queries_and_answers["q_ans_indx"], n_documents, what=what)
    check_judgments(queries, judgments, n_documents, what)
    return QuerySet(queries, judgments)
