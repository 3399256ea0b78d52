"""One corpus to tune: where its documents go at a step, and who wins the held-out questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector, norms, unit_rows
from nudge_integrations.errors import DataError
from nudge_integrations.methods.base import Method
from nudge_integrations.methods.directions import directions
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.inputs import QuerySet, Similarity
from nudge_integrations.methods.paths import Path
from nudge_integrations.methods.search import shortlist
from nudge_integrations.methods.step import Trial

_LARGEST_PRODUCT = 1e30


class Paths(NamedTuple):
    """Documents with a direction.

    Attributes:
        rows: Shape `(m,)`, int64, ascending: which documents.
        starts: Shape `(m, d)`, float32: where they are.
        targets: Shape `(m, d)`, float32: their directions, at the length that the path wants.
        path: The way between.
    """

    rows: IntVector
    starts: FloatMatrix
    targets: FloatMatrix
    path: Path


class Problem:
    """Document vectors as the method sees them: under cosine, their directions only."""

    def __init__(
        self,
        method: Method,
        path: Callable[[FloatMatrix, FloatMatrix], Path],
        documents: DocumentVectors,
        similarity: Similarity,
    ) -> None:
        self.method = method
        self.path = path
        self.similarity = similarity
        self.vectors = documents
        self._last: tuple[FloatMatrix, Paths] | None = None

    def _queries(self, queries: FloatMatrix) -> FloatMatrix:
        if self.similarity == "cosine":
            return unit_rows(queries)
        reach = float(norms(queries).max(initial=0)) * self.vectors.longest
        if reach > _LARGEST_PRODUCT:
            raise DataError(
                f"inner products up to {reach:.1g} are too large for float32: scale vectors down"
            )
        return queries

    def paths(self, train: QuerySet) -> Paths:
        """Where the answers of some queries go; remembered for the last queries asked for."""
        if self._last is None or self._last[0] is not train.queries:
            towards = directions(self._queries(train.queries), train.judgments)
            start = self.vectors.take(towards.rows)
            units, targets = unit_rows(start), towards.vectors
            path = self.path(units, targets)
            if self.method.keeps_length and units is not start:
                targets = targets * norms(start)[:, None]
            self._last = train.queries, Paths(towards.rows, start, targets, path)
        return self._last[1]

    def trial(
        self, train: QuerySet, held: QuerySet, numbers: IntVector, last: float, depth: int
    ) -> Trial:
        """Tune on some queries, and find what is in the running for others.

        Args:
            train: The queries to tune on.
            held: Those to ask.
            numbers: Shape `(len(held),)`: which of all the caller's queries these are.
            last: The largest step that will be looked at.
            depth: The deepest rank that will be looked at.
        """
        answered = np.flatnonzero(held.judgments.counts > 0)
        asked = held.some(answered)
        moved = self.paths(train)
        device = self.method.device
        found = shortlist(
            *(self._queries(asked.queries), self.vectors, asked.judgments),
            *(moved.rows, moved.targets, moved.path),
            last=last,
            k=depth,
            device=device,
            show_progress=self.method.show_progress,
        )
        if asked.neighbours is not None:
            found = found.with_others(asked.neighbours, depth)
        touched = np.zeros(len(self.vectors), bool)
        touched[moved.rows[moved.path.coefficients(1.0)[1] != 0]] = True
        return Trial(numbers[answered], found, asked.judgments.answered_in(touched))

    def trials(
        self,
        train: QuerySet,
        validation: QuerySet | None,
        fold: IntVector,
        last: float,
        depth: int,
    ) -> Iterator[Trial]:
        """One trial on the validation queries where there are any, else one a fold."""
        if validation is not None:
            if validation.judgments.counts.any():
                numbers = np.arange(len(train.queries), len(fold))
                yield self.trial(train, validation, numbers, last, depth)
            return
        parts = np.unique(fold[train.judgments.counts > 0])
        for part in parts if len(parts) > 1 else ():
            held = fold == part
            numbers = np.flatnonzero(held)
            yield self.trial(train.some(~held), train.some(held), numbers, last, depth)

    def move(self, train: QuerySet, step: float) -> tuple[IntVector, FloatMatrix]:
        """Rows that move at a step, and where to, at the length that they had."""
        nobody = np.zeros(0, np.int64), np.zeros((0, self.vectors.dimension), np.float32)
        if step == 0:
            return nobody
        rows, start, targets, path = self.paths(train)
        a, b = path.coefficients(step)
        moves = b != 0
        rows, start = rows[moves], start[moves]
        ends = a[moves, None].astype(np.float32) * start
        ends += b[moves, None].astype(np.float32) * targets[moves]
        wanted = None
        if self.similarity == "cosine":
            wanted = self.vectors.lengths[rows]
        elif self.method.keeps_length:
            wanted = norms(start)
        if wanted is not None:
            # Rounding aside the length is kept already; this makes it so to the last bit.
            ends *= (wanted / norms(ends))[:, None]
        return rows, ends
