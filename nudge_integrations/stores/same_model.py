"""Whether questions and documents seem to be embedded by the same model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, unit_rows
from nudge_integrations.stores.solving import Questions

_ENOUGH = 16


def answers_look_random(
    questions: Questions, row_of: Mapping[str, int], documents: FloatMatrix
) -> bool:
    """Whether answers are nearer to their questions than other questions' answers only by chance.

    Vectors of two models of one dimension have nothing to do with each other, and no error comes
    of it: each question's answer is then nearer than that of the next question in half of the
    cases. Up to two standard errors above half count as chance.

    Args:
        questions: Questions with an answer among the documents.
        row_of: Row of each document id.
        documents: Shape `(n, d)`.

    Returns:
        False also where there are fewer than 16 questions to tell by.
    """
    asked = list(questions.asked.values())
    own = np.array(
        [next(row_of[name] for name in each.answers if name in row_of) for each in asked]
    )
    others = np.roll(own, 1)
    units = unit_rows(documents)
    gaps = np.einsum("qd,qd->q", unit_rows(questions.vectors()), units[own] - units[others])
    gaps = gaps[own != others]
    return len(gaps) >= _ENOUGH and bool(np.mean(gaps > 0) <= 0.5 + 1 / np.sqrt(len(gaps)))
