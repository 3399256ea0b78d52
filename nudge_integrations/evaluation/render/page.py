"""The report as a page of its own, and as what a notebook shows: no network and no script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.common.files import write_atomically
from nudge_integrations.evaluation.figures import Figures
from nudge_integrations.evaluation.render import wording
from nudge_integrations.evaluation.render.advice import what_next

if TYPE_CHECKING:
    from jinja2 import Template

_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them
# In the units of the curve's view box, which the page scales to its width.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 360, 150, 34, 10, 22, 28


def write_page(report: Figures, path: Path) -> Path:
    """Write the report as a whole HTML document; every text in it is escaped.

    Raises:
        NudgeError: The file cannot be written.
    """
    write_atomically(path, _rendered(report, whole=True).encode("utf-8"))
    return path


def as_fragment(report: Figures) -> str:
    """Write the report as one `<div>` with its own style; every text in it is escaped."""
    return _rendered(report, whole=False)


def _rendered(report: Figures, whole: bool) -> str:
    text = _template().render(
        report=report,
        say=wording,
        whole=whole,
        advice=what_next(report),
        curve=_curve(report) if len(report.curve) > 1 else None,
        highest=max(max(row.before or 0, row.after or 0) for row in report.rows) or 1.0,
    )
    return text.strip() + "\n"


@cache
def _template() -> Template:
    from jinja2 import DictLoader, Environment

    names = ("report.html", "report.css")
    folder = files(__package__)
    environment = Environment(
        loader=DictLoader({name: folder.joinpath(name).read_text("utf-8") for name in names}),
        autoescape=True,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _printable(value: Any) -> Any:
    """Drop characters that would turn the text around them; what is markup already stays."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(c if c.isprintable() or c in _JOINERS else " " for c in value)


def _curve(report: Figures) -> tuple[Any, ...]:
    """Points of the curve in the picture, their steps and values, and which one was chosen."""
    steps, values = zip(*report.curve, strict=True)
    low, high = min(values), max(values)
    across = (_WIDTH - _LEFT - _RIGHT) / ((steps[-1] - steps[0]) or 1.0)
    up = (_HEIGHT - _TOP - _BOTTOM) / ((high - low) or 1.0)
    points = [
        (_LEFT + (step - steps[0]) * across, _HEIGHT - _BOTTOM - (value - low) * up)
        for step, value in report.curve
    ]
    at = None
    if report.step is not None:
        wanted = report.step
        at = min(range(len(steps)), key=lambda place: abs(steps[place] - wanted))
    return points, steps, values, at
