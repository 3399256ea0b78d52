"""What a language model answered and what it cost; no request is billed twice."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from nudge_integrations.common.sqlite import Database
from nudge_integrations.embedding.cache import cache_folder
from nudge_integrations.errors import NudgeError
from nudge_integrations.questions.chat import Reply
from nudge_integrations.questions.failures import is_hopeless, told
from nudge_integrations.questions.filters import Dropped

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
_LETTERS_PER_TOKEN = 4
_GUESSED_ANSWER = 100  # tokens
_EMPTY = (
    "a model that reasons may put everything into another field; turn its reasoning off or raise "
    "its limit of tokens"
)
_HOPE = 20
"""Consecutive failures before giving up on the server."""


@dataclass(frozen=True)
class Entry:
    """An answer.

    Attributes:
        result: What was read from it; JSON.
        tokens: Number of tokens read and written.
        exact: Whether the model reported the tokens; otherwise they are estimated by length.
        empty: Whether the answer held no text; not kept.
    """

    result: Any
    tokens: tuple[int, int]
    exact: bool = True
    empty: bool = False


class Ledger:
    """On-disk answers by the hash of their request, each committed as it comes.

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
        path = cache_folder(place)
        if path is not None and path.suffix != ".sqlite":
            path = path / _FILE
        # Commits come one by one, one for each answer; write-ahead logging makes them cheap.
        self._database = Database(
            path, _SCHEMA, _LAYOUT_VERSION, what="answers", elsewhere=_ELSEWHERE, log=True
        )
        if path is not None:
            with contextlib.suppress(OSError):  # a file that somebody else made and shares
                path.chmod(0o600)

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
        return row and Entry(json.loads(row[0]), (row[1], row[2]), bool(row[3]))

    def keep(self, request: str, entry: Entry) -> None:
        """Store an answer."""
        with self._database.explained():
            self._database.connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (request, json.dumps(entry.result), *entry.tokens, entry.exact),
            )


@dataclass
class Usage:
    """Requests so far, and what they cost.

    Attributes:
        price: Of a million tokens, read and written, in any currency; None if unknown.
        asked: Requests answered in this run.
        remembered: Requests answered in an earlier run; they cost nothing now.
        tokens_read: Tokens that the model read in this run.
        tokens_written: Tokens that it wrote in this run.
        estimated: Whether the model did not report its tokens, so that they are estimated.
        failed: Name -> reason, for requests that were given up.
        empty: Answers without any text.
        secrets: Keys that no message may hold.
        stopped: Why not everything was asked; None if it was.
        seconds: Time spent asking.
    """

    price: tuple[float, float] | None = None
    asked: int = 0
    remembered: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    estimated: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    empty: int = 0
    secrets: tuple[str, ...] = ()
    stopped: str | None = None
    seconds: float = 0.0
    _in_a_row: int = 0

    @property
    def cost(self) -> float | None:
        """Money spent in this run, in the currency of the price."""
        if self.price is None:
            return None
        return (self.tokens_read * self.price[0] + self.tokens_written * self.price[1]) / 1_000_000

    def answered(self, entry: Entry) -> None:
        """Count an answer."""
        self.asked += 1
        self._in_a_row = 0
        self.tokens_read += entry.tokens[0]
        self.tokens_written += entry.tokens[1]
        self.estimated = self.estimated or not entry.exact
        self.empty += entry.empty

    def failed_for(self, name: str, error: BaseException) -> None:
        """Count a request that was given up.

        Raises:
            NudgeError: No request will succeed, or none does.
        """
        why = self.failed[name] = told(error, self.secrets)
        self._in_a_row += 1
        # The client's own error would show whatever the server echoed, keys included.
        if is_hopeless(error):
            raise NudgeError(
                f"the language model refuses every request ({why}): check its key, its address "
                "and its name. What was answered is kept"
            ) from None
        if self._in_a_row >= _HOPE:
            raise NudgeError(
                f"{self._in_a_row} requests in a row failed, the last with: {why}. What was "
                "answered is kept: the same call goes on from there"
            ) from None

    def would_exceed(self, most: float | None, running: int, prompt: str) -> bool:
        """Whether so many more requests could cost more than is left; says so in `stopped`."""
        if most is None or self.price is None:
            return False
        guess = len(prompt) / _LETTERS_PER_TOKEN * self.price[0] + _GUESSED_ANSWER * self.price[1]
        spent = self.cost or 0.0
        each = spent / self.asked if self.asked else guess / 1_000_000
        if spent + each * running <= most:
            return False
        self.stopped = f"another request could cost more than is left of max_cost={most:g}"
        return True

    def so_far(self) -> str:
        """For the progress bar."""
        parts = [f"{self.tokens_read + self.tokens_written:,} tokens"]
        parts += [] if self.cost is None else [f"cost {self.cost:.2f}"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """What went wrong, and what it cost, for reports."""
        lines = []
        if self.failed:
            lines.append(
                f"  {len(self.failed):,} requests failed for good{self.first_failure()}; the same "
                "call asks them again"
            )
        if self.empty:
            lines.append(f"  {self.empty:,} answers were empty: {_EMPTY}")
        if self.stopped:
            lines.append(f"  stopped early: {self.stopped}")
        guessed = " (estimated by length: the model does not report them)" * self.estimated
        cost = "" if self.cost is None else f", cost {self.cost:.4g}"
        remembered = f" and {self.remembered:,} remembered" if self.remembered else ""
        line = f"  {self.asked:,} requests{remembered}, {self.tokens_read:,} tokens read, "
        line += f"{self.tokens_written:,} written{guessed}{cost}, {self.seconds:.1f} s"
        return [*lines, line]

    def first_failure(self) -> str:
        """Why a request failed or gave nothing, in brackets; empty if all is well."""
        for name, why in self.failed.items():
            return f" ({name}: {why})"
        return f" ({self.empty} answers were empty: {_EMPTY})" if self.empty else ""


def tokens_of(reply: Reply, prompt: str) -> tuple[tuple[int, int], bool]:
    """Tokens read and written, and whether the model reported them; else estimated by length."""
    if reply.tokens is not None:
        return (max(0, reply.tokens[0]), max(0, reply.tokens[1])), True
    sizes = (len(prompt) // _LETTERS_PER_TOKEN, len(reply.text) // _LETTERS_PER_TOKEN)
    return sizes, False


@dataclass(frozen=True)
class QuestionReport:
    """What became of the documents and of the questions; `print` it.

    Attributes:
        documents: Number of documents in the corpus.
        asked: Number of documents that the model was asked about.
        fruitless: Ids of documents for which it wrote nothing that could be used.
        written: Number of questions that it wrote.
        dropped: What each filter dropped.
        kept: Number of questions in the dataset.
        skipped: What could not be checked, and why; None if everything was.
        usage: Requests, tokens, cost, failures.
    """

    documents: int
    asked: int
    fruitless: tuple[str, ...]
    written: int
    dropped: tuple[Dropped, ...]
    kept: int
    skipped: str | None
    usage: Usage

    def __str__(self) -> str:
        lines = [
            f"{self.kept:,} questions kept of {self.written:,} written for {self.asked:,} of "
            f"{self.documents:,} documents"
        ]
        for each in self.dropped:
            if each.count:
                example = f', such as "{each.examples[0]}"' if each.examples else ""
                lines.append(f"  {each.count:6,} dropped: {each.name}{example}")
        if self.skipped:
            lines.append(f"  not looked for: {self.skipped}")
        if self.fruitless:
            lines.append(f"  {len(self.fruitless):,} documents gave no usable question")
        return "\n".join([*lines, *self.usage.lines()])
