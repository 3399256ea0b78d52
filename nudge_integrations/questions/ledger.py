"""On-disk cache of a language model's answers; no request is billed twice."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from nudge_integrations.common.sqlite import Database
from nudge_integrations.embedding.cache import cache_folder

_FILE = "questions.sqlite"
_LAYOUT_VERSION = 1
_ELSEWHERE = (
    "name a place that can be written (checkpoint=PATH, or NUDGE_CACHE_DIR), or pass "
    "checkpoint=False"
)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, result TEXT, "
    "read INTEGER, written INTEGER, exact INTEGER) WITHOUT ROWID"
)


@dataclass(frozen=True)
class Entry:
    """An answer.

    Attributes:
        result: What was read from it; JSON.
        tokens: Number of tokens read and written.
        exact: Whether the model reported the tokens; otherwise they are estimated by length.
    """

    result: Any
    tokens: tuple[int, int]
    exact: bool = True


class Ledger:
    """Answers by the hash of their request, each committed as it comes.

    Several processes may write to one file. A killed process loses only what was in flight. The
    file is readable by its owner only, since it holds text made from the documents.

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
        # Commits come one by one, one for each answer; write-ahead logging makes them cheap.
        self._database = Database(
            self.path, _SCHEMA, _LAYOUT_VERSION, what="answers", elsewhere=_ELSEWHERE, log=True
        )

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def find(self, request: str) -> Entry | None:
        """Return the answer to a request, or None if there is none yet."""
        with self._database.explained():
            row = self._database.connection.execute(
                "SELECT result, read, written, exact FROM answers WHERE request = ?", (request,)
            ).fetchone()
        if row is None:
            return None
        return Entry(json.loads(row[0]), (row[1], row[2]), bool(row[3]))

    def keep(self, request: str, entry: Entry) -> None:
        """Store an answer."""
        with self._database.explained():
            self._database.connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (request, json.dumps(entry.result), *entry.tokens, entry.exact),
            )
