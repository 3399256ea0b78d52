"""What generating questions did, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

from nudge_integrations.questions.selection import Dropped
from nudge_integrations.questions.usage import Usage


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
