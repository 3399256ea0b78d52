"""What a report says in words and numbers; the text, the HTML and the plot all read it here."""

from __future__ import annotations

from nudge_integrations.evaluation.report import EvaluationReport, ReportRow

UNCHANGED = "No step improved the questions held out: vectors are unchanged."
MARK = (
    "* p < 0.05: by chance alone a change this large comes up less than 1 time in 20 (paired "
    "randomisation test). The interval is that of the mean change."
)


def verdict(report: EvaluationReport) -> str:
    """One sentence: better, worse, or unchanged, by the main metric over all queries."""
    if report.step == 0:
        return unchanged(report)
    row = report.row()
    if row.wins == row.losses == 0:
        return f"Unchanged: {row.metric} is {number(row.before)} before and after, in every query."
    change = (
        f"{number(row.before)} to {number(row.after)} ({signed(row.difference)}{_percent(row)})"
    )
    if signed(row.difference) == signed(0):
        return f"{_where('No better and no worse', report)}: {row.metric} went from {change}."
    better = (row.difference or 0) > 0
    direction = f"{row.metric} {'rose' if better else 'fell'} from {change}"
    if row.significant:
        word = _where("Better" if better else "Worse", report)
        return f"{word}: {direction}, more than chance explains."
    reason = "too few queries to tell" if row.p_value is None else "chance alone could explain it"
    word = _where("Perhaps better" if better else "Perhaps worse", report)
    return f"{word}: {direction}; {reason}."


def unchanged(report: EvaluationReport) -> str:
    """Why nothing moved: no step was better than none, or none was to be chosen."""
    if len(report.curve) > 1 or not report.step_reason:
        return UNCHANGED
    return f"Vectors are unchanged: {_ended(report.step_reason)}"


def fell(row: ReportRow, digits: int = 4) -> bool:
    """Whether the mean is lower than before, as far as the digits that are shown tell."""
    return row.difference is not None and signed(row.difference, digits).startswith("-")


def unseen_fell(report: EvaluationReport) -> bool:
    """Whether the unseen queries, beside seen ones, fell by the main metric beyond chance."""
    if "unseen" not in shown_groups(report):
        return False
    row = report.row(group="unseen")
    return row.significant and (row.difference or 0) < 0


def got_worse(report: EvaluationReport) -> list[str]:
    """A sentence for each group of queries in which a metric fell, or one that none did."""
    lines = []
    groups = shown_groups(report)
    for group in groups:
        named = [
            f"{row.metric} {signed(row.difference)}{star(row)}"
            for row in report.rows
            if row.group == group and fell(row)
        ]
        if named:
            count = report.row(group=group).queries
            which = f"all {counted(count)}" if group == "all" else counted(count, group)
            lines.append(f"Got worse over {which}: {', '.join(named)}.")
    changed = any(row.wins or row.losses for row in report.rows)
    if changed and not lines:
        which = f" ({', '.join(groups[:-1])} and {groups[-1]} queries)" if len(groups) > 1 else ""
        return [f"Nothing got worse on average{which}."]
    return lines


def facts(report: EvaluationReport) -> list[str]:
    """Sentences on what ran, why that step, and what the numbers were measured on."""
    lines = []
    if report.method or report.step is not None or report.moved is not None:
        lines.append(_what_ran(report))
    if report.step_reason:
        lines.append(f"Why this step: {_ended(report.step_reason)}")
    lines.append(f"Measured on: {_ended(report.judged_on)}")
    foreseen = report.unseen_estimate
    if foreseen is not None:
        lines.append(
            "Foreseen for unseen queries, from documents left out of the tuning: "
            f"{foreseen.metric} {number(foreseen.before)} to {number(foreseen.after)} "
            f"({signed(foreseen.difference)}; 95% interval {interval(foreseen)}; "
            f"{counted(foreseen.queries)})."
        )
    groups = {row.group: row.queries for row in report.rows}
    if report.step != 0 and groups.get("unseen") == 0:
        lines.append(
            "None of these queries is unseen: how questions fare whose answers did not move "
            "is not known."
        )
    if report.step != 0 and groups.get("seen") == 0:
        lines.append("None of these queries is seen: no answer of theirs was moved.")
    return lines


def shown_groups(report: EvaluationReport) -> tuple[str, ...]:
    """The groups worth a place of their own: one that holds every query says nothing new."""
    everything = report.row().queries
    rest = [group for group in report.groups[1:] if report.row(group=group).queries < everything]
    return ("all", *rest)


def group_title(report: EvaluationReport, group: str) -> str:
    """Such as `"unseen: 123 queries, no answer of theirs was moved"`."""
    count = report.row(group=group).queries
    title = f"{group}: {counted(count)}"
    if group == "all":
        whole = [each for each in report.groups[1:] if report.row(group=each).queries == count]
        return f"{title}, every one {whole[0]}" if whole else title
    return f"{title}, {'an' if group == 'seen' else 'no'} answer of theirs was moved"


def counted(queries: int, kind: str = "") -> str:
    """Such as `"76 unseen queries"`."""
    return f"{queries:,} {kind}{' ' if kind else ''}{'query' if queries == 1 else 'queries'}"


def number(value: float | None, digits: int = 4) -> str:
    """A score, such as `"0.3159"`."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A change, such as `"+0.1253"`; one that rounds to nothing has no sign."""
    if value is None:
        return "-"
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def interval(row: ReportRow) -> str:
    """The confidence interval of the change, such as `"+0.102 to +0.148"`."""
    if row.low is None or row.high is None:
        return "-"
    return f"{signed(row.low, 3)} to {signed(row.high, 3)}"


def p_value(row: ReportRow) -> str:
    """Such as `"0.031*"`; the star marks p < 0.05."""
    if row.p_value is None:
        return "-"
    shown = "<0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"
    return shown + star(row)


def star(row: ReportRow) -> str:
    """The mark of p < 0.05, or nothing."""
    return "*" if row.significant else ""


def rank(value: int | None) -> str:
    """Rank of a first answer; `"none"` where none was ranked."""
    return str(value) if value else "none"


def _where(word: str, report: EvaluationReport) -> str:
    """The verdict's first words, which must not hide what befell the unseen queries."""
    if not unseen_fell(report):
        return word
    return f"{word} overall{' and' if word == 'Worse' else ', worse'} on unseen queries"


def _what_ran(report: EvaluationReport) -> str:
    method = report.method or "The run"
    step = "" if report.step is None else f" with step {report.step:.4g}"
    if report.moved is None:
        return f"{method}{step}."
    total = "" if report.documents is None else f" of {report.documents:,}"
    return f"{method}{step} moved {report.moved:,}{total} documents."


def _percent(row: ReportRow) -> str:
    if not row.before or row.difference is None:
        return ""
    return f", {100 * row.difference / row.before:+.0f}%"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
