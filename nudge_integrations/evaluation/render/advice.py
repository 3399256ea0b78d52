"""What to try next, by what a report found."""

from __future__ import annotations

from nudge_integrations.evaluation.render import wording
from nudge_integrations.evaluation.report import EvaluationReport

_FEW = 100  # queries: below, an interval of the mean is seldom narrower than .05
_LOW = 0.5


def what_next(report: EvaluationReport) -> list[str]:
    """Sentences on what to do, the most pressing first; code in them stands in backticks."""
    advice = [*_on_the_gain(report), *_on_unseen(report)]
    row = report.row()
    if row.queries < _FEW:
        advice.append(
            f"{wording.counted(row.queries)} make wide intervals: judge by {_FEW} or more "
            "(`generate_questions` writes them, clicks are better)."
        )
    if row.after is not None and row.after < _LOW and row.metric.startswith("ndcg"):
        advice.append(
            f"{row.metric} is {wording.number(row.after, 2)} after tuning: hybrid search (BM25 "
            "beside the vectors) or a stronger embedding model may add more than any tuning; tune "
            "on top of it."
        )
    if not any(each.top_before for each in (*report.won, *report.lost)) and report.won:
        advice.append(
            "To see which documents were found before and after, measure on questions that took "
            "no part: `test_dataset=`, or `engine.evaluate(dataset)`."
        )
    return advice


def _on_the_gain(report: EvaluationReport) -> list[str]:
    row = report.row()
    if report.step == 0:
        return [
            "Nothing is to be undone: no vector moved. Tune again with more questions, such as "
            "real users ask; several for a document teach more than one."
        ]
    if (row.difference or 0) > 0 and row.significant:
        return [
            "Use it: `engine.get_finetuned_vector_store()`, or `stores.tune(store, ...)` for the "
            "store that is running; keep `engine.save(folder)`, which is also the way back."
        ]
    if (row.difference or 0) < 0:
        return [
            "Do not use it: keep the original vectors. Do training and test questions ask alike, "
            "and do the judgments name the right documents?"
        ]
    return ["The gain is not sure: collect more questions before you use it."]


def _on_unseen(report: EvaluationReport) -> list[str]:
    if report.step == 0:
        return []
    if wording.unseen_fell(report):
        return [
            "Unseen queries lost. Add questions about documents that nobody asked for yet "
            "(`generate_questions(documents, llm)`), or bound the loss: `protect_unseen=0`."
        ]
    if "unseen" in report.groups:
        return []
    return [
        "How unseen queries fare is not measured here: ask also about documents that no training "
        "question is about."
    ]
