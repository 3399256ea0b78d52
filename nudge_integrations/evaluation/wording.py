"""What a report says in words and numbers, and its advice, for all renderers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nudge_integrations.evaluation.figures import Figures, ReportRow

UNCHANGED = "No step improved the held-out questions: vectors are unchanged."
MARK = (
    "* p < 0.05: chance alone produces a change this large less than 1 time in 20 (paired "
    "randomization test). The interval is for the mean change."
)
COLUMNS = ("before", "after", "change", "95% interval", "p", "won/lost/same")
_EVEN = "no better and no worse"
_MEANING = {
    "seen": "an answer has training questions",
    "unseen": "no answer has training questions",
    "new": "an answer was added after tuning",
}
_FEW = 100  # queries: with fewer, the interval of the mean is rarely narrower than .05
_LOW = 0.5


def verdict(report: Figures) -> str:
    """One sentence: better, worse or unchanged, and what became of queries nobody labelled."""
    row, word = report.row(), outcome(report)
    if report.step == 0:
        return unchanged(report)
    if word == "unchanged":
        return f"Unchanged: {row.metric} is {number(row.before)} before and after, in every query."
    percent = (
        f", {100 * row.difference / row.before:+.0f}%" if row.before and row.difference else ""
    )
    change = f"from {number(row.before)} to {number(row.after)} ({signed(row.difference)}{percent})"
    start = f"{word.capitalize()}{_elsewhere(report, word)}: {row.metric}"
    if word == _EVEN:
        return f"{start} went {change}."
    certainty = ", more than chance explains"
    if not row.significant:
        few = row.p_value is None
        certainty = "; too few queries to tell" if few else "; chance alone could explain it"
    return f"{start} {'rose' if (row.difference or 0) > 0 else 'fell'} {change}{certainty}."


def outcome(report: Figures) -> str:
    """The verdict in a word or two, such as `"better"` or `"perhaps worse"`."""
    row = report.row()
    if report.step == 0 or row.wins == row.losses == 0:
        return "unchanged"
    if signed(row.difference) == signed(0):
        return _EVEN
    word = "better" if (row.difference or 0) > 0 else "worse"
    return word if row.significant else f"perhaps {word}"


def verdict_facts(report: Figures) -> dict[str, Any]:
    """The verdict for programs; see `EvaluationReport.to_dict`."""
    row, estimate = report.row(), report.unseen_estimate
    return {
        "outcome": outcome(report),
        "sentence": verdict(report),
        "metric": row.metric,
        "change": row.difference,
        "significant": row.significant,
        "change_by_group": {name: report.row(group=name).difference for name in report.groups[1:]},
        "unseen_estimate": None if estimate is None else estimate.difference,
        "got_worse": [group for group in report.shown_groups if _fallen(report, group)],
    }


def unchanged(report: Figures) -> str:
    """Why nothing moved: no step was better than none, or none was to be chosen."""
    if len(report.curve) > 1 or not report.step_reason:
        return UNCHANGED
    return f"Vectors are unchanged: {_ended(report.step_reason)}"


def two_numbers(report: Figures) -> str:
    """The main metric over seen, unseen and new queries separately."""
    row, estimate = report.row(), report.unseen_estimate
    if report.step == 0:
        return f"{row.metric} is {number(row.before)} over {counted(row.queries)}."
    rows = [report.row(group=group) for group in report.groups[1:]] or [row]
    changes = [
        f"{each.group} {signed(each.difference)}{star(each)} ({each.queries:,})" for each in rows
    ]
    if "unseen" not in report.groups and estimate is not None:
        changes.append(f"unseen {signed(estimate.difference)} (estimated)")
    return f"Change of {row.metric} (queries): {', '.join(changes)}."


def harm(report: Figures) -> str:
    """What got worse, in one line; empty if nothing changed."""
    row = report.row()
    if not any(each.wins or each.losses for each in report.rows):
        return ""
    fallen = [group for group in report.shown_groups if _fallen(report, group)]
    where = f"Worse on average over {_listed(fallen)} queries" if fallen else "No group got worse"
    return f"{where}; {row.metric} fell for {row.losses:,} of {counted(row.queries)}."


def got_worse(report: Figures) -> list[str]:
    """A sentence for each group of queries in which a metric fell, or one that none did."""
    lines = []
    for group in report.shown_groups:
        fallen = _fallen(report, group)
        named = [f"{row.metric} {signed(row.difference)}{star(row)}" for row in fallen]
        if named:
            lines.append(f"Got worse over {counted(fallen[0])}: {', '.join(named)}.")
    if not lines and any(row.wins or row.losses for row in report.rows):
        which = f" ({_listed(report.shown_groups)} queries)" if len(report.shown_groups) > 1 else ""
        return [f"Nothing got worse on average{which}."]
    return lines


def facts(report: Figures) -> Iterator[str]:
    """Sentences on what was measured, what ran, why that step, and what remains unknown."""
    yield f"Measured on: {_ended(report.judged_on)}"
    if report.method or report.step is not None or report.moved is not None:
        step = "" if report.step is None else f" with step {report.step:.4g}"
        total = "" if report.documents is None else f" of {report.documents:,}"
        moved = "" if report.moved is None else f" moved {report.moved:,}{total} documents"
        yield f"{report.method or 'The run'}{step}{moved}."
    if report.step_reason:
        yield f"Why this step: {_ended(report.step_reason)}"
    estimate = report.unseen_estimate
    if estimate is not None:
        yield (
            "Estimated while tuning for unseen queries and documents added later, by setting aside "
            f"all queries about some documents: {estimate.metric} {number(estimate.before)} to "
            f"{number(estimate.after)} ({signed(estimate.difference)}; 95% interval "
            f"{interval(estimate)}; {counted(estimate.queries)})."
        )
    empty = {row.group for row in report.rows if not row.queries} if report.step != 0 else set()
    if "unseen" in empty and "new" not in report.groups:
        yield (
            "None of these queries is unseen: how queries fare whose answers have no training "
            "questions was not measured."
        )
    if "seen" in empty:
        yield "None of these queries is seen: none of their answers has training questions."
    yield from (f"Note: {note}" for note in report.notes)


def what_next(report: Figures) -> list[str]:
    """What to do, the most pressing first; code is in backticks."""
    row, still, fallen = report.row(), report.step == 0, beyond_chance(report, -1)
    change = row.difference or 0
    if still:
        main = (
            "No vector moved, so there is nothing to undo. Tune again with more questions from "
            "real users; several per document teach more than one."
        )
    elif change > 0 and row.significant:
        main = (
            "Use it: `engine.get_finetuned_vector_store()`, or `stores.tune(store, ...)` for a "
            "running store. `engine.save(folder)` keeps the way back."
        )
    elif any(each.group == "seen" and not each.queries for each in report.rows):
        main = (
            "Test on documents you trained on: none of these queries is about one, so they cannot "
            "show the gain. `dataset.split()` divides one set."
        )
    elif change < 0:
        main = (
            "Do not use it; keep the original vectors. Check that training and test questions are "
            "alike and that the judgments name the right documents."
        )
    else:
        main = "The gain is not certain: collect more questions before you use it."
    loss = (
        f"{' and '.join(fallen).capitalize()} queries lost. Limit the loss (`protect_unseen=0`), "
        "or add questions about documents that have none (`generate_questions`)."
    )
    unknown = (
        "How unseen queries fare was not measured: also test with questions about documents that "
        "have no training questions."
    )
    few = (
        f"{counted(row.queries)} make wide intervals: judge by {_FEW} or more (clicks are best; "
        "`generate_questions` writes some)."
    )
    low = (
        f"{row.metric} is {number(row.after, 2)} after tuning: hybrid search (BM25 next to the "
        "vectors) or a stronger embedding model may add more; tune on top of it."
    )
    advice = (
        (loss, bool(fallen) and not still and change >= 0),
        (main, True),
        (unknown, not still and not {"unseen", "new"} & {*report.groups}),
        (few, row.queries < _FEW),
        (low, row.metric.startswith("ndcg") and (row.after or 0) < _LOW),
    )
    return [text for text, applies in advice if applies]


def fell(row: ReportRow, digits: int = 4) -> bool:
    """Whether the mean is lower than before, at the number of digits shown."""
    return row.difference is not None and signed(row.difference, digits).startswith("-")


def beyond_chance(report: Figures, sign: int) -> list[str]:
    """Of unseen and new queries, shown apart: those that rose (1) or fell (-1) beyond chance."""
    rows = [report.row(group=each) for each in report.shown_groups if each in ("unseen", "new")]
    return [row.group for row in rows if row.significant and sign * (row.difference or 0) > 0]


def group_title(report: Figures, group: str) -> str:
    """Such as `"unseen: 123 queries, no answer has training questions"`."""
    count = report.row(group=group).queries
    title = f"{group}: {counted(count)}"
    if group == "all":
        whole = [each for each in report.groups[1:] if report.row(group=each).queries == count]
        return f"{title}, every one {whole[0]}" if whole else title
    return f"{title}, {_MEANING[group]}"


def cells(row: ReportRow) -> tuple[str, ...]:
    """A row of the table; see `COLUMNS`. The star after p marks p < 0.05."""
    between, p = "-", "-"
    if row.p_value is not None:
        between = interval(row)
        p = ("<0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}") + star(row)
    numbers = number(row.before), number(row.after), signed(row.difference)
    return *numbers, between, p, f"{row.wins}/{row.losses}/{row.ties}"


def counted(queries: int | ReportRow) -> str:
    """Such as `"76 queries"`, or `"76 unseen queries"` and `"all 404 queries"` for a row."""
    if isinstance(queries, int):
        return f"{queries:,} {'query' if queries == 1 else 'queries'}"
    count, _, noun = counted(queries.queries).partition(" ")
    return f"all {count} {noun}" if queries.group == "all" else f"{count} {queries.group} {noun}"


def number(value: float | None, digits: int = 4) -> str:
    """A score, such as `"0.3159"`."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A change, such as `"+0.1253"`; one that rounds to zero has no sign."""
    text = "-" if value is None else f"{value:+.{digits}f}"
    return text[1:] if value is not None and float(text) == 0 else text


def interval(row: ReportRow) -> str:
    """The confidence interval of the change, such as `"+0.102 to +0.148"`."""
    return f"{signed(row.low, 3)} to {signed(row.high, 3)}"


def star(row: ReportRow) -> str:
    """The mark of p < 0.05, or nothing."""
    return "*" if row.significant else ""


def rank(value: int | None) -> str:
    """Rank of a first answer; `"none"` if none was ranked."""
    return str(value) if value else "none"


def _fallen(report: Figures, group: str) -> list[ReportRow]:
    return [row for row in report.rows if row.group == group and fell(row)]


def _elsewhere(report: Figures, word: str) -> str:
    """Qualify the verdict by what became of the queries that nobody labelled."""
    apart = [group for group in report.shown_groups if group in ("unseen", "new")]
    worse, better = beyond_chance(report, -1), beyond_chance(report, 1)
    estimate = report.unseen_estimate
    if worse:
        joined = " and" if word == "worse" else ", worse"
        return f" overall{joined} on {_listed(worse)} queries"
    if better:
        start = ", also" if word == "better" else " overall, better"
        return f"{start} on {_listed(better)} queries"
    if apart:
        return f" overall, no clear change on {_listed(apart)} queries"
    if estimate is None or report.groups not in (("all",), ("all", "seen")):
        return ""
    guess = "no clear change"
    if estimate.significant:
        guess = "a loss" if fell(estimate) else "a gain"
    return f" on these queries, with {guess} estimated for unseen ones"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
