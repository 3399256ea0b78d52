"""Results go to stdout; progress, remarks and errors go to stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator


def say(text: str = "") -> None:
    """Write a line of results, at once, so that it keeps its place among the progress bars."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a remark or an error."""
    sys.stderr.write(f"nudge: {text}\n")
    sys.stderr.flush()


def never_fail_to_encode() -> None:
    """Let texts of any script through a terminal that cannot show them, as question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Show what the library logs: warnings; from 1 on what it does, from 2 on everything."""
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
    """Writes above a progress bar, not into it."""

    def emit(self, record: logging.LogRecord) -> None:
        # Only with a message to write, since it takes longer to load than all of this package.
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)
