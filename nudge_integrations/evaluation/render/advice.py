"""What to do next, by what a report found."""

from __future__ import annotations

from nudge_integrations.evaluation.figures import Figures
from nudge_integrations.evaluation.render import wording

_FEW = 100  # queries: below, an interval of the mean is seldom narrower than .05
_LOW = 0.5


def what_next(report: Figures) -> list[str]:
    """Sentences on what to do, the most pressing first; code in them stands in backticks."""
    advice = [*_on_loss(report), _on_the_gain(report), *_on_the_unknown(report)]
    row = report.row()
    if row.queries < _FEW:
        advice.append(
            f"{wording.counted(row.queries)} make wide intervals: judge by {_FEW} or more "
            "(clicks are best; `generate_questions` writes some)."
        )
    if row.after is not None and row.after < _LOW and row.metric.startswith("ndcg"):
        advice.append(
            f"{row.metric} is {wording.number(row.after, 2)} after tuning: hybrid search (BM25 "
            "beside the vectors) or a stronger embedding model may add more than any tuning; tune "
            "on top of it."
        )
    if report.won and not any(each.top_before for each in (*report.won, *report.lost)):
        advice.append(
            "To see which documents were found before and after, measure on questions that were "
            "not used for tuning: `test_dataset=`, or `engine.evaluate(dataset)`."
        )
    return advice


def _on_the_gain(report: Figures) -> str:
    row = report.row()
    if report.step == 0:
        return (
            "No vector moved, so there is nothing to undo. Tune again with more questions from "
            "real users; several per document teach more than one."
        )
    if (row.difference or 0) > 0 and row.significant:
        return (
            "Use it: `engine.get_finetuned_vector_store()`, or `stores.tune(store, ...)` for a "
            "running store. `engine.save(folder)` keeps the way back."
        )
    if any(each.group == "seen" and not each.queries for each in report.rows):
        return (
            "Test on the documents you trained on: none of these queries is about one, so they "
            "cannot show the gain. `dataset.split()` divides one set."
        )
    if (row.difference or 0) < 0:
        return (
            "Do not use it; keep the original vectors. Check that training and test questions "
            "are alike and the judgments name the right documents."
        )
    return "The gain is not certain: collect more questions before you use it."


def _on_loss(report: Figures) -> list[str]:
    """The loss that a gain must not hide, before the advice on the gain."""
    fallen = wording.beyond_chance(report, -1)
    if report.step == 0 or not fallen or (report.row().difference or 0) < 0:
        return []
    return [
        f"{' and '.join(fallen).capitalize()} queries lost. Bound the loss (`protect_unseen=0`), "
        "or add questions about documents without any (`generate_questions`)."
    ]


def _on_the_unknown(report: Figures) -> list[str]:
    if report.step == 0 or {"unseen", "new"} & {*report.groups}:
        return []
    return [
        "How unseen queries fare was not measured: test also with questions about documents that "
        "have no training questions."
    ]
