"""From scores before and after to a report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import Scores, compare

from .builders import AFTER, BEFORE, QUERIES, SEEN, report, scores

SCORE = st.integers(0, 10).map(lambda tenth: tenth / 10)


def test_each_group_has_its_means_and_counts() -> None:
    made = report()
    everything, seen, unseen = (made.row("ndcg@10", each) for each in ("all", "seen", "unseen"))
    assert (everything.queries, seen.queries, unseen.queries) == (6, 4, 2)
    assert (everything.before, everything.after) == pytest.approx((2.1 / 6, 3.0 / 6))
    assert (seen.before, seen.after) == pytest.approx((0.7 / 4, 2.3 / 4))
    assert (unseen.before, unseen.after) == pytest.approx((1.4 / 2, 0.7 / 2))
    assert unseen.difference == pytest.approx(-0.35)
    assert (everything.wins, everything.losses, everything.ties) == (3, 2, 1)
    assert (seen.wins, seen.losses, seen.ties) == (3, 0, 1)
    assert (unseen.wins, unseen.losses, unseen.ties) == (0, 2, 0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(SCORE, SCORE, st.booleans()), min_size=1, max_size=12))
def test_counts_always_add_up(cases: list[tuple[float, float, bool]]) -> None:
    before, after = [each[0] for each in cases], [each[1] for each in cases]
    seen = {f"q{place}" for place, each in enumerate(cases) if each[2]}
    made = compare(scores(before), scores(after), seen=seen, judged_on="test", resamples=100)
    rows = {row.group: row for row in made.rows}
    for row in made.rows:
        assert row.wins + row.losses + row.ties == row.queries
    for field in ("queries", "wins", "losses", "ties"):
        parts = getattr(rows["seen"], field) + getattr(rows["unseen"], field)
        assert parts == getattr(rows["all"], field)
    assert rows["seen"].queries == len(seen)
    assert len(made.won) == min(5, rows["all"].wins)
    assert len(made.lost) == min(5, rows["all"].losses)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(6)), st.permutations(range(6)))
def test_the_order_of_queries_changes_nothing(one: list[int], other: list[int]) -> None:
    def reordered(made: Scores, order: list[int]) -> Scores:
        columns = {name: column[order] for name, column in made.values.items()}
        return Scores(tuple(made.query_ids[place] for place in order), columns)

    before, after = scores(BEFORE), scores(AFTER)
    plain = compare(before, after, seen=SEEN, judged_on="test queries")
    mixed = compare(
        reordered(before, one), reordered(after, other), seen=SEEN, judged_on="test queries"
    )
    assert mixed == plain


def test_queries_that_changed_most_come_first_with_text_and_ranks() -> None:
    made = report()
    assert [change.query_id for change in made.won] == ["q0", "q3", "q1"]
    assert [change.query_id for change in made.lost] == ["q4", "q5"]
    first = made.won[0]
    assert first.text == QUERIES["q0"]
    assert (first.before, first.after) == (0.2, 0.9)
    assert (first.rank_before, first.rank_after) == (9, 1)
    assert (made.won[1].rank_before, made.won[1].rank_after) == (0, 4)


def test_ranks_and_texts_may_be_unknown() -> None:
    made = compare(scores(BEFORE), scores(AFTER), seen=SEEN, judged_on="test queries")
    assert made.won[0].text == ""
    assert (made.won[0].rank_before, made.won[0].rank_after) == (None, None)


def test_only_the_five_largest_changes_are_named() -> None:
    after = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    made = compare(scores([0.0] * 7), scores(after), judged_on="test queries")
    assert [change.query_id for change in made.won] == ["q6", "q5", "q4", "q3", "q2"]
    assert made.lost == ()


def test_the_main_metric_comes_first_and_chooses_the_examples() -> None:
    names = ("ndcg@10", "mrr@10")
    before = scores([0.5, 0.5], [0.5, 0.5], names=names)
    after = scores([0.9, 0.5], [0.5, 0.1], names=names)
    made = compare(before, after, judged_on="test queries", main_metric="MRR@10")
    assert made.metrics == ("mrr@10", "ndcg@10")
    assert (made.won, [change.query_id for change in made.lost]) == ((), ["q1"])


def test_without_seen_there_is_one_group() -> None:
    assert report(seen=None).groups == ("all",)


def test_a_group_without_queries_has_no_numbers() -> None:
    row = report(seen=list(QUERIES)).row("ndcg@10", "unseen")
    assert row.queries == row.wins == row.losses == row.ties == 0
    assert (row.before, row.after, row.difference, row.low, row.p_value) == (None,) * 5
    assert not row.significant


def test_a_seen_query_that_was_not_scored_is_passed_over() -> None:
    assert report(seen={*SEEN, "elsewhere"}) == report()


def test_what_is_not_finite_is_left_out_of_the_facts() -> None:
    made = report(step=float("nan"), curve=[(0.5, 0.2), (0.0, 0.1), (1.0, float("nan"))])
    assert made.step is None
    assert made.curve == ((0.0, 0.1), (0.5, 0.2))


def test_scores_of_other_queries_or_metrics_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="'q1'"):
        compare(scores([0.1, 0.2]), scores([0.1]), judged_on="test queries")
    with pytest.raises(DataError, match="'q1'"):
        compare(scores([0.1]), scores([0.1, 0.2]), judged_on="test queries")
    with pytest.raises(DataError, match=r"before has ndcg@10, after mrr@10"):
        compare(scores([0.1]), scores([0.1], names=("mrr@10",)), judged_on="test queries")
    with pytest.raises(DataError, match="mrr@10 was not measured"):
        compare(scores([0.1]), scores([0.1]), judged_on="test queries", main_metric="mrr@10")
    empty = Scores((), {"ndcg@10": np.zeros(0)})
    with pytest.raises(DataError, match="nothing to compare"):
        compare(empty, empty, judged_on="test queries")
    bare = Scores(("q",), {})
    with pytest.raises(DataError, match="at least one"):
        compare(bare, bare, judged_on="test queries")
