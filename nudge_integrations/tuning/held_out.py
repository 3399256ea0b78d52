"""The report on questions that a tuning was chosen on, each judged by vectors tuned without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nudge_integrations.evaluation.comparison import compare
from nudge_integrations.evaluation.metrics import QueryTotals, first_answer_rank, score_rankings
from nudge_integrations.evaluation.report import EvaluationReport
from nudge_integrations.evaluation.scores import Scores

if TYPE_CHECKING:
    from nudge_integrations.methods import Fit
    from nudge_integrations.methods.step import HeldOut

REPORT_METRICS = ("ndcg@10", "recall@10", "mrr@10", "recall@1")
_FEW = 30


def held_out_report(
    fit: Fit,
    names: Sequence[str],
    grades: Sequence[npt.NDArray[np.float32]],
    *,
    validation: int,
    queries: Mapping[str, str],
    moved: int,
    documents: int,
) -> EvaluationReport | None:
    """Before and after of the questions that were held out; None where none could be.

    Args:
        fit: What a method found.
        names: Id of each question, training questions first.
        grades: Grades of the answers of each.
        validation: How many of the names, the last ones, are validation questions.
        queries: Text of each question id, for the examples.
        moved: How many documents moved.
        documents: How many documents there are.
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
        queries=queries,
        method=fit.method.upper(),
        step=fit.step,
        step_reason=fit.reason,
        moved=moved,
        documents=documents,
        curve=fit.curve,
        notes=notes_on(len(names)),
    )
    if fit.unseen is None:
        return report
    foreseen = compare(*_scores(fit.unseen, names, grades), judged_on="documents left out").row()
    return replace(report, unseen_estimate=replace(foreseen, group="unseen"))


def notes_on(count: int) -> tuple[str, ...]:
    """What to say of so many questions."""
    if count >= _FEW:
        return ()
    return (f"only {count} questions: differences this small a sample shows may be luck",)


def _scores(
    found: HeldOut, names: Sequence[str], grades: Sequence[npt.NDArray[np.float32]]
) -> tuple[Scores, Scores]:
    """A question that was asked twice counts once, by its mean."""
    once, first, row, count = np.unique(
        found.queries, return_index=True, return_inverse=True, return_counts=True
    )
    totals = QueryTotals.from_grades([grades[each] for each in found.queries])
    ids = tuple(names[each] for each in once)
    before, after = (
        Scores(
            ids,
            {
                metric: np.bincount(row, score_rankings(metric, ranked, totals)) / count
                for metric in REPORT_METRICS
            },
            first_answer_rank(ranked)[first],
        )
        for ranked in (found.before, found.after)
    )
    return before, after
