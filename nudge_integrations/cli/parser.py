"""The parser of the whole command line."""

from __future__ import annotations

import argparse

import nudge_integrations
from nudge_integrations.cli import check, demo, evaluate, fit, live, questions, show, stores
from nudge_integrations.cli.options import add_talk

_DESCRIPTION = """\
Move the document vectors that you have towards the questions they answer, so
that retrieval finds them: same embedding model, same store, same latency."""

_EPILOG = """\
To begin with:
  nudge demo                          see it work; nothing has to be prepared
  nudge fit --beir DIR --out tuned    tune your own documents
  nudge show tuned                    see what that run did
  nudge tune --store ADDRESS ...      tune a store that is running, in place
  nudge questions --documents F ...   let an LLM write judged questions

`nudge COMMAND --help` explains a command, with examples.
Exit codes: 0 done, 1 error (explained on stderr), 2 wrong usage, 3 `nudge check`
found too little gain, 130 Ctrl-C."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each command's `run` stands in its namespace."""
    parser = argparse.ArgumentParser(
        prog="nudge",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"nudge-integrations {nudge_integrations.__version__}",
    )
    add_talk(parser)
    parser.set_defaults(command=None, verbose=0, debug=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (demo, fit, evaluate, check, show, stores, live, questions):
        module.add_to(commands)
    return parser
