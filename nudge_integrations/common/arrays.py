"""Validate matrices of vectors once, where they enter the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.errors import DataError

FloatMatrix = npt.NDArray[np.float32]
IntVector = npt.NDArray[np.int64]

_MAX_NAMED = 3


def name_some(names: Sequence[object]) -> str:
    """Name the first few of `names`, and how many more there are, for an error message."""
    shown = ", ".join(repr(name) for name in names[:_MAX_NAMED])
    more = len(names) - _MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def checked_count(value: Any, what: str, least: int) -> int:
    """A whole number from `least` on.

    Raises:
        DataError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"{what} must be a whole number, at least {least}, got {value!r}")
    return int(value)


def as_matrix(
    values: Any,
    what: str,
    *,
    ids: Sequence[object] | None = None,
    dimension: int | None = None,
    allow_empty: bool = False,
    allow_zero: bool = False,
) -> FloatMatrix:
    """Check vectors and return them as a C-contiguous float32 matrix.

    A float32, C-contiguous matrix is returned as it is (no copy, and never written to).

    Args:
        values: Anything numpy reads as a two-dimensional array of real numbers, or a torch
            tensor of any real type on any device.
        what: Name of the vectors in error messages, such as `"document vectors"`.
        ids: Names of the rows, used in error messages and checked for number.
        dimension: Number of columns asked for.
        allow_empty: Whether to accept a matrix without rows.
        allow_zero: Whether to accept zero vectors, which have no direction.

    Returns:
        Matrix of shape `(rows, dimension)`, float32.

    Raises:
        DataError: Not two-dimensional, no rows, not numbers, NaN or infinity, a vector of zeros,
            another number of columns or of rows than asked for. The row is named.
    """
    try:
        array = np.asarray(_in_memory(values))
        if array.dtype.kind == "O" or array.dtype.name == "bfloat16":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{what} must be a matrix of real numbers with rows of one length; numpy says: {error}"
        ) from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} must be real numbers, got {array.dtype}")
    if array.ndim != 2:
        raise DataError(
            f"{what} must be a 2D array (one row a vector), got shape {array.shape}; "
            "a single vector goes in as [vector]"
        )
    if array.shape[1] == 0 or (array.shape[0] == 0 and not allow_empty):
        raise DataError(f"{what} must not be empty, got shape {array.shape}")
    if dimension is not None and array.shape[1] != dimension:
        raise DataError(
            f"{what} have {array.shape[1]} dimensions, but {dimension} are needed; "
            "were they made by another embedding model?"
        )
    if ids is not None and len(ids) != array.shape[0]:
        raise DataError(f"{what}: {array.shape[0]} rows for {len(ids)} ids; give one row an id")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    _refuse_bad_rows(matrix, what, ids, allow_zero)
    return matrix


def _in_memory(values: Any) -> Any:
    """Convert a torch tensor for numpy, which has no bfloat16, devices or gradients."""
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    tensor = values.detach().cpu()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def _refuse_bad_rows(
    matrix: FloatMatrix, what: str, ids: Sequence[object] | None, allow_zero: bool
) -> None:
    """Raise a DataError that names the rows which are not finite, or are all zeros."""

    def names(bad: npt.NDArray[np.bool_]) -> str:
        rows = np.flatnonzero(bad).tolist()
        return name_some([ids[row] for row in rows] if ids is not None else rows)

    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", matrix, matrix)
    if np.isfinite(squares).all() and squares.all():
        return
    # Rare, so only now in the precision that neither overflows nor rounds to zero.
    squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    unusable = ~np.isfinite(squares)
    if unusable.any():
        raise DataError(
            f"{what} must be finite: NaN or infinity in row {names(unusable)}; "
            "embed these again or leave them out"
        )
    if not allow_zero:
        zero = squares == 0
        if zero.any():
            raise DataError(
                f"{what} must not be zero: row {names(zero)} has no direction; "
                "embed it again (an empty text?) or leave it out"
            )


def row_norms(matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Euclidean norm of each row, float64, which no finite float32 row makes overflow."""
    lengths: npt.NDArray[np.float64] = np.sqrt(
        np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    )
    return lengths


def norms(matrix: FloatMatrix) -> npt.NDArray[np.float32]:
    """Euclidean norm of each row, float32, summed in float64."""
    return row_norms(matrix).astype(np.float32)


def angles_between(first: FloatMatrix, second: FloatMatrix) -> npt.NDArray[np.floating[Any]]:
    """Angles between matching rows of two matrices of one shape, in degrees, shape `(n,)`."""
    # By the chord: the arccos of a rounded cosine loses small angles.
    chords = norms(unit_rows(first) - unit_rows(second)) / 2
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chords, 0, 1))))


def unit_rows(matrix: FloatMatrix) -> FloatMatrix:
    """Rows scaled to length 1; a row that already has it to 1e-6 keeps its exact bytes."""
    lengths = norms(matrix)
    off = np.abs(lengths - 1) > 1e-6
    if not off.any():
        return matrix
    result = matrix.copy()
    result[off] /= lengths[off, None]
    return result
