"""The path along which a document moves: `x(t) = a(t) x + b(t) h` (one form for every method).

The score of a query is then `a(t) (q.x) + b(t) (q.h)`: two products give it for every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nudge_integrations.common.arrays import FloatMatrix

Float64 = npt.NDArray[np.float64]
_BLOCK_ROWS = 2048  # few enough to stay in the processor's cache


@dataclass(frozen=True)
class AdditionPath:
    """NUDGE-M: `x + t h`. Vectors do not stay unit length, so only inner products rank them."""

    count: int

    @classmethod
    def between(cls, units: FloatMatrix, directions: FloatMatrix) -> AdditionPath:  # noqa: ARG003
        """The paths of as many documents as there are rows."""
        return cls(len(units))

    def coefficients(self, step: float) -> tuple[Float64, Float64]:
        """`a = 1`, `b = t`."""
        return np.ones(self.count), np.full(self.count, float(step))

    def part(self, documents: slice) -> AdditionPath:
        """As many."""
        return AdditionPath(len(range(self.count)[documents]))

    def rough_bounds(
        self, base: torch.Tensor, along: torch.Tensor, last: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A line has its extremes at its ends."""
        end = base + last * along
        return torch.minimum(base, end), torch.maximum(base, end)

    def highest(
        self,
        base: torch.Tensor,
        along: torch.Tensor,
        last: float,
        documents: npt.NDArray[np.int64] | None = None,  # noqa: ARG002
    ) -> torch.Tensor:
        """The higher of the two ends."""
        return torch.maximum(base, base + last * along)


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
        sine = np.empty_like(cosine)
        for start in range(0, len(units), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            rest = directions[part] - cosine[part, None].astype(np.float32) * units[part]
            sine[part] = np.sqrt(np.einsum("ij,ij->i", rest, rest, dtype=np.float64))
        return cls(np.arctan2(sine, cosine), (cosine < 0) | (sine == 0))

    @staticmethod
    def turn(step: float) -> float:
        """The angle of a step, radians: `arccos(1 - gamma / 2)`, for gamma in 0 .. 4."""
        return float(np.arccos(1 - step / 2))

    def coefficients(self, step: float) -> tuple[Float64, Float64]:
        """`a = sin(phi - theta) / sin(phi)`, `b = sin(theta) / sin(phi)`, theta <= phi."""
        theta = np.minimum(self.turn(step), self.angle)
        sine = np.where(self.still, 1.0, np.sin(self.angle))
        a = np.where(self.still, 1.0, np.sin(self.angle - theta) / sine)
        b = np.where(self.still, 0.0, np.sin(theta) / sine)
        return a, b

    def part(self, documents: slice) -> RotationPath:
        """Those of these documents."""
        return RotationPath(self.angle[documents], self.still[documents])

    def rough_bounds(
        self, base: torch.Tensor, along: torch.Tensor, last: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The score is `s cos(theta) + w sin(theta)`, with theta at most a right angle.

        So it is at most the sum of what is above 0 of `s` and of `w sin(last theta)`, at least
        that of what is below. Where both ends are above 0 it is concave, so nowhere below both.
        """
        (cos_angle, sin_angle), (cos_end, sin_end) = self._turns(last)

        def row(values: Float64) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(base.device)

        rise = along * row(sin_end / sin_angle)
        rise.addcmul_(base, row(-cos_angle * sin_end / sin_angle))
        lowest = torch.addcmul(rise, base, row(cos_end))
        torch.minimum(lowest, base, out=lowest)
        if bool((lowest.amax(dim=-1) <= 0).any()):
            below = rise.clamp(max=0).add_(base.clamp(max=0))
            lowest = torch.where(lowest > 0, lowest, below)
        else:
            lowest.masked_fill_(lowest <= 0, -torch.inf)
        highest = rise.clamp_(min=0).add_(base.clamp(min=0))
        return lowest, highest

    def highest(
        self,
        base: torch.Tensor,
        along: torch.Tensor,
        last: float,
        documents: npt.NDArray[np.int64] | None = None,
    ) -> torch.Tensor:
        """One of the ends, or the one extreme in between."""

        def row(values: Float64) -> torch.Tensor:
            chosen = values if documents is None else values[documents]
            return torch.from_numpy(chosen.astype(np.float32)).to(base.device)

        (cos_angle, sin_angle), (cos_end, sin_end) = (
            (row(cosine), row(sine)) for cosine, sine in self._turns(last)
        )
        across = (along - cos_angle * base) / sin_angle
        end = base * cos_end + across * sin_end
        inside = (across > 0) & (across * cos_end < base * sin_end)
        peak = torch.sqrt(base * base + across * across)
        return torch.where(inside, peak, torch.maximum(base, end))

    def _turns(self, last: float) -> tuple[tuple[Float64, Float64], tuple[Float64, Float64]]:
        """Cosine and sine of the angle to the direction, and of the angle where the way ends."""
        angle = np.where(self.still, np.pi / 2, self.angle)
        end = np.where(self.still, 0.0, np.minimum(self.turn(last), angle))
        sine = np.maximum(np.sin(angle), 1e-12)
        return (np.cos(angle), sine), (np.cos(end), np.sin(end))


Path = AdditionPath | RotationPath
