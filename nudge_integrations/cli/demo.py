"""`nudge demo`."""

from __future__ import annotations

import argparse

from nudge_integrations.cli.options import Commands, add_cache, add_command, add_quiet, flag
from nudge_integrations.cli.reports import (
    add_report_files,
    check_report_files,
    write_report_files,
)
from nudge_integrations.cli.terminal import say

_DESCRIPTION = """\
Build a search engine over the documentation of Python's standard library, tune
it with questions in people's own words, and show what changed on questions it
had not seen. Needs no data, and touches none of yours.

Install it with: pip install 'nudge-integrations[demo]'"""

_FRAMEWORKS = ("llama-index", "langchain")

_EXAMPLES = """\
  nudge demo
  nudge demo --html demo.html
  nudge demo --framework langchain --quiet"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "demo", run, "see it work on Python's own documentation", _DESCRIPTION, _EXAMPLES
    )
    frameworks = ("both", *_FRAMEWORKS)
    flag(parser, "--framework", "framework to show it in", choices=frameworks, default="both")
    flag(parser, "--seed N", "random seed", default=0)
    add_report_files(parser)
    add_cache(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from nudge_integrations.demo.run import run_demo

    check_report_files(args)
    report = run_demo(
        frameworks=_FRAMEWORKS if args.framework == "both" else (args.framework,),
        cache=args.cache,
        show_progress=args.show_progress,
        seed=args.seed,
        write=say,
    )
    write_report_files(report, args)
    return 0
