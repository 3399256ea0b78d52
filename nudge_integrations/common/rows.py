"""Storage for vectors by id: rows in one growing matrix, and views of it that never change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, IntVector, row_norms
from nudge_integrations.errors import DataError

_SMALLEST_ROOM = 64


class View(NamedTuple):
    """The rows as they were when the view was taken, in the order of `ids`."""

    ids: list[str]
    vectors: FloatMatrix
    norms: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hits:
    """What a search found, best first.

    Attributes:
        ids: Ids of the rows found.
        scores: Similarity of each to the query, float32, shape `(len(ids),)`.
    """

    ids: list[str]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Moves:
    """Rows that `ExactIndex.move` moved and has not restored.

    Attributes:
        run: Digest of the run that moved them; empty if nothing is moved.
        bases: Id -> original vector, float32, shape `(dimension,)`.
    """

    run: str = ""
    bases: dict[str, FloatMatrix] = field(default_factory=dict)

    def forget(self, ids: Collection[str]) -> None:
        """Drop rows that were replaced or deleted: there is nothing to restore."""
        for id_ in ids:
            self.bases.pop(id_, None)


class Rows:
    """Rows by id, in the order in which their ids first came in.

    Views share memory with the storage, and three habits keep them as they were: rows are added
    past the end of every view, deleted ones leave by a copy at the next view, and before rows are
    overwritten everything is copied if a view was taken since the last copy.

    It checks nothing and locks nothing: `ExactIndex` does.
    """

    def __init__(self, dimension: int = 0) -> None:
        self.dimension = dimension
        # Of live ids only. A dict keeps its order, so the rows in it are always ascending.
        self.positions: dict[str, int] = {}
        self._allocate(0)

    def view(self) -> View:
        """All rows as of now."""
        if len(self._ids) != len(self.positions):
            self._copy(len(self._vectors))
        self._viewed = True
        n = len(self._ids)
        return View(self._ids[:n], self._vectors[:n], self._norms[:n])

    def take(self, ids: Sequence[str]) -> FloatMatrix:
        """Copy the vectors of known ids."""
        taken: FloatMatrix = self._vectors[[self.positions[id_] for id_ in ids]]
        return taken

    def put(self, row_of: Mapping[str, int], matrix: FloatMatrix) -> None:
        """Write the rows of a matrix, over those of known ids and past the end for new ones."""
        old = [id_ for id_ in row_of if id_ in self.positions]
        new = [id_ for id_ in row_of if id_ not in self.positions]
        self.overwrite(old, matrix[[row_of[id_] for id_ in old]])
        self.append(new, matrix[[row_of[id_] for id_ in new]])

    def append(self, ids: Sequence[str], vectors: FloatMatrix) -> None:
        """Add rows for ids that are not there yet, none twice."""
        if len(self._ids) + len(ids) > len(self._vectors):
            # Doubling makes adding one by one linear in all, not quadratic.
            live = len(self.positions)
            self._copy(live + max(len(ids), live, _SMALLEST_ROOM))
        start = len(self._ids)
        self._vectors[start : start + len(ids)] = vectors
        self._norms[start : start + len(ids)] = row_norms(vectors)
        self._ids.extend(ids)
        self.positions.update(zip(ids, range(start, start + len(ids)), strict=True))

    def overwrite(self, ids: Sequence[str], vectors: FloatMatrix) -> None:
        """Put vectors in the place of those of known ids, none twice."""
        if len(ids) == 0:
            return
        if self._viewed:
            self._copy(len(self._vectors))
        where = [self.positions[id_] for id_ in ids]
        self._vectors[where] = vectors
        self._norms[where] = row_norms(vectors)

    def delete(self, ids: Collection[str]) -> list[str]:
        """Forget the ids that are there, and return those."""
        return [id_ for id_ in ids if self.positions.pop(id_, None) is not None]

    def _allocate(self, capacity: int) -> None:
        self._ids: list[str] = []
        self._vectors: FloatMatrix = np.empty((capacity, self.dimension), np.float32)
        self._norms: npt.NDArray[np.float64] = np.empty(capacity, np.float64)
        self._viewed = False

    def _copy(self, capacity: int) -> None:
        """Move the live rows to new storage."""
        vectors, norms = self._vectors, self._norms
        live = np.fromiter(self.positions.values(), np.int64, len(self.positions))
        self._allocate(capacity)
        self._ids = list(self.positions)
        # Any mode but "raise", which holds the rows a second time.
        np.take(vectors, live, axis=0, out=self._vectors[: len(live)], mode="clip")
        self._norms[: len(live)] = norms[live]
        self.positions = {id_: row for row, id_ in enumerate(self._ids)}


def allowed_rows(ids: Sequence[str], allowed: Callable[[str], bool] | Collection[str]) -> IntVector:
    """Positions of the allowed ids, ascending."""
    if isinstance(allowed, str):
        raise DataError(f"allowed must be a collection of ids, got the string {allowed!r}")
    admits = allowed if callable(allowed) else set(allowed).__contains__
    return np.flatnonzero(np.fromiter((bool(admits(id_)) for id_ in ids), np.bool_, len(ids)))
