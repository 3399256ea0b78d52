"""Move the document vectors you already have towards the questions people ask.

Retrieval then finds the right documents: same embedding model, same vector
store, same latency.

Where to start:
  nudge demo                          see it work; needs no data of yours
  nudge fit --beir DIR --out tuned    tune your own documents
  nudge show tuned                    see what that run did
  nudge tune --store ADDRESS ...      tune a running vector store in place
  nudge questions --documents F ...   have an LLM write judged questions

Run `nudge COMMAND --help` for details and examples.
Exit codes: 0 success, 1 error (explained on stderr), 2 wrong usage,
3 too little gain (nudge check), 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

import nudge_integrations
from nudge_integrations.cli import demo, evaluate, fit, live, questions, saved
from nudge_integrations.cli.options import add_verbosity
from nudge_integrations.cli.terminal import logging_to_stderr, never_fail_to_encode, note
from nudge_integrations.common.lazy import require
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import MissingExtraError, NudgeError

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each subcommand stores its function as `run`."""
    description, _, epilog = (__doc__ or "").partition("\n\nWhere to start:")
    parser = argparse.ArgumentParser(
        prog="nudge",
        description=description,
        epilog=f"Where to start:{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"nudge-integrations {nudge_integrations.__version__}",
    )
    add_verbosity(parser)
    parser.set_defaults(command=None, parser=parser, verbose=0, debug=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (demo, fit, evaluate, saved, live, questions):
        module.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `nudge` command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit code: 0 for success, 1 for an error explained on stderr, 2 if no command was
        given, 130 after Ctrl-C.

    Raises:
        SystemExit: The arguments are wrong (2), or `--help` or `--version` was given (0).
    """
    parser = build_parser()
    args, unknown = parser.parse_known_args(argv)
    never_fail_to_encode()
    if unknown:
        # The subcommand's own parser, so that the usage shown is the one that applies.
        known = args.parser._option_string_actions
        hint = did_you_mean(unknown[0].partition("=")[0], known)
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    if args.command is None:
        parser.print_help(sys.stderr)
        return _MISUSED
    with logging_to_stderr(args.verbose):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        if getattr(args, "plot", None) is not None:
            require("matplotlib", "plot")  # before any work is done
        code: int = args.run(args)
        sys.stdout.flush()
    except (NudgeError, MissingExtraError) as error:
        if args.debug:
            traceback.print_exc()
        note(f"error: {error}")
        return _FAILED
    except KeyboardInterrupt:
        note(_stopped(args))
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`nudge show DIR | head`). Python flushes stdout once more when it
        # exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


def _stopped(args: argparse.Namespace) -> str:
    if "cache" not in args:
        return "stopped."
    if args.cache is False:
        return "stopped. Nothing was kept, because of --no-cache."
    return "stopped. Finished embeddings are kept: run the same command again to continue."
