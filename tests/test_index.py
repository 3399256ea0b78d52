"""The exact index: what comes back is what was stored, ranked as exact arithmetic ranks it."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from nudge_integrations.common.index import ExactIndex
from nudge_integrations.errors import DataError

METRICS = ["cosine", "dot"]


def random_rows(n, d=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def names(n):
    return [f"doc{i}" for i in range(n)]


def filled(metric="cosine", n=20, d=8, seed=0):
    index = ExactIndex(metric)
    index.upsert(names(n), random_rows(n, d, seed))
    return index


def exact_scores(metric, rows, query):
    products = rows.astype(np.float64) @ np.asarray(query, np.float64)
    if metric == "cosine":
        products /= np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(query)
    return products.astype(np.float32)


class TestStoring:
    def test_a_new_index_is_empty(self):
        index = ExactIndex()
        assert (len(index), index.ids, index.dimension, index.metric) == (0, [], None, "cosine")
        assert len(index.search([1.0, 2.0], 3)) == 0
        assert index.mmr([1.0, 2.0], 3, 10, 0.5).scores.shape == (0,)

    @pytest.mark.parametrize("metric", METRICS)
    def test_stored_bytes_are_the_given_bytes(self, metric):
        rows = random_rows(20) * np.geomspace(1e-20, 1e20, 20, dtype=np.float32)[:, None]
        index = ExactIndex(metric)
        index.upsert(names(20), rows)
        index.search(rows[3] / np.linalg.norm(rows[3]), 5)
        assert index.matrix.tobytes() == rows.tobytes()
        assert index.get(["doc7", "doc2", "doc7"]).tobytes() == rows[[7, 2, 7]].tobytes()

    def test_the_index_keeps_its_own_copy(self):
        rows = random_rows(3)
        index = ExactIndex()
        index.upsert(names(3), rows)
        before = index.matrix.tobytes()
        rows[:] = 0
        index.get(["doc1"])[:] = 0
        assert index.matrix.tobytes() == before
        with pytest.raises(ValueError, match="read-only"):
            index.matrix[0] = 1

    def test_upsert_replaces_in_place_and_adds_at_the_end(self):
        index = ExactIndex()
        index.upsert(["a", "b", "c"], [[1, 0], [2, 0], [3, 0]])
        index.upsert(["d", "b"], [[4, 0], [9, 0]])
        assert index.ids == ["a", "b", "c", "d"]
        assert index.matrix[:, 0].tolist() == [1, 9, 3, 4]

    def test_of_an_id_twice_in_one_call_the_last_vector_wins(self):
        index = ExactIndex()
        index.upsert(["a", "b", "a"], [[1, 0], [2, 0], [3, 0]])
        assert index.ids == ["a", "b"]
        assert index.matrix[:, 0].tolist() == [3, 2]

    def test_delete_ignores_what_is_not_there_and_says_what_was(self):
        index = filled(n=4)
        kept = index.get(["doc0", "doc3"])
        assert index.delete(["doc2", "nobody", "doc1", "doc2"]) == ["doc2", "doc1"]
        assert index.ids == ["doc0", "doc3"]
        assert "doc1" not in index
        assert "doc3" in index
        assert index.matrix.tobytes() == kept.tobytes()

    def test_an_id_that_comes_back_goes_to_the_end(self):
        index = filled(n=3)
        index.delete(["doc0"])
        index.upsert(["doc0"], random_rows(1))
        assert index.ids == ["doc1", "doc2", "doc0"]

    def test_clear_forgets_the_dimension_too(self):
        index = filled(d=8)
        index.clear()
        assert (len(index), index.dimension, index.ids) == (0, None, [])
        index.upsert(["a"], [[1.0, 2.0, 3.0]])
        assert index.dimension == 3

    def test_get_names_the_id_that_is_missing(self):
        with pytest.raises(DataError, match="'nobody'"):
            filled().get(["doc1", "nobody"])

    @given(st.data())
    @settings(deadline=None, max_examples=60)
    def test_any_sequence_of_writes_leaves_what_a_dict_would_hold(self, data):
        index, model = ExactIndex("dot"), {}
        value = 0
        for _ in range(data.draw(st.integers(1, 12))):
            ids = data.draw(st.lists(st.sampled_from("abcdefgh"), max_size=5))
            action = data.draw(st.sampled_from(["upsert", "upsert", "delete", "read"]))
            if action == "upsert":
                rows = np.arange(value, value + 2 * len(ids), dtype=np.float32).reshape(-1, 2)
                value += 2 * len(ids)
                index.upsert(ids, rows)
                model.update({id_: row.tolist() for id_, row in zip(ids, rows, strict=True)})
            elif action == "delete":
                assert index.delete(ids) == [i for i in dict.fromkeys(ids) if i in model]
                for id_ in ids:
                    model.pop(id_, None)
            assert index.ids == list(model)
            if action == "read":
                assert index.matrix.tolist() == list(model.values())
                assert index.search([1.0, 0.0], 20).ids == sorted(
                    model, key=lambda id_: -model[id_][0]
                )

    def test_adding_one_by_one_does_not_copy_everything_each_time(self):
        index = ExactIndex()
        buffers = set()
        for id_, row in zip(names(2000), random_rows(2000), strict=True):
            index.upsert([id_], row[None])
            buffers.add(index._rows._vectors.ctypes.data)
        assert len(buffers) < 12


class TestRefusals:
    def test_another_metric(self):
        with pytest.raises(DataError, match="'cosine' or 'dot', got 'l2'"):
            ExactIndex("l2")

    @pytest.mark.parametrize(
        ("bad", "says"),
        [
            ([[1.0, 2.0], [np.nan, 1.0]], "'b'"),
            ([[1.0, 2.0], [np.inf, 1.0]], "'b'"),
            ([[0.0, 0.0], [1.0, 1.0]], "'a'"),
            ([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], "3 dimensions, but 2 are needed"),
            ([[1.0, 2.0]], "1 rows for 2 ids"),
            ([1.0, 2.0], "2D"),
        ],
    )
    def test_bad_vectors_are_named_and_nothing_is_written(self, bad, says):
        index = ExactIndex("cosine")
        index.upsert(["old"], [[1.0, 1.0]])
        with pytest.raises(DataError, match=says):
            index.upsert(["a", "b"], bad)
        assert index.ids == ["old"]

    def test_a_zero_vector_is_fine_under_dot(self):
        index = ExactIndex("dot")
        index.upsert(["zero", "one"], [[0.0, 0.0], [1.0, 0.0]])
        assert index.search([1.0, 0.0], 2).ids == ["one", "zero"]

    def test_ids_must_be_strings(self):
        with pytest.raises(DataError, match="strings, got 7"):
            ExactIndex().upsert(["a", 7], [[1.0], [2.0]])

    @pytest.mark.parametrize("k", [0, -3])
    def test_k_below_one_even_on_an_empty_index(self, k):
        with pytest.raises(DataError, match=f"got {k}"):
            ExactIndex().search([1.0], k)
        with pytest.raises(DataError, match=f"fetch_k must be at least 1, got {k}"):
            ExactIndex().mmr([1.0], 1, k, 0.5)

    def test_a_query_of_another_model(self):
        with pytest.raises(DataError, match="was the query embedded by another model"):
            filled(d=8).search([1.0, 2.0], 3)

    @pytest.mark.parametrize("query", [[np.nan, 1.0], [np.inf, 1.0]])
    def test_a_query_that_is_not_finite(self, query):
        with pytest.raises(DataError, match="the query vector must be finite"):
            filled(d=2).search(query, 3)

    def test_a_zero_query_has_no_direction_under_cosine_only(self):
        with pytest.raises(DataError, match="zeros has no direction"):
            filled("cosine", d=2).search([0.0, 0.0], 3)
        assert filled("dot", d=2).search([0.0, 0.0], 3).ids == ["doc0", "doc1", "doc2"]

    @pytest.mark.parametrize("lambda_mult", [-0.1, 1.1, float("nan")])
    def test_lambda_outside_zero_to_one(self, lambda_mult):
        with pytest.raises(DataError, match="lambda_mult must be from 0 to 1"):
            filled().mmr(np.ones(8), 3, 10, lambda_mult)

    def test_a_string_is_not_a_collection_of_ids(self):
        with pytest.raises(DataError, match="got the string 'doc1'"):
            filled().search(np.ones(8), 3, "doc1")


class TestSearching:
    @pytest.mark.parametrize("metric", METRICS)
    @given(st.data())
    @settings(deadline=None, max_examples=60)
    def test_the_ranking_is_that_of_exact_scores_ties_by_row(self, metric, data):
        n, d = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
        number = st.integers(-2, 2).map(float)
        rows = data.draw(hnp.arrays(np.float32, (n, d), elements=number))
        query = data.draw(hnp.arrays(np.float32, (d,), elements=number))
        if metric == "cosine":
            rows[~rows.any(axis=1), 0] = 1
            query[0] += not query.any()
        k = data.draw(st.integers(1, 35))
        index = ExactIndex(metric)
        index.upsert(names(n), rows)
        hits = index.search(query, k)
        scores = exact_scores(metric, rows, query)
        expected = sorted(range(n), key=lambda row: (-scores[row], row))[:k]
        assert hits.scores.dtype == np.float32
        np.testing.assert_allclose(hits.scores, scores[expected], atol=1e-6)
        if metric == "dot":
            assert hits.ids == [f"doc{row}" for row in expected]

    @pytest.mark.parametrize("metric", METRICS)
    def test_copies_of_one_vector_rank_in_the_order_in_which_they_came(self, metric):
        rows = random_rows(501, d=37)
        copies = [17, 250, 251, 499, 500]
        rows[copies] = rows[17]
        index = ExactIndex(metric)
        index.upsert(names(501), rows)
        for size in (5, 6, 300):
            hits = index.search(rows[17], size)
            assert hits.ids[: len(copies)] == [f"doc{row}" for row in copies]
        assert len(set(hits.scores[: len(copies)].tolist())) == 1

    def test_cosine_does_not_depend_on_lengths(self):
        rows = random_rows(30)
        lengths = np.geomspace(1e-18, 1e18, 30, dtype=np.float32)[:, None]
        plain, scaled = ExactIndex(), ExactIndex()
        plain.upsert(names(30), rows)
        scaled.upsert(names(30), rows * lengths)
        a, b = plain.search(np.ones(8), 30), scaled.search(np.full(8, 1e-12), 30)
        assert a.ids == b.ids
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-6)

    def test_dot_is_the_raw_product(self):
        index = ExactIndex("dot")
        index.upsert(["short", "long"], [[1.0, 0.0], [3.0, 4.0]])
        hits = index.search([2.0, 0.0], 2)
        assert hits.ids == ["long", "short"]
        assert hits.scores.tolist() == [6.0, 2.0]

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize(
        "wanted", [[], ["doc3"], ["doc9", "nobody", "doc3", "doc3"], names(15)]
    )
    def test_only_the_allowed_are_ranked_and_scored_as_without_a_filter(self, metric, wanted):
        index = filled(metric)
        everyone = index.search(np.arange(8.0), 20)
        score = dict(zip(everyone.ids, everyone.scores.tolist(), strict=True))
        expected = [id_ for id_ in everyone.ids if id_ in wanted][:4]
        for allowed in (wanted, set(wanted), lambda id_: id_ in wanted):
            hits = index.search(np.arange(8.0), 4, allowed)
            assert hits.ids == expected
            assert hits.scores.tolist() == [score[id_] for id_ in expected]

    def test_fewer_than_k_come_back_when_fewer_are_there(self):
        assert len(filled(n=3).search(np.ones(8), 10)) == 3

    def test_a_search_changes_nothing_and_repeats_itself(self):
        index = filled()
        query = np.ones(8)
        first, second = index.search(query, 5), index.search(query, 5)
        assert first.ids == second.ids
        assert first.scores.tobytes() == second.scores.tobytes()
        assert query.tolist() == [1.0] * 8


class TestDiversity:
    @pytest.mark.parametrize("lambda_mult", [0.0, 0.3, 0.5, 0.8, 1.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_cosine_chooses_as_langchain_does(self, lambda_mult, seed):
        rows = random_rows(60, seed=seed)
        query = random_rows(1, seed=100 + seed)[0]
        index = ExactIndex("cosine")
        index.upsert(names(60), rows)
        candidates = index.search(query, 25).ids
        chosen = maximal_marginal_relevance(
            query.astype(np.float64),
            index.get(candidates).astype(np.float64).tolist(),
            lambda_mult=lambda_mult,
            k=9,
        )
        hits = index.mmr(query, 9, 25, lambda_mult)
        assert hits.ids == [candidates[i] for i in chosen]

    @pytest.mark.parametrize("lambda_mult", [0.0, 0.5])
    def test_dot_chooses_as_langchain_does_for_vectors_of_length_one(self, lambda_mult):
        rows = random_rows(60)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        index = ExactIndex("dot")
        index.upsert(names(60), rows)
        query = random_rows(1, seed=100)[0]
        query /= np.linalg.norm(query)
        candidates = index.search(query, 25).ids
        chosen = maximal_marginal_relevance(
            query.astype(np.float64), index.get(candidates).tolist(), lambda_mult, k=9
        )
        assert index.mmr(query, 9, 25, lambda_mult).ids == [candidates[i] for i in chosen]

    @pytest.mark.parametrize("metric", METRICS)
    def test_lambda_one_is_a_plain_search(self, metric):
        index = filled(metric)
        mmr, plain = index.mmr(np.ones(8), 5, 12, 1.0), index.search(np.ones(8), 5)
        assert mmr.ids == plain.ids
        assert mmr.scores.tobytes() == plain.scores.tobytes()

    @pytest.mark.parametrize("metric", METRICS)
    def test_where_all_others_tie_the_most_similar_come_first(self, metric):
        # To a query that is itself a row, relevance and redundancy are the same for all others.
        rows = random_rows(60)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        index = ExactIndex(metric)
        index.upsert(names(60), rows)
        assert index.mmr(rows[7], 2, 25, 0.5).ids == index.search(rows[7], 2).ids

    def test_a_copy_of_a_chosen_row_comes_last(self):
        index = ExactIndex()
        index.upsert(["a", "copy of a", "b"], [[1.0, 0.1], [1.0, 0.1], [0.6, -0.8]])
        assert index.mmr([1.0, 0.0], 3, 3, 0.5).ids == ["a", "b", "copy of a"]

    def test_the_filter_comes_before_the_candidates_are_fetched(self):
        index = filled()
        assert set(index.mmr(np.ones(8), 3, 3, 0.2, ["doc1", "doc5", "doc9"]).ids) == {
            "doc1",
            "doc5",
            "doc9",
        }

    def test_no_more_than_fetch_k_are_chosen(self):
        assert len(filled().mmr(np.ones(8), 10, 4, 0.5)) == 4


class TestReplacing:
    def test_only_rows_with_the_expected_bytes_are_written(self):
        index = filled(n=4)
        before = index.get(names(4))
        index.upsert(["doc2"], random_rows(1, seed=9))
        changed = index.get(["doc2"])
        after = random_rows(4, seed=5)
        assert index.replace(["doc0", "gone", "doc2", "doc3"], before[[0, 1, 2, 3]], after) == [
            "gone",
            "doc2",
        ]
        assert index.get(["doc0", "doc3"]).tobytes() == after[[0, 3]].tobytes()
        assert index.get(["doc2"]).tobytes() == changed.tobytes()
        assert index.get(["doc1"]).tobytes() == before[[1]].tobytes()

    def test_one_bit_is_a_difference_even_in_the_sign_of_zero(self):
        index = ExactIndex("dot")
        index.upsert(["zero", "one"], np.array([[0.0, 1.0], [1.0, 1.0]], np.float32))
        expected = np.array([[-0.0, 1.0], [np.nextafter(np.float32(1), 2), 1.0]], np.float32)
        assert index.replace(["zero", "one"], expected, [[5.0, 5.0], [5.0, 5.0]]) == ["zero", "one"]
        assert index.matrix.tolist() == [[0.0, 1.0], [1.0, 1.0]]

    @pytest.mark.parametrize("metric", METRICS)
    def test_there_and_back_is_bit_identical_and_search_follows(self, metric):
        index = filled(metric)
        original, moved = index.get(names(20)), random_rows(20, seed=3)
        bytes_before = index.matrix.tobytes()
        hits_before = index.search(moved[4], 5)
        assert index.replace(names(20), original, moved) == []
        assert index.search(moved[4], 5).scores.tolist() == pytest.approx(
            np.sort(exact_scores(metric, moved, moved[4]))[::-1][:5].tolist(), rel=1e-5
        )
        assert index.replace(names(20), moved, original) == []
        assert index.matrix.tobytes() == bytes_before
        assert index.search(moved[4], 5).ids == hits_before.ids

    def test_refusals_write_nothing(self):
        index = filled(n=3)
        rows = index.get(names(3))
        before = index.matrix.tobytes()
        for ids, vectors, says in [
            (["doc0", "doc0", "doc1"], random_rows(3, seed=1), "'doc0' comes twice"),
            (names(3), rows * np.array([[1], [0], [1]]), "'doc1'"),
            (names(3), rows[:2], "2 rows for 3 ids"),
        ]:
            with pytest.raises(DataError, match=says):
                index.replace(ids, rows, vectors)
            assert index.matrix.tobytes() == before

    def test_an_empty_index_leaves_every_id_alone(self):
        assert ExactIndex().replace(["a"], [[1.0]], [[2.0]]) == ["a"]
        assert ExactIndex().replace([], np.empty((0, 3)), np.empty((0, 3))) == []


class TestState:
    @pytest.mark.parametrize("metric", METRICS)
    def test_it_builds_the_same_index_again(self, metric):
        index = filled(metric)
        index.delete(["doc4"])
        again = ExactIndex.from_state(metric, *index.state())
        assert again.ids == index.ids
        assert again.matrix.tobytes() == index.matrix.tobytes()
        assert again.search(np.ones(8), 5).ids == index.search(np.ones(8), 5).ids

    def test_of_an_empty_index(self):
        assert len(ExactIndex.from_state("cosine", *ExactIndex().state())) == 0

    def test_it_does_not_change_when_the_index_does(self):
        index = filled(n=5)
        ids, matrix = index.state()
        before = matrix.tobytes()
        index.upsert(["doc1", "new"], random_rows(2, seed=8))
        index.delete(["doc0"])
        index.replace(["doc2"], index.get(["doc2"]), random_rows(1, seed=4))
        assert ids == names(5)
        assert matrix.tobytes() == before

    def test_ids_that_come_twice_are_refused(self):
        with pytest.raises(DataError, match="come twice"):
            ExactIndex.from_state("cosine", ["a", "a"], random_rows(2))


class TestThreads:
    def test_readers_see_each_write_whole_or_not_at_all(self):
        # All rows of a generation are equal: a mixture would show as two scores in one answer.
        def generation(number):
            return np.full((200, 64), number, np.float32)

        index = ExactIndex("dot")
        index.upsert(names(200), generation(1))
        done = threading.Event()
        faults, reads = [], []

        def read():
            query = np.full(64, 1 / 64)
            try:
                while not done.is_set():
                    hits = index.search(query, 200)
                    assert len(set(hits.scores.tolist())) == 1
                    assert len(set(hits.ids)) == len(hits)
                    reads.append(len(hits))
            except Exception as error:
                faults.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            for number in range(2, 150):
                index.upsert(names(200), generation(number))
                if number % 10 == 0:
                    index.delete(names(50))
                    index.upsert(names(50), generation(number)[:50])
                if number % 15 == 0:
                    index.replace(names(200), generation(number), generation(number + 0.5))
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert not faults
        assert len(reads) > 0
        assert set(reads) <= {150, 200}

    def test_a_filter_may_use_the_index_itself(self):
        index = filled()

        def allowed(id_):
            index.upsert([f"seen {id_}"], random_rows(1))
            return id_ in index

        assert len(index.search(np.ones(8), 40, allowed)) == 20
        assert len(index) == 40


def test_the_moves_of_one_run_can_be_taken_back_after_another_was_tried() -> None:
    def turned(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(vectors)), vectors[:, ::-1].copy()

    base = np.array([[1.0, 0.5], [0.25, 1.0]], np.float32)
    index = ExactIndex()
    index.upsert(["a"], base[:1])
    index.move("one", turned, ())
    index.upsert(["b"], base[1:])

    index.move("two", turned, ())
    index.move_back("one")
    assert index.get(["a"]).tobytes() == base[:1].tobytes()
    index.move_back("two")

    assert index.get(["a", "b"]).tobytes() == base.tobytes()

    index.move("two", turned, ())
    assert index.get(["a", "b"]).tobytes() == base[:, ::-1].tobytes()
    index.move_back("one")
    assert index.get(["a", "b"]).tobytes() == base[:, ::-1].tobytes(), "not its moves"
    index.move_back("two")
    assert index.get(["a", "b"]).tobytes() == base.tobytes()
