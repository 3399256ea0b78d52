"""The report as plain text, for a terminal 84 columns wide."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from nudge_integrations.evaluation.figures import Figures, QueryChange
from nudge_integrations.evaluation.render import wording
from nudge_integrations.evaluation.render.advice import what_next

WIDTH = 84


def summary(report: Figures) -> str:
    """Six lines at most: verdict, the numbers that matter, what was harmed, what to do next."""
    lines = [
        _filled(wording.verdict(report), 2),
        _filled(wording.two_numbers(report), 1),
        _filled(wording.harm(report), 1),
        _filled(f"Next: {what_next(report)[0]}", 2),
    ]
    return "\n".join(filter(None, lines))


def full(report: Figures) -> str:
    """Everything: what was harmed, the table, examples, what ran, notes, and what to do next."""
    parts = [
        _paragraphs([wording.verdict(report), *wording.got_worse(report)]),
        _table(report),
        _examples(report, "Lost most", report.lost),
        _examples(report, "Gained most", report.won),
        _paragraphs([*wording.facts(report), *(f"Note: {note}" for note in report.notes)]),
        _paragraphs([f"Next: {advice}" for advice in what_next(report)]),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(report: Figures) -> str:
    first = 2 + max(max(map(len, report.metrics)), 11)
    pattern = f"{{:<{first}}}{{:>8}}{{:>8}}{{:>9}}{{:>18}}{{:>9}} {{:>14}}"
    header = pattern.format("", "before", "after", "change", "95% interval", "p ", "won/lost/same")
    lines = [header.rstrip()]
    for group in report.shown_groups:
        lines.append(wording.group_title(report, group))
        for metric in report.metrics:
            row = report.row(metric, group)
            line = pattern.format(
                f"  {metric}",
                wording.number(row.before),
                wording.number(row.after),
                wording.signed(row.difference),
                wording.interval(row),
                wording.p_value(row) + ("" if row.significant else " "),
                f"{row.wins}/{row.losses}/{row.ties}",
            )
            lines.append(line)
    if any(row.p_value is not None for row in report.rows):
        lines.append(_paragraphs([wording.MARK]))
    return "\n".join(lines)


def _examples(report: Figures, title: str, changes: Sequence[QueryChange]) -> str:
    if not changes:
        return ""
    ranked = all(each.rank_before is not None and each.rank_after is not None for each in changes)
    of_what = f"{report.metrics[0]}, rank of the first answer" if ranked else report.metrics[0]
    lines = [f"{title} ({of_what}):"]
    for each in changes:
        start = f"  {each.before:.2f} -> {each.after:.2f}  "
        if ranked:
            ranks = wording.rank(each.rank_before), wording.rank(each.rank_after)
            start += f"{ranks[0]:>4} -> {ranks[1]:<4}  "
        lines.append(start + _clipped(each.text or each.query_id, WIDTH - len(start)))
    return "\n".join(lines)


def _paragraphs(sentences: Sequence[str]) -> str:
    return "\n".join(map(_filled, sentences))


def _filled(sentence: str, most_lines: int | None = None) -> str:
    return textwrap.fill(
        _one_line(sentence),
        WIDTH,
        subsequent_indent="  ",
        max_lines=most_lines,
        placeholder=" ...",
    )


def _one_line(text: str) -> str:
    """The text on one line, without characters that would steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _clipped(text: str, columns: int) -> str:
    """The text on one line, cut to what fits; wide characters take two columns."""
    line = _one_line(text)
    widths = [2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line]
    if sum(widths) <= columns:
        return line
    used = 0
    for place, width in enumerate(widths):
        used += width
        if used > columns - 3:
            return f"{line[:place].rstrip()}..."
    return line
