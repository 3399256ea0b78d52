"""Which setting of NUDGE-C, and how far: by held-out questions, within bounds of harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.evaluation.metrics import Metric, score_rankings
from nudge_integrations.methods.contest import Contest
from nudge_integrations.methods.contrast import Setting
from nudge_integrations.methods.folds import Folds, Split, touched
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.settings import Candidates, Decision, decide
from nudge_integrations.methods.step import HeldOut

_ENOUGH = 1500  # questions: from more, a mean is hardly more certain


@dataclass(frozen=True)
class Chosen:
    """What was chosen, and why.

    Attributes:
        setting: Temperature and ridge.
        step: How long documents follow the flow; 0: not at all.
        reason: In words.
        curve: Mean score at each step that was tried with the setting.
        held_out: The honest before and after of the held-out questions.
        unseen: What questions about untouched documents get, by estimate.
    """

    setting: Setting
    step: float
    reason: str
    curve: tuple[tuple[float, float], ...] = ()
    held_out: HeldOut | None = None
    unseen: HeldOut | None = None


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
    steps = [0.0, *times]
    asked_for = f"step {steps[-1]:g} was asked for"
    if not folds.by_question:
        middle = settings[len(settings) // 2]
        if fixed:
            return Chosen(middle, steps[-1], asked_for)
        return Chosen(middle, 0.0, "no question could be held out, so step 0")
    if not times:
        settings = settings[:1]  # whichever: nothing will move
    with tqdm(desc="Choosing", unit="trial", delay=1, disable=not contest.show_progress) as bar:
        folds = Folds(_enough(folds.by_question), _enough(folds.by_document))
        tried = _search(contest, folds.by_question, settings, times, metric, bar)
        apart: dict[float, np.ndarray] = {}
        unseen = np.zeros((len(tried), 1 + len(times)))
        if np.isfinite(protect_unseen) and not fixed and folds.by_document:
            unseen, apart = _unseen(
                contest, folds.by_document, tried, times, metric, protect_unseen, bar
            )
    asked = _asked(folds.by_question)
    where = [
        (row, time)
        for row, each in enumerate(tried)
        for time in range(1, len(each.scores))
        if not fixed or time == len(times)
    ]
    before = tried[0].scores[0]
    scores = [before, *(tried[row].scores[time] for row, time in where)]
    candidates = Candidates(
        np.stack(scores),
        labels[asked],
        np.array([0.0, *(unseen[row, time] for row, time in where)]),
    )
    decision = decide(candidates, protect_unseen, fixed=fixed and bool(times))
    row, time = max(range(len(tried)), key=lambda row: _peak(tried[row])), 0
    if decision.best:
        row, time = where[decision.best - 1]
    step = steps[time] if decision.best else 0.0
    return Chosen(
        tried[row].setting,
        step,
        asked_for
        if fixed
        else _reason(decision, candidates, f"step {step:g}", tried[row].setting, metric, folds),
        tuple(zip(steps, tried[row].scores.mean(axis=1).tolist(), strict=False)),
        _held_out(contest, folds, asked, tried, [(0, 0), *where], decision),
        _untouched(folds, apart.get(tried[row].setting.ridge), time) if decision.best else None,
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


def _search(
    contest: Contest,
    splits: Sequence[Split],
    settings: Sequence[Setting],
    times: Sequence[float],
    metric: Metric,
    bar: tqdm[None],
) -> list[_Tried]:
    """Temperatures at a ridge in the middle, ridges at the best of them, and temperatures again.

    The two hardly depend on each other, so this finds what trying all pairs would, or its equal.
    """
    ridges = sorted({setting.ridge for setting in settings})
    tried: list[_Tried] = []
    ridge, temperature = ridges[len(ridges) // 2], None
    for along in ("temperature", "ridge", "temperature"):
        fixed = ridge if along == "temperature" else temperature
        other = "ridge" if along == "temperature" else "temperature"
        known = {each.setting for each in tried}
        fresh = [x for x in settings if getattr(x, other) == fixed and x not in known]
        tried += _tried(contest, splits, fresh, times, metric, bar)
        best = max(tried, key=_peak).setting
        ridge, temperature = best.ridge, best.temperature
    return tried


def _enough(splits: list[Split]) -> list[Split]:
    """The first trials that ask so many questions together."""
    counts = np.cumsum([len(asked) for _, asked in splits])
    return splits[: int(np.searchsorted(counts, _ENOUGH)) + 1]


def _unseen(
    contest: Contest,
    splits: Sequence[Split],
    tried: list[_Tried],
    times: Sequence[float],
    metric: Metric,
    bearable: float,
    bar: tqdm[None],
) -> tuple[Float64, dict[float, np.ndarray]]:
    """Estimated change of questions about untouched documents, shape `(tried, 1 + times)`.

    And the grades behind it by ridge, each of shape `(1 + times, q, k)`. Taken once a ridge, at
    its best temperature, the most promising ridges first, until no other can win any more; what
    is never looked at counts as unbearable.
    """
    result, grades_of = np.full((len(tried), 1 + len(times)), -np.inf), {}
    totals = contest.totals(_asked(splits))
    best_of: dict[float, _Tried] = {}
    for each in sorted(tried, key=_peak, reverse=True):
        best_of.setdefault(each.setting.ridge, each)
    reached = -np.inf
    for ridge, best in best_of.items():
        if _peak(best) <= reached:
            break
        bar.total = bar.n + len(splits)
        parts = contest.grades(splits, best.setting, times, metric, bar, to_the_end=True)
        grades = grades_of[ridge] = np.concatenate(parts, axis=1)
        means = np.array([score_rankings(metric, each, totals).mean() for each in grades])
        changes = means - means[0]
        for row, each in enumerate(tried):
            if each.setting.ridge == ridge:
                result[row] = changes
                scores = each.scores.mean(axis=1)
                within = changes[: len(scores)] >= -bearable
                reached = max(reached, float(scores[within].max(initial=-np.inf)))
    return result, grades_of


def _untouched(folds: Folds, grades: np.ndarray | None, time: int) -> HeldOut | None:
    if grades is None:
        return None
    asked = _asked(folds.by_document)
    order = np.argsort(asked, kind="stable")
    before, after = grades[0][order], grades[time][order]
    return HeldOut(asked[order], before, after, np.zeros(len(asked), bool))


def _peak(tried: _Tried) -> float:
    """The best mean score at any time."""
    return float(tried.scores.mean(axis=1).max())


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
