"""NUDGE by its definitions, in float64 and in plain loops: what the tests compare with.

Notation as in arXiv 2409.02343: documents x_i, training queries q, g_i the sum of the training
queries that document i answers, h_i = g_i / |g_i|. Nothing here is fast, and nothing here is
shared with the code under test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_integrations.methods import Judgments

Array = np.ndarray[Any, Any]

TOLERANCE = 2e-6
"""Scores of float32 products of vectors of length about 1 closer than this may stand either way."""


@dataclass(frozen=True)
class Questions:
    """Queries with the documents that answer them: row -> grade, one dict a query."""

    vectors: Array
    answers: list[dict[int, float]]

    def judgments(self, n_documents: int) -> Judgments:
        return Judgments.from_lists(
            [list(each) for each in self.answers],
            n_documents,
            [list(each.values()) for each in self.answers],
        )

    def as_set(self) -> dict[str, Any]:
        """In the form that nudge-ft takes."""
        return {"q_embs": self.vectors, "q_ans_indx": [list(each) for each in self.answers]}

    def some(self, rows: Sequence[int] | Array) -> Questions:
        return Questions(self.vectors[rows], [self.answers[row] for row in rows])

    def and_also(self, other: Questions) -> Questions:
        both = np.concatenate([self.vectors, other.vectors])
        return Questions(both, self.answers + other.answers)

    def renamed(self, new_row: Sequence[int] | Array) -> Questions:
        """With document `i` now standing at `new_row[i]`."""
        answers = [{int(new_row[doc]): g for doc, g in each.items()} for each in self.answers]
        return replace(self, answers=answers)


def random_questions(
    rng: np.random.Generator,
    count: int,
    documents: Array,
    *,
    noise: float = 0.6,
    at_most: int = 3,
    at_least: int = 0,
    grades: Sequence[float] = (1.0, 2.0),
) -> Questions:
    """Queries near the documents that answer them.

    Where `documents` are not the vectors of the corpus but others near them, then tuning has
    something to find: all questions about a document lie to the same side of it.
    """
    answers, vectors = [], []
    for _ in range(count):
        size = int(rng.integers(at_least, at_most + 1))
        rows = rng.choice(len(documents), min(size, len(documents)), replace=False)
        answers.append({int(row): float(rng.choice(grades)) for row in rows})
        centre = documents[rows].sum(axis=0) if len(rows) else np.zeros(documents.shape[1])
        vectors.append(centre + noise * rng.normal(size=documents.shape[1]))
    return Questions(unit(np.array(vectors)).astype(np.float32), answers)


def random_documents(
    rng: np.random.Generator, count: int, dimension: int, *, twice: float = 0.15
) -> Array:
    """Unit vectors, the share `twice` of them a second time."""
    documents = unit(rng.normal(size=(count, dimension))).astype(np.float32)
    for row in rng.integers(0, count, int(twice * count)):
        documents[row] = documents[rng.integers(0, count)]
    return documents


def unit(matrix: Array) -> Array:
    matrix = np.asarray(matrix, dtype=np.float64)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def unit_directions(queries: Array, answers: Sequence[Sequence[int]], n: int) -> dict[int, Array]:
    """h_i of each document with at least one training query, unless its queries cancel out."""
    sums: dict[int, Array] = {}
    for query, rows in zip(queries.astype(np.float64), answers, strict=True):
        for row in rows:
            assert 0 <= row < n
            sums[row] = sums.get(row, 0.0) + query
    lengths = {row: float(np.linalg.norm(each)) for row, each in sums.items()}
    return {row: each / lengths[row] for row, each in sums.items() if lengths[row] > 1e-6}


def rotated(x: Array, h: Array, gamma: float) -> Array:
    """The unit vector nearest to `h` with |x' - x|^2 <= gamma (section 3.3), for unit x and h.

    On the circle through x and h: by the angle arccos(1 - gamma / 2), but not past h.
    """
    cosine = float(x @ h)
    rest = h - cosine * x
    if cosine < 0 or np.linalg.norm(rest) < 1e-9:
        return x
    if cosine >= 1 - gamma / 2:
        return h
    return (1 - gamma / 2) * x + math.sqrt(gamma - gamma**2 / 4) * rest / np.linalg.norm(rest)


def moved_documents(
    documents: Array, train: Questions, gamma: float, method: str, similarity: str = "cosine"
) -> Array:
    """Every document after a step of `gamma`; lengths are kept by NUDGE-N only."""
    result = documents.astype(np.float64)
    queries = unit(train.vectors) if similarity == "cosine" else train.vectors
    answers = [list(each) for each in train.answers]
    for row, h in unit_directions(queries, answers, len(documents)).items():
        x = result[row].copy()
        length = np.linalg.norm(x)
        result[row] = x + gamma * h if method == "m" else length * rotated(x / length, h, gamma)
    return result


def score_matrix(queries: Array, documents: Array, similarity: str = "cosine") -> Array:
    if similarity == "cosine":
        return unit(queries) @ unit(documents).T
    return queries.astype(np.float64) @ documents.astype(np.float64).T


def top_grades(
    scores: Array, answers: Sequence[dict[int, float]], k: int, favour: float = 0.0
) -> Array:
    """Grades of the k best of all documents, best first; of equal scores the relevant one first.

    Args:
        scores: Of every document, for every query.
        answers: Grades by document.
        k: Ranks beyond the number of documents are 0.
        favour: Added to a score for each unit of grade: with a little more than the rounding error,
            the best ranking that rounding could give; with a little less than nothing, the worst.
    """
    result = np.zeros((len(scores), k))
    for line, of_query, row in zip(result, answers, scores, strict=True):
        grades = np.zeros(len(row))
        grades[list(of_query)] = list(of_query.values())
        # Where rounding is against the relevant document, it also loses ties.
        second = grades if favour < 0 else -grades
        best = np.lexsort((second, -(row + favour * grades)))[:k]
        line[: len(best)] = grades[best]
    return result


def metric_value(name: str, k: int, ranked: Array, answers: dict[int, float]) -> float:
    """One metric of one ranking, from the grades in rank order."""
    ranked = ranked[:k]
    if not answers:
        return 0.0
    if name == "ndcg":
        ideal = sorted(answers.values(), reverse=True)[:k]

        def gain(grades: Sequence[float] | Array) -> float:
            return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(grades))

        return gain(ranked) / gain(ideal)
    hits = [rank for rank, grade in enumerate(ranked) if grade > 0]
    if name == "mrr":
        return 1 / (hits[0] + 1) if hits else 0.0
    if name == "recall":
        return len(hits) / len(answers)
    if name == "recall_cap":
        return len(hits) / min(len(answers), k)
    raise AssertionError(name)


def metric_values(metric: str, ranked: Array, answers: Sequence[dict[int, float]]) -> Array:
    """The metric of each query; `metric` such as `"ndcg@10"`."""
    name, k = metric.split("@")
    return np.array(
        [metric_value(name, int(k), row, each) for row, each in zip(ranked, answers, strict=True)]
    )


def answered(questions: Questions) -> Array:
    return np.flatnonzero([len(each) > 0 for each in questions.answers])
