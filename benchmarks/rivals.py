"""What a developer would do instead: adapters on the query side, a question index, BM25."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import numpy as np
import torch

BATCH, EPOCHS, PATIENCE = 256, 30, 5
TEMPERATURES, RATES = (0.02, 0.05, 0.1), (1e-3, 3e-4)

Vectors = np.ndarray


class Linear(torch.nn.Module):
    """`W q`, from the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.eye(width))

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        return queries @ self.matrix.T


class TwoLayers(torch.nn.Module):
    """`q + B relu(A q)`, from the identity: the shape of LlamaIndex's TwoLayerNN."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, width)
        self.second = torch.nn.Linear(width, width)
        torch.nn.init.zeros_(self.second.weight)
        torch.nn.init.zeros_(self.second.bias)

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(torch.relu(self.first(queries)))
        return queries + hidden


def adapter(
    kind: type[torch.nn.Module],
    documents: Vectors,
    queries: Vectors,
    pairs: tuple[np.ndarray, np.ndarray],
    valid: Callable[[Vectors], float],
    validation: Vectors,
) -> torch.nn.Module:
    """Train by in-batch softmax; temperature, rate and epoch by what validation likes best.

    Args:
        kind: `Linear` or `TwoLayers`.
        documents: Unit rows.
        queries: Unit rows: training queries.
        pairs: Query and document of each training pair.
        valid: Score of adapted validation queries, higher is better.
        validation: Unit rows.
    """
    corpus, asked, held = (torch.from_numpy(each) for each in (documents, queries, validation))
    best, best_state = -1.0, None
    for temperature, rate in itertools.product(TEMPERATURES, RATES):
        torch.manual_seed(0)
        order = np.random.default_rng(0)
        model = kind(documents.shape[1])
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        here, since = -1.0, 0
        for _ in range(EPOCHS):
            shuffled = order.permutation(len(pairs[0]))
            for start in range(0, len(shuffled), BATCH):
                rows = shuffled[start : start + BATCH]
                adapted = torch.nn.functional.normalize(model(asked[pairs[0][rows]]))
                scores = adapted @ corpus[pairs[1][rows]].T / temperature
                loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(rows)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                score = valid(model(held).numpy())
            if score > here:
                here, since = score, 0
            else:
                since += 1
            if score > best:
                best = score
                best_state = {name: each.clone() for name, each in model.state_dict().items()}
            if since >= PATIENCE:
                break
    model = kind(documents.shape[1])
    assert best_state is not None
    model.load_state_dict(best_state)
    return model


def question_index(
    documents: Vectors,
    queries: Vectors,
    pairs: tuple[np.ndarray, np.ndarray],
    asked: Vectors,
    k: int,
) -> np.ndarray:
    """Every known question is a further vector of its answers; a document counts by its best."""
    rows = []
    for start in range(0, len(asked), 256):
        tile = asked[start : start + 256]
        scores = tile @ documents.T
        known = tile @ queries.T
        np.maximum.at(scores.T, pairs[1], known[:, pairs[0]].T)
        rows.append(np.argsort(-scores, axis=1, kind="stable")[:, :k])
    return np.concatenate(rows)


def words(text: str) -> list[str]:
    """Lower-cased words."""
    return re.findall(r"\w+", text.lower())


def bm25(corpus: list[str], asked: list[str], k: int) -> np.ndarray:
    """Top rows by BM25 of rank_bm25, with its own parameters."""
    from rank_bm25 import BM25Okapi

    index = BM25Okapi([words(text) for text in corpus])
    found = [np.argsort(-index.get_scores(words(text)), kind="stable")[:k] for text in asked]
    return np.stack(found)


def fused(first: np.ndarray, second: np.ndarray, count: int, k: int) -> np.ndarray:
    """Reciprocal rank fusion of two rankings, shape `(q, depth)` each, with the usual 60."""
    result = np.zeros((len(first), k), np.int64)
    for row, both in enumerate(zip(first, second, strict=True)):
        scores = np.zeros(count)
        for ranking in both:
            scores[ranking] += 1 / (61 + np.arange(len(ranking)))
        result[row] = np.argsort(-scores, kind="stable")[:k]
    return result
