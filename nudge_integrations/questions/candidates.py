"""Questions on their way through the filters."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nudge_integrations.common.files import text_hash
from nudge_integrations.relevance import RelevanceDataset, text_key


@dataclass(frozen=True)
class Candidate:
    """A question that was written, or asked.

    Attributes:
        text: The question.
        documents: Ids of the documents that answer it, the one that it was written for first.
        kind: What kind was asked for; empty if that is not known.
    """

    text: str
    documents: tuple[str, ...]
    kind: str = ""

    def also(self, documents: Iterable[str]) -> Candidate:
        """The same question with more answers."""
        return replace(self, documents=tuple(dict.fromkeys((*self.documents, *documents))))


def merged(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One candidate for each text (see `text_key`): the first, with the answers of all."""
    return joined((text_key(each.text), each) for each in candidates)


def joined(keyed: Iterable[tuple[Hashable, Candidate]]) -> list[Candidate]:
    """One candidate for each key: the first, with the answers of all."""
    first: dict[Hashable, Candidate] = {}
    answers: dict[Hashable, dict[str, None]] = {}
    for key, each in keyed:
        first.setdefault(key, each)
        answers.setdefault(key, {}).update(dict.fromkeys(each.documents))
    return [replace(each, documents=tuple(answers[key])) for key, each in first.items()]


def as_dataset(candidates: Sequence[Candidate], corpus: Mapping[str, str]) -> RelevanceDataset:
    """The questions as a dataset; a question's id is a hash of its text, so it never changes."""
    names = [f"q-{text_hash(text_key(each.text))[:16]}" for each in candidates]
    return RelevanceDataset(
        {name: each.text for name, each in zip(names, candidates, strict=True)},
        corpus,
        {name: list(each.documents) for name, each in zip(names, candidates, strict=True)},
    )
