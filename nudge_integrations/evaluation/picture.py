"""The report as a picture: bars before and after."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.common.files import write_atomically
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation import wording
from nudge_integrations.evaluation.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("png", "svg", "pdf")
# Grey and the blue of Okabe and Ito's palette: they differ in lightness too, so also in print.
_BEFORE, _AFTER, _WORSE = "#b8bcc2", "#0072b2", "#b34700"
_BAR = 0.36


def plot_report(report: Figures, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw bars before and after by metric, for each group of queries.

    Args:
        report: What to draw.
        path: Where to save the picture too: `.png`, `.svg` or `.pdf` (PNG without an ending).

    Returns:
        A figure of its own, without pyplot's global state; safe on servers and in threads.

    Raises:
        MissingExtraError: matplotlib is not installed.
        NudgeError: `path` has another ending, or cannot be written.
    """
    kind = "png" if path is None else Path(path).suffix.lower().lstrip(".") or "png"
    if kind not in _FORMATS:
        name = Path(path or "").name
        raise NudgeError(f"cannot draw {name!r}: the name must end in .{', .'.join(_FORMATS)}")
    groups = report.shown_groups
    figure: Figure = require("matplotlib.figure", "plot").Figure(
        figsize=(max(6.4, 1.2 + 2.9 * len(groups)), 1.4 + 0.55 * len(report.metrics)),
        dpi=150,
        facecolor="white",
        layout="constrained",
    )
    left: dict[str, Any] = {"x": 0.01, "ha": "left", "parse_math": False}
    figure.suptitle(_headline(report), fontsize=10.5, fontweight="bold", **left)
    measured = textwrap.shorten(f"Measured on: {report.judged_on}", 90)
    figure.supxlabel(measured, fontsize=8, **left)
    for panel, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        _draw_bars(panel, report, group, first=group == groups[0])
    patch = require("matplotlib.patches", "plot").Patch
    worse = any(wording.fell(row, 3) for row in report.rows if row.group in report.shown_groups)
    words = [("before", _BEFORE), ("after", _AFTER), *[("after, fell", _WORSE)][: int(worse)]]
    handles = [patch(color=colour, label=text) for text, colour in words]
    figure.legend(
        handles=[*handles, patch(color="none", label="* p < 0.05")],
        loc="outside right upper",
        fontsize=8,
        frameon=False,
    )
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind)
        write_atomically(Path(path), buffer.getvalue())
    return figure


def _headline(report: Figures) -> str:
    row, fallen = report.row(), wording.beyond_chance(report, -1)
    text = wording.unchanged(report)
    if report.step != 0:
        change = f"{wording.number(row.before)} to {wording.number(row.after)}"
        worse = f", worse on {' and '.join(fallen)} queries" if fallen else ""
        text = f"{report.method or 'Before and after'}: {row.metric} from {change}{worse}"
    return textwrap.shorten(text, 72, placeholder=" ...")


def _draw_bars(panel: Any, report: Figures, group: str, *, first: bool) -> None:
    rows = [report.row(metric, group) for metric in report.metrics]
    for shift, bars in ((-_BAR / 2, _bars_before), (_BAR / 2, _bars_after)):
        values, colours, labels = zip(*map(bars, rows), strict=True)
        places = [place + shift for place in range(len(rows))]
        drawn = panel.barh(places, values, height=_BAR * 0.92, color=colours)
        panel.bar_label(drawn, labels, padding=4, fontsize=7.5)
    panel.set_title(f"{group}  (n = {rows[0].queries:,})", loc="left", fontsize=9)
    panel.set_yticks(range(len(rows)), report.metrics if first else [""] * len(rows), fontsize=8.5)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_visible(False)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    # One scale for all panels. The bars take half of it; the rest is for the numbers.
    highest = max(max(row.before or 0, row.after or 0) for row in report.rows)
    panel.set_xlim(0, (highest or 1.0) / 0.5)
    panel.set_ylim(len(rows) - 0.5, -0.5)


def _bars_before(row: Any) -> tuple[float, str, str]:
    return row.before or 0.0, _BEFORE, wording.number(row.before, 3)


def _bars_after(row: Any) -> tuple[float, str, str]:
    change = wording.signed(row.difference, 3) + wording.star(row)
    colour = _WORSE if wording.fell(row, 3) else _AFTER
    return row.after or 0.0, colour, f"{wording.number(row.after, 3)}  {change}"
