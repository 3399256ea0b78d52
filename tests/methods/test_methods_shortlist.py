"""The shortlist ranks a few documents as if all of them had been ranked, at every step.

Products are whole numbers wherever a test speaks of ties: then float32 holds them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from methods_oracle import TOLERANCE, Array, top_grades, unit

from nudge_integrations.methods import Judgments, document_vectors, search
from nudge_integrations.methods.paths import AdditionPath, Path, RotationPath
from nudge_integrations.methods.shortlist import Shortlist

# Steps whose angles have irrational sines: whole-number scores then tie only where they are equal.
ROTATION_STEPS = [0.0, *(2 - 2 * np.cos(np.array([0.1, 0.3, 0.7, 1.2])))]
ADDITION_STEPS = [0.0, 0.25, 0.5, 1.0, 4.0]


@dataclass(frozen=True)
class Case:
    """Queries over a corpus of which some documents move."""

    queries: Array
    corpus: Array
    moved: Array
    directions: Array
    answers: list[dict[int, float]]
    path: Path

    def shortlist(self, last: float, k: int, device: str = "cpu") -> Shortlist:
        return search.shortlist(
            self.queries,
            self.corpus,
            Judgments.from_lists(
                [list(each) for each in self.answers],
                len(self.corpus),
                [list(each.values()) for each in self.answers],
            ),
            self.moved,
            self.directions,
            self.path,
            last=last,
            k=k,
            device=torch.device(device),
        )

    def dense_scores(self, step: float) -> Array:
        """The score of every document for every query, by the formulas of the two methods."""
        queries, corpus = self.queries.astype(np.float64), self.corpus.astype(np.float64)
        scores = queries @ corpus.T
        along = queries @ self.directions.astype(np.float64).T
        if isinstance(self.path, AdditionPath):
            scores[:, self.moved] += step * along
            return scores
        for column, row in enumerate(self.moved):
            phi = self.path.angle[column]
            theta = min(np.arccos(1 - step / 2), phi)
            if not self.path.still[column]:
                scores[:, row] = (
                    np.sin(phi - theta) * scores[:, row] + np.sin(theta) * along[:, column]
                ) / np.sin(phi)
        return scores

    def dense(self, step: float, k: int, favour: float = 0.0) -> Array:
        return top_grades(self.dense_scores(step), self.answers, k, favour)


def whole_number_case(seed: int, moving: str, kind: str) -> Case:
    """Few distinct vectors and few distinct scores: full of duplicates and of ties."""
    rng = np.random.default_rng(seed)
    n, dimension = int(rng.integers(1, 61)), int(rng.integers(1, 5))
    share = {"none": 0.0, "some": 0.5, "all": 1.0}[moving]
    corpus = rng.integers(-2, 3, (n, dimension)).astype(np.float32)
    queries = rng.integers(-2, 3, (int(rng.integers(1, 41)), dimension)).astype(np.float32)
    moved = np.flatnonzero(rng.random(n) < share).astype(np.int64)
    directions = rng.integers(-2, 3, (len(moved), dimension)).astype(np.float32)
    path: Path = AdditionPath(len(moved))
    if kind == "rotation":
        path = RotationPath(np.full(len(moved), np.pi / 2), rng.random(len(moved)) < 0.2)
    answers = [
        {int(row): float(rng.integers(1, 4)) for row in rng.choice(n, rng.integers(0, n + 1))}
        for _ in queries
    ]
    return Case(queries, corpus, moved, directions, answers, path)


def real_case(seed: int, kind: str) -> Case:
    """Unit vectors as a model makes them: no two scores are equal, but some nearly are."""
    rng = np.random.default_rng(seed)
    n, dimension = int(rng.integers(2, 61)), int(rng.integers(2, 17))
    corpus = unit(rng.normal(size=(n, dimension))).astype(np.float32)
    queries = unit(rng.normal(size=(int(rng.integers(1, 41)), dimension))).astype(np.float32)
    moved = np.flatnonzero(rng.random(n) < rng.random()).astype(np.int64)
    towards = corpus[moved] + rng.normal(size=(len(moved), dimension))
    directions = unit(towards).astype(np.float32) if len(moved) else towards.astype(np.float32)
    path: Path = AdditionPath(len(moved))
    if kind == "rotation":
        path = RotationPath.between(corpus[moved], directions)
    answers = [{int(row): 1.0 for row in rng.choice(n, rng.integers(0, 4))} for _ in queries]
    return Case(queries, corpus, moved, directions, answers, path)


def in_tiny_tiles(case: Case, last: float, k: int, block_rows: int) -> Shortlist:
    """With a corpus block of a few rows and the smallest tile of queries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_vectors, "_BLOCK_ROWS", block_rows)
        patch.setattr(search, "_TILE_BYTES", 1)
        return case.shortlist(last, k)


KINDS = pytest.mark.parametrize("kind", ["addition", "rotation"])
SEEDS = st.integers(0, 2**32 - 1)


@KINDS
@pytest.mark.parametrize("moving", ["none", "some", "all"])
@given(seed=SEEDS, k=st.integers(1, 70), block_rows=st.integers(1, 64))
def test_ranks_as_if_all_documents_were_ranked(
    kind: str, moving: str, seed: int, k: int, block_rows: int
) -> None:
    case = whole_number_case(seed, moving, kind)
    steps = ADDITION_STEPS if kind == "addition" else ROTATION_STEPS
    found, ragged = case.shortlist(steps[-1], k), in_tiny_tiles(case, steps[-1], k, block_rows)
    along = found.ranked_grades_along(np.array(steps), k)
    for step, grades in zip(steps, along, strict=True):
        expected = case.dense(step, k)
        np.testing.assert_array_equal(found.ranked_grades(step, k), expected)
        np.testing.assert_array_equal(ragged.ranked_grades(step, k), expected)
        np.testing.assert_array_equal(grades, expected)


@KINDS
@given(seed=SEEDS, k=st.integers(1, 12), block_rows=st.integers(1, 64))
def test_ranks_real_vectors_up_to_rounding(kind: str, seed: int, k: int, block_rows: int) -> None:
    case = real_case(seed, kind)
    steps = np.linspace(0, 1.3, 14)
    whole, ragged = case.shortlist(1.3, k), in_tiny_tiles(case, 1.3, k, block_rows)
    compared = 0
    for step in steps:
        best, worst = (case.dense(step, k, sign * TOLERANCE) for sign in (1, -1))
        sure = (best == worst).all(axis=1)
        np.testing.assert_array_equal(whole.ranked_grades(step, k)[sure], best[sure])
        np.testing.assert_array_equal(ragged.ranked_grades(step, k)[sure], best[sure])
        compared += int(sure.sum())
    assert compared > 0.8 * len(steps) * len(case.queries)


def entries(found: Shortlist) -> list[tuple[tuple[int, int], tuple[float, float]]]:
    """(query, document) -> (score, score of the direction) of each entry."""
    queries = np.repeat(np.arange(found.n_queries), np.diff(found.indptr)).tolist()
    keys = list(zip(queries, found.documents.tolist(), strict=True))
    assert len(set(keys)) == len(keys), "a document stands twice in a shortlist"
    return list(zip(keys, zip(found.base, found.along, strict=True), strict=True))


@KINDS
@given(seed=SEEDS, block_rows=st.integers(1, 64))
def test_entries_hold_the_two_products_of_their_document(
    kind: str, seed: int, block_rows: int
) -> None:
    case = real_case(seed, kind)
    found = in_tiny_tiles(case, 1.3, 5, block_rows)
    position = {int(row): place for place, row in enumerate(case.moved)}
    for ((query, row), (base, along)), place in zip(entries(found), found.positions, strict=True):
        vector = case.queries[query].astype(np.float64)
        assert place == position.get(row, -1)
        assert base == pytest.approx(vector @ case.corpus[row], abs=1e-6)
        direction = case.directions[place] if place >= 0 else np.zeros(len(vector))
        assert along == pytest.approx(vector @ direction, abs=1e-6)


@given(seed=SEEDS, k=st.integers(1, 12))
def test_every_query_can_have_a_step_of_its_own(seed: int, k: int) -> None:
    case = whole_number_case(seed, "some", "addition")
    own = np.random.default_rng(seed).choice(ADDITION_STEPS, len(case.queries))
    found = case.shortlist(ADDITION_STEPS[-1], k).ranked_grades(own, k)
    for query, step in enumerate(own):
        np.testing.assert_array_equal(found[query], case.dense(step, k)[query])


@given(seed=SEEDS, k=st.integers(1, 12), fewer=st.integers(1, 12))
def test_a_shallower_ranking_is_the_top_of_a_deeper_one(seed: int, k: int, fewer: int) -> None:
    found = whole_number_case(seed, "some", "addition").shortlist(4.0, max(k, fewer))
    deep = found.ranked_grades(0.5, max(k, fewer))
    np.testing.assert_array_equal(found.ranked_grades(0.5, min(k, fewer)), deep[:, : min(k, fewer)])


def test_most_documents_are_left_out() -> None:
    """3,000 documents of which 100 move a little: about the top k of each query is left."""
    rng = np.random.default_rng(0)
    corpus, queries = (unit(rng.normal(size=(n, 64))).astype(np.float32) for n in (3000, 50))
    moved = np.arange(0, 3000, 30)
    directions = unit(rng.normal(size=(100, 64))).astype(np.float32)
    path = RotationPath.between(corpus[moved], directions)
    answers: list[dict[int, Any]] = [{0: 1.0} for _ in queries]
    found = Case(queries, corpus, moved, directions, answers, path).shortlist(0.1, 10)
    assert np.diff(found.indptr).min() >= 10
    assert np.diff(found.indptr).mean() < 40


def test_judgments_of_a_pair_count_once_with_the_highest_grade() -> None:
    twice = Judgments.from_lists([[1, 1, 0]], 2, [[1, 3, 2]])
    corpus = np.array([[1.0], [2.0]], np.float32)
    nobody = np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
    found = search.shortlist(
        np.ones((1, 1), np.float32),
        *(corpus, twice, *nobody, AdditionPath(0)),
        last=0.0,
        k=3,
        device=torch.device("cpu"),
    )
    np.testing.assert_array_equal(found.ranked_grades(0.0, 3), [[3, 2, 0]])
