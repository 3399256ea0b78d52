"""The report as text, 84 columns wide, and as a page without network or script."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from nudge_integrations.common.text import safe
from nudge_integrations.evaluation import wording
from nudge_integrations.evaluation.figures import Figures, QueryChange

if TYPE_CHECKING:
    from jinja2 import Template

WIDTH = 84
_BAR = 40  # columns


def summary(report: Figures) -> str:
    """Six lines at most: verdict, the numbers that matter, what was harmed, what to do next."""
    sentences = {
        wording.verdict(report): 2,
        wording.two_numbers(report): 1,
        wording.harm(report) if report.step != 0 else "": 1,
        f"Next: {wording.what_next(report)[0]}": 2,
    }
    return "\n".join(_filled(each, lines) for each, lines in sentences.items() if each)


def full(report: Figures) -> str:
    """Everything: what was harmed, the table, examples, what ran, and what to do next."""
    parts = [
        _paragraphs([wording.verdict(report), *wording.got_worse(report)]),
        _table(report),
        _examples(report, "Lost most", report.lost),
        _examples(report, "Gained most", report.won),
        _turns(report),
        _paragraphs(wording.facts(report)),
        _paragraphs(f"Next: {advice}" for advice in wording.what_next(report)),
    ]
    return "\n\n".join(part for part in parts if part)


def html(report: Figures, *, whole: bool) -> str:
    """The report as HTML in which every text is escaped.

    Args:
        report: What to show.
        whole: A whole document, or else one `<div>` with its own style.
    """
    highest = max(max(row.before or 0, row.after or 0) for row in report.rows) or 1.0
    return _template().render(report=report, say=wording, whole=whole, highest=highest)


@cache
def _template() -> Template:
    from jinja2 import DictLoader, Environment

    folder, names = files(__package__), ("report.html", "report.css")
    environment = Environment(
        loader=DictLoader({name: folder.joinpath(name).read_text("utf-8") for name in names}),
        autoescape=True,
        # Markup has a type of its own and is left as it is.
        finalize=lambda value: safe(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _table(report: Figures) -> str:
    first = 2 + max(max(map(len, report.metrics)), 11)
    pattern = f"{{:<{first}}}{{:>8}}{{:>8}}{{:>9}}{{:>18}}{{:>9}} {{:>14}}"
    lines = [pattern.format("", *wording.COLUMNS).replace(" p ", "p  ")]
    for group in report.shown_groups:
        lines.append(wording.group_title(report, group))
        for metric in report.metrics:
            row = report.row(metric, group)
            *numbers, p, counts = wording.cells(row)
            # The star has a column of its own.
            p += "" if row.significant else " "
            lines.append(pattern.format(f"  {metric}", *numbers, p, counts))
    if any(row.p_value is not None for row in report.rows):
        lines.append(_filled(wording.MARK))
    return "\n".join(lines)


def _examples(report: Figures, title: str, changes: Sequence[QueryChange]) -> str:
    if not changes:
        return ""
    ranked = all(each.rank_before is not None and each.rank_after is not None for each in changes)
    lines = [f"{title} ({report.metrics[0]}{', rank of the first answer' if ranked else ''}):"]
    for each in changes:
        start = f"  {each.before:.2f} -> {each.after:.2f}  "
        if ranked:
            ranks = wording.rank(each.rank_before), wording.rank(each.rank_after)
            start += f"{ranks[0]:>4} -> {ranks[1]:<4}  "
        lines.append(start + _clipped(each.text or each.query_id, WIDTH - len(start)))
    return "\n".join(lines)


def _turns(report: Figures) -> str:
    turns = report.turns
    if turns is None:
        return ""
    angles = f"median {turns.median:.1f} degrees, at most {turns.largest:.1f}"
    lines = [f"Documents by the angle they turned ({angles}):"]
    for name, count in turns.bins():
        bar = "#" * round(_BAR * count / max(turns.counts))
        lines.append(f"  {name:>8}°{count:>11,}  {bar}".rstrip())
    return "\n".join(lines)


def _paragraphs(sentences: Iterable[str]) -> str:
    return "\n".join(map(_filled, sentences))


def _filled(sentence: str, most_lines: int | None = None) -> str:
    line, dots = _one_line(sentence), " ..."
    return textwrap.fill(
        line, WIDTH, subsequent_indent="  ", max_lines=most_lines, placeholder=dots
    )


def _one_line(text: str) -> str:
    """The text on one line, without characters that would control a terminal."""
    return " ".join(safe(text).split())


def _clipped(text: str, columns: int) -> str:
    """The text on one line, cut to what fits; wide characters take two columns."""
    line, dots = _one_line(text)[: columns + 1], ""
    while sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line + dots) > columns:
        line, dots = line[:-1].rstrip(), "..."
    return line + dots
