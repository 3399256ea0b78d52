"""Scores of rankings of document ids."""

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
    Scores,
    compare,
    evaluate_rankings,
    evaluate_run,
)

DOCUMENTS = [f"d{number}" for number in range(8)]
ALL_AT_4 = [f"{name}@4" for name in METRIC_NAMES]


def test_a_ranking_is_scored_against_its_judgments() -> None:
    scores = evaluate_rankings(
        {"q": ["x", "b", "a"]}, {"q": {"a": 2, "b": 1, "c": 0}}, ["ndcg@10", "recall@2", "mrr@10"]
    )
    assert scores.query_ids == ("q",)
    assert scores.mean("ndcg@10") == pytest.approx((1 / log2(3) + 2 / 2) / (2 + 1 / log2(3)))
    assert scores.mean("recall@2") == 0.5
    assert scores.mean("MRR@10") == scores.mean(Metric("mrr", 10)) == 0.5
    assert scores.first_answer is not None
    assert scores.first_answer.tolist() == [2]


def test_a_repeated_document_counts_only_where_it_stands_first() -> None:
    qrels = {"q": {"a": 1, "b": 1}}
    repeated = evaluate_rankings({"q": ["a", "a", "a", "b"]}, qrels, ALL_AT_4)
    once = evaluate_rankings({"q": ["a", "b"]}, qrels, ALL_AT_4)
    for metric in ALL_AT_4:
        assert repeated.mean(metric) == once.mean(metric)


@given(
    st.lists(st.sampled_from(DOCUMENTS), max_size=20),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(1, 3), min_size=1),
    st.integers(1, 20),
)
def test_no_score_leaves_zero_to_one_whatever_is_repeated(
    ranking: list[str], judged: dict[str, int], k: int
) -> None:
    metrics = [f"{name}@{k}" for name in METRIC_NAMES]
    scores = evaluate_rankings({"q": ranking}, {"q": judged}, metrics, corpus=DOCUMENTS)
    assert all(0 <= scores.mean(metric) <= 1 for metric in metrics)


@pytest.mark.parametrize("rankings", [{}, {"q": []}, {"q": ["x"]}])
def test_an_empty_or_missing_ranking_scores_zero(rankings: dict[str, list[str]]) -> None:
    scores = evaluate_rankings(rankings, {"q": {"a": 1}}, ALL_AT_4, corpus=["a", "x"])
    assert [scores.mean(metric) for metric in ALL_AT_4] == [0.0] * len(ALL_AT_4)
    assert scores.first_answer is not None
    assert scores.first_answer.tolist() == [0]


def test_a_query_without_answers_is_left_out() -> None:
    qrels = {"none": {"a": 0, "b": -1}, "q": {"a": 1}, "empty": {}}
    scores = evaluate_rankings({"none": ["a"], "q": ["a"], "other": ["a"]}, qrels, "hit_rate@1")
    assert scores.query_ids == ("q",)
    assert scores.mean("hit_rate@1") == 1.0


def test_the_first_answer_is_found_beyond_the_cutoff() -> None:
    scores = evaluate_rankings({"q": ["x", "y", "z", "a"]}, {"q": {"a": 1}}, ["ndcg@2"])
    assert scores.mean("ndcg@2") == 0.0
    assert scores.first_answer is not None
    assert scores.first_answer.tolist() == [4]


@given(st.permutations(DOCUMENTS), st.randoms())
def test_means_do_not_depend_on_the_order_of_queries(ranking: list[str], random: object) -> None:
    qrels = {f"q{n}": {document: 1 + n % 3} for n, document in enumerate(DOCUMENTS)}
    shuffled = list(qrels)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    rankings = dict.fromkeys(qrels, ranking)
    one = evaluate_rankings(rankings, qrels, ALL_AT_4)
    other = evaluate_rankings(rankings, {each: qrels[each] for each in shuffled}, ALL_AT_4)
    assert [one.mean(each) for each in ALL_AT_4] == [other.mean(each) for each in ALL_AT_4]


def test_a_run_ranks_by_similarity_and_breaks_ties_by_the_last_id() -> None:
    run = {"q": {"a": 0.5, "c": 0.5, "b": 0.9, "d": 0.1}}
    for document, rank in {"b": 1, "c": 2, "a": 3, "d": 4}.items():
        scores = evaluate_run(run, {"q": {document: 1}}, "mrr@10")
        assert scores.mean("mrr@10") == 1 / rank


def test_similarities_that_float32_cannot_tell_apart_are_ties() -> None:
    scores = evaluate_run({"q": {"a": 1.0 + 1e-12, "b": 1.0}}, {"q": {"b": 1}}, "mrr@10")
    assert scores.mean("mrr@10") == 1.0


@pytest.mark.parametrize(
    ("rankings", "qrels", "words"),
    [
        ({"q": ["a"]}, {}, "nothing to measure"),
        ({"q": ["a"]}, {"q": {"a": 0}}, "grade above 0"),
        ({"x": ["a"]}, {"q": {"a": 1}}, "'x'.*'q'"),
        ({"q": "abc"}, {"q": {"a": 1}}, "'q' is a string, 'abc'"),
        ({"q": ["x", "y"]}, {"q": {"a": 1}}, "gave 'x', the dataset has 'a'; .*corpus="),
        ({"q": ["a"]}, {"q": {7: 1, "7": 1}}, "as a number and as text: '7'"),
        ({"q": ["a"]}, {"q": {"a": float("nan"), "b": 1}}, "finite"),
    ],
)
def test_input_that_measures_nothing_is_refused_by_name(
    rankings: dict[str, list[str]], qrels: dict[str, dict[str, float]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        evaluate_rankings(rankings, qrels)


def test_a_similarity_that_is_not_a_number_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"'q' has NaN.*'b'"):
        evaluate_run({"q": {"a": 1.0, "b": float("nan")}}, {"q": {"a": 1}})


def test_a_run_given_as_rankings_is_ranked_by_its_similarities() -> None:
    run = {"q": {"a": 0.1, "b": 0.9, "c": 0.5}, "r": {"c": 0.2, "a": 0.3}}
    qrels = {"q": {"b": 1}, "r": {"a": 1}}
    found = evaluate_rankings(run, qrels, ["mrr@10"])
    assert found.values["mrr@10"].tolist() == [1.0, 1.0]
    assert found.mean("mrr@10") == evaluate_run(run, qrels, ["mrr@10"]).mean("mrr@10")


def test_a_ranking_without_similarities_is_no_run() -> None:
    with pytest.raises(DataError, match=r"'q' must map .* evaluate_rankings"):
        evaluate_run({"q": ["a"]}, {"q": {"a": 1}})  # type: ignore[dict-item]


def test_a_number_and_its_text_are_the_same_id() -> None:
    expected = evaluate_rankings({"1": ["8", "7"]}, {"1": {"7": 1}})
    for rankings, qrels in (
        ({1: [8, 7]}, {"1": {"7": 1}}),
        ({"1": ["8", "7"]}, {1: {7: 1}}),
        ({np.int64(1): np.array([8, 7])}, {1: {"7": 1}}),
        ({1: {8: 0.9, 7: 0.5}}, {1: {7: 1}}),
    ):
        found = evaluate_rankings(rankings, qrels)  # type: ignore[arg-type]
        assert found.query_ids == expected.query_ids
        assert found.mean("ndcg@10") == expected.mean("ndcg@10") > 0


def test_printed_scores_are_means() -> None:
    found = evaluate_rankings({"q": ["a"], "r": ["x"]}, {"q": {"a": 1}, "r": {"b": 1}}, "mrr@10")
    assert str(found) == repr(found) == "Scores(mrr@10 0.5000, 2 queries)"
    assert str(Scores((), {})) == "Scores(0 queries)"


def test_texts_of_the_scores_name_the_examples() -> None:
    qrels, texts = {"q": {"a": 1}}, {"q": "where is my invoice"}
    before = evaluate_rankings({"q": ["x", "a"]}, qrels, texts=texts)
    after = evaluate_rankings({"q": ["a", "x"]}, qrels)
    assert compare(before, after, judged_on="one").won[0].text == "where is my invoice"


def test_scores_are_checked_when_made() -> None:
    with pytest.raises(DataError, match="twice: 'q'"):
        Scores(("q", "r", "q"), {"ndcg@10": np.zeros(3)})
    with pytest.raises(DataError, match="ndcg@10 needs one finite number"):
        Scores(("q", "r"), {"ndcg@10": np.zeros(3)})
    with pytest.raises(DataError, match="1 not finite"):
        Scores(("q", "r"), {"ndcg@10": np.array([0.0, np.nan])})
    with pytest.raises(DataError, match="first_answer"):
        Scores(("q", "r"), {}, np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="unknown metric"):
        Scores(("q",), {"accuracy": np.zeros(1)})


def test_the_mean_of_what_was_not_measured_is_refused() -> None:
    scores = Scores(("q",), {"NDCG@10": np.array([0.5])})
    assert scores.mean("ndcg@10") == 0.5
    with pytest.raises(DataError, match="mrr@10 was not measured, only ndcg@10"):
        scores.mean("mrr@10")
    with pytest.raises(DataError, match="no queries"):
        Scores((), {"ndcg@10": np.zeros(0)}).mean("ndcg@10")
