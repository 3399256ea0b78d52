"""Filters: what makes a generated question useless or harmful, one function each.

Each takes candidates and returns those that stay; a question's answers may grow on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.topk import search
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


_BLOCK = 2048

Judge = Callable[[Sequence[tuple[str, list[str]]]], list[list[str]]]
"""Takes questions, each with ids of documents; returns those of them that answer it."""


def _first_alike(vectors: FloatMatrix, least: float) -> IntVector:
    """For each row the first one that it is alike to and that is alike to none before it."""
    first = np.full(len(vectors), -1, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        end = min(start + _BLOCK, len(vectors))
        near = vectors[start:end] @ vectors[:end].T >= least
        for row in range(start, end):
            earlier = np.flatnonzero(near[row - start, :row])
            first[row] = next((other for other in earlier if first[other] == other), row)
    return first


def without_near_duplicates(
    candidates: Sequence[Candidate], vectors: FloatMatrix, least: float
) -> list[Candidate]:
    """Of questions with a cosine of `least` or more keep the first, with the answers of all.

    Args:
        candidates: `n` questions.
        vectors: Their embeddings, unit rows, shape `(n, d)`.
        least: Cosine from which on two questions are the same one.
    """
    firsts = _first_alike(vectors, least).tolist()
    return joined(zip(firsts, candidates, strict=True))


def alike(names: Sequence[str], vectors: FloatMatrix, least: float) -> list[list[str]]:
    """Groups of two or more names whose vectors, directly or through others, are alike.

    Args:
        names: Of the rows.
        vectors: Unit rows, shape `(n, d)`.
        least: Cosine from which on two are alike.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [np.zeros((2, 0), np.int64)]
    for start in range(0, len(names), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T >= least
        rows, others = np.nonzero(near)
        pairs.append(np.stack([rows + start, others]))
    ends = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(len(names),) * 2)
    groups: dict[int, list[str]] = {}
    for name, group in zip(names, connected_components(graph, directed=False)[1], strict=True):
        groups.setdefault(int(group), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def found_again(
    candidates: Sequence[Candidate],
    vectors: FloatMatrix,
    ids: Sequence[str],
    documents: FloatMatrix,
    k: int,
    judge: Judge | None = None,
) -> list[Candidate]:
    """Keep questions that find one of their documents among the first `k`, or that it answers.

    Args:
        candidates: `n` questions.
        vectors: Their embeddings, unit rows, shape `(n, d)`.
        ids: Of the documents.
        documents: Their untuned embeddings, unit rows, shape `(m, d)`.
        k: How deep to look.
        judge: Asked whether its document answers a question that does not find it; without one
            such questions are dropped.
    """
    rows, _ = search(vectors, documents, min(k, len(ids)))
    lost = [
        place
        for place, (each, row) in enumerate(zip(candidates, rows.tolist(), strict=True))
        if set(each.documents).isdisjoint(ids[i] for i in row)
    ]
    settled: dict[int, Candidate | None] = dict.fromkeys(lost)
    if judge is not None and lost:
        answers = judge(
            [(candidates[place].text, list(candidates[place].documents)) for place in lost]
        )
        for place, names in zip(lost, answers, strict=True):
            settled[place] = candidates[place] if names else None
    return _kept(candidates, settled)


def _kept(
    candidates: Sequence[Candidate], settled: Mapping[int, Candidate | None]
) -> list[Candidate]:
    """Candidates, those that were settled as they were: replaced, or dropped for None."""
    found = (settled.get(place, each) for place, each in enumerate(candidates))
    return [each for each in found if each is not None]


def with_all_answers(
    candidates: Sequence[Candidate],
    vectors: FloatMatrix,
    ids: Sequence[str],
    documents: FloatMatrix,
    judge: Judge | None,
    k: int = 5,
) -> list[Candidate]:
    """Settle questions to which another document is nearer than their own.

    With a judge, those of the nearest documents that answer the question as well become answers;
    a question that none answers, its own neither, is dropped. Without, questions are dropped.

    Args:
        candidates: `n` questions.
        vectors: Their embeddings, unit rows, shape `(n, d)`.
        ids: Of the documents.
        documents: Their untuned embeddings, unit rows, shape `(m, d)`.
        judge: Says which documents answer a question.
        k: How many of the nearest documents the judge is shown.
    """
    rows, _ = search(vectors, documents, min(k, len(ids)))
    nearest = [[ids[i] for i in row] for row in rows.tolist()]
    doubtful = [
        place for place, each in enumerate(candidates) if nearest[place][0] not in each.documents
    ]
    settled: dict[int, Candidate | None] = dict.fromkeys(doubtful)
    if judge is not None and doubtful:
        shown = [
            list(dict.fromkeys((*candidates[place].documents, *nearest[place])))
            for place in doubtful
        ]
        questions = [candidates[place].text for place in doubtful]
        answers = judge(list(zip(questions, shown, strict=True)))
        for place, names in zip(doubtful, answers, strict=True):
            own = [name for name in candidates[place].documents if name in names]
            if own:
                first = Candidate(candidates[place].text, tuple(own), candidates[place].kind)
                settled[place] = first.also(names)
    return _kept(candidates, settled)


def balanced(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Keep at most so many questions a document, the first ones."""
    counts: dict[str, int] = {}
    kept = []
    for each in candidates:
        first = each.documents[0]
        counts[first] = counts.get(first, 0) + 1
        if counts[first] <= most:
            kept.append(each)
    return kept
