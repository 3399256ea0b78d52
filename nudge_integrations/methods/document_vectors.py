"""Document vectors that are read block by block, so that they need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, IntVector, as_matrix, norms
from nudge_integrations.errors import DataError

_BLOCK_ROWS = 4096
_WHAT = "document vectors"


class DocumentVectors:
    """Rows of an array, of a memory-mapped array, or of many arrays one after the other.

    Blocks are handed out as float32, whatever the type of the source. A float32 array is not
    copied.

    Args:
        source: Shape `(n, d)`, any real type; or an iterable of such arrays, which is gone through
            several times (a list of memory-mapped arrays, an object whose `__iter__` starts anew).
        unit: Whether rows are scaled to length 1 as they are read.
        allow_zero: Whether a row of zeros is fine.

    Raises:
        DataError: No vectors, or some that cannot be used; the row is named.
    """

    def __init__(self, source: Any, *, unit: bool = False, allow_zero: bool = False) -> None:
        self.parts: Iterable[npt.NDArray[Any]]
        if _is_array(source):
            self.parts = [source]
        elif _is_iterable_of_arrays(source):
            self.parts = source
        else:
            self.parts = [as_matrix(source, _WHAT)]
        self.unit = unit
        self.lengths: npt.NDArray[np.float32] = self._checked(allow_zero)
        """Shape `(n,)`: of the rows as they are in the source."""
        self._off = np.abs(self.lengths - 1) > 1e-6

    @classmethod
    def of(cls, source: Any) -> DocumentVectors:
        """`source` itself where it is one already; zeros, which the callers' doors refuse, pass."""
        return source if isinstance(source, cls) else cls(source, allow_zero=True)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> float:
        """Length of the longest row, as it is handed out."""
        return 1.0 if self.unit else float(self.lengths.max())

    def blocks(self) -> Iterator[tuple[int, FloatMatrix]]:
        """Position of its first row, and rows, of each block: of some thousand rows at most."""
        for start, block in self._raw():
            rows = np.ascontiguousarray(block, dtype=np.float32)
            yield start, self._scaled(rows, slice(start, start + len(rows)))

    def take(self, rows: IntVector) -> FloatMatrix:
        """Some rows, by ascending position; from one more pass where the source is no array."""
        result = np.empty((len(rows), self.dimension), np.float32)
        start = 0
        for part in self.parts:
            first, behind = np.searchsorted(rows, [start, start + len(part)])
            result[first:behind] = part[rows[first:behind] - start]
            start += len(part)
        return self._scaled(result, rows)

    def _scaled(self, vectors: FloatMatrix, rows: IntVector | slice) -> FloatMatrix:
        """Of length 1 where that is asked for; those that have it keep their exact bytes."""
        off = self._off[rows]
        if not self.unit or not off.any():
            return vectors
        return np.asarray(vectors / np.where(off, self.lengths[rows], np.float32(1))[:, None])

    def _raw(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        start = 0
        for part in self.parts:
            for first in range(0, len(part), _BLOCK_ROWS):
                block = part[first : first + _BLOCK_ROWS]
                yield start, block
                start += len(block)

    def _checked(self, allow_zero: bool) -> npt.NDArray[np.float32]:
        self.dimension = 0
        lengths = []
        for start, block in self._raw():
            names = range(start, start + len(block))
            rows = as_matrix(
                *(block, _WHAT),
                ids=names,
                dimension=self.dimension or None,
                allow_empty=True,
                allow_zero=allow_zero,
            )
            self.dimension = rows.shape[1]
            lengths.append(norms(rows))
        if not lengths:
            raise DataError(f"{_WHAT} must not be empty")
        return np.concatenate(lengths)


def _is_array(source: Any) -> bool:
    """Whether rows of it can be had by slices and by positions, of a type that numpy knows."""
    return isinstance(source, np.ndarray) and source.ndim == 2 and source.dtype.kind == "f"


def _is_iterable_of_arrays(source: Any) -> bool:
    if isinstance(source, np.ndarray) or hasattr(source, "__array__"):
        return False
    if isinstance(source, Iterator):
        raise DataError(
            f"{_WHAT} are gone through several times, but {type(source).__name__} can be only "
            "once: give a list of arrays, or an object whose __iter__ starts anew"
        )
    first = next(iter(source), None) if isinstance(source, Iterable) else None
    return isinstance(first, np.ndarray) and first.ndim == 2
