"""Which of several candidates to take, and whether its gain may be luck."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.step import pick

# How much a change of unseen questions counts: labelled documents, which stand in for the others,
# lie closer together, so that the estimate is a little kind.
CAUTION = 2.0
_FEW_UNSEEN = 0.1  # documents; where there are fewer, their questions are rare
_FEWEST = 3  # questions: from fewer, no standard error can be had
# Standard errors that a gain must exceed. Where base vectors rank the labelled answers no better
# than chance, labels may be random; elsewhere tuning is known to help more often than not.
_SURE, _LIKELY = 2.5, 1.0
_SHORT = 2  # the longest cautious step, as a place in the times


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Attributes:
        row: Which finalist.
        time: Position of its time; 0: nothing moves.
        crossed: Shape `(q, 2)`: finalist and time that the other questions chose for each.
        gain: What a choice by others brings a question, on average.
        error: Its standard error.
        score: Mean score of what was chosen.
        unseen: Estimated change of questions about unlabelled documents.
        cautious: Whether the step is a short one that nothing could measure.
    """

    row: int
    time: int
    crossed: IntVector
    gain: float
    error: float
    score: float
    unseen: float
    cautious: bool = False


def decide(
    scores: Float64,
    groups: IntVector,
    harm: Float64,
    share: float,
    protect_unseen: float,
    fixed: bool,
    sound: bool,
) -> Decision:
    """The best bearable candidate; none if its gain may be luck.

    The gain is taken from questions for which the others chose, so that the choice among many
    candidates does not flatter it.

    Args:
        scores: Shape `(finalists, 1 + times, q)`.
        groups: Shape `(q,)`: questions of one group never choose for each other.
        harm: Shape `(finalists, 1 + times)`: estimated change of unseen questions.
        share: Of the documents around that no question labels, 0 to 1.
        protect_unseen: The largest bearable loss of these.
        fixed: Whether the last time is to be taken.
        sound: Whether the base vectors already tell the labelled answers from other documents.
    """
    finalists, times, count = scores.shape
    flat, changes = scores.reshape(-1, count), harm.reshape(-1)
    open_ = changes * min(1.0, share / _FEW_UNSEEN) >= -protect_unseen
    open_ |= np.tile(np.arange(times) == 0, finalists)
    if fixed:
        open_ = np.tile(np.arange(times) == times - 1, finalists)
    totals = flat.sum(axis=1) + np.where(open_, CAUTION * share * count * changes, -np.inf)
    chosen = np.zeros(count, np.int64)
    for label in np.unique(groups):
        inside = groups == label
        if not inside.all():
            chosen[inside] = pick(totals - flat[:, inside].sum(axis=1))
    gains = flat[chosen, np.arange(count)] - flat[0]
    error = float(gains.std(ddof=1) / np.sqrt(count)) if count >= _FEWEST else np.inf
    best = pick(totals)
    crossed = np.stack(np.divmod(chosen, times), axis=1)
    row, time = divmod(best, times)
    gain = float(gains.mean())
    if not fixed and not gain > (_LIKELY if sound else _SURE) * error:
        row = time = 0
        crossed = np.zeros_like(crossed)
    return Decision(
        *(row, time, crossed, gain, error),
        *(float(scores[row, time].mean()), float(harm[row, time])),
    )


def cautious(decision: Decision, scores: Float64, harm: Float64, bearable: float) -> Decision:
    """A short step that harms no question about another document, where no gain can be measured."""
    changes = np.minimum(scores.mean(axis=2) - scores[:, :1].mean(axis=2), harm)
    harmless = np.flatnonzero((changes[0] >= -bearable).cumprod())
    time = min(int(harmless[-1]), _SHORT)
    moved = float(scores[0, time].mean())
    return replace(decision, row=0, time=time, score=moved, unseen=harm[0, time], cautious=True)
