"""Whether a difference between two systems on the same queries is more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nudge_integrations.errors import DataError

# Signs drawn for one test, so that a report on thousands of queries takes seconds, not minutes.
_MOST_SIGNS = 5_000_000
_FEWEST_RESAMPLES = 1_000
_NUMBERS_AT_ONCE = 1_000_000
# Scores lie in [0, 1] and are sums of a few terms, so their rounding is far below this.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """A paired comparison of the same queries before and after.

    Attributes:
        queries: How many queries.
        difference: Mean of after minus before; None without queries.
        low: Lower end of the confidence interval of that mean; None below two queries.
        high: Its upper end.
        p_value: Two-sided, 0 to 1; None below two queries.
    """

    queries: int
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None


def paired_test(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedTest:
    """Compare scores of the same queries before and after.

    The p-value is of Fisher's randomization test, paired: if the change did nothing, each query's
    difference could as well have had the other sign. It is the share of sign assignments with a
    mean at least as far from 0 as the one seen: exact where there are no more assignments than
    `resamples`, else from `resamples` random ones (fewer, but at least 1,000, where more than
    500 queries differ). Smucker, Allan and Carterette, "A comparison of statistical significance
    tests for information retrieval evaluation", CIKM 2007, recommend this test. The interval is
    Student's t for the mean difference, cut to [-1, 1]; where few queries differ it may leave out
    0 although p > 0.05. Neither is corrected for comparing several metrics.

    The order of the queries does not matter, and the same seed gives the same result.

    Args:
        before: Scores from 0 to 1, `(queries,)`.
        after: Scores of the same queries in the same order.
        resamples: How many sign assignments to draw.
        confidence: Of the interval, between 0 and 1.
        seed: Of the random sign assignments.

    Raises:
        DataError: The two do not have the same length, or hold NaN or infinity.
    """
    # Sorted, so that neither rounding nor the drawn signs depend on the order of the queries.
    differences = np.sort(paired_differences(before, after))
    count = len(differences)
    if count == 0:
        return PairedTest(0, None, None, None, None)
    mean = math.fsum(differences.tolist()) / count
    if count == 1:
        return PairedTest(1, mean, None, None, None)
    from scipy import stats

    error = float(differences.std(ddof=1)) / math.sqrt(count)
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    p_value = _randomization_p(differences, resamples, seed)
    return PairedTest(count, mean, max(-1.0, mean - reach), min(1.0, mean + reach), p_value)


def paired_differences(before: npt.ArrayLike, after: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """After minus before, float64 `(queries,)`, exactly 0 where only rounding tells them apart.

    Raises:
        DataError: The two do not have the same length, or hold NaN or infinity.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(
            f"before and after must be scores of the same queries, one each; "
            f"got shapes {first.shape} and {second.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("scores before and after must be finite: NaN or infinity among them")
    differences = second - first
    differences[np.abs(differences) < _ROUNDING] = 0.0
    return differences


def _randomization_p(differences: npt.NDArray[np.float64], resamples: int, seed: int) -> float:
    # The sign of a difference of 0 changes nothing: without those the test is the same, faster.
    changed = differences[differences != 0]
    if len(changed) < 2:
        return 1.0  # either sign of one difference is as far from 0
    from scipy import stats

    draws = min(resamples, max(_FEWEST_RESAMPLES, _MOST_SIGNS // len(changed)))
    result = stats.permutation_test(
        (changed,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        batch=max(1, _NUMBERS_AT_ONCE // len(changed)),
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)
