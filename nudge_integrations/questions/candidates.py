"""Questions on their way through the filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nudge_integrations.files import text_hash
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
    found: dict[str, Candidate] = {}
    for each in candidates:
        key = text_key(each.text)
        found[key] = found[key].also(each.documents) if key in found else each
    return list(found.values())


def as_dataset(candidates: Sequence[Candidate], corpus: Mapping[str, str]) -> RelevanceDataset:
    """The questions as a dataset; a question's id is a hash of its text, so it never changes."""
    names = [f"q-{text_hash(text_key(each.text))[:16]}" for each in candidates]
    return RelevanceDataset(
        {name: each.text for name, each in zip(names, candidates, strict=True)},
        corpus,
        {name: list(each.documents) for name, each in zip(names, candidates, strict=True)},
    )


def from_dataset(dataset: RelevanceDataset) -> list[Candidate]:
    """The questions of a dataset that have an answer."""
    return [
        Candidate(dataset.queries[name], dataset.answers(name)) for name in dataset.judged_queries
    ]
