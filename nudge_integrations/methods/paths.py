"""The path along which a document moves: `x(t) = a(t) x + b(t) h` (one form for every method).

The score of a query is then `a(t) (q.x) + b(t) (q.h)`: two products give it for every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from nudge_integrations.arrays import FloatMatrix

Float64 = npt.NDArray[np.float64]


class Path(Protocol):
    """A family of paths, one for each of `m` documents with a direction."""

    @property
    def moves(self) -> npt.NDArray[np.bool_]:
        """Which documents leave their place at any step above 0, shape `(m,)`."""
        ...

    def coefficients(
        self, step: float, documents: npt.NDArray[np.int64] | None = None
    ) -> tuple[Float64, Float64]:
        """`a` and `b` at `step`, each of shape `(m,)` or that of `documents` (positions)."""
        ...

    def part(self, documents: slice) -> Path:
        """The paths of some of the documents."""
        ...

    def error_growth(self, last: float) -> float:
        """The largest `a(t) + b(t)` up to step `last`: what an error in both scores grows to."""
        ...

    def bounds(
        self, base: torch.Tensor, along: torch.Tensor, last: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest and highest score on the way from step 0 to step `last`.

        Args:
            base: Scores `q.x`, shape `(queries, m)`.
            along: Scores `q.h`, shape `(queries, m)`.
            last: The largest step that will be asked for.
        """
        ...


@dataclass(frozen=True)
class AdditionPath:
    """NUDGE-M: `x + t h`. Vectors do not stay unit length, so only inner products rank them."""

    count: int

    @property
    def moves(self) -> npt.NDArray[np.bool_]:
        """All of them."""
        return np.ones(self.count, bool)

    def coefficients(
        self, step: float, documents: npt.NDArray[np.int64] | None = None
    ) -> tuple[Float64, Float64]:
        """`a = 1`, `b = t`."""
        size = self.count if documents is None else documents.shape
        return np.ones(size), np.full(size, float(step))

    def part(self, documents: slice) -> AdditionPath:
        """As many."""
        return AdditionPath(len(range(self.count)[documents]))

    def error_growth(self, last: float) -> float:
        """`1 + t` at its end."""
        return 1 + last

    def bounds(
        self, base: torch.Tensor, along: torch.Tensor, last: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A line has its extremes at its ends."""
        end = base + last * along
        return torch.minimum(base, end), torch.maximum(base, end)


@dataclass(frozen=True)
class RotationPath:
    """NUDGE-N: rotation of `x` towards `h` on the sphere, stopping when it arrives.

    The step is the paper's gamma: `|x(t) - x|^2 <= gamma`, an angle of `arccos(1 - gamma / 2)`.
    Documents with `x.h < 0`, or already on `h`, stay (as in nudge-ft).

    Attributes:
        angle: Shape `(m,)`, float64: the angle between `x` and `h`, radians.
        still: Shape `(m,)`, bool: documents that stay although they have a direction.
    """

    angle: Float64
    still: npt.NDArray[np.bool_]

    @classmethod
    def between(cls, units: FloatMatrix, directions: FloatMatrix) -> RotationPath:
        """The paths from unit vectors `(m, d)` to unit directions `(m, d)`."""
        cosine = np.einsum("ij,ij->i", units, directions, dtype=np.float64)
        # The length of the rest is the sine: arccos alone loses half of the digits near 0.
        rest = directions - cosine[:, None].astype(np.float32) * units
        sine = np.sqrt(np.einsum("ij,ij->i", rest, rest, dtype=np.float64))
        return cls(np.arctan2(sine, cosine), (cosine < 0) | (sine == 0))

    @property
    def moves(self) -> npt.NDArray[np.bool_]:
        """All that do not stay."""
        return ~self.still

    @staticmethod
    def turn(step: float) -> float:
        """The angle of a step, radians: `arccos(1 - gamma / 2)`, for gamma in 0 .. 4."""
        return float(np.arccos(1 - step / 2))

    def coefficients(
        self, step: float, documents: npt.NDArray[np.int64] | None = None
    ) -> tuple[Float64, Float64]:
        """`a = sin(phi - theta) / sin(phi)`, `b = sin(theta) / sin(phi)`, theta <= phi."""
        angle = self.angle if documents is None else self.angle[documents]
        still = self.still if documents is None else self.still[documents]
        theta = np.minimum(self.turn(step), angle)
        sine = np.where(still, 1.0, np.sin(angle))
        a = np.where(still, 1.0, np.sin(angle - theta) / sine)
        b = np.where(still, 0.0, np.sin(theta) / sine)
        return a, b

    def part(self, documents: slice) -> RotationPath:
        """Those of these documents."""
        return RotationPath(self.angle[documents], self.still[documents])

    def error_growth(self, last: float) -> float:  # noqa: ARG002
        """At most `1 / cos(phi / 2)`, in the middle; documents further off than 90 degrees stay."""
        return float(np.sqrt(2))

    def bounds(
        self, base: torch.Tensor, along: torch.Tensor, last: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The score is `s cos(theta) + w sin(theta)`, with at most one extreme inside the way."""
        angle = np.where(self.still, np.pi / 2, self.angle)
        theta = np.where(self.still, 0.0, np.minimum(self.turn(last), angle))
        sine = np.maximum(np.sin(angle), 1e-12)

        def row(values: Float64) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(base.device)

        across = (along - row(np.cos(angle)) * base) / row(sine)
        cos_end, sin_end = row(np.cos(theta)), row(np.sin(theta))
        end = base * cos_end + across * sin_end
        slope_at_end = across * cos_end - base * sin_end
        peak = torch.sqrt(base * base + across * across)
        lowest, highest = torch.minimum(base, end), torch.maximum(base, end)
        highest = torch.where((across > 0) & (slope_at_end < 0), peak, highest)
        lowest = torch.where((across < 0) & (slope_at_end > 0), -peak, lowest)
        return lowest, highest
