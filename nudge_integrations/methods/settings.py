"""Choosing among many settings by held-out questions, and saying honestly what that brings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.step import pick

# One-sided, a gain this many standard errors above 0 is luck in 2 or 3 of 100 cases; questions are
# not quite independent of those that chose for them, so a little more than that.
_STANDARD_ERRORS = 2.0
_FEWEST = 3  # questions: from fewer, no standard error can be had


@dataclass(frozen=True)
class Candidates:
    """Settings, and what each brings to the questions that were held out of it.

    Attributes:
        scores: Shape `(settings, q)`: the score of each question; the first setting changes
            nothing.
        groups: Shape `(q,)`: questions of one group never choose for each other.
        unseen: Shape `(settings,)`: estimated change of questions about untouched documents.
    """

    scores: Float64
    groups: IntVector
    unseen: Float64


@dataclass(frozen=True)
class Decision:
    """What was chosen.

    Attributes:
        best: Position of the setting.
        crossed: Shape `(q,)`: the setting chosen for each question by the others.
        gain: What a choice by others brings a question, on average.
        error: Its standard error.
    """

    best: int
    crossed: IntVector
    gain: float
    error: float

    @property
    def certain(self) -> bool:
        """Whether the gain is more than luck explains."""
        return self.gain > _STANDARD_ERRORS * self.error


def decide(candidates: Candidates, worst_unseen: float, *, fixed: bool = False) -> Decision:
    """Choose the best setting whose estimated harm is bearable; nothing if its gain may be luck.

    The gain is taken from questions for which the others chose, so that the choice among many
    settings does not flatter it.

    Args:
        candidates: What there is to choose from.
        worst_unseen: The largest estimated loss of questions about untouched documents, at least 0.
        fixed: Whether to choose whatever it brings, and never the first setting.
    """
    scores = candidates.scores
    bearable = np.where(candidates.unseen >= -worst_unseen, 0.0, -np.inf)
    bearable[0] = 0.0
    if fixed:
        bearable[:] = 0.0
        bearable[0] = -np.inf
    totals = scores.sum(axis=1)
    crossed = np.zeros(scores.shape[1], np.int64)
    for label in np.unique(candidates.groups):
        inside = candidates.groups == label
        if not inside.all():
            crossed[inside] = pick(totals - scores[:, inside].sum(axis=1) + bearable)
    gains = scores[crossed, np.arange(len(crossed))] - scores[0]
    error = np.inf
    if len(gains) >= _FEWEST:
        error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    decision = Decision(int(pick(totals + bearable)), crossed, float(gains.mean()), error)
    if decision.certain or fixed:
        return decision
    return Decision(0, np.zeros_like(crossed), decision.gain, decision.error)
