"""Is a difference more than chance?"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import PairedTest, paired_test

EIGHTHS = st.integers(0, 8).map(lambda eighth: eighth / 8)  # exact in binary
PAIRS = st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=2, max_size=9)


@settings(deadline=None, max_examples=40)
@given(PAIRS)
def test_the_p_value_of_few_queries_is_that_of_all_sign_assignments(
    pairs: list[tuple[float, float]],
) -> None:
    before, after = map(list, zip(*pairs, strict=True))
    differences = np.array(after) - np.array(before)
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(pairs))]
    expected = np.mean(np.array(sums) >= abs(differences.sum()))
    assert paired_test(before, after).p_value == pytest.approx(expected)


def test_the_interval_is_students() -> None:
    # Differences 0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt(3), t(0.975, 2) = 4.302653.
    test = paired_test([0.0, 0.0, 0.0], [0.1, 0.2, 0.3])
    reach = 4.302653 * 0.1 / np.sqrt(3)
    assert test.difference == pytest.approx(0.2)
    assert (test.low, test.high) == pytest.approx((0.2 - reach, 0.2 + reach), abs=1e-6)


def test_the_interval_never_leaves_what_scores_can_do() -> None:
    test = paired_test([0.0, 1.0], [1.0, 0.0])
    assert (test.low, test.high) == (-1.0, 1.0)


def test_no_difference_has_a_p_value_of_one() -> None:
    assert paired_test([0.3, 0.7, 0.1], [0.3, 0.7, 0.1]) == PairedTest(3, 0.0, 0.0, 0.0, 1.0)


def test_differences_that_are_only_rounding_are_none() -> None:
    assert paired_test([0.3, 0.7], [0.1 + 0.2, 0.7]).p_value == 1.0
    assert paired_test([0.3, 0.7], [0.1 + 0.2, 0.7]).difference == 0.0


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([], PairedTest(0, None, None, None, None)), ([0.5], PairedTest(1, 0.5, None, None, None))],
)
def test_fewer_than_two_queries_have_no_p_value(scores: list[float], expected: PairedTest) -> None:
    assert paired_test([0.0] * len(scores), scores) == expected


def test_many_queries_give_the_same_result_in_any_order_and_again() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.uniform(size=300), rng.uniform(size=300)
    order = rng.permutation(300)
    test = paired_test(before, after)
    assert test == paired_test(before[order], after[order]) == paired_test(before, after)
    assert test.p_value != paired_test(before, after, seed=1).p_value


def test_queries_that_stay_the_same_do_not_change_the_p_value() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.uniform(size=40), rng.uniform(size=40)
    more_before, more_after = np.append(before, [0.5] * 500), np.append(after, [0.5] * 500)
    assert paired_test(before, after).p_value == paired_test(more_before, more_after).p_value


def test_a_clear_gain_is_significant_and_noise_seldom_is() -> None:
    rng = np.random.default_rng(7)
    before = rng.uniform(0, 0.5, 100)
    clear = paired_test(before, before + rng.uniform(0, 0.2, 100))
    assert clear.p_value is not None
    assert clear.low is not None
    assert clear.p_value < 0.001
    assert clear.low > 0
    noise = rng.normal(0, 0.1, (200, 25))
    p_values = [paired_test(np.zeros(25), row, resamples=400).p_value for row in noise]
    false_alarms = sum(1 for p in p_values if p is not None and p < 0.05)
    assert 2 <= false_alarms <= 20  # 10 expected; outside this range once in some 1,000 seeds


def test_more_queries_than_can_be_flipped_often_are_still_tested() -> None:
    rng = np.random.default_rng(8)
    before = rng.uniform(size=6_000)
    test = paired_test(before, before + rng.normal(0.02, 0.1, 6_000))
    # 1,000 sign assignments: 2 / 1,001 is the smallest two-sided p-value.
    assert test.p_value == pytest.approx(2 / 1001)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([0.1, 0.2], [0.1], "same queries"),
        ([[0.1]], [[0.1]], "same queries"),
        ([0.1, np.nan], [0.1, 0.2], "finite"),
        ([0.1, 0.2], [0.1, np.inf], "finite"),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(
    before: object, after: object, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        paired_test(before, after)  # type: ignore[arg-type]
