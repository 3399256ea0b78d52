"""Which filters are applied, in which order, and what each of them took away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.errors import DataError
from nudge_integrations.questions import filters
from nudge_integrations.questions.filters import Candidate, merged

_EXAMPLES = 5


@dataclass(frozen=True)
class QuestionFilters:
    """Which generated questions to keep; `None` or False turns a filter off.

    On by default is what helped tuning on both sets of benchmarks/filters.json: near-duplicates.
    The others are for when your questions need them. Beware of the round trip: questions that do
    not find their document are the ones that teach most, and without them tuning gained much less.

    Attributes:
        near_duplicates: Of questions with this cosine or more keep the first, with the answers of
            all.
        round_trip: Keep questions that find their document among so many first ones with the
            untuned vectors, or, with a judge, that it answers according to that.
        other_answers: Settle questions to which another document is nearer than their own: a
            judge's further answers are added; without a judge such questions are dropped.
        per_document: At most so many questions a document.
    """

    near_duplicates: float | None = 0.9
    round_trip: int | None = None
    other_answers: bool = False
    per_document: int | None = None

    def __post_init__(self) -> None:
        for name in ("round_trip", "per_document"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name}={value!r} must be 1 or more, or None to turn it off")
        if self.near_duplicates is not None and not 0 < self.near_duplicates <= 1:
            raise DataError(
                f"near_duplicates={self.near_duplicates!r} is no cosine in (0, 1]; None turns it "
                "off"
            )

    @property
    def need_vectors(self) -> list[str]:
        """What the filters that look at embeddings are about."""
        wanted = {
            "near-duplicates": self.near_duplicates,
            "questions that do not find their document": self.round_trip,
            "questions to which another document is nearer": self.other_answers,
        }
        return [name for name, value in wanted.items() if value]


@dataclass(frozen=True)
class Space:
    """Where questions and documents stand.

    Attributes:
        ids: Of the documents.
        documents: Gives their untuned embeddings, unit rows, shape `(m, d)`.
        of: Gives embeddings of questions, unit rows.
        judge: Says which documents answer a question; None for nobody.
    """

    ids: Sequence[str]
    documents: Callable[[], FloatMatrix]
    of: Callable[[Sequence[Candidate]], FloatMatrix]
    judge: filters.Judge | None = None


@dataclass(frozen=True)
class Dropped:
    """What a filter did.

    Attributes:
        name: Of the filter.
        count: Questions that it took away.
        examples: Some of them.
    """

    name: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass
class Filtered:
    """Questions that stay, and why others did not."""

    kept: list[Candidate]
    dropped: list[Dropped] = field(default_factory=list)

    def through(self, name: str, keep: Callable[[list[Candidate]], list[Candidate]]) -> None:
        """Apply a filter."""
        if not self.kept:
            return
        left = keep(self.kept)
        texts = {each.text for each in left}
        gone = [each.text for each in self.kept if each.text not in texts]
        self.dropped.append(Dropped(name, len(gone), tuple(gone[:_EXAMPLES])))
        self.kept = left


def filtered(
    candidates: Sequence[Candidate],
    chosen: QuestionFilters,
    space: Space | None,
) -> Filtered:
    """Apply filters, the cheap ones first.

    Args:
        candidates: Questions.
        chosen: Which filters.
        space: Embeddings; None skips the filters that need them.
    """
    result = Filtered(list(candidates))
    result.through("same text", merged)
    if space is not None and result.kept:
        _by_vectors(result, chosen, space)
    if chosen.per_document is not None:
        result.through("too many a document", partial(filters.balanced, most=chosen.per_document))
    return result


def _by_vectors(result: Filtered, chosen: QuestionFilters, space: Space) -> None:
    if chosen.near_duplicates is not None:
        least = chosen.near_duplicates
        result.through(
            "near-duplicate",
            lambda some: filters.without_near_duplicates(some, space.of(some), least),
        )
    if chosen.round_trip is not None:
        k = chosen.round_trip
        result.through(
            "does not find its document",
            lambda some: filters.found_again(
                some, space.of(some), space.ids, space.documents(), k, space.judge
            ),
        )
    if chosen.other_answers:
        result.through(
            "another document is nearer",
            lambda some: filters.with_all_answers(
                some, space.of(some), space.ids, space.documents(), space.judge
            ),
        )
