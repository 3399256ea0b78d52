"""`nudge demo`."""

from __future__ import annotations

import argparse

from nudge_integrations.cli import options
from nudge_integrations.cli.options import flag
from nudge_integrations.cli.terminal import say

_FRAMEWORKS = ("llama-index", "langchain")


def add_to(commands: options.Commands) -> None:
    """Add the command to the parser."""
    parser = options.add_command(commands, "demo", run)
    frameworks = ("both", *_FRAMEWORKS)
    flag(parser, "--framework", "framework to show it in", choices=frameworks, default="both")
    flag(parser, "--seed N", "random seed", default=0)
    options.add_report(parser, form=False)
    options.add_cache(parser)
    options.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """See it work on Python's own documentation.

    Build a search engine over the documentation of Python's standard library, tune
    it with questions in people's own words, and show what changed on questions it
    had not seen. Needs no data, and touches none of yours.

    Install it with: pip install 'nudge-integrations[demo]'

    Examples:
      nudge demo
      nudge demo --html demo.html
      nudge demo --framework langchain --quiet
    """
    from nudge_integrations.demo.run import run_demo

    report = run_demo(
        frameworks=_FRAMEWORKS if args.framework == "both" else (args.framework,),
        cache=args.cache,
        show_progress=args.show_progress,
        seed=args.seed,
        write=say,
    )
    options.deliver(report, args)
    return 0
