"""A small corpus in which people ask otherwise than documents are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_integrations import RelevanceDataset

D = 24


@dataclass
class World:
    """Documents by id, and questions with their vectors and answers."""

    ids: list[str]
    vectors: np.ndarray
    queries: dict[str, np.ndarray]
    answers: dict[str, list[str]]

    def dataset(self, names: list[str] | None = None) -> RelevanceDataset:
        chosen = list(self.queries) if names is None else names
        return RelevanceDataset(
            {name: f"question {name}" for name in chosen},
            {},
            {name: self.answers[name] for name in chosen},
        )

    def embed(self, text: str) -> list[float]:
        return self.queries[text.removeprefix("question ")].tolist()

    def part(self, first: int, last: int) -> RelevanceDataset:
        return self.dataset(list(self.queries)[first:last])


def world(
    as_id: Any = str, documents: int = 240, asked: int = 110, seed: int = 0, units: bool = True
) -> World:
    """Questions lie off their answers, each answer's into a direction of its own."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(documents, D))
    vectors += 1.5 * rng.normal(size=(12, D))[rng.integers(0, 12, documents)]
    if units:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [as_id(f"doc-{row}") for row in range(documents)]
    queries, answers = {}, {}
    drift = 0.2 * rng.normal(size=(documents, D))
    for number in range(asked):
        row = int(rng.integers(0, documents // 5))
        scale = np.linalg.norm(vectors[row])
        vector = vectors[row] / scale + 0.1 * rng.normal(size=D) + drift[row]
        queries[f"q{number}"] = vector.astype(np.float32)
        answers[f"q{number}"] = [ids[row]]
    return World(ids, vectors.astype(np.float32), queries, answers)
