"""What a plan says before anything is changed, and what became of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nudge_integrations.common.arrays import angles_between, name_some

if TYPE_CHECKING:
    from nudge_integrations.evaluation import EvaluationReport
    from nudge_integrations.stores.formats import FloatVector

_ROW_BYTES = 200  # of an id, a score and what a protocol adds
_GOOD_RECALL = 0.95


@dataclass(frozen=True)
class Cost:
    """What planning asked of the store, and what applying will.

    Attributes:
        vectors_read: Vectors read by id.
        searches: Queries that were searched for.
        hits: Ids and scores that the searches gave.
        dimension: Of the vectors.
        vectors_to_write: Vectors that `apply()` will exchange.
    """

    vectors_read: int
    searches: int
    hits: int
    dimension: int
    vectors_to_write: int

    @property
    def bytes_read(self) -> int:
        """Bytes read from the store, at most: 4 a number, 200 a row for all else."""
        return self.vectors_read * (4 * self.dimension + _ROW_BYTES) + self.hits * _ROW_BYTES


@dataclass(frozen=True)
class PlanReport:
    """What would change in a store, how far, and what it would gain. Printed, it is `summary()`.

    Attributes:
        store: What the collection is called.
        documents: How many documents the store holds.
        labelled: How many of them answer a question.
        moved: How many would be elsewhere than they were at first.
        median_angle: Median of how far these turn, in degrees.
        largest_angle: The largest of these angles, in degrees.
        questions: How many questions shape the vectors.
        earlier_questions: How many of them come from earlier runs.
        quality: Before and after, on questions held out; None where none could be.
        reason: Why the method chose its step.
        cost: Of planning and applying.
        recall: Recall@10 of the store's search, where it is approximate; None where it is exact.
        missing: Documents that are named as answers and are not in the store.
        replaced: Documents that were tuned, and whose vector somebody replaced since: the new
            vector counts as the original.
        unreadable: Documents that were left out, each with the reason.
        strange: Answers are no nearer to their questions than other documents are: another model
            seems to have filled the store.
    """

    store: str
    documents: int
    labelled: int
    moved: int
    median_angle: float
    largest_angle: float
    questions: int
    earlier_questions: int
    quality: EvaluationReport | None
    reason: str
    cost: Cost
    recall: float | None
    missing: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    strange: bool = False

    def summary(self) -> str:
        """The report as plain text."""
        quality = f"Nothing could be held out to measure a gain: {self.reason}."
        facts = "\n".join(text for text in (*self._facts(), *self._notes()) if text)
        return f"{facts}\n\n{quality if self.quality is None else self.quality}"

    __str__ = summary

    def _facts(self) -> list[str]:
        cost, earlier, turned = self.cost, "", ""
        if self.earlier_questions:
            earlier = f" ({self.earlier_questions:,} from earlier runs)"
        if self.moved:
            turned = (
                f", turned by a median of {self.median_angle:.1f} degrees and by at most "
                f"{self.largest_angle:.1f}"
            )
        return [
            f"{self.store}: {self.documents:,} documents, {self.labelled:,} of them answer "
            f"{self.questions:,} questions{earlier}.",
            f"{self.moved:,} vectors would stand elsewhere than they did at first{turned}; "
            f"{cost.vectors_to_write:,} to write.",
            f"Read so far: {cost.vectors_read:,} vectors and the hits of {cost.searches:,} "
            f"searches, at most {cost.bytes_read / 1e6:,.1f} MB. Nothing was written.",
        ]

    def _notes(self) -> list[str]:
        """What is out of the ordinary; an empty text where nothing is."""
        recall = 1.0 if self.recall is None else self.recall
        widen = "; widen it for a better plan." if recall < _GOOD_RECALL else "."
        name, reason = next(iter(self.unreadable.items()), ("", ""))
        return [
            "WARNING: answers are no nearer to their questions than other documents are. Was the "
            "store filled with the model that embed_query is?"
            if self.strange
            else "",
            f"The store's search is approximate: recall@10 {recall:.3f} on a sample of "
            f"questions{widen}"
            if self.recall is not None
            else "",
            _counted(self.missing, "Answers that are not in the store, so without effect"),
            _counted(self.replaced, "Replaced since they were tuned, so taken as new"),
            f"Left out: {len(self.unreadable):,} documents; {name!r} {reason}." if name else "",
        ]


def _counted(names: Sequence[str], what: str) -> str:
    return f"{what}: {len(names):,} ({name_some(names)})." if names else ""


def turned(originals: Sequence[FloatVector], targets: Sequence[FloatVector]) -> dict[str, float]:
    """Angles between pairs of vectors, in degrees: `median_angle` and `largest_angle`."""
    if not len(originals):
        return {"median_angle": 0.0, "largest_angle": 0.0}
    angles = angles_between(np.stack(originals), np.stack(targets))
    return {"median_angle": float(np.median(angles)), "largest_angle": float(angles.max())}


@dataclass(frozen=True)
class Outcome:
    """What `apply`, `revert` or `recover` did. Printed, it says so.

    Attributes:
        store: What the collection is called.
        action: `"apply"`, `"revert"`, ...
        written: How many rows were read back with the vector that they should hold.
        changed: Rows left alone, since somebody put another vector there.
        gone: Rows that are not in the store, or not visible to this user; not brought back.
        rounded: Rows whose store rounds what it is given, so that the last digit differs.
        unreadable: Rows left alone because they hold no usable vector; with the reason.
    """

    store: str
    action: str
    written: int
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.store}: {self.written:,} vectors written and verified ({self.action})."]
        for names, what in (
            (self.changed, "left alone, since somebody else changed them"),
            (self.gone, "not in the store, or not visible to this user; not brought back"),
            (self.rounded, "differ in the last digit, since the store rounds"),
        ):
            if names:
                lines.append(f"{len(names):,} {what}: {name_some(names)}")
        lines += [f"left alone: {name!r} {why}" for name, why in self.unreadable.items()]
        if self.action == "revert" and (self.changed or self.gone or self.unreadable):
            lines.append(
                "The originals of rows that were not restored are kept: revert again once they "
                "are back, or give them up with revert(forget=True)."
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Status:
    """What is tuned in a store, by which run. Printed, it says so.

    Attributes:
        store: What the collection is called.
        state: `"untuned"`; `"tuned"`; `"left"` if a revert could not restore some rows; or
            `"preparing"`, `"applying"` or `"reverting"` if that was interrupted.
        method: Of the last run.
        step: Of the last run.
        when: When it began, UTC, ISO 8601.
        tuned: How many rows have their original in the journal.
        questions: How many questions shaped them.
        journal: Where the originals are.
        left: Rows that the last revert could not restore.
    """

    store: str
    state: str
    method: str | None
    step: float | None
    when: str | None
    tuned: int
    questions: int
    journal: str
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.state == "untuned":
            return f"{self.store}: not tuned."
        if self.state == "left":
            return (
                f"{self.store}: reverted but for {len(self.left):,} rows that were gone, replaced "
                f"or unreadable ({name_some(self.left)}). Their originals: {self.journal}"
            )
        run = "an engine that filled the store"
        if self.method is not None:
            run = (
                f"{self.method.upper()} at step {self.step or 0:.4g} from {self.questions:,} "
                f"questions, {self.when}"
            )
        text = f"{self.store}: {self.tuned:,} vectors tuned by {run}. Originals: {self.journal}"
        if self.state != "tuned":
            text += f"\n{self.state} was interrupted: `recover` finishes it, or undoes it."
        return text
