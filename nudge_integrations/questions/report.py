"""What a run cost, and what became of its questions, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from nudge_integrations.errors import NudgeError
from nudge_integrations.questions.chat import Reply
from nudge_integrations.questions.failures import is_hopeless
from nudge_integrations.questions.ledger import Entry
from nudge_integrations.questions.selection import Dropped

_LETTERS_PER_TOKEN = 4
_GUESSED_ANSWER = 100
_HOPE = 20
"""Failures on end after which the server counts as down."""


@dataclass
class Usage:
    """Requests so far.

    Attributes:
        price: Of a million tokens, read and written; None if it is not known.
        asked: Requests answered now.
        remembered: Requests answered in an earlier run; they cost nothing now.
        tokens_read: By the model, now.
        tokens_written: By the model, now.
        estimated: Whether the model did not tell its tokens, so that they are guessed by length.
        failed: What it was about -> why, for requests that were given up.
        stopped: Why not everything was asked; None if it was.
        seconds: Spent asking.
    """

    price: tuple[float, float] | None = None
    asked: int = 0
    remembered: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    estimated: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None
    seconds: float = 0.0
    _in_a_row: int = 0

    @property
    def cost(self) -> float | None:
        """Money spent now, in the currency of the price."""
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

    def failed_for(self, name: str, error: BaseException | None) -> None:
        """Count a request that was given up.

        Raises:
            NudgeError: No request will succeed, or none does.
        """
        if error is not None and is_hopeless(error):
            raise NudgeError(
                f"the language model refuses every request ({_short(error)}): check its key, its "
                "address and its name. What was answered is kept"
            ) from error
        self.failed[name] = _short(error)
        self._in_a_row += 1
        if self._in_a_row >= _HOPE:
            raise NudgeError(
                f"{self._in_a_row} requests on end failed, the last with: {_short(error)}. What "
                "was answered is kept: the same call goes on from there"
            ) from error

    def would_exceed(self, most: float | None, running: int, prompt: str) -> bool:
        """Whether so many more requests could cost more than is left; says so in `stopped`."""
        if most is None or self.price is None:
            return False
        guess = len(prompt) / _LETTERS_PER_TOKEN * self.price[0] + _GUESSED_ANSWER * self.price[1]
        spent = self.cost or 0.0
        each = spent / self.asked if self.asked else guess / 1_000_000
        if spent + each * running <= most:
            return False
        self.stopped = f"max_cost={most:g} is spent, as far as whole requests go"
        return True

    def so_far(self) -> str:
        """For the progress bar."""
        tokens = self.tokens_read + self.tokens_written
        parts = [f"{tokens:,} tokens"]
        if self.cost is not None:
            parts.append(f"cost {self.cost:.2f}")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        return ", ".join(parts)


def tokens_of(reply: Reply, prompt: str) -> tuple[tuple[int, int], bool]:
    """Tokens read and written; and whether the model told them, or they are guessed by length."""
    if reply.tokens is not None:
        return reply.tokens, True
    sizes = (len(prompt) // _LETTERS_PER_TOKEN, len(reply.text) // _LETTERS_PER_TOKEN)
    return sizes, False


def _short(error: BaseException | None) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else f"{text[:300]}…"


@dataclass(frozen=True)
class QuestionReport:
    """What became of the documents and of the questions. Printed, it says so.

    Attributes:
        documents: In the corpus.
        asked: Documents that the model was asked about.
        fruitless: Ids of documents for which it wrote nothing that could be used: it refused, or
            they hold nothing to ask about.
        written: Questions that it wrote.
        dropped: What each filter took away.
        kept: Questions in the dataset.
        skipped: What could not be looked for, and why; None if everything was.
        usage: Requests, tokens, money, failures.
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
        usage = self.usage
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
        if usage.failed:
            name, why = next(iter(usage.failed.items()))
            lines.append(
                f"  {len(usage.failed):,} requests failed for good ({name}: {why}); the same call "
                "asks them again"
            )
        if usage.stopped:
            lines.append(f"  stopped early: {usage.stopped}")
        tokens = f"{usage.tokens_read:,} tokens read, {usage.tokens_written:,} written"
        if usage.estimated:
            tokens += " (guessed by length: the model does not tell)"
        cost = "" if usage.cost is None else f", cost {usage.cost:.4g}"
        remembered = f" and {usage.remembered:,} remembered" if usage.remembered else ""
        lines.append(
            f"  {usage.asked:,} requests{remembered}, {tokens}{cost}, {usage.seconds:.1f} s"
        )
        return "\n".join(lines)
