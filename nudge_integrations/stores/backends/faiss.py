"""FAISS: flat indexes, alone or under an id map, exchanged in place.

Graphs (HNSW) are refused: their links were made for the old vectors and cannot be taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import UnsupportedStoreError
from nudge_integrations.stores.store import Hits, LiveStore, Metric, checked_metric, finite


class FaissStore(LiveStore):
    """A FAISS index in this process. Save it yourself after it was tuned or reverted.

    Args:
        index: `IndexFlatIP`, `IndexFlatL2`, or an `IndexIDMap`/`IndexIDMap2` over one.
        names: Document id -> the index's own number (a row, or an id of the map). Left out: the
            numbers themselves, as strings.
    """

    kind = "FAISS"
    lives_on = False

    def __init__(self, index: Any, names: Mapping[str, int] | None = None) -> None:
        faiss = require("faiss", "faiss")
        self._faiss, self._index, self.owner = faiss, index, index
        self.identity = f"FAISS {type(index).__name__} in memory"
        mapped = type(index).__name__.startswith("IndexIDMap")
        self._flat = faiss.downcast_index(index.index) if mapped else index
        if not isinstance(self._flat, faiss.IndexFlat):
            raise UnsupportedStoreError(
                f"FAISS {type(self._flat).__name__} cannot exchange a vector exactly"
                + (
                    ": the links of its graph were made for the old ones and cannot be removed"
                    if "HNSW" in type(self._flat).__name__
                    else ""
                )
                + "; use IndexFlatIP or IndexFlatL2, under IndexIDMap2 or not, or rebuild the "
                "index from tuned vectors"
            )
        self._mapped, self._names = mapped, names
        known: dict[int, Metric] = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "l2"}
        self.metric = checked_metric(index.metric_type, known, self.identity)  # type: ignore[arg-type]

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self._index.d)

    @property
    def exact(self) -> bool:
        """Yes: flat."""
        return True

    def count(self) -> int:
        """Number of vectors."""
        return int(self._index.ntotal)

    def ids(self) -> Iterator[str]:
        """Every id."""
        yield from self._rows()

    def _rows(self) -> dict[str, int]:
        """Row of each id, as the index stands now."""
        rows = range(self._index.ntotal)
        place = dict(enumerate(rows))
        if self._mapped:
            numbers = self._faiss.vector_to_array(self._index.id_map).tolist()
            place = dict(zip(numbers, rows, strict=True))
        if self._names is None:
            return {str(number): row for number, row in place.items()}
        return {name: place[number] for name, number in self._names.items() if number in place}

    def _stored(self) -> FloatMatrix:
        """The vectors themselves, not a copy."""
        flat = self._flat
        data = self._faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        matrix: FloatMatrix = data.reshape(flat.ntotal, flat.d)
        return matrix

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        rows, stored = self._rows(), self._stored()
        return [(name, stored[rows[name]].copy()) for name in ids if name in rows]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        scores, numbers = self._index.search(vectors, min(k, self._index.ntotal))
        sign = -1.0 if self.metric == "l2" else 1.0
        names = {number: str(number) for number in np.unique(numbers).tolist()}
        if self._names is not None:
            names = {number: name for name, number in self._names.items()}
        return [
            finite(
                (names[number], sign * score)
                for number, score in zip(*each, strict=True)
                if number >= 0 and number in names
            )
            for each in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix | None) -> None:
        rows, stored = self._rows(), self._stored()
        for place, name in enumerate(ids):
            if name not in rows:
                continue
            row = rows[name]
            if expected is None or np.array_equal(stored[row], expected[place]):
                stored[row] = vectors[place]
