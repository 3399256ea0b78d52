"""What a method found."""

from __future__ import annotations

from dataclasses import dataclass

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.field import Field
from nudge_integrations.methods.step import HeldOut


@dataclass(frozen=True)
class Fit:
    """What a method found. Documents that are not in `rows` stay as they are.

    Attributes:
        method: `"nudge-c"`, `"nudge-n"` or `"nudge-m"`.
        step: How far documents moved: the paper's gamma; with NUDGE-C, how long they followed
            their questions. 0: nothing moved.
        rows: Shape `(m,)`, int64, ascending: the documents that moved; empty at step 0.
        vectors: Shape `(m, d)`, float32: where they are now.
        reason: Why this step, in words.
        curve: Steps that were tried, each with its mean validation score.
        held_out: Honest before and after of the held-out questions; None where there are none.
        field: What moves any document, known or new; None where only a table of vectors is known
            (NUDGE-N, NUDGE-M) and at step 0.
        unseen: Before and after of questions about documents without training questions, estimated
            by setting aside all questions about some documents; None where that was not done.
    """

    method: str
    step: float
    rows: IntVector
    vectors: FloatMatrix
    reason: str
    curve: tuple[tuple[float, float], ...] = ()
    held_out: HeldOut | None = None
    unseen: HeldOut | None = None
    field: Field | None = None
