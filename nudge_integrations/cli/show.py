"""`nudge show`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nudge_integrations.cli.options import Commands, add_command
from nudge_integrations.cli.reports import (
    add_report_files,
    check_report_files,
    write_report_files,
)
from nudge_integrations.cli.terminal import say
from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors

_DESCRIPTION = """\
Say what a saved run holds: method, step, embedding model, moved documents, and
the report. Every byte of it is checked on the way."""

_EXAMPLES = """\
  nudge show tuned
  nudge show tuned --html report.html
  nudge show tuned --ids > moved.txt"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(commands, "show", run, "what a saved run holds", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "tuned", metavar="DIR", type=Path, help="the folder that `nudge fit --out DIR` wrote"
    )
    parser.add_argument(
        "--ids", action="store_true", help="print the ids of the moved documents, and nothing else"
    )
    add_report_files(parser)


def run(args: argparse.Namespace) -> int:
    """Describe a saved run."""
    from nudge_integrations.tuning.tuned import TunedVectors

    check_report_files(args)
    tuned = TunedVectors.load(args.tuned)
    if tuned.report is not None:
        write_report_files(tuned.report, args)
    elif args.html is not None or args.plot is not None:
        raise NudgeError(f"the run in {args.tuned} has no report to draw: nothing was measured")
    if args.ids:
        for name in tuned.ids:
            say(name)
        return 0
    say(_described(tuned))
    say()
    say(str(tuned.report or "No report: nothing was measured."))
    return 0


def _described(tuned: TunedVectors) -> str:
    moved = f"{len(tuned):,}"
    if len(tuned):
        moved += f": {name_some(tuned.ids)}"
    rows = {
        "Method": f"{tuned.method.upper()}, step {tuned.step:.4g}",
        "Ranked by": tuned.metric,
        "Model": f"{tuned.model.name} ({tuned.model.dimension} dimensions)",
        "Moved documents": moved,
    }
    return "\n".join(f"{name + ':':<17} {value}" for name, value in rows.items())
