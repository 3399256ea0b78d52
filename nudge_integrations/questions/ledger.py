"""What was asked of a language model and answered, kept on disk: no answer is paid for twice."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nudge_integrations.embedding.cache import cache_folder
from nudge_integrations.errors import CorruptFileError, NudgeError

_FILE = "questions.sqlite"
_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Entry:
    """An answer.

    Attributes:
        result: What was read from it; JSON.
        tokens: Read and written.
        exact: Whether the model told the tokens; otherwise they are guessed by length.
    """

    result: Any
    tokens: tuple[int, int]
    exact: bool = True


class Ledger:
    """Answers by the hash of their request. Each is committed when it comes, whole or not at all.

    Several processes may write to one file. A process that is killed loses what was in flight.

    Args:
        place: True for the default folder (`NUDGE_CACHE_DIR`, or the user's cache folder); a
            folder; a file that ends in `.sqlite`; False or None to keep nothing.

    Raises:
        NudgeError: The file cannot be written to.
        CorruptFileError: It is damaged.
    """

    def __init__(self, place: bool | str | os.PathLike[str] | None) -> None:
        self.path = cache_folder(place)
        if self.path is not None and self.path.suffix != ".sqlite":
            self.path = self.path / _FILE
        with self._explained():
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                ":memory:" if self.path is None else self.path,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
            )
            # A commit is then one append to the log: safe when the process is killed, and cheap.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, result TEXT, "
                "read INTEGER, written INTEGER, exact INTEGER) WITHOUT ROWID"
            )

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def find(self, request: str) -> Entry | None:
        """The answer to a request; None if it was not answered yet."""
        with self._explained():
            row = self._database.execute(
                "SELECT result, read, written, exact FROM answers WHERE request = ?", (request,)
            ).fetchone()
        if row is None:
            return None
        return Entry(json.loads(row[0]), (row[1], row[2]), bool(row[3]))

    def keep(self, request: str, entry: Entry) -> None:
        """Keep an answer."""
        with self._explained():
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (request, json.dumps(entry.result), *entry.tokens, entry.exact),
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise NudgeError(
                f"cannot keep answers in {self.path}: {error}; name a place that can be written "
                "(checkpoint=PATH, or NUDGE_CACHE_DIR), or pass checkpoint=False"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CorruptFileError(
                f"{self.path} is damaged ({error}): delete it; its questions are then asked again"
            ) from error
