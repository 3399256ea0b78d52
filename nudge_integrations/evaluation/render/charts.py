"""The report's bars and curve as SVG, which a page and a notebook show without anything else."""

from __future__ import annotations

from html import escape

from nudge_integrations.evaluation.render import wording
from nudge_integrations.evaluation.report import EvaluationReport

# In the units of the view box, which the page scales to its width.
_WIDTH, _NAME, _NUMBERS, _BAR, _ROW = 360, 84, 108, 11, 34
_HEIGHT, _MARGIN = 150, 34
# As attributes, for places that drop style sheets, such as a notebook on a code host.
_BEFORE, _AFTER, _LOST = "#9aa1a9", "#2583c4", "#c7662c"


def bars(report: EvaluationReport, group: str) -> str:
    """Bars before and after of every metric over a group of queries."""
    highest = max(max(row.before or 0, row.after or 0) for row in report.rows) or 1.0
    scale = (_WIDTH - _NAME - _NUMBERS) / highest
    parts = []
    for place, metric in enumerate(report.metrics):
        row = report.row(metric, group)
        top = place * _ROW + 3
        change = wording.signed(row.difference, 3) + wording.star(row)
        tint = _LOST if wording.fell(row, 3) else _AFTER
        parts += [
            _text(0, top + 15, metric),
            _rectangle(_NAME, top, (row.before or 0) * scale, _BEFORE),
            _rectangle(_NAME, top + _BAR + 1, (row.after or 0) * scale, tint),
            _text(_NAME + (row.before or 0) * scale + 5, top + 10, wording.number(row.before, 3)),
            _text(
                _NAME + (row.after or 0) * scale + 5,
                top + _BAR + 11,
                f"{wording.number(row.after, 3)}  {change}",
            ),
        ]
    label = f"{', '.join(report.metrics)} before and after, {group} queries"
    return _svg(len(report.metrics) * _ROW, label, parts)


def curve(report: EvaluationReport) -> str:
    """The score on the questions held out by step, the chosen one marked."""
    steps, values = zip(*report.curve, strict=True)
    low, high = min(values), max(values)
    across = (_WIDTH - _MARGIN - 60) / ((steps[-1] - steps[0]) or 1.0)
    up = (_HEIGHT - 50) / ((high - low) or 1.0)
    points = [
        (_MARGIN + (step - steps[0]) * across, _HEIGHT - 28 - (value - low) * up)
        for step, value in report.curve
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    base = points[0][1]
    parts = [
        f'<line x1="{_MARGIN}" x2="{_WIDTH - 60}" y1="{base:.1f}" y2="{base:.1f}" '
        f'stroke="{_BEFORE}" stroke-dasharray="4 3"/>',
        f'<polyline points="{path}" fill="none" stroke="{_AFTER}" stroke-width="2"/>',
        _text(_WIDTH - 56, base + 4, "not moved" if steps[0] == 0 else ""),
        _text(0, points[values.index(high)][1] + 4, wording.number(high, 2)),
        _text(0, points[values.index(low)][1] + 4, wording.number(low, 2) if up > 1 else ""),
        _text(_MARGIN, _HEIGHT - 8, f"step {steps[0]:.3g}"),
        _text(_WIDTH - 60, _HEIGHT - 8, f"{steps[-1]:.3g}", anchor="end"),
    ]
    if report.step is not None:
        wanted = report.step
        at = min(range(len(steps)), key=lambda place: abs(steps[place] - wanted))
        x, y = points[at]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{_AFTER}"/>')
        middle = min(max(x, _MARGIN + 42), _WIDTH - 102)
        chosen = f"step {steps[at]:.3g}: {wording.number(values[at], 3)}"
        parts.append(_text(middle, max(y - 9, 11), chosen, anchor="middle"))
    return _svg(_HEIGHT, "score on the questions held out, by step", parts)


def _svg(height: int, label: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" '
        f'font-size="12">{escape(text)}</text>'
    )


def _rectangle(x: float, y: float, width: float, colour: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="{_BAR}" rx="1.5" '
        f'fill="{colour}"/>'
    )
