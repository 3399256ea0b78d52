"""An exact in-memory index: vectors by id, cosine or inner product, safe to read while written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, IntVector, as_matrix, name_some
from nudge_integrations.common.rows import Hits, Moves, Rows, View, allowed_rows
from nudge_integrations.common.topk import diverse, nearest
from nudge_integrations.errors import DataError

Metric: TypeAlias = Literal["cosine", "dot"]
Allowed: TypeAlias = Callable[[str], bool] | Collection[str] | None


class ExactIndex:
    """Vectors by id, searched exactly.

    Stored bytes are never changed. A query costs one float32 matrix product and a partial sort;
    the few rows at the top are scored again in float64, so that equal vectors score equally. Any
    number of threads may read while others write: each read sees one whole state.

    Args:
        metric: `"cosine"` or `"dot"` (inner product).

    Raises:
        DataError: Another metric.
    """

    def __init__(self, metric: Metric = "cosine") -> None:
        if metric not in get_args(Metric):
            raise DataError(f"metric must be 'cosine' or 'dot', got {metric!r}")
        self._metric: Metric = metric
        self._lock = threading.Lock()
        self._rows = Rows()
        self.notes: dict[str, dict[str, str]] = {}  # on a tuning of these vectors, saved with them
        self.moves = Moves()

    @property
    def metric(self) -> Metric:
        """`"cosine"` or `"dot"`."""
        return self._metric

    @property
    def dimension(self) -> int | None:
        """Number of columns; None until the first vector comes in."""
        return self._rows.dimension or None

    @property
    def ids(self) -> list[str]:
        """Ids in the order in which they first came in."""
        with self._lock:
            return list(self._rows.positions)

    @property
    def matrix(self) -> FloatMatrix:
        """The stored vectors, `(len(self), dimension)`, float32, read-only."""
        return self.state()[1]

    def __len__(self) -> int:
        return len(self._rows.positions)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._rows.positions

    def clear(self) -> None:
        """Forget everything, the dimension too."""
        with self._lock:
            self._rows = Rows()
            self.moves = Moves()

    def upsert(self, ids: Sequence[str], vectors: Any) -> None:
        """Add vectors, or replace those with the same ids. All or nothing.

        Args:
            ids: One id a row. Where one repeats, its last vector counts.
            vectors: Shape `(len(ids), dimension)`.

        Raises:
            DataError: Other shapes, NaN or infinity, an id that is no string, or a vector of zeros
                under cosine. Nothing was written.
        """
        if len(ids) == 0 and len(vectors) == 0:
            return
        with self._lock:
            matrix = self._checked(ids, vectors, "vectors")
            if self.dimension is None:
                self._rows = Rows(matrix.shape[1])
            last = {id_: row for row, id_ in enumerate(ids)}
            self._rows.put(last, matrix)
            self.moves.forget(last)

    def delete(self, ids: Collection[str]) -> list[str]:
        """Forget these ids; return those that were there."""
        with self._lock:
            self.moves.forget(ids)
            return self._rows.delete(ids)

    def get(self, ids: Sequence[str]) -> FloatMatrix:
        """Copy the stored vectors of `ids`, bit for bit, shape `(len(ids), dimension)`.

        Raises:
            DataError: An id that is not in the index.
        """
        with self._lock:
            if unknown := [id_ for id_ in ids if id_ not in self._rows.positions]:
                raise DataError(f"no vector with id {name_some(unknown)}: add it first")
            return self._rows.take(ids)

    def replace(self, ids: Sequence[str], expected: Any, vectors: Any) -> list[str]:
        """Write vectors, but only over those that still are what the caller expects.

        Args:
            ids: One id a row, none twice.
            expected: What should be stored now, `(len(ids), dimension)`.
            vectors: What to store instead, `(len(ids), dimension)`.

        Returns:
            The ids left alone: not in the index, or with other bytes than expected.

        Raises:
            DataError: Vectors that `upsert` would refuse, or an id twice. Nothing was written.
        """
        if len(ids) == 0 and len(vectors) == 0:
            return []
        with self._lock:
            before = self._checked(ids, expected, "expected vectors", allow_zero=True)
            after = self._checked(ids, vectors, "vectors")
            if twice := [id_ for id_, count in Counter(ids).items() if count > 1]:
                raise DataError(f"id {name_some(twice)} comes twice: give each id one vector")
            known = [row for row, id_ in enumerate(ids) if id_ in self._rows.positions]
            if not known:
                return list(ids)
            # As integers, because only equal bytes count: 0.0 and -0.0 are two.
            stored = self._rows.take([ids[row] for row in known]).view(np.uint32)
            same = (stored == before[known].view(np.uint32)).all(axis=1)
            written = [row for row, is_same in zip(known, same, strict=True) if is_same]
            self._rows.overwrite([ids[row] for row in written], after[written])
            done = set(written)
            return [id_ for row, id_ in enumerate(ids) if row not in done]

    def move(
        self,
        run: str,
        moved: Callable[[FloatMatrix], tuple[IntVector, FloatMatrix]],
        known: Collection[str],
    ) -> None:
        """Move rows by a function of their vectors; `move_back(run)` restores them.

        Rows in `known` and rows that have moved are left alone; so is every row while another
        run's moves are in place.
        """
        with self._lock:
            done = {*known, *self.moves.bases}
            other = [id_ for id_ in self._rows.positions if id_ not in done]
            if not other or (self.moves.bases and self.moves.run != run):
                return
            base = self._rows.take(other)
            rows, vectors = moved(base)
            ids = [other[row] for row in rows]
            self._rows.overwrite(ids, vectors)
            if ids:
                self.moves = Moves(run, self.moves.bases | dict(zip(ids, base[rows], strict=True)))

    def move_back(self, run: str) -> None:
        """Put back what `move(run, ...)` moved, bit for bit."""
        with self._lock:
            if self.moves.run == run:
                ids = list(self.moves.bases)
                if ids:
                    self._rows.overwrite(ids, np.stack([self.moves.bases[id_] for id_ in ids]))
                self.moves = Moves()

    def search(self, vector: Any, k: int, allowed: Allowed = None) -> Hits:
        """Find the `k` rows most similar to `vector`.

        Args:
            vector: The query, shape `(dimension,)`.
            k: How many to find, at least 1.
            allowed: Ids, or a function of an id, to choose from; by default all.

        Returns:
            At most `k`, highest score first, equal scores in the order of the rows.

        Raises:
            DataError: `k` below 1; a query of another dimension, not finite, or under cosine
                zero; products too large for float32.
        """
        view, rows, scores = self._nearest(vector, "k", k, allowed)
        return Hits([view.ids[row] for row in rows], scores)

    def mmr(
        self, vector: Any, k: int, fetch_k: int, lambda_mult: float, allowed: Allowed = None
    ) -> Hits:
        """Choose `k` rows by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

        Args:
            vector: The query, shape `(dimension,)`.
            k: How many to choose, at least 1.
            fetch_k: How many of the nearest rows to choose from, at least 1.
            lambda_mult: From 0 (most diverse) to 1 (pure similarity, the same as `search`).
            allowed: As for `search`.

        Returns:
            In the order of choice; scores are the similarities to the query.

        Raises:
            DataError: As for `search`; `fetch_k` below 1; `lambda_mult` outside 0 to 1.
        """
        if k < 1:
            raise DataError(f"k must be at least 1, got {k}")
        if not 0 <= lambda_mult <= 1:
            raise DataError(f"lambda_mult must be from 0 to 1, got {lambda_mult}")
        view, rows, scores = self._nearest(vector, "fetch_k", fetch_k, allowed)
        candidates = view.vectors[rows].astype(np.float64)
        if self._metric == "cosine":
            candidates /= view.norms[rows, None]
        chosen = diverse(candidates, scores, k, lambda_mult)
        return Hits([view.ids[rows[candidate]] for candidate in chosen], scores[chosen])

    def state(self) -> tuple[list[str], FloatMatrix]:
        """The ids and their rows, read-only, as of now: what `from_state` needs."""
        view = self._view()
        view.vectors.flags.writeable = False
        return view.ids, view.vectors

    @classmethod
    def from_state(
        cls,
        metric: Metric,
        ids: Sequence[str],
        matrix: Any,
        moves: Moves | None = None,
        notes: dict[str, dict[str, str]] | None = None,
    ) -> ExactIndex:
        """Build an index from what `state`, `moves` and `notes` gave.

        Raises:
            DataError: Vectors that `upsert` would refuse, or an id twice.
        """
        index = cls(metric)
        index.upsert(ids, matrix)
        if len(index) != len(ids):
            raise DataError(f"{len(ids) - len(index)} ids come twice: give each row its own id")
        index.notes = dict(notes or {})
        if moves is not None:
            index.moves = Moves(moves.run, dict(moves.bases))
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        return self.from_state, (self._metric, *self.state(), self.moves, self.notes)

    def _view(self) -> View:
        with self._lock:
            return self._rows.view()

    def _checked(
        self, ids: Sequence[str], vectors: Any, what: str, allow_zero: bool = False
    ) -> FloatMatrix:
        if strange := [id_ for id_ in ids if not isinstance(id_, str)]:
            raise DataError(f"ids must be strings, got {name_some(strange)}")
        allow_zero = allow_zero or self._metric == "dot"
        return as_matrix(vectors, what, ids=ids, dimension=self.dimension, allow_zero=allow_zero)

    def _checked_query(self, vector: Any, dimension: int) -> npt.NDArray[np.float64]:
        """The query in float64; under cosine scaled to length 1."""
        row = as_matrix([vector], "the query vector", allow_zero=True)[0]
        query: npt.NDArray[np.float64] = row.astype(np.float64)
        if len(query) != dimension:
            raise DataError(
                f"the query has {len(query)} dimensions, the stored vectors have {dimension}; "
                "was the query embedded by another model?"
            )
        if self._metric == "dot":
            return query
        if not query.any():
            raise DataError("a query of zeros has no direction: under cosine nothing is near it")
        return query / np.linalg.norm(query)

    def _nearest(
        self, vector: Any, name: str, k: int, allowed: Allowed
    ) -> tuple[View, IntVector, npt.NDArray[np.float32]]:
        """The rows as of now, and the numbers and scores of the `k` best, best first."""
        if k < 1:
            raise DataError(f"{name} must be at least 1, got {k}")
        view, cosine = self._view(), self._metric == "cosine"
        if not view.ids:
            return view, np.empty(0, np.int64), np.empty(0, np.float32)
        query = self._checked_query(vector, view.vectors.shape[1])
        if allowed is None:
            return view, *nearest(query, view.vectors, view.norms, k, cosine=cosine)
        rows = allowed_rows(view.ids, allowed)
        found, scores = nearest(query, view.vectors[rows], view.norms[rows], k, cosine=cosine)
        return view, rows[found], scores
