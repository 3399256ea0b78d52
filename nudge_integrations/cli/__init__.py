"""The command `nudge`. One file a command; here is what they share: the exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from nudge_integrations.cli.parser import build_parser
from nudge_integrations.cli.terminal import logging_to_stderr, never_fail_to_encode, note
from nudge_integrations.errors import MissingExtraError, NudgeError

__all__ = ["main"]

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `nudge`.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        The exit code: 0, or 1 for an error that the message on stderr explains, 2 for no command,
        130 for Ctrl-C.

    Raises:
        SystemExit: Arguments that do not exist or do not fit (2), `--help` and `--version` (0).
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    never_fail_to_encode()
    if args.command is None:
        parser.print_help(sys.stderr)
        return _MISUSED
    with logging_to_stderr(args.verbose):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
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
        # The reader has gone (`nudge show DIR | head`). Python flushes once more at its end, and
        # would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


def _stopped(args: argparse.Namespace) -> str:
    if "cache" not in args:
        return "stopped."
    if args.cache is False:
        return "stopped. Nothing was kept, as --no-cache asked."
    return "stopped. Finished embeddings are kept: the same command goes on from there."
