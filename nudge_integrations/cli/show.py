"""`nudge show`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nudge_integrations.cli.options import Commands, add_command
from nudge_integrations.cli.reports import (
    add_report_files,
    add_report_form,
    check_report_files,
    say_report,
    write_report_files,
)
from nudge_integrations.cli.terminal import say
from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors

_DESCRIPTION = """\
Describe a saved run: method, step, embedding model, moved documents, and the
report. The checksum of the whole run is verified on the way."""

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
    add_report_form(parser)
    add_report_files(parser)


def run(args: argparse.Namespace) -> int:
    """Describe a saved run."""
    from nudge_integrations.tuning.tuned import TunedVectors

    check_report_files(args)
    tuned = TunedVectors.load(args.tuned)
    if tuned.report is not None:
        write_report_files(tuned.report, args)
    elif args.html is not None or args.plot is not None or args.json:
        raise NudgeError(f"the run in {args.tuned} has no report: nothing was measured")
    if args.ids:
        for name in tuned.ids:
            say(name)
        return 0
    if not args.json:
        say(_described(tuned))
        say()
    if tuned.report is None:
        say("No report: nothing was measured.")
    else:
        say_report(tuned.report, args)
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
