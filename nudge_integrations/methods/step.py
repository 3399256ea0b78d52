"""Choosing how far to move: on questions that the directions have not seen.

Each *trial* tunes without some questions and asks them. Over all trials this gives a score for
every held-out question at every step, from which the step is chosen, and an honest estimate of
what it brings: each question is judged at a step that was chosen on the others only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.evaluation.metrics import Metric, QueryTotals, score_rankings
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.shortlist import Shortlist

_NO_GAIN = 1e-12  # sums of the same scores in another order differ by this much


@dataclass(frozen=True)
class Trial:
    """Questions held out of one tuning, and the documents in the running for them.

    Attributes:
        queries: Shape `(q,)`: which queries these are, in the caller's numbering.
        shortlist: Of these queries.
        seen: Shape `(q,)`, bool: whether the tuning moved an answer of the query.
    """

    queries: IntVector
    shortlist: Shortlist
    seen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """What ranking the held-out questions get, before and after, each at a step chosen without it.

    Attributes:
        queries: Shape `(q,)`: which queries, ascending; one that was asked twice stands twice.
        before: Shape `(q, k)`, float32: grades of the top documents, untuned, best first.
        after: The same, tuned.
        seen: Shape `(q,)`, bool: whether an answer of the query was moved.
    """

    queries: IntVector
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """The step that was chosen, and what it was chosen from.

    Attributes:
        step: The step; 0 when no other beats the vectors as they are.
        curve: Every step that was looked at, with its mean score.
        held_out: Before and after of the held-out questions.
        n_trials: Number of trials that the curve is the mean of.
    """

    step: float
    curve: tuple[tuple[float, float], ...]
    held_out: HeldOut
    n_trials: int

    @property
    def base_score(self) -> float:
        """Mean score of the vectors as they are."""
        return self.curve[0][1]

    @property
    def best_score(self) -> float:
        """Mean score at the chosen step."""
        return dict(self.curve)[self.step]


def choose_step(
    trials: Sequence[Trial],
    steps: Float64,
    metric: Metric,
    groups: IntVector,
    k: int,
    fixed: float | None = None,
) -> Choice:
    """Choose the step with the best mean score; among equals the smallest.

    Args:
        trials: Held-out questions, each in one trial only.
        steps: Steps to look at, ascending, the first of them 0.
        metric: The score to raise.
        groups: Shape `(number of queries,)`: questions of one group never choose the step that
            they are judged at.
        k: Depth of the rankings in `held_out`.
        fixed: One of `steps`, to be taken whatever the scores say.
    """
    queries = np.concatenate([trial.queries for trial in trials])
    scores = np.concatenate([_scores(trial, steps, metric) for trial in trials], axis=1)
    step = steps[pick(scores.mean(axis=1))] if fixed is None else fixed
    chosen = np.full(len(queries), step)
    if fixed is None:
        group, totals = groups[queries], scores.sum(axis=1)
        for label in np.unique(group):
            inside = group == label
            others = totals - scores[:, inside].sum(axis=1)
            # Where nobody else is left to ask, the vectors as they are are the only honest choice.
            chosen[inside] = steps[pick(others)] if not inside.all() else 0.0
    return Choice(
        step=float(step),
        curve=tuple(zip(steps.tolist(), scores.mean(axis=1).tolist(), strict=True)),
        held_out=_held_out(trials, chosen, k),
        n_trials=len(trials),
    )


def pick(scores: Float64) -> int:
    """Position of the highest score; of the first one among equals."""
    return int(np.argmax(scores >= scores.max() - _NO_GAIN * max(1.0, abs(scores.max()))))


def _scores(trial: Trial, steps: Float64, metric: Metric) -> Float64:
    judged = trial.shortlist.judgments.unique()
    totals = QueryTotals.from_csr(judged.indptr, judged.grades)
    rankings = trial.shortlist.ranked_grades_along(steps, metric.k)
    return np.stack([score_rankings(metric, grades, totals) for grades in rankings])


def _held_out(trials: Sequence[Trial], chosen: Float64, k: int) -> HeldOut:
    queries = np.concatenate([trial.queries for trial in trials])
    before = np.concatenate([trial.shortlist.ranked_grades(0.0, k) for trial in trials])
    ends = np.cumsum([len(trial.queries) for trial in trials])
    after = np.concatenate(
        [
            trial.shortlist.ranked_grades(part, k)
            for trial, part in zip(trials, np.split(chosen, ends[:-1]), strict=True)
        ]
    )
    seen = np.concatenate([trial.seen for trial in trials])
    order = np.argsort(queries, kind="stable")
    return HeldOut(queries[order], before[order], after[order], seen[order])
