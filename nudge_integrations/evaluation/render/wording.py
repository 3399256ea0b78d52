"""What a report says in words and numbers, for all renderers."""

from __future__ import annotations

from typing import Any

from nudge_integrations.evaluation.figures import Figures, ReportRow

UNCHANGED = "No step improved the questions held out: vectors are unchanged."
MARK = (
    "* p < 0.05: by chance alone a change this large comes up less than 1 time in 20 (paired "
    "randomisation test). The interval is that of the mean change."
)
_MEANING = {
    "seen": "an answer has training questions",
    "unseen": "no answer has training questions",
    "new": "an answer was added after the tuning",
}


def verdict(report: Figures) -> str:
    """One sentence: better, worse or unchanged, by the main metric over all queries."""
    if report.step == 0:
        return unchanged(report)
    row = report.row()
    if row.wins == row.losses == 0:
        return f"Unchanged: {row.metric} is {number(row.before)} before and after, in every query."
    change = (
        f"{number(row.before)} to {number(row.after)} ({signed(row.difference)}{_percent(row)})"
    )
    word = _qualified(outcome(report).capitalize(), report)
    if outcome(report) == "no better and no worse":
        return f"{word}: {row.metric} went from {change}."
    direction = f"{row.metric} {'rose' if (row.difference or 0) > 0 else 'fell'} from {change}"
    if row.significant:
        return f"{word}: {direction}, more than chance explains."
    reason = "too few queries to tell" if row.p_value is None else "chance alone could explain it"
    return f"{word}: {direction}; {reason}."


def outcome(report: Figures) -> str:
    """The verdict in a word or two, such as `"better"` or `"perhaps worse"`."""
    row = report.row()
    if report.step == 0 or row.wins == row.losses == 0:
        return "unchanged"
    if signed(row.difference) == signed(0):
        return "no better and no worse"
    word = "better" if (row.difference or 0) > 0 else "worse"
    return word if row.significant else f"perhaps {word}"


def verdict_facts(report: Figures) -> dict[str, Any]:
    """The verdict for programs; see `EvaluationReport.to_dict`."""
    row = report.row()
    return {
        "outcome": outcome(report),
        "sentence": verdict(report),
        "metric": row.metric,
        "change": row.difference,
        "significant": row.significant,
        "got_worse": [group for group in report.shown_groups if _fallen(report, group)],
    }


def unchanged(report: Figures) -> str:
    """Why nothing moved: no step was better than none, or none was to be chosen."""
    if len(report.curve) > 1 or not report.step_reason:
        return UNCHANGED
    return f"Vectors are unchanged: {_ended(report.step_reason)}"


def two_numbers(report: Figures) -> str:
    """The main metric where it matters: seen, unseen and new queries apart."""
    row = report.row()
    if report.step == 0:
        return f"{row.metric} is {number(row.before)} over {counted(row.queries)}."
    rows = [report.row(group=group) for group in report.groups[1:]] or [row]
    changes = [
        f"{signed(each.difference)}{star(each)} ({each.queries:,} {each.group}" for each in rows
    ]
    text = f"{row.metric}: {'), '.join(changes)} queries)"
    estimate = report.unseen_estimate
    if "unseen" not in report.groups and estimate is not None:
        text += f", {signed(estimate.difference)} estimated for unseen ones"
    return f"{text}."


def harm(report: Figures) -> str:
    """What got worse, in one line; empty if nothing changed."""
    row = report.row()
    if report.step == 0 or not any(each.wins or each.losses for each in report.rows):
        return ""
    fallen = [group for group in report.shown_groups if _fallen(report, group)]
    where = f"Worse on average over {_listed(fallen)} queries" if fallen else "No group got worse"
    return f"{where}; {row.metric} fell for {row.losses:,} of {counted(row.queries)}."


def got_worse(report: Figures) -> list[str]:
    """A sentence for each group of queries in which a metric fell, or one that none did."""
    lines = []
    groups = report.shown_groups
    for group in groups:
        named = [
            f"{row.metric} {signed(row.difference)}{star(row)}" for row in _fallen(report, group)
        ]
        if named:
            count = report.row(group=group).queries
            which = f"all {counted(count)}" if group == "all" else counted(count, group)
            lines.append(f"Got worse over {which}: {', '.join(named)}.")
    changed = any(row.wins or row.losses for row in report.rows)
    if changed and not lines:
        which = f" ({_listed(groups)} queries)" if len(groups) > 1 else ""
        return [f"Nothing got worse on average{which}."]
    return lines


def facts(report: Figures) -> list[str]:
    """Sentences on what was measured, what ran, how far documents moved, and why that step."""
    lines = [f"Measured on: {_ended(report.judged_on)}"]
    if report.method or report.step is not None or report.moved is not None:
        lines.append(_what_ran(report))
    if report.turns is not None:
        bins = ", ".join(f"{name}: {count:,}" for name, count in report.turns.bins())
        lines.append(
            f"They turned by {report.turns.median:.1f} degrees (median), "
            f"{report.turns.largest:.1f} at most. Documents by degrees: {bins}."
        )
    if report.step_reason:
        lines.append(f"Why this step: {_ended(report.step_reason)}")
    estimate = report.unseen_estimate
    if estimate is not None:
        lines.append(
            "Estimated for unseen queries while tuning, from documents left out: "
            f"{estimate.metric} {number(estimate.before)} to {number(estimate.after)} "
            f"({signed(estimate.difference)}; 95% interval {interval(estimate)}; "
            f"{counted(estimate.queries)})."
        )
    empty = {row.group for row in report.rows if not row.queries} if report.step != 0 else set()
    if "unseen" in empty and "new" not in report.groups:
        lines.append(
            "None of these queries is unseen: it is not known how queries fare whose answers have "
            "no training questions."
        )
    if "seen" in empty:
        lines.append("None of these queries is seen: no answer of theirs has training questions.")
    return lines


def fell(row: ReportRow, digits: int = 4) -> bool:
    """Whether the mean is lower than before, as far as the digits shown tell."""
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


def counted(queries: int, kind: str = "") -> str:
    """Such as `"76 unseen queries"`."""
    return f"{queries:,} {kind}{' ' if kind else ''}{'query' if queries == 1 else 'queries'}"


def number(value: float | None, digits: int = 4) -> str:
    """A score, such as `"0.3159"`."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A change, such as `"+0.1253"`; one that rounds to zero has no sign."""
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
    """Rank of a first answer; `"none"` if none was ranked."""
    return str(value) if value else "none"


def _fallen(report: Figures, group: str) -> list[ReportRow]:
    return [row for row in report.rows if row.group == group and fell(row)]


def _qualified(word: str, report: Figures) -> str:
    """Qualify the verdict by what became of the queries that nobody labelled."""
    worse, better = beyond_chance(report, -1), beyond_chance(report, 1)
    if worse:
        joined = " and" if word == "Worse" else ", worse"
        return f"{word} overall{joined} on {_listed(worse)} queries"
    return f"{word}, also on {_listed(better)} queries" if better and word == "Better" else word


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _what_ran(report: Figures) -> str:
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
