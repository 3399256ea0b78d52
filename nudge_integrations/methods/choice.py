"""Which setting of NUDGE-C, and how far: chosen on held-out questions, within bounds of harm.

Each *trial* tunes on some questions and asks others. Trials by question hold out questions;
trials by document hold out documents together with all of their questions, which estimates what
happens to questions about documents that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.decision import CAUTION, Decision, cautious, decide
from nudge_integrations.methods.field import WIDTHS
from nudge_integrations.methods.flow import Setting
from nudge_integrations.methods.folds import Split, touched
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.step import HeldOut
from nudge_integrations.methods.trials import Trials, asked_in

TIMES = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0)
KERNELS = ((WIDTHS, 0.0), ((WIDTHS[1],), 0.0), (WIDTHS, 0.5), ((), 0.0))
NEAREST = (3, 10, 30)
_FINALISTS = 2  # kernels that are asked all questions
_ENOUGH = 1500  # questions: from more, a mean is hardly more certain
_HARMLESS = 0.005  # a loss that is none


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
        ridge = sorted(self.ridges)[len(self.ridges) // 2]
        temperature = min(self.temperatures, key=lambda each: abs(each - 0.03))
        return Setting(temperature, ridge, widths, own, min(self.nearest), self.any_answer)

    def search(self, score: Callable[[Setting], float]) -> list[Setting]:
        """Climb along one axis after another; the best setting of each kernel, best first."""

        def of_each_kernel(best: Setting) -> list[Setting]:
            each = [replace(best, widths=widths, own=own) for widths, own in self.kernels]
            return sorted(each, key=score, reverse=True)

        best = of_each_kernel(self.start())[0]
        for name, values in (
            ("temperature", sorted(self.temperatures)),
            ("ridge", sorted(self.ridges)),
            ("nearest", sorted(self.nearest)),
        ):
            best = _climb(best, name, values, score)
        return of_each_kernel(best)


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
    if fixed:
        apart = []

    def changes(at: Sequence[Split], setting: Setting) -> Float64:
        means: Float64 = trials.scores(at, setting).mean(axis=1) if at else np.zeros(len(steps))
        return np.asarray(means - means[0])

    # As if the questions to come were about all documents around, labelled or not.
    share = 1 - float(trials.pool.ground.judgments.touched().mean())

    def promise(setting: Setting) -> float:
        unseen = changes(apart[:1], setting)
        return float((changes(splits[:2], setting) + CAUTION * share * unseen).max())

    finalists = grid.search(promise)[:_FINALISTS]
    asked = asked_in(splits)
    scores = np.stack([trials.scores(splits, each) for each in finalists])
    harm = np.stack([changes(apart, each) for each in finalists])
    sound, seen = _sound(trials, splits, finalists[0]), _seen(trials, splits)
    decision = decide(scores, labels[asked], harm, share, protect_unseen, fixed, sound)
    alone = not seen.any()
    if alone and sound and decision.time == 0 and not fixed:
        decision = cautious(decision, scores, harm, min(protect_unseen, _HARMLESS))
    setting, time = finalists[decision.row], decision.time
    before = scores[0, 0].mean()
    return Chosen(
        setting,
        float(steps[time]),
        asked_for if fixed else _reason(trials, decision, before, setting, splits, alone),
        tuple(zip(steps.tolist(), scores[decision.row].mean(axis=1).tolist(), strict=True)),
        _held_out(trials, splits, finalists, decision, seen),
        _apart(trials, apart, setting, time) if time and apart else None,
    )


def _sound(trials: Trials, splits: Sequence[Split], known: Setting) -> bool:
    """Whether base vectors rank labelled answers far better than chance would.

    They are the same under every setting, so one whose trials were run costs nothing.
    """
    judgments = trials.pool.ground.judgments
    asked = np.unique(asked_in(splits))
    grades = trials.grades(splits, known)[0]
    hits = float((grades > 0).any(axis=1).mean())
    expected = trials.pool.depth * judgments.counts[asked].mean() / judgments.n_documents
    return bool(hits > 3 * expected + 3 * np.sqrt(max(expected, 1e-3) / len(asked)))


def _enough(splits: list[Split]) -> list[Split]:
    """The first trials that ask enough questions together."""
    counts = np.cumsum([len(asked) for _, asked in splits])
    return splits[: int(np.searchsorted(counts, _ENOUGH)) + 1]


def _seen(trials: Trials, splits: Sequence[Split]) -> np.ndarray:
    judgments = trials.pool.ground.judgments
    parts = [touched(judgments, *split) for split in splits]
    return np.concatenate([np.zeros(0, bool), *parts])


def _held_out(
    trials: Trials,
    splits: Sequence[Split],
    finalists: Sequence[Setting],
    decision: Decision,
    seen: np.ndarray,
) -> HeldOut:
    grades = np.stack([trials.grades(splits, each) for each in finalists])
    asked, everyone = asked_in(splits), np.arange(grades.shape[2])
    order = np.argsort(asked, kind="stable")
    after = grades[decision.crossed[:, 0], decision.crossed[:, 1], everyone]
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
    alone: bool,
) -> str:
    metric = trials.metric
    how = f"on {len(asked_in(splits)):,} held-out questions"
    step = f"step {trials.times[decision.time - 1]:g}" if decision.time else "step 0"
    if decision.cautious:
        return (
            "each document has one question, so no held-out question shows what its own document "
            f"gains; a cautious {step} was taken, which changes questions about other documents "
            f"by {decision.unseen:+.4f} (estimated). To measure more, pass val_dataset, or add a "
            "paraphrase of each question"
        )
    if decision.time == 0 and decision.gain <= 0:
        return f"no step raised {metric} {how}, so vectors are unchanged"
    if decision.time == 0:
        return (
            f"the best step raised {metric} by {decision.gain:.4f} {how}, which may be luck "
            f"(standard error {decision.error:.4f}), so vectors are unchanged"
        )
    reason = (
        f"{step} was best {how}: {metric} {before:.4f} -> {decision.score:.4f} ({setting}); "
        f"unseen queries {decision.unseen:+.4f} (estimated)"
    )
    if alone:
        reason += "; each document has one question, so only what neighbours teach was measured"
    return reason
