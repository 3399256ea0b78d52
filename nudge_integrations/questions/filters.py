"""Filters: which generated questions are useless or harmful, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, checked_count
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.topk import search
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset, text_key

_BLOCK = 2048
_EXAMPLES = 5

Judge = Callable[[Sequence[tuple[str, list[str]]]], list[list[str]]]
"""Takes questions, each with document ids; returns those of the documents that answer it."""
Related = Callable[[str, str], bool]
"""Whether two documents, given by id, can answer the same question."""


@dataclass(frozen=True)
class QuestionFilters:
    """Which generated questions to keep; `None` or False turns a filter off.

    The default is what helped tuning on both data sets of benchmarks/filters.json: dropping
    near-duplicates. Turn the others on when your questions need them. Beware of the round trip:
    questions that do not find their document teach the most, and tuning gained much less without
    them.

    Attributes:
        near_duplicates: Of questions with this cosine or more, keep the first, with the answers of
            all whose documents are related.
        round_trip: Keep questions that find their document among the first so many with the
            untuned vectors or, with a judge, that it answers according to that.
        other_answers: Check questions that are closer to another document than to their own: a
            judge's further answers are added; without a judge such questions are dropped.
        per_document: Most questions for one document.
    """

    near_duplicates: float | None = 0.9
    round_trip: int | None = None
    other_answers: bool = False
    per_document: int | None = None

    def __post_init__(self) -> None:
        for name in ("round_trip", "per_document"):
            if getattr(self, name) is not None:
                checked_count(getattr(self, name), name, 1)
        if self.near_duplicates is not None and not 0 < self.near_duplicates <= 1:
            raise DataError(
                f"near_duplicates={self.near_duplicates!r} must be a cosine above 0 and at most 1, "
                "or None to turn it off"
            )

    @property
    def need_vectors(self) -> list[str]:
        """What the filters that compare embeddings look for."""
        wanted = {
            "near-duplicates": self.near_duplicates,
            "questions that do not find their document": self.round_trip,
            "questions to which another document is nearer": self.other_answers,
        }
        return [name for name, value in wanted.items() if value]


@dataclass(frozen=True)
class Candidate:
    """A question that was generated.

    Attributes:
        text: The question.
        documents: Ids of the documents that answer it; the one it was written for comes first.
        kind: The kind that was asked for; empty if unknown.
    """

    text: str
    documents: tuple[str, ...]
    kind: str = ""

    def also(self, documents: Iterable[str]) -> Candidate:
        """The same question with more answers."""
        return replace(self, documents=tuple(dict.fromkeys((*self.documents, *documents))))


@dataclass(frozen=True)
class Space:
    """Embeddings, as unit rows.

    Attributes:
        ids: `m` document ids.
        documents: Returns the untuned embeddings of the documents, shape `(m, d)`.
        of: Returns the embeddings of `n` questions, shape `(n, d)`.
        judge: Says which documents answer a question; None if there is none.
    """

    ids: Sequence[str]
    documents: Callable[[], FloatMatrix]
    of: Callable[[Sequence[Candidate]], FloatMatrix]
    judge: Judge | None = None

    def nearest(self, some: Sequence[Candidate], k: int) -> list[list[str]]:
        """Ids of the `k` documents nearest to each question."""
        rows, _ = search(self.of(some), self.documents(), min(k, len(self.ids)))
        return [[self.ids[i] for i in row] for row in rows.tolist()]


@dataclass(frozen=True)
class Dropped:
    """What a filter did: its name, how many questions it dropped, and some of them."""

    name: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass
class Filtered:
    """The questions that are kept, and why the others are not."""

    kept: list[Candidate]
    dropped: list[Dropped] = field(default_factory=list)

    def through(self, name: str, keep: Callable[[list[Candidate]], list[Candidate]]) -> None:
        """Apply a filter."""
        if not self.kept:
            return
        left = keep(self.kept)
        gone = Counter(each.text for each in self.kept) - Counter(each.text for each in left)
        self.dropped.append(Dropped(name, gone.total(), tuple(gone)[:_EXAMPLES]))
        self.kept = left


def filtered(
    candidates: Sequence[Candidate],
    chosen: QuestionFilters,
    space: Space | None,
    related: Related = lambda *_: True,
    copied: Callable[[Candidate], bool] = lambda _: False,
) -> Filtered:
    """Apply filters, cheap ones first; those that need embeddings only if there is a `space`.

    `related` says which documents can answer the same question, `copied` whether a question is
    part of the prompt.
    """
    result = Filtered(list(candidates))
    result.through(
        "copied from the prompt", lambda some: [each for each in some if not copied(each)]
    )
    result.through("asked of unrelated documents", partial(about_one_thing, related=related))
    result.through("same text", merged)
    least, k = chosen.near_duplicates, chosen.round_trip
    if space is not None and least is not None:
        result.through(
            "near-duplicate",
            lambda some: without_near_duplicates(some, space.of(some), least, related),
        )
    if space is not None and k is not None:
        result.through("does not find its document", lambda some: found_again(some, space, k))
    if space is not None and chosen.other_answers:
        result.through("another document is nearer", partial(with_all_answers, space=space))
    if chosen.per_document is not None:
        result.through("too many for a document", partial(balanced, most=chosen.per_document))
    return result


def about_one_thing(candidates: Sequence[Candidate], related: Related) -> list[Candidate]:
    """Drop texts asked of documents that have nothing to do with each other.

    Such a question ("What is this about?", or words of the prompt that a small model repeats) does
    not tell which of them it is about.
    """
    first: dict[str, str] = {}
    vague = set()
    for each in candidates:
        key, name = text_key(each.text), each.documents[0]
        same = first.setdefault(key, name) == name or key in vague
        if not same and not related(first[key], name):
            vague.add(key)
    return [each for each in candidates if text_key(each.text) not in vague]


def merged(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One candidate for each text (see `text_key`): the first, with the answers of all."""
    return _joined((text_key(each.text), each) for each in candidates)


def _joined(
    keyed: Iterable[tuple[Hashable, Candidate]], related: Related = lambda *_: True
) -> list[Candidate]:
    """One candidate for each key: the first, with the answers of all whose document is related."""
    first: dict[Hashable, Candidate] = {}
    answers: dict[Hashable, dict[str, None]] = {}
    for key, each in keyed:
        one = first.setdefault(key, each)
        if one is each or related(one.documents[0], each.documents[0]):
            answers.setdefault(key, {}).update(dict.fromkeys(each.documents))
    return [replace(each, documents=tuple(answers[key])) for key, each in first.items()]


def as_dataset(candidates: Sequence[Candidate], corpus: Mapping[str, str]) -> RelevanceDataset:
    """The questions as a dataset; a question's id is a hash of its text, so it never changes."""
    named = {f"q-{text_hash(text_key(each.text))[:16]}": each for each in candidates}
    return RelevanceDataset(
        {name: each.text for name, each in named.items()},
        corpus,
        {name: list(each.documents) for name, each in named.items()},
    )


def without_near_duplicates(
    candidates: Sequence[Candidate],
    vectors: FloatMatrix,
    least: float,
    related: Related = lambda *_: True,
) -> list[Candidate]:
    """Of questions with a cosine of `least` or more keep the first, with all related answers.

    `vectors` are the questions' embeddings, unit rows, shape `(n, d)`.
    """
    # For each row, the first one that it is close to and that is close to none before it.
    first = np.full(len(vectors), -1, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T >= least
        for row, close in enumerate(near, start):
            earlier = np.flatnonzero(close[:row])
            first[row] = next((other for other in earlier if first[other] == other), row)
    return _joined(zip(first.tolist(), candidates, strict=True), related)


def found_again(candidates: Sequence[Candidate], space: Space, k: int) -> list[Candidate]:
    """Keep questions that find one of their documents among the first `k`.

    A judge is asked whether its document answers a question that does not find it; without one,
    such questions are dropped.
    """
    doubtful = {
        place: list(each.documents)
        for place, (each, near) in enumerate(
            zip(candidates, space.nearest(candidates, k), strict=True)
        )
        if set(each.documents).isdisjoint(near)
    }
    return _settled(candidates, doubtful, space.judge, lambda each, names: each if names else None)


def with_all_answers(candidates: Sequence[Candidate], space: Space, k: int = 5) -> list[Candidate]:
    """Check questions that are closer to another document than to their own.

    With a judge, those of the `k` nearest documents that answer the question as well become
    answers; a question that its own document does not answer is dropped. Without one, all of these
    questions are.
    """
    doubtful = {
        place: list(dict.fromkeys((*each.documents, *near)))
        for place, (each, near) in enumerate(
            zip(candidates, space.nearest(candidates, k), strict=True)
        )
        if near[0] not in each.documents
    }

    def settle(each: Candidate, names: list[str]) -> Candidate | None:
        own = tuple(name for name in each.documents if name in names)
        return replace(each, documents=own).also(names) if own else None

    return _settled(candidates, doubtful, space.judge, settle)


def _settled(
    candidates: Sequence[Candidate],
    doubtful: Mapping[int, list[str]],
    judge: Judge | None,
    settle: Callable[[Candidate, list[str]], Candidate | None],
) -> list[Candidate]:
    """Candidates; the doubtful ones as `settle` makes them of the judge's answers, if at all."""
    asked = [(candidates[place].text, names) for place, names in doubtful.items()]
    answers = judge(asked) if judge is not None and asked else [[] for _ in asked]
    settled = {
        place: settle(candidates[place], names)
        for place, names in zip(doubtful, answers, strict=True)
    }
    found = (settled.get(place, each) for place, each in enumerate(candidates))
    return [each for each in found if each is not None]


def balanced(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Keep the first `most` questions of each document."""
    counts: Counter[str] = Counter()
    kept = []
    for each in candidates:
        counts[each.documents[0]] += 1
        if counts[each.documents[0]] <= most:
            kept.append(each)
    return kept
