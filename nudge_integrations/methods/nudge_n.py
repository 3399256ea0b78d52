"""NUDGE-N: rotate every document towards its questions (arXiv 2409.02343, section 3.3)."""

from __future__ import annotations

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.methods.path_method import PathMethod
from nudge_integrations.methods.paths import Float64, Path, RotationPath


class NudgeN(PathMethod):
    """The paper's NUDGE-N: vectors keep their length, so cosine and inner product both work.

    The step is the paper's gamma, within 0 .. 2: a document turns by at most
    `arccos(1 - gamma / 2)`, and never past its questions.

    Examples:
        >>> import numpy as np
        >>> documents = np.eye(3, dtype=np.float32)
        >>> train = {"q_embs": np.array([[0.6, 0.8, 0.0]], np.float32), "q_ans_indx": [[0]]}
        >>> first = NudgeN().finetune_embeddings(documents, train, gamma=0.1)[0]
        >>> [round(float(value), 2) for value in first]
        [0.95, 0.31, 0.0]
    """

    name = "nudge-n"
    keeps_length = True
    largest_step = 2.0

    @staticmethod
    def _grid() -> Float64:
        # Even in the angle, 0.03 rad apart: gamma itself is nearly its square.
        angles = 0.03 * np.arange(41, dtype=np.float64)
        return np.asarray(2 - 2 * np.cos(angles), dtype=np.float64)

    def _parity_steps(self) -> Float64:
        return np.asarray(0.02 * np.arange(25), dtype=np.float64)

    def path(self, units: FloatMatrix, targets: FloatMatrix) -> Path:
        """Rotations from `units` towards `targets`."""
        return RotationPath.between(units, targets)
