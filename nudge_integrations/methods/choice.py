"""Which setting of NUDGE-C, and how far: chosen on held-out questions, within bounds of harm.

Each *trial* tunes on some questions and asks others. Trials by question hold out questions;
trials by document hold out documents together with all of their questions, which estimates what
happens to questions about documents that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.evaluation.metrics import Metric, QueryTotals, score_rankings
from nudge_integrations.methods.field import WIDTHS
from nudge_integrations.methods.flow import Flow, Setting
from nudge_integrations.methods.folds import Folds, Split, touched
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.pool import Pool
from nudge_integrations.methods.step import HeldOut, pick

TIMES = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)
KERNELS = ((WIDTHS, 0.0), ((WIDTHS[1],), 0.0), (WIDTHS, 0.5), ((), 0.0))
NEAREST = (3, 10, 30)
_ENOUGH = 1500  # questions: from more, a mean is hardly more certain
_HOPELESS = 0.03  # stop once the score drops this far below its best
_FEWEST = 3  # questions: from fewer, no standard error can be had


@dataclass(frozen=True)
class Chosen:
    """What was chosen, and why.

    Attributes:
        setting: What shapes the flow.
        step: How long documents follow it; 0: not at all.
        reason: In words.
        curve: Mean score at each step that was tried with the setting.
        held_out: The honest before and after of the held-out questions.
        unseen: What questions about unlabelled documents get, by estimate.
    """

    setting: Setting
    step: float
    reason: str
    curve: tuple[tuple[float, float], ...] = ()
    held_out: HeldOut | None = None
    unseen: HeldOut | None = None


@dataclass
class Trials:
    """Runs trials, and remembers them.

    Attributes:
        pool: Documents and questions.
        folds: Which questions are held out of what.
        times: To look at, ascending, above 0.
        metric: The score to raise.
        bar: Shows progress.
    """

    pool: Pool
    folds: Folds
    times: Sequence[float]
    metric: Metric
    bar: tqdm[None]
    _known: dict[tuple[int, Setting], np.ndarray] = field(default_factory=dict)

    def grades(self, splits: Sequence[Split], setting: Setting) -> np.ndarray:
        """Grades of what is ranked first, shape `(1 + times, asked, depth)`, split by split.

        Row 0 is of the documents where they stand.
        """
        return np.concatenate([self._of_split(split, setting) for split in splits], axis=1)

    def scores(self, splits: Sequence[Split], setting: Setting) -> Float64:
        """Score of each question asked, shape `(1 + times, asked)`."""
        totals = self.totals(asked_in(splits))
        grades = self.grades(splits, setting)
        return np.stack([score_rankings(self.metric, each, totals) for each in grades])

    def totals(self, asked: IntVector) -> QueryTotals:
        """What the metrics must know of some questions."""
        judged = self.pool.ground.judgments.select(asked)
        return QueryTotals.from_csr(judged.indptr, judged.grades)

    def _of_split(self, split: Split, setting: Setting) -> np.ndarray:
        key = id(split[0]), setting
        if key not in self._known:
            self._known[key] = self._run(split, setting)
            self.bar.update()
        return self._known[key]

    def _run(self, split: Split, setting: Setting) -> np.ndarray:
        train, asked = split
        totals = self.totals(asked)
        ranked = [self.pool.grades(asked, self.pool.ground.documents)]
        best = float(score_rankings(self.metric, ranked[0], totals).mean())
        flow = Flow(self.pool.ground, train, setting)
        for _ in flow.run(self.times):
            ranked.append(self.pool.grades(asked, flow.documents_now()))
            score = float(score_rankings(self.metric, ranked[-1], totals).mean())
            best = max(best, score)
            if score < best - _HOPELESS:
                break
        # What was not followed to its end counts as no better than where it was left.
        ranked += [ranked[-1]] * (1 + len(self.times) - len(ranked))
        return np.stack(ranked)


@dataclass(frozen=True)
class Grid:
    """Settings to choose from, axis by axis, each in an order in which neighbours are alike."""

    temperatures: Sequence[float]
    ridges: Sequence[float]
    kernels: Sequence[tuple[tuple[float, ...], float]] = KERNELS
    nearest: Sequence[int] = NEAREST
    any_answer: bool = False

    def start(self) -> Setting:
        """Where the search begins."""
        widths, own = self.kernels[0]
        middle = [values[len(values) // 2] for values in (sorted(self.ridges), self.nearest)]
        temperature = min(self.temperatures, key=lambda each: abs(each - 0.03))
        return Setting(temperature, middle[0], widths, own, int(middle[1]), self.any_answer)

    def search(self, score: Callable[[Setting], float]) -> list[Setting]:
        """Climb along one axis after another; the best setting of each kernel, best first."""
        best = self.start()
        kernels = [replace(best, widths=widths, own=own) for widths, own in self.kernels]
        order = sorted(kernels, key=score, reverse=True)
        best = order[0]
        for name, values in (
            ("temperature", sorted(self.temperatures)),
            ("ridge", sorted(self.ridges)),
            ("nearest", sorted(self.nearest)),
        ):
            best = _climb(best, name, values, score)
        shapes = [(each.widths, each.own) for each in order]
        return [replace(best, widths=widths, own=own) for widths, own in shapes]


def _climb(
    best: Setting, name: str, values: Sequence[float], score: Callable[[Setting], float]
) -> Setting:
    middle = values.index(getattr(best, name))
    for way in (1, -1):
        place, moved = middle + way, False
        while 0 <= place < len(values):
            changed: dict[str, Any] = {name: values[place]}
            other = replace(best, **changed)
            if score(other) <= score(best):
                break
            best, moved, place = other, True, place + way
        if moved:
            break
    return best


def choose(
    trials: Trials,
    grid: Grid,
    labels: IntVector,
    *,
    protect_unseen: float,
    fixed: bool,
) -> Chosen:
    """Let settings compete on held-out questions.

    Args:
        trials: Runs them.
        grid: Settings to choose from.
        labels: Shape `(q,)`: questions of one label never choose for each other.
        protect_unseen: Largest estimated loss of questions about unlabelled documents.
        fixed: Whether the last time is to be taken whatever the scores say.
    """
    steps = np.array([0.0, *trials.times])
    asked_for = f"step {steps[-1]:g} was asked for"
    splits, apart = _enough(trials.folds.by_question), _enough(trials.folds.by_document)
    if not splits:
        nothing = "no question could be held out, so step 0"
        return Chosen(grid.start(), steps[-1] if fixed else 0.0, asked_for if fixed else nothing)
    if len(steps) == 1:
        grid = replace(grid, kernels=grid.kernels[:1], temperatures=[grid.start().temperature])
    few = splits[:2]
    finalists = grid.search(lambda setting: float(trials.scores(few, setting).mean(axis=1).max()))
    asked = asked_in(splits)
    scores = np.stack([trials.scores(splits, each) for each in finalists])
    harm = np.zeros(scores.shape[:2])
    if apart and not fixed:
        for row, each in enumerate(finalists):
            means = trials.scores(apart, each).mean(axis=1)
            harm[row] = means - means[0]
    decision = _decide(scores, labels[asked], harm, protect_unseen, fixed, _sound(trials, splits))
    setting, time = finalists[decision.row], decision.time
    before = scores[0, 0].mean()
    return Chosen(
        setting,
        float(steps[time]),
        asked_for if fixed else _reason(trials, decision, before, setting, splits, bool(apart)),
        tuple(zip(steps.tolist(), scores[decision.row].mean(axis=1).tolist(), strict=True)),
        _held_out(trials, splits, finalists, decision),
        _apart(trials, apart, setting, time) if time and apart and not fixed else None,
    )


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
        careful: Whether the step was shortened because the evidence is weak.
    """

    row: int
    time: int
    crossed: IntVector
    gain: float
    error: float
    score: float
    unseen: float
    careful: bool = False


def _decide(
    scores: Float64,
    groups: IntVector,
    harm: Float64,
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
        protect_unseen: The largest bearable loss of these.
        fixed: Whether the last time is to be taken.
        sound: Whether the base vectors already tell the labelled answers from other documents.
    """
    finalists, times, count = scores.shape
    flat, changes = scores.reshape(-1, count), harm.reshape(-1)
    open_ = changes >= -protect_unseen
    open_ |= np.tile(np.arange(times) == 0, finalists)
    if fixed:
        open_ = np.tile(np.arange(times) == times - 1, finalists)
    # A question about an unlabelled document counts like one about a labelled document.
    totals = flat.sum(axis=1) + np.where(open_, WEIGHT_UNSEEN * count * changes, -np.inf)
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
    careful = False
    if not fixed:
        bar = _SURE if not sound else _LIKELY
        if not gain > bar * error:
            row = time = 0
            crossed = np.zeros_like(crossed)
    return Decision(
        *(row, time, crossed, gain, error),
        *(float(scores[row, time].mean()), float(harm[row, time]), careful),
    )


WEIGHT_UNSEEN = 0.5
_SURE, _LIKELY = 2.0, 1.0


def _sound(trials: Trials, splits: Sequence[Split]) -> bool:
    """Whether base vectors rank labelled answers far better than chance would."""
    judgments = trials.pool.ground.judgments
    asked = np.unique(asked_in(splits))
    grades = trials.grades(splits, next(iter(trials._known))[1])[0]
    hits = float((grades > 0).any(axis=1).mean())
    expected = trials.pool.depth * judgments.counts[asked].mean() / judgments.n_documents
    return bool(hits > 3 * expected + 3 * np.sqrt(max(expected, 1e-3) / len(asked)))


def asked_in(splits: Sequence[Split]) -> IntVector:
    """The questions that some trials ask, trial by trial."""
    return np.concatenate([np.zeros(0, np.int64), *(asked for _, asked in splits)])


def _enough(splits: list[Split]) -> list[Split]:
    """The first trials that ask enough questions together."""
    counts = np.cumsum([len(asked) for _, asked in splits])
    return splits[: int(np.searchsorted(counts, _ENOUGH)) + 1]


def _seen(trials: Trials, splits: Sequence[Split]) -> np.ndarray:
    judgments = trials.pool.ground.judgments
    parts = [touched(judgments, *split) for split in splits]
    return np.concatenate([np.zeros(0, bool), *parts])


def _held_out(
    trials: Trials, splits: Sequence[Split], finalists: Sequence[Setting], decision: Decision
) -> HeldOut:
    grades = np.stack([trials.grades(splits, each) for each in finalists])
    asked, everyone = asked_in(splits), np.arange(grades.shape[2])
    order = np.argsort(asked, kind="stable")
    after = grades[decision.crossed[:, 0], decision.crossed[:, 1], everyone]
    seen = _seen(trials, splits)
    return HeldOut(asked[order], grades[0, 0][order], after[order], seen[order])


def _apart(trials: Trials, splits: Sequence[Split], setting: Setting, time: int) -> HeldOut:
    grades, asked = trials.grades(splits, setting), asked_in(splits)
    order = np.argsort(asked, kind="stable")
    nobody = np.zeros(len(asked), bool)
    return HeldOut(asked[order], grades[0][order], grades[time][order], nobody)


def _reason(
    trials: Trials,
    decision: Decision,
    before: float,
    setting: Setting,
    splits: Sequence[Split],
    has_apart: bool,
) -> str:
    metric, questions = trials.metric, len(asked_in(splits))
    how = f"on {questions:,} held-out questions"
    if decision.time == 0 and decision.gain <= 0:
        reason = f"no step raised {metric} {how}, so vectors are unchanged"
    elif decision.time == 0:
        reason = (
            f"the best step raised {metric} by {decision.gain:.4f} {how}, which may be luck "
            f"(standard error {decision.error:.4f}), so vectors are unchanged"
        )
    else:
        step = trials.times[decision.time - 1]
        reason = (
            f"step {step:g} was best {how}: {metric} {before:.4f} -> {decision.score:.4f} "
            f"({setting})"
        )
        if has_apart:
            reason += f"; unseen queries {decision.unseen:+.4f} (estimated)"
    return reason
