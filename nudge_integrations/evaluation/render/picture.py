"""The report as a picture: bars before and after, and the curve by which the step was chosen."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.common.files import write_atomically
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation.figures import Figures
from nudge_integrations.evaluation.render import wording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("png", "svg", "pdf")
# Grey and the blue of Okabe and Ito's palette: apart in lightness too, so also in print.
_BEFORE, _AFTER, _WORSE = "#b8bcc2", "#0072b2", "#b34700"
_INK, _QUIET = "#22262b", "#6b7178"
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
    kind = _format(path)
    figures = require("matplotlib.figure", "plot")
    engines = require("matplotlib.layout_engine", "plot")
    groups = report.shown_groups
    # Inches: a strip for the words, the bars, and the curve where there is one.
    heights = [0.85, 0.55 * len(report.metrics) + 0.45]
    if len(report.curve) > 1:
        heights.append(1.9)
    figure: Figure = figures.Figure(
        figsize=(max(6.4, 1.2 + 2.9 * len(groups)), sum(heights)),
        dpi=150,
        facecolor="white",
        layout=engines.ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),
    )
    grid = figure.add_gridspec(len(heights), len(groups), height_ratios=heights)
    _draw_words(figure.add_subplot(grid[0, :]), report)
    for place, group in enumerate(groups):
        _draw_bars(figure.add_subplot(grid[1, place]), report, group, first=place == 0)
    if len(report.curve) > 1:
        _draw_curve(figure.add_subplot(grid[2, :]), report)
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind)
        write_atomically(Path(path), buffer.getvalue())
    return figure


def _format(path: str | os.PathLike[str] | None) -> str:
    ending = "" if path is None else Path(path).suffix.lower().lstrip(".")
    if ending and ending not in _FORMATS:
        raise NudgeError(
            f"cannot save a picture as {Path(path or '').name!r}: "
            f"its name must end in .{', .'.join(_FORMATS)}"
        )
    return ending or _FORMATS[0]


def _draw_words(strip: Any, report: Figures) -> None:
    strip.set_axis_off()
    strip.set_xlim(0, 1)
    strip.set_ylim(0, 1)
    note = textwrap.shorten(f"Measured on: {report.judged_on}", 90)
    strip.text(0, 1.0, _headline(report), fontsize=10.5, fontweight="bold", color=_INK, va="top")
    strip.text(0, 0.58, note, fontsize=8, color=_QUIET, va="top")
    legend = [(0, "■", _BEFORE), (11, "before", _INK), (58, "■", _AFTER), (69, "after", _INK)]
    if any(wording.fell(row, 3) for row in report.rows if row.group in report.shown_groups):
        legend += [(108, "■", _WORSE), (119, "after, fell", _INK)]
    for shift, text, colour in (*legend, (legend[-1][0] + 62, "* p < 0.05", _QUIET)):
        _note(strip, text, (0, 0.02), (shift, 0), ("left", "bottom"), colour)
    # A long line must not make the layout squeeze the bars.
    for words in strip.texts:
        words.set_in_layout(False)
        words.set_parse_math(False)


def _headline(report: Figures) -> str:
    if report.step == 0:
        return textwrap.shorten(wording.unchanged(report), 70)
    row = report.row()
    change = f"{wording.number(row.before)} to {wording.number(row.after)}"
    fallen = wording.beyond_chance(report, -1)
    worse = f", worse on {' and '.join(fallen)} queries" if fallen else ""
    return f"{report.method or 'Before and after'}: {row.metric} from {change}{worse}"


def _draw_bars(panel: Any, report: Figures, group: str, *, first: bool) -> None:
    rows = [report.row(metric, group) for metric in report.metrics]
    for place, row in enumerate(rows):
        change = wording.signed(row.difference, 3) + wording.star(row)
        bar, tint = (_WORSE, _WORSE) if wording.fell(row, 3) else (_AFTER, _INK)
        _draw_bar(panel, row.before, place - _BAR / 2, _BEFORE, [("", _QUIET)])
        _draw_bar(panel, row.after, place + _BAR / 2, bar, [("", _INK), (change, tint)])
    title = f"{group}  (n = {rows[0].queries:,})"
    panel.set_title(title, loc="left", fontsize=9, color=_INK, pad=4)
    panel.set_yticks(range(len(rows)), report.metrics if first else [""] * len(rows))
    panel.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=_INK)
    panel.xaxis.set_visible(False)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.spines["left"].set_color(_QUIET)
    # One scale for all panels. The bars take three fifths; the rest is for the numbers.
    highest = max(max(row.before or 0, row.after or 0) for row in report.rows)
    panel.set_xlim(0, (highest or 1.0) / 0.6)
    panel.set_ylim(len(rows) - 0.5, -0.5)


def _draw_bar(
    panel: Any, value: float | None, at: float, colour: str, words: list[tuple[str, str]]
) -> None:
    """A bar, its value at its end, and the change beside the value."""
    panel.barh(at, value or 0.0, height=_BAR * 0.92, color=colour)
    for place, (text, tint) in enumerate(words):
        panel.annotate(
            text or wording.number(value, 3),
            (value or 0.0, at),
            xytext=(4 + 32 * place, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=tint,
        )


def _draw_curve(panel: Any, report: Figures) -> None:
    steps, values = zip(*report.curve, strict=True)
    panel.plot(steps, values, color=_AFTER, linewidth=1.4, solid_capstyle="round")
    if steps[0] == 0:
        panel.axhline(values[0], color=_QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        _note(panel, "not moved", (steps[-1], values[0]), (0, -4), ("right", "top"), _QUIET)
    if report.step is not None:
        at = min(range(len(steps)), key=lambda place: abs(steps[place] - (report.step or 0)))
        panel.plot([steps[at]], [values[at]], "o", color=_AFTER, markersize=6)
        chosen = f"step {steps[at]:.3g}: {wording.number(values[at], 3)}"
        side = "left" if at < len(steps) / 4 else "right" if at > len(steps) * 0.75 else "center"
        _note(panel, chosen, (steps[at], values[at]), (0, 7), (side, "bottom"), _INK)
    panel.set_title("score on the questions held out, by step", loc="left", fontsize=9, color=_INK)
    panel.margins(x=0.01, y=0.3)
    panel.tick_params(labelsize=7.5, labelcolor=_QUIET, color=_QUIET, length=3)
    panel.locator_params(axis="y", nbins=4)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_QUIET)


def _note(
    panel: Any,
    text: str,
    at: tuple[float, float],
    shift: tuple[int, int],
    sides: tuple[str, str],
    colour: str,
) -> None:
    panel.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        ha=sides[0],
        va=sides[1],
        fontsize=8,
        color=colour,
        # Readable also where the curve runs behind it.
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )
