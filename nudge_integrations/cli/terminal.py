"""Results go to stdout; progress, remarks and errors go to stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator


def say(text: str = "") -> None:
    """Write a line of results to stdout, flushed so that it stays in order with progress bars."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a remark or an error to stderr."""
    sys.stderr.write(f"nudge: {text}\n")
    sys.stderr.flush()


def never_fail_to_encode() -> None:
    """Show characters that the terminal cannot encode as question marks instead of crashing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Show the library's log on stderr: warnings at 0, also info at 1, everything from 2."""
    logger = logging.getLogger("nudge_integrations")
    handler = _AboveBars()
    handler.setFormatter(logging.Formatter("nudge: %(message)s"))
    before = logger.level
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _AboveBars(logging.Handler):
    """Writes above a progress bar instead of into it."""

    def emit(self, record: logging.LogRecord) -> None:
        # Imported late: tqdm takes longer to load than the rest of the command line.
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)
