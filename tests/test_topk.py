"""Choosing rows: the same answer as sorting everything, whatever the blocks, the ties, the k."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nudge_integrations.common.topk import diverse, nearest, search, top_k
from nudge_integrations.errors import DataError


def by_sorting(scores, k):
    """Brute force: sort (-score, index) of each row in plain Python."""
    order = [sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in scores.tolist()]
    width = min(k, scores.shape[1])
    indices = np.array(order, np.int64).reshape(len(scores), width)
    return indices, np.take_along_axis(scores, indices, axis=1)


# Few distinct values, so that ties at the border are the rule.
tied_scores = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
    elements=st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 1.0, 1.5]),
)
any_scores = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(st.one_of(tied_scores, any_scores), st.integers(1, 25))
def test_top_k_is_what_a_full_sort_gives(scores, k):
    indices, values = top_k(scores, k)
    expected_indices, expected_values = by_sorting(scores, k)
    assert indices.dtype == np.int64
    assert values.dtype == scores.dtype
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(values, expected_values)


def test_equal_scores_at_the_border_keep_the_smallest_indices():
    indices, values = top_k(np.array([[1.0, 2.0, 1.0, 1.0, 3.0, 1.0]]), 4)
    assert indices.tolist() == [[4, 1, 0, 2]]
    assert values.tolist() == [[3.0, 2.0, 1.0, 1.0]]


def test_top_k_leaves_its_scores_as_they_were():
    scores = np.random.default_rng(0).normal(size=(3, 50))
    before = scores.copy()
    top_k(scores, 7)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_no_queries_or_no_rows_give_an_empty_answer(shape):
    indices, values = top_k(np.empty(shape, np.float32), 4)
    assert indices.shape == values.shape == (shape[0], min(4, shape[1]))


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(k):
    with pytest.raises(DataError, match=f"k must be at least 1, got {k}"):
        top_k(np.ones((1, 3)), k)
    with pytest.raises(DataError, match=f"k must be at least 1, got {k}"):
        search(np.ones((1, 2)), np.ones((3, 2)), k)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_scores_that_are_nan_are_refused_wherever_they_stand(k):
    scores = np.array([[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])
    with pytest.raises(DataError, match="NaN: row 1"):
        top_k(scores, k)


def test_scores_of_one_query_must_still_be_a_matrix():
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        top_k(np.ones(3), 1)


small_integers = st.integers(-3, 3).map(float)


@given(st.data(), st.integers(1, 12), st.sampled_from([np.float16, np.float32, np.float64]))
@settings(deadline=None)
def test_search_finds_what_sorting_all_products_finds_in_blocks_of_any_size(data, k, dtype):
    q, n, d = (data.draw(st.integers(1, top)) for top in (5, 15, 4))
    # Small integers have exact products in every type and every block: ties are real ties.
    queries = data.draw(hnp.arrays(np.float32, (q, d), elements=small_integers))
    rows = data.draw(hnp.arrays(dtype, (n, d), elements=small_integers))
    expected = by_sorting(queries @ rows.astype(np.float32).T, k)
    for block_rows in (1, 2, 3, 7, n, n + 1, None):
        indices, scores = search(queries, rows, k, block_rows=block_rows)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(indices, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("block_rows", [1, 17, 100, 1000, None])
def test_blocks_agree_on_real_numbers_up_to_rounding(block_rows):
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(1500, 24)).astype(np.float32)
    rows = rng.normal(size=(700, 24)).astype(np.float32)
    _, expected = by_sorting((queries.astype(np.float64) @ rows.T), 10)
    if block_rows == 1:
        queries, expected = queries[:20], expected[:20]
    indices, scores = search(queries, rows, 10, block_rows=block_rows)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    exact = np.einsum("qd,qkd->qk", queries, rows[indices])
    np.testing.assert_allclose(scores, exact, rtol=1e-5, atol=1e-5)


def test_search_accepts_rows_in_float16_without_widening_all_of_them():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 8)).astype(np.float16)
    queries = rng.normal(size=(3, 8)).astype(np.float32)
    found = search(queries, rows, 5, block_rows=7)
    widened = search(queries, rows.astype(np.float32), 5, block_rows=7)
    np.testing.assert_array_equal(found[0], widened[0])
    np.testing.assert_array_equal(found[1], widened[1])


def test_search_never_holds_all_products():
    queries = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    rows = np.random.default_rng(1).normal(size=(20_000, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        search(queries, rows, 5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    products = 4 * len(queries) * len(rows)
    assert peak < 80 * 2**20 < products


def test_search_over_no_rows_finds_nothing():
    indices, scores = search(np.ones((2, 3)), np.empty((0, 3)), 5)
    assert indices.shape == scores.shape == (2, 0)


@pytest.mark.parametrize(
    ("queries", "rows"),
    [(np.ones(3), np.ones((2, 3))), (np.ones((1, 3)), np.ones((2, 4))), (np.ones((1, 3)), [1])],
)
def test_search_refuses_shapes_that_do_not_fit(queries, rows):
    with pytest.raises(DataError, match="do not fit"):
        search(queries, np.asarray(rows), 1)


def test_search_refuses_an_empty_block():
    with pytest.raises(DataError, match="block_rows must be at least 1, got 0"):
        search(np.ones((1, 3)), np.ones((2, 3)), 1, block_rows=0)


@pytest.mark.parametrize("cosine", [True, False])
def test_equal_rows_score_equally_wherever_they_stand(cosine):
    # With ragged sizes, BLAS rounds the same product differently from place to place.
    rng = np.random.default_rng(0)
    for n in (5, 13, 101, 1003):
        query = rng.normal(size=37)
        query /= np.linalg.norm(query)
        row = query + 0.3 * rng.normal(size=37)
        rows = np.tile(row, (n, 1)).astype(np.float32)
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        found, scores = nearest(query, rows, norms, n, cosine=cosine)
        assert found.tolist() == list(range(n))
        assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_nearest_ranks_as_float64_does_even_where_rows_nearly_tie(cosine, scale):
    rng = np.random.default_rng(1)
    query = rng.normal(size=48)
    query /= np.linalg.norm(query)
    # Rows this close differ by less than a float32 product over 48 numbers can tell.
    rows = (scale * (query + 1e-6 * rng.normal(size=(400, 48)))).astype(np.float32)
    rows[::7] *= 1000
    exact = rows.astype(np.float64) @ query
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    if cosine:
        exact /= norms
    found, scores = nearest(query, rows, norms, 20, cosine=cosine)
    expected = by_sorting(exact.astype(np.float32)[None], 20)
    np.testing.assert_array_equal(found, expected[0][0])
    np.testing.assert_array_equal(scores, expected[1][0])


def test_products_beyond_float32_are_refused():
    rows = np.full((2, 4), 1e38, np.float32)
    with pytest.raises(DataError, match="too large for float32"):
        nearest(np.full(4, 1e38), rows, np.full(2, 2e38), 1, cosine=False)


def test_diversity_is_traded_against_relevance():
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    relevance = np.array([0.9, 0.8, 0.3])
    assert diverse(rows, relevance, 2, 1.0) == [0, 1]
    assert diverse(rows, relevance, 2, 0.5) == [0, 2]
    assert diverse(rows, relevance, 5, 0.5) == [0, 2, 1]
    assert diverse(rows[:0], relevance[:0], 2, 0.5) == []
