"""The report as a page of its own, and as what a notebook shows: no network and no script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from nudge_integrations.common.files import write_atomically
from nudge_integrations.evaluation.render import charts, wording
from nudge_integrations.evaluation.render.advice import what_next
from nudge_integrations.evaluation.report import EvaluationReport, QueryChange, RankedDocument

_COLUMNS = ("", "before", "after", "change", "95% interval", "p", "won / lost / same")
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them
# Nothing may be loaded and nothing may run, whatever a document's text holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 1.5rem auto; padding: 0 1rem; max-width: 62rem; }}</style>
</head>
<body>
{fragment}
</body>
</html>
"""


def write_page(report: EvaluationReport, path: Path) -> Path:
    """Write the report as a whole HTML document; every text in it is escaped.

    Raises:
        NudgeError: The file cannot be written.
    """
    title = _escaped(f"Retrieval before and after: {report.method or report.judged_on}")
    page = _PAGE.format(policy=_POLICY, title=title, fragment=as_fragment(report))
    write_atomically(path, page.encode("utf-8"))
    return path


def as_fragment(report: EvaluationReport) -> str:
    """Write the report as one `<div>` with its own style; every text in it is escaped."""
    fell = any(
        wording.fell(row) for row in report.rows if row.group in wording.shown_groups(report)
    )
    parts = [
        f"<style>{_style()}</style>",
        f"<h1>{_escaped(wording.verdict(report))}</h1>",
        _sentences(wording.got_worse(report), "worse" if fell else ""),
        _bars(report),
        _section("What to try next", _advice(what_next(report))),
        _section("All figures", _table(report)),
        _curve(report),
        _examples(report, "Queries that gained most", report.won),
        _examples(report, "Queries that lost most", report.lost),
        _section("How it was measured", _measured(report)),
    ]
    return f'<div class="nudge-report">{"".join(parts)}</div>'


@cache
def _style() -> str:
    return files(__package__).joinpath("report.css").read_text("utf-8")


def _escaped(text: str) -> str:
    """Text for a page, without characters that would turn the text around them."""
    return escape("".join(c if c.isprintable() or c in _JOINERS else " " for c in text))


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _sentences(sentences: Iterable[str], kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return "".join(f"<p{mark}>{_escaped(each)}</p>" for each in sentences)


def _advice(sentences: Sequence[str]) -> str:
    """What stands in backticks is code."""
    items = (re.sub(r"`([^`]*)`", r"<code>\1</code>", _escaped(each)) for each in sentences)
    return f"<ul>{''.join(f'<li>{each}</li>' for each in items)}</ul>" if sentences else ""


def _bars(report: EvaluationReport) -> str:
    panels = (
        f"<figure><figcaption>{group}: {wording.counted(report.row(group=group).queries)}"
        f"</figcaption>{charts.bars(report, group)}</figure>"
        for group in wording.shown_groups(report)
    )
    return (
        f'<div class="bars">{"".join(panels)}</div>'
        '<p class="quiet">Upper bars: before. Lower bars: after. * p &lt; 0.05</p>'
    )


def _table(report: EvaluationReport) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in _COLUMNS)
    rows = [f"<thead><tr>{head}</tr></thead>"]
    for group in wording.shown_groups(report):
        title = _escaped(wording.group_title(report, group))
        rows.append(f'<tr><th scope="colgroup" colspan="{len(_COLUMNS)}">{title}</th></tr>')
        for metric in report.metrics:
            row = report.row(metric, group)
            cells = (
                wording.number(row.before),
                wording.number(row.after),
                wording.signed(row.difference),
                wording.interval(row),
                wording.p_value(row),
                f"{row.wins} / {row.losses} / {row.ties}",
            )
            data = "".join(f"<td>{escape(each)}</td>" for each in cells)
            rows.append(f'<tr><th scope="row">{_escaped(metric)}</th>{data}</tr>')
    mark = f'<p class="quiet">{escape(wording.MARK)}</p>'
    return f'<div class="wide"><table>{"".join(rows)}</table></div>{mark}'


def _curve(report: EvaluationReport) -> str:
    if len(report.curve) < 2:
        return ""
    drawn = f'<figure class="curve">{charts.curve(report)}</figure>'
    return _section("Score on the questions held out, by step", drawn)


def _examples(report: EvaluationReport, title: str, changes: Sequence[QueryChange]) -> str:
    metric = report.metrics[0]
    return _section(title, "".join(_example(metric, each) for each in changes))


def _example(metric: str, change: QueryChange) -> str:
    numbers = f"{metric} {change.before:.2f} → {change.after:.2f}"
    if change.rank_before is not None and change.rank_after is not None:
        ranks = (wording.rank(change.rank_before), wording.rank(change.rank_after))
        numbers += f", first answer at {ranks[0]} → {ranks[1]}"
    words = (
        f'<b dir="auto">{_escaped(change.text or change.query_id)}</b> '
        f'<span class="quiet">{_escaped(numbers)}</span>'
    )
    if not change.top_before and not change.top_after:
        return f"<p>{words}</p>"
    lists = _list("Before", change.top_before) + _list("After", change.top_after)
    return f'<details><summary>{words}</summary><div class="lists">{lists}</div></details>'


def _list(title: str, documents: Sequence[RankedDocument]) -> str:
    return f"<section><h3>{title}</h3><ol>{''.join(map(_item, documents))}</ol></section>"


def _item(document: RankedDocument) -> str:
    kind, mark = "", ""
    if document.grade > 0:
        kind, mark = ' class="answer"', " <i>✔ answers it</i>"
    return (
        f'<li{kind}><b dir="auto">{_escaped(document.document_id)}</b>{mark}'
        f'<span class="snippet" dir="auto">{_escaped(document.text)}</span></li>'
    )


def _measured(report: EvaluationReport) -> str:
    notes = [f"Note: {note}" for note in report.notes]
    return _sentences([*wording.facts(report), *notes], "quiet")
