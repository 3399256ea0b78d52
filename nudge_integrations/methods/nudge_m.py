"""NUDGE-M: push every document along its questions (arXiv 2409.02343, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.errors import MetricMismatchError
from nudge_integrations.methods.inputs import QuerySet
from nudge_integrations.methods.path_method import PathMethod
from nudge_integrations.methods.paths import AdditionPath, Float64, Path
from nudge_integrations.methods.problem import Problem
from nudge_integrations.methods.sweep import most_covered, winning_intervals


class NudgeM(PathMethod):
    """The paper's NUDGE-M: `x + gamma h`. Vectors grow, so only the inner product ranks them.

    In a store that ranks by cosine or by distance its vectors would be silently wrong; there this
    package refuses them. `finetune_embeddings` takes the step from an exact sweep, as nudge-ft
    does; `fit` takes it from a grid, by the metric asked for.
    """

    name = "nudge-m"
    keeps_length = False
    largest_step = float("inf")

    @staticmethod
    def _grid() -> Float64:
        return np.asarray(0.02 * np.arange(76), dtype=np.float64)

    def _parity_steps(self) -> Float64:
        return self._grid()

    def path(self, units: FloatMatrix, targets: FloatMatrix) -> Path:  # noqa: ARG002
        """Straight lines along `targets`."""
        return AdditionPath(len(units))

    def check_similarity(self, similarity: str) -> None:
        """Refuse any similarity but the inner product.

        Raises:
            MetricMismatchError: `similarity` is not `"dot"`.
        """
        super().check_similarity(similarity)
        if similarity != "dot":
            raise MetricMismatchError(
                f"NUDGE-M's vectors are not of unit length: under {similarity!r} they rank "
                "wrongly; use metric='dot', or NUDGE-N (method='n')"
            )

    def _parity_step(
        self,
        problem: Problem,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,
        gamma: float | Sequence[float] | None,
    ) -> float:
        if gamma is not None or validation is None or val_k != 1 or self.metric is not None:
            return super()._parity_step(problem, train, validation, val_k, gamma)
        moved = problem.paths(train)
        return most_covered(
            *winning_intervals(
                *(validation.queries, problem.vectors, validation.judgments),
                *(moved.rows, moved.targets, self.device),
                starts=moved.starts,
            )
        )
