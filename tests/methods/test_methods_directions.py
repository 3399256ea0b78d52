"""A document's direction is the unit sum of the training queries that it answers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from methods_oracle import unit_directions

from nudge_integrations.methods import Judgments
from nudge_integrations.methods.directions import Directions, directions

SMALL = st.integers(-3, 3)


@st.composite
def queries_and_answers(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], int]:
    """Whole-number queries, so that those which cancel out do so exactly."""
    count, dimension, documents = (draw(st.integers(1, most)) for most in (12, 5, 9))
    vectors = draw(
        st.lists(
            st.lists(SMALL, min_size=dimension, max_size=dimension), min_size=count, max_size=count
        )
    )
    rows = st.lists(st.integers(0, documents - 1), max_size=5)
    answers = draw(st.lists(rows, min_size=count, max_size=count))
    return np.array(vectors, np.float32), answers, documents


@given(queries_and_answers())
def test_equals_a_loop_over_the_pairs(problem: tuple[np.ndarray, list[list[int]], int]) -> None:
    queries, answers, n_documents = problem
    expected = unit_directions(queries, answers, n_documents)
    found = directions(queries, Judgments.from_lists(answers, n_documents))
    assert found.rows.tolist() == sorted(expected)
    assert found.rows.dtype == np.int64
    assert found.vectors.dtype == np.float32
    assert found.vectors.shape == (len(expected), queries.shape[1])
    for row, vector in zip(found.rows.tolist(), found.vectors, strict=True):
        np.testing.assert_allclose(vector, expected[row], atol=1e-6)


def of(queries: list[list[float]], answers: list[list[int]], n_documents: int = 3) -> Directions:
    return directions(np.array(queries, np.float32), Judgments.from_lists(answers, n_documents))


def test_a_pair_listed_twice_counts_twice() -> None:
    once = of([[1, 0], [0, 1]], [[2], [2]])
    twice = of([[1, 0], [0, 1]], [[2, 2], [2]])
    np.testing.assert_allclose(once.vectors[0], np.array([1, 1]) / np.sqrt(2), atol=1e-7)
    np.testing.assert_allclose(twice.vectors[0], np.array([2, 1]) / np.sqrt(5), atol=1e-7)


def test_grades_do_not_count() -> None:
    queries = np.eye(2, dtype=np.float32)
    graded = Judgments.from_lists([[0], [0]], 1, [[2], [1]])
    found = directions(queries, graded)
    np.testing.assert_allclose(found.vectors[0], np.array([1, 1]) / np.sqrt(2), atol=1e-7)


def test_queries_that_cancel_out_give_no_direction() -> None:
    found = of([[1, 2], [-1, -2], [0, 1]], [[0, 1], [0], [1]])
    assert found.rows.tolist() == [1]


def test_a_query_of_zeros_gives_no_direction() -> None:
    assert of([[0, 0]], [[1]]).rows.tolist() == []


def test_no_answers_give_no_directions() -> None:
    found = of([[1, 2], [0, 1]], [[], []])
    assert found.rows.shape == (0,)
    assert found.vectors.shape == (0, 2)


def test_no_queries_give_no_directions() -> None:
    found = directions(np.zeros((0, 4), np.float32), Judgments.from_lists([], 3))
    assert found.rows.shape == (0,)
    assert found.vectors.shape == (0, 4)
