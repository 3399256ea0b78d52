"""Which setting of NUDGE-C, and how far: by held-out questions, within bounds of harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from nudge_integrations.arrays import IntVector
from nudge_integrations.methods.contest import Contest
from nudge_integrations.methods.contrast import Setting
from nudge_integrations.methods.folds import Folds, Split, touched
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.settings import Candidates, Decision, decide
from nudge_integrations.methods.step import HeldOut
from nudge_integrations.metrics import Metric, score_rankings

_CHEAP = 1e9  # pairs of a question and a document, over all trials and steps: some seconds
_ENOUGH = 1500  # questions: from more, a mean is hardly more certain


@dataclass(frozen=True)
class Chosen:
    """What was chosen, and why.

    Attributes:
        setting: Temperature and ridge; None where nothing could be tried.
        step: How long documents follow the flow; 0: not at all.
        reason: In words.
        curve: Mean score at each step that was tried with the setting.
        held_out: The honest before and after of the held-out questions.
    """

    setting: Setting | None
    step: float
    reason: str
    curve: tuple[tuple[float, float], ...] = ()
    held_out: HeldOut | None = None


@dataclass(frozen=True)
class _Tried:
    """One setting at all times that every trial reached.

    Attributes:
        setting: Which.
        grades: Shape `(1 + times, q, k)`: of all held-out questions, trial by trial.
        scores: Shape `(1 + times, q)`.
    """

    setting: Setting
    grades: np.ndarray
    scores: Float64


def choose(
    contest: Contest,
    folds: Folds,
    settings: Sequence[Setting],
    times: Sequence[float],
    labels: IntVector,
    metric: Metric,
    *,
    protect_unseen: float,
    fixed: bool,
) -> Chosen:
    """Let settings compete on held-out questions.

    Args:
        contest: The corpus and its questions.
        folds: Which questions are held out of what.
        settings: To choose from.
        times: To choose from, ascending, above 0.
        labels: Shape `(q,)`: questions of one label never choose for each other.
        metric: The score to raise.
        protect_unseen: Largest estimated loss of questions about untouched documents.
        fixed: Whether the last time is to be taken whatever the scores say.
    """
    if not folds.by_question:
        return Chosen(settings[len(settings) // 2], 0.0, "no question could be held out, so step 0")
    if not times:
        settings = settings[:1]  # whichever: nothing will move
    with tqdm(desc="Choosing", unit="trial", delay=1, disable=not contest.show_progress) as bar:
        pairs = sum(len(train) for train, _ in folds.by_question) * len(contest.rows)
        if pairs * len(settings) * len(times) > _CHEAP:
            folds = Folds(_enough(folds.by_question), _enough(folds.by_document))
            settings = _at_the_best_temperature(
                contest, folds.by_question, settings, times, metric, bar
            )
        tried = _tried(contest, folds.by_question, settings, times, metric, bar)
        unseen = np.zeros((len(tried), 1 + len(times)))
        if np.isfinite(protect_unseen) and not fixed:
            unseen = _unseen(contest, folds, tried, times, metric, bar)
    asked = _asked(folds.by_question)
    where = [
        (row, time)
        for row, each in enumerate(tried)
        for time in range(1, len(each.scores))
        if not fixed or time == len(times)
    ]
    before = tried[0].scores[0]
    steps = [0.0, *times]
    scores = [before, *(tried[row].scores[time] for row, time in where)]
    candidates = Candidates(
        np.stack(scores),
        labels[asked],
        np.array([0.0, *(unseen[row, time] for row, time in where)]),
    )
    decision = decide(candidates, protect_unseen, fixed=fixed and bool(times))
    row, time = where[decision.best - 1] if decision.best else _best(tried)
    step = steps[time] if decision.best else 0.0
    return Chosen(
        tried[row].setting,
        step,
        f"step {steps[-1]:g} was asked for"
        if fixed
        else _reason(decision, candidates, f"step {step:g}", tried[row].setting, metric, folds),
        tuple(zip(steps, tried[row].scores.mean(axis=1).tolist(), strict=False)),
        _held_out(contest, folds, asked, tried, [(0, 0), *where], decision),
    )


def _asked(splits: Sequence[Split]) -> IntVector:
    return np.concatenate([np.zeros(0, np.int64), *(asked for _, asked in splits)])


def _tried(
    contest: Contest,
    splits: Sequence[Split],
    settings: Sequence[Setting],
    times: Sequence[float],
    metric: Metric,
    bar: tqdm[None],
) -> list[_Tried]:
    totals = contest.totals(_asked(splits))
    bar.total = bar.n + len(settings) * len(splits)
    result = []
    for setting in settings:
        parts = contest.grades(splits, setting, times, metric, bar)
        reached = min(len(part) for part in parts)
        grades = np.concatenate([part[:reached] for part in parts], axis=1)
        scores = np.stack([score_rankings(metric, each, totals) for each in grades])
        result.append(_Tried(setting, grades, scores))
    return result


def _at_the_best_temperature(
    contest: Contest,
    splits: Sequence[Split],
    settings: Sequence[Setting],
    times: Sequence[float],
    metric: Metric,
    bar: tqdm[None],
) -> list[Setting]:
    """Settings of all ridges, at the temperature that does best with the one in the middle."""
    ridges = sorted({setting.ridge for setting in settings})
    middle = [each for each in settings if each.ridge == ridges[len(ridges) // 2]]
    tried = _tried(contest, splits[:1], middle, times, metric, bar)
    best = max(tried, key=lambda each: float(each.scores.mean(axis=1).max()))
    kept = best.setting.temperature
    return [setting for setting in settings if setting.temperature == kept]


def _enough(splits: list[Split]) -> list[Split]:
    """The first trials that ask so many questions together."""
    counts = np.cumsum([len(asked) for _, asked in splits])
    return splits[: int(np.searchsorted(counts, _ENOUGH)) + 1]


def _unseen(
    contest: Contest,
    folds: Folds,
    tried: list[_Tried],
    times: Sequence[float],
    metric: Metric,
    bar: tqdm[None],
) -> Float64:
    """Estimated change of questions about untouched documents, shape `(tried, 1 + times)`.

    Taken once a ridge, at its best temperature.
    """
    result = np.zeros((len(tried), 1 + len(times)))
    if not folds.by_document:
        return result
    totals = contest.totals(_asked(folds.by_document))
    ridges = sorted({each.setting.ridge for each in tried})
    bar.total = bar.n + len(ridges) * len(folds.by_document)
    for ridge in ridges:
        rows = [row for row, each in enumerate(tried) if each.setting.ridge == ridge]
        best = max(rows, key=lambda row: float(tried[row].scores.mean(axis=1).max()))
        reached = times[: max(len(tried[row].scores) for row in rows) - 1]
        parts = contest.grades(
            folds.by_document, tried[best].setting, reached, metric, bar, to_the_end=True
        )
        grades = np.concatenate(parts, axis=1)
        means = [float(score_rankings(metric, each, totals).mean()) for each in grades]
        result[rows, : len(means)] = np.array(means) - means[0]
    return result


def _best(tried: list[_Tried]) -> tuple[int, int]:
    means = [each.scores.mean(axis=1) for each in tried]
    row = int(np.argmax([mean[1:].max(initial=-np.inf) for mean in means]))
    return row, 0


def _held_out(
    contest: Contest,
    folds: Folds,
    asked: IntVector,
    tried: list[_Tried],
    where: list[tuple[int, int]],
    decision: Decision,
) -> HeldOut:
    before = tried[0].grades[0]
    after = np.empty_like(before)
    for position in np.unique(decision.crossed):
        row, time = where[position]
        mine = decision.crossed == position
        after[mine] = tried[row].grades[time][mine]
    seen = [touched(contest.judgments, *split) for split in folds.by_question]
    order = np.argsort(asked, kind="stable")
    return HeldOut(asked[order], before[order], after[order], np.concatenate(seen)[order])


def _reason(
    decision: Decision,
    candidates: Candidates,
    step: str,
    setting: Setting,
    metric: Metric,
    folds: Folds,
) -> str:
    how = f"by cross-validation in {len(folds.by_question)} parts"
    if len(folds.by_question) == 1:
        how = f"on {len(folds.by_question[0][1])} validation questions"
    if decision.best == 0 and decision.gain <= 0:
        return f"no step raised {metric} {how}, so vectors are unchanged"
    if decision.best == 0:
        return (
            f"the best step raised {metric} by {decision.gain:.4f} {how}, which may be luck "
            f"(standard error {decision.error:.4f}), so vectors are unchanged"
        )
    scores = candidates.scores.mean(axis=1)
    reason = (
        f"{step} was best {how}: {metric} {scores[0]:.4f} -> {scores[decision.best]:.4f} "
        f"({setting})"
    )
    if folds.by_document:
        reason += f"; unseen queries {candidates.unseen[decision.best]:+.4f} (estimated)"
    return reason
