"""The report for notebooks: a small table that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from nudge_integrations.evaluation import wording
from nudge_integrations.evaluation.report import EvaluationReport, QueryChange

# No colours of its own, so that it reads on a light page and on a dark one.
_CELL = "text-align:right;padding:2px 10px;white-space:nowrap"
_LEFT = "text-align:left;padding:2px 10px 2px 20px"
_GROUP = "text-align:left;padding:8px 10px 2px;font-weight:600"
_SMALL = "font-size:90%;opacity:.75;max-width:60em;margin:.4em 0"
_COLUMNS = ("", "before", "after", "change", "95% interval", "p", "won / lost / same")


def as_html(report: EvaluationReport) -> str:
    """Write the report as HTML; every text in it is escaped."""
    parts = [
        f"<p><b>{escape(wording.verdict(report))}</b></p>",
        _lines(wording.got_worse(report), "margin:.4em 0"),
        _lines(wording.facts(report), _SMALL),
        _table(report),
        _lines([wording.MARK], _SMALL),
        _examples(report, "Gained most", report.won),
        _examples(report, "Lost most", report.lost),
        _lines([f"Note: {note}" for note in report.notes], _SMALL),
    ]
    return f"<div>{''.join(parts)}</div>"


def _table(report: EvaluationReport) -> str:
    rows = [_row(_COLUMNS, "th")]
    for group in wording.shown_groups(report):
        title = escape(wording.group_title(report, group))
        rows.append(f'<tr><th colspan="{len(_COLUMNS)}" style="{_GROUP}">{title}</th></tr>')
        for metric in report.metrics:
            row = report.row(metric, group)
            cells = (
                metric,
                wording.number(row.before),
                wording.number(row.after),
                wording.signed(row.difference),
                wording.interval(row),
                wording.p_value(row),
                f"{row.wins} / {row.losses} / {row.ties}",
            )
            rows.append(_row(cells, "td"))
    return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'


def _examples(report: EvaluationReport, title: str, changes: Sequence[QueryChange]) -> str:
    if not changes:
        return ""
    rows = [_row(("query", f"{report.metrics[0]} before", "after", "first answer"), "th")]
    for each in changes:
        ranks = (each.rank_before, each.rank_after)
        moved = "" if None in ranks else " → ".join(wording.rank(rank) for rank in ranks)
        cells = (each.text or each.query_id, f"{each.before:.2f}", f"{each.after:.2f}", moved)
        rows.append(_row(cells, "td"))
    table = f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
    return f"<details><summary>{title}</summary>{table}</details>"


def _row(cells: Iterable[str], tag: str) -> str:
    styles = [_LEFT, *[_CELL] * (len(_COLUMNS) - 1)]
    return "<tr>{}</tr>".format(
        "".join(
            f'<{tag} style="{style}">{escape(cell)}</{tag}>'
            for cell, style in zip(cells, styles, strict=False)
        )
    )


def _lines(sentences: Iterable[str], style: str) -> str:
    return "".join(f'<p style="{style}">{escape(each)}</p>' for each in sentences)
