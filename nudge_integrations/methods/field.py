"""The field: what moves one document also moves its neighbours, by a Gaussian kernel.

A run of NUDGE-C leaves two small matrices: *anchors* (base vectors of the documents that took
part) and the *pull* that each of them accumulated. Any document, known or new, then moves to

    x + sum_j (k(x, a_j) + own [x = a_j and a_j has questions]) p_j,   scaled back to its length,

    k(x, y) = mean over the widths w of exp(-|x - y|^2 / (2 w^2)),     x and y of unit length.

The kernel is taken between *base* vectors, so this is a function of a document's base vector
alone. The pulls of all anchors sum to zero, so a constant part of the kernel moves nothing and
only local contrast counts. The field is this package's own, not the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector, norms, unit_rows
from nudge_integrations.errors import DataError

WIDTHS = (1.0, 0.5**0.5, 0.5, 0.125**0.5)
REACH = 1.2  # farther documents feel only the constant part of the kernel, which cancels
SAME = 1 - 1e-5  # cosine from which two vectors are the same document's
_TILE = 1 << 22  # kernel values computed at once


@dataclass(frozen=True, eq=False)
class Field:
    """A function from a document's base vector to where the document moves.

    Attributes:
        anchors: Shape `(a, d)`, float32: base vectors of unit length.
        pulls: Shape `(a, d)`, float32: the accumulated pull of each anchor.
        labelled: Shape `(a,)`, bool: whether a training question names the anchor.
        widths: Widths of the kernel, Euclidean distances between unit vectors; empty for
            documents with questions moving alone.
        own: Weight of the further pull that a labelled anchor exerts on itself, at least 0.
    """

    anchors: FloatMatrix
    pulls: FloatMatrix
    labelled: npt.NDArray[np.bool_]
    widths: tuple[float, ...] = WIDTHS
    own: float = 0.0

    @property
    def reach(self) -> float:
        """Distance (between unit vectors) to the nearest anchor beyond which nothing moves."""
        return REACH if self.widths else float(np.sqrt(2 - 2 * SAME))

    def move(
        self, vectors: FloatMatrix, *, reach: float | None = None, show_progress: bool = False
    ) -> tuple[IntVector, FloatMatrix]:
        """Move documents.

        Args:
            vectors: Shape `(n, d)`, float32: *base* vectors, of any length but zero.
            reach: Move only documents that are this near to an anchor; with 0, those alone that
                are an anchor with questions. Left out: the field's own `reach`.
            show_progress: Whether to draw a progress bar once this has taken a second.

        Returns:
            Rows that move, int64, ascending, and their new vectors, float32, each of the length
            that it had. All other documents keep their bytes.

        Raises:
            DataError: The vectors do not have the dimension of the field.
        """
        if vectors.shape[1:] != self.anchors.shape[1:]:
            raise DataError(
                f"the field has {self.anchors.shape[1]} dimensions, but these vectors have the "
                f"shape {vectors.shape}: embed them with the model that the field was tuned for"
            )
        far = self.reach if reach is None else min(reach, self.reach)
        anchors, pulls = torch.from_numpy(self.anchors), torch.from_numpy(self.pulls)
        labelled = torch.from_numpy(self.labelled)
        rows, moved = [np.zeros(0, np.int64)], [np.zeros((0, vectors.shape[1]), np.float32)]
        size = max(1, _TILE // max(1, len(anchors)))
        bar = tqdm(total=len(vectors), desc="Moving", delay=1, disable=not show_progress)
        for start in range(0, len(vectors) if len(anchors) else 0, size):
            block = np.ascontiguousarray(vectors[start : start + size], np.float32)
            bar.update(len(block))
            units = unit_rows(block)
            # Without a copy torch warns about read-only vectors, such as an engine's.
            cosines = torch.from_numpy(units if units.flags.writeable else units.copy()) @ anchors.T
            weights = kernel(cosines, self.widths, self.own, labelled)
            near = cosines if far > 0 and self.widths else cosines[:, labelled]
            limit = 1 - far * far / 2 if far > 0 else SAME
            chosen = (near >= limit).any(dim=1).numpy()
            if not chosen.any():
                continue
            ends = units[chosen] + (weights[torch.from_numpy(chosen)] @ pulls).numpy()
            ends *= (norms(block[chosen]) / np.maximum(norms(ends), 1e-12))[:, None]
            rows.append(np.flatnonzero(chosen) + start)
            moved.append(ends)
        bar.close()
        return np.concatenate(rows), np.concatenate(moved)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The field as named arrays, for a file without pickle; `from_arrays` reads them."""
        return {
            "anchors": self.anchors,
            "pulls": self.pulls,
            "labelled": self.labelled.astype(np.uint8),
            "widths": np.array(self.widths, np.float64),
            "own": np.array([self.own], np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Field:
        """Read what `to_arrays` gave."""
        return cls(
            np.ascontiguousarray(arrays["anchors"], np.float32),
            np.ascontiguousarray(arrays["pulls"], np.float32),
            arrays["labelled"].astype(bool),
            tuple(arrays["widths"].tolist()),
            float(arrays["own"][0]),
        )


def kernel(
    cosines: torch.Tensor, widths: Sequence[float], own: float, labelled: torch.Tensor
) -> torch.Tensor:
    """Weights of anchors for documents: the kernel, plus `own` for a labelled anchor itself.

    Args:
        cosines: Shape `(n, a)`: of documents and anchors, at their base vectors.
        widths: See `Field`.
        own: See `Field`.
        labelled: Shape `(a,)`, bool.

    Returns:
        Shape `(n, a)`, float32.
    """
    weights = torch.zeros_like(cosines)
    if widths:
        # exp(-|x - y|^2 / 2) once; a narrower kernel is a power of it.
        wide = torch.exp(cosines - 1)
        for width in widths:
            power = 1 / width**2
            exponent = int(np.log2(power) + 0.5) if power >= 1 else -1
            if abs(power - 2.0**exponent) < 1e-6 * power and 0 <= exponent <= 8:
                narrow = wide
                for _ in range(exponent):
                    narrow = narrow * narrow
            else:
                narrow = wide**power
            weights += narrow
        weights /= len(widths)
    if own:
        weights += own * ((cosines >= SAME) & labelled)
    return weights
