"""Tuning with the labelled documents alone and what a store's search finds beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations import NudgeM, NudgeN
from nudge_integrations.methods import Judgments
from nudge_integrations.methods.base import Method

METHODS = [
    (NudgeN, "cosine"),
    (NudgeN, "dot"),
    (NudgeM, "dot"),
]


def problem(seed: int, similarity: str) -> tuple[Any, ...]:
    """A corpus in which some documents answer nothing, and questions near their answers."""
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(300, 12)).astype(np.float32)
    if similarity == "dot":
        documents *= rng.uniform(0.8, 1.2, size=(300, 1)).astype(np.float32)
    answers = rng.integers(0, 60, size=80)
    queries = documents[answers] + 1.2 * rng.normal(size=(80, 12)).astype(np.float32)
    queries += rng.normal(size=12).astype(np.float32)
    return documents, queries.astype(np.float32), answers


@pytest.mark.parametrize(("kind", "similarity"), METHODS)
@pytest.mark.parametrize("validated", [False, True])
@settings(max_examples=4)
@given(seed=st.integers(0, 10_000))
def test_what_a_search_finds_stands_for_the_whole_corpus(
    kind: type[Method], similarity: Any, validated: bool, seed: int
) -> None:
    documents, queries, answers = problem(seed, similarity)
    cut = 60 if validated else len(queries)

    def fitted(corpus: np.ndarray, rows: np.ndarray, neighbours: np.ndarray | None) -> Any:
        judged = [
            Judgments.from_lists([[row] for row in part], len(corpus))
            for part in (rows[:cut], rows[cut:])
        ]
        return kind(seed=seed).fit(
            corpus,
            queries[:cut],
            judged[0],
            validation=(queries[cut:], judged[1]) if validated else None,
            similarity=similarity,
            neighbours=neighbours,
        )

    labelled, rows = np.unique(answers, return_inverse=True)
    still = np.setdiff1d(np.arange(len(documents)), labelled)
    others, asked = documents[still], queries
    if similarity == "cosine":
        others, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (others, asked))
    scores = -np.sort(-(asked @ others.T), axis=1)[:, :100]
    whole = fitted(documents, answers, None)
    part = fitted(documents[labelled], rows, scores)

    np.testing.assert_array_equal(labelled[part.rows], whole.rows)
    assert part.step == whole.step
    np.testing.assert_allclose(part.vectors, whole.vectors, atol=1e-5)
    np.testing.assert_allclose(
        [value for _, value in part.curve], [value for _, value in whole.curve], atol=1e-9
    )


def test_it_matters_what_stands_beside() -> None:
    documents, queries, answers = problem(1, "cosine")
    labelled, rows = np.unique(answers, return_inverse=True)
    judged = Judgments.from_lists([[row] for row in rows], len(labelled))
    far, near = (np.full((len(queries), 100), score, np.float32) for score in (-0.9, 0.95))
    before = [
        NudgeN().fit(documents[labelled], queries, judged, neighbours=each).curve[0][1]
        for each in (far, near)
    ]
    assert before[1] < before[0]
