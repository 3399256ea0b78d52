"""Metrics on arrays of grades."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import (
    METRIC_NAMES,
    Metric,
    QueryTotals,
    first_answer_rank,
    parse_metric,
    score_rankings,
)

GRADES = st.lists(st.integers(0, 3), min_size=1, max_size=12)

# One ranking, d1 not judged, d2 of grade 2, d3 judged irrelevant, d4 of grade 1; the query has a
# third answer, of grade 3, which was not found.
RANKED = np.array([[0, 2, 0, 1]])
JUDGED = [[2, 1, 3, 0]]
DCG_4 = 2 / log2(3) + 1 / log2(5)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ndcg@4", DCG_4 / (3 / log2(2) + 2 / log2(3) + 1 / log2(4))),
        ("ndcg@2", (2 / log2(3)) / (3 / log2(2) + 2 / log2(3))),
        ("ndcg@1", 0.0),
        ("ndcg@100", DCG_4 / (3 / log2(2) + 2 / log2(3) + 1 / log2(4))),
        ("recall@4", 2 / 3),
        ("recall@2", 1 / 3),
        ("recall_cap@2", 1 / 2),
        ("recall_cap@4", 2 / 3),
        ("precision@4", 2 / 4),
        ("precision@100", 2 / 100),
        ("mrr@4", 1 / 2),
        ("mrr@1", 0.0),
        ("hit_rate@2", 1.0),
        ("hit_rate@1", 0.0),
    ],
)
def test_a_metric_is_what_its_formula_gives_by_hand(metric: str, expected: float) -> None:
    score = score_rankings(metric, RANKED, QueryTotals.from_grades(JUDGED))
    assert score.tolist() == pytest.approx([expected], abs=1e-15)


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_nothing_found_scores_zero(name: str) -> None:
    totals = QueryTotals.from_grades([[1, 2]])
    assert score_rankings(f"{name}@3", np.zeros((1, 3)), totals).tolist() == [0.0]
    assert score_rankings(f"{name}@3", np.zeros((1, 0)), totals).tolist() == [0.0]


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_a_query_without_answers_scores_zero_and_leaves_the_others_alone(name: str) -> None:
    totals = QueryTotals.from_grades([[0, 0], [], [1]])
    ranked = np.array([[0, 0], [0, 0], [1, 0]])
    alone = score_rankings(f"{name}@2", ranked[2:], QueryTotals.from_grades([[1]]))
    assert score_rankings(f"{name}@2", ranked, totals).tolist() == [0.0, 0.0, alone[0]]


@given(st.lists(GRADES, min_size=1, max_size=5), st.integers(1, 14))
def test_the_best_ranking_has_an_ndcg_of_exactly_one(judged: list[list[int]], k: int) -> None:
    ranked = np.array([sorted(row, reverse=True) + [0] * (12 - len(row)) for row in judged])
    expected = [1.0 if any(row) else 0.0 for row in judged]
    assert score_rankings(f"ndcg@{k}", ranked, QueryTotals.from_grades(judged)).tolist() == expected


@given(GRADES, st.integers(1, 14), st.sampled_from(METRIC_NAMES), st.data())
def test_moving_a_better_document_up_never_lowers_a_score(
    row: list[int], k: int, name: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(row) - 1))
    better = row.copy()
    better[place : place + 2] = sorted(better[place : place + 2], reverse=True)
    totals = QueryTotals.from_grades([row])
    old, new = (score_rankings(f"{name}@{k}", np.array([each]), totals) for each in (row, better))
    assert new[0] >= old[0]


@given(st.lists(GRADES, min_size=1, max_size=6), st.randoms(), st.sampled_from(METRIC_NAMES))
def test_scores_do_not_depend_on_the_order_or_company_of_queries(
    judged: list[list[int]], random: object, name: str
) -> None:
    order = list(range(len(judged)))
    random.shuffle(order)  # type: ignore[attr-defined]
    ranked = np.array([row + [0] * (12 - len(row)) for row in judged])
    whole = score_rankings(f"{name}@5", ranked, QueryTotals.from_grades(judged))
    mixed = score_rankings(
        f"{name}@5", ranked[order], QueryTotals.from_grades([judged[place] for place in order])
    )
    assert mixed.tolist() == whole[order].tolist()


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_many_steps_are_scored_at_once_bit_for_bit(name: str) -> None:
    rng = np.random.default_rng(3)
    ranked = rng.integers(0, 3, (4, 7, 10)).astype(np.float32)
    totals = QueryTotals.from_grades(rng.integers(0, 4, (7, 20)))
    at_once = score_rankings(f"{name}@10", ranked, totals)
    assert at_once.shape == (4, 7)
    one_by_one = [score_rankings(f"{name}@10", step, totals).tolist() for step in ranked]
    assert at_once.tolist() == one_by_one


def test_totals_from_csr_are_those_from_lists_in_any_order_and_dtype() -> None:
    lists = QueryTotals.from_grades([[1, 3, 0], [], [-1, 2]])
    csr = QueryTotals.from_csr([0, 3, 3, 5], np.array([0, 1, 3, 2, -1], dtype=np.float32))
    for totals in (lists, csr):
        assert totals.number_of_answers.tolist() == [2, 0, 1]
        assert totals.ideal_dcg(2).tolist() == pytest.approx([3 + 1 / log2(3), 0, 2])
        assert totals.ideal_dcg(1).tolist() == [3, 0, 2]


def test_no_queries_have_no_scores() -> None:
    totals = QueryTotals.from_grades([])
    assert score_rankings("ndcg@10", np.zeros((0, 10)), totals).tolist() == []


def test_a_grade_below_zero_counts_as_zero() -> None:
    totals = QueryTotals.from_grades([[-2, 1]])
    score = score_rankings("ndcg@2", np.array([[-2, 1]]), totals)
    assert score.tolist() == pytest.approx([1 / log2(3)])


def test_first_answer_rank_counts_from_one_and_is_zero_without_an_answer() -> None:
    assert first_answer_rank(np.array([[0, 0, 2], [1, 1, 0], [0, 0, 0]])).tolist() == [3, 1, 0]
    assert first_answer_rank(np.zeros((2, 0))).tolist() == [0, 0]


@pytest.mark.parametrize("text", ["ndcg@10", "NDCG@10", " Ndcg@10 ", Metric("ndcg", 10)])
def test_a_metric_is_read_in_any_case(text: str | Metric) -> None:
    assert parse_metric(text) == Metric("ndcg", 10)
    assert str(parse_metric(text)) == "ndcg@10"


@pytest.mark.parametrize(
    "text", ["map@10", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@10 0", "", "@10"]
)
def test_an_unknown_metric_is_named_and_the_known_ones_listed(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_metric(text)
    assert repr(text) in str(caught.value)
    assert all(f"{name}@k" in str(caught.value) for name in METRIC_NAMES)


def test_a_metric_made_by_hand_is_checked_too() -> None:
    with pytest.raises(DataError, match="map@10"):
        Metric("map", 10)
    with pytest.raises(DataError, match="ndcg@0"):
        Metric("ndcg", 0)


@pytest.mark.parametrize(
    ("indptr", "grades", "words"),
    [
        ([0, 3], [1, 2], "number of grades, 2"),
        ([1, 2], [1, 2], "rise from 0"),
        ([0, 2, 1, 2], [1, 2], "rise from 0"),
        ([], [], "not empty"),
        ([0, 2], [[1, 2]], "1D"),
        ([0, 2], [1, np.nan], "grade number 1 is nan"),
        ([0, 2], [np.inf, 1], "grade number 0 is inf"),
    ],
)
def test_judgments_that_do_not_fit_are_refused(indptr: object, grades: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        QueryTotals.from_csr(indptr, grades)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3, 10), (10,), (2, 3, 10)])
def test_rankings_of_other_queries_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="for 2 queries"):
        score_rankings("ndcg@10", np.zeros(shape), QueryTotals.from_grades([[1], [1]]))
