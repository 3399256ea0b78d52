"""The report on the questions a tuning was chosen on, each judged by vectors tuned without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.evaluation import (
    EvaluationReport,
    QueryTotals,
    Scores,
    compare,
    first_answer_rank,
    score_rankings,
)

if TYPE_CHECKING:
    from nudge_integrations.methods import Fit
    from nudge_integrations.methods.step import HeldOut

METRICS = ("ndcg@10", "recall@10", "mrr@10", "recall@1")
_FEW = 30


def held_out_report(
    fit: Fit,
    names: Sequence[str],
    grades: Sequence[npt.NDArray[np.float32]],
    validation: int,
    **facts: Any,
) -> EvaluationReport | None:
    """Before and after of the questions that were held out; None where none could be.

    Args:
        fit: What a method found.
        names: Id of each question, training questions first.
        grades: Grades of the answers of each.
        validation: How many of the names, the last ones, are validation questions.
        facts: Passed on to `compare`: `queries`, `moved`, `documents` and `turns`.
    """
    held = fit.held_out
    if held is None:
        return None
    asked = [names[row] for row in held.queries]
    judged_on = f"cross-validation: {len(set(asked))} questions, each by vectors tuned without it"
    if validation:
        own = len(set(asked) & set(names[len(names) - validation :]))
        judged_on = f"{own} validation questions, each at a step chosen on the others"
        if own < len(set(asked)):
            judged_on += f", and cross-validation over {len(set(asked))} questions"
    report = compare(
        *_scores(held, names, grades),
        seen={asked[row] for row in np.flatnonzero(held.seen)},
        judged_on=judged_on,
        method=fit.method.upper(),
        step=fit.step,
        step_reason=fit.reason,
        curve=fit.curve,
        notes=notes_on(len(names)),
        **facts,
    )
    if fit.unseen is None:
        return report
    estimate = compare(*_scores(fit.unseen, names, grades), judged_on="documents set aside").row()
    return replace(report, unseen_estimate=replace(estimate, group="unseen"))


def _scores(
    found: HeldOut, names: Sequence[str], grades: Sequence[npt.NDArray[np.float32]]
) -> tuple[Scores, Scores]:
    """A question that was asked twice counts once, by its mean."""
    once, first, row, count = np.unique(
        found.queries, return_index=True, return_inverse=True, return_counts=True
    )
    totals = QueryTotals.from_grades([grades[each] for each in found.queries])
    ids = tuple(names[each] for each in once)

    def means(ranked: npt.NDArray[Any]) -> Scores:
        values = {each: score_rankings(each, ranked, totals) for each in METRICS}
        columns = {each: np.bincount(row, value) / count for each, value in values.items()}
        return Scores(ids, columns, first_answer_rank(ranked)[first])

    return means(found.before), means(found.after)


def notes_on(count: int) -> tuple[str, ...]:
    """What to say of so many questions."""
    if count >= _FEW:
        return ()
    return (f"only {count} questions: differences in so small a sample may be luck",)
