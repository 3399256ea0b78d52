"""The LangChain vector store: what goes in comes out, found, filtered, tuned, saved, put back."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from langchain_fakes import TableEmbeddings, Tuned, WordEmbeddings
from safetensors.numpy import load_file as load_safetensors

from nudge_integrations.errors import CorruptFileError, DataError, MetricMismatchError
from nudge_integrations.langchain.embeddings import NudgeEmbeddings
from nudge_integrations.langchain.vector_store import NudgeVectorStore

ANIMALS = [
    Document(id="cat", page_content="the cat sat", metadata={"legs": 4, "pet": True}),
    Document(id="dog", page_content="the dog ran", metadata={"legs": 4, "pet": True}),
    Document(id="hen", page_content="the hen ran off", metadata={"legs": 2, "pet": False}),
    Document(id="eel", page_content="an eel swam", metadata={"legs": 0, "tags": {"wet": 1}}),
]


@pytest.fixture
def model():
    return WordEmbeddings()


@pytest.fixture
def store(model):
    return NudgeVectorStore.from_documents(ANIMALS, model)


def ids_of(documents):
    return [document.id for document in documents]


def random_store(metric="cosine", n=40, d=8, length=1.0):
    rng = np.random.default_rng(0)
    rows = (length * rng.normal(size=(n, d))).astype(np.float32)
    query = (length * rng.normal(size=d)).astype(np.float32)
    store = NudgeVectorStore(TableEmbeddings({"query": query}), metric=metric)
    documents = [Document(id=str(i), page_content=f"text {i}", metadata={"i": i}) for i in range(n)]
    store.add_embeddings(documents, rows)
    return store, rows, query


class TestAdding:
    def test_documents_come_back_as_they_were(self, store):
        assert store.get_by_ids(["dog", "nobody", "cat"]) == [ANIMALS[1], ANIMALS[0]]

    def test_one_batch_call_embeds_them_all(self, store, model):
        assert model.calls == [("embed_documents", [d.page_content for d in ANIMALS])]

    def test_an_id_that_is_there_is_replaced(self, store):
        store.add_documents([Document(id="cat", page_content="a frog", metadata={})])
        assert [d.page_content for d in store.get_by_ids(["cat"])] == ["a frog"]
        assert ids_of(store.similarity_search("a frog", k=1)) == ["cat"]
        assert len(store.similarity_search("the", k=10)) == 4

    def test_documents_without_an_id_get_one_each(self, store):
        ids = store.add_texts(["same text", "same text"], [{"n": 1}, {"n": 2}])
        assert len(set(ids)) == 2
        assert [d.metadata for d in store.get_by_ids(ids)] == [{"n": 1}, {"n": 2}]

    def test_ids_given_apart_come_before_the_documents_own(self, store):
        assert store.add_documents(ANIMALS[:2], ids=["x", None]) == ["x", "dog"]

    def test_of_an_id_twice_in_one_call_the_last_document_wins(self, model):
        store = NudgeVectorStore.from_texts(["one", "two"], model, ids=["same", "same"])
        assert [d.page_content for d in store.similarity_search("one", k=5)] == ["two"]

    def test_texts_may_come_from_a_generator(self, model):
        store = NudgeVectorStore(model)
        ids = store.add_texts((text for text in ["one", "two"]), ids=["a", "b"])
        assert ids == ["a", "b"]
        assert [d.page_content for d in store.get_by_ids(ids)] == ["one", "two"]

    def test_nothing_to_add_asks_the_model_nothing(self, model):
        store = NudgeVectorStore(model)
        assert store.add_documents([]) == []
        assert asyncio.run(store.aadd_texts([])) == []
        assert model.calls == []
        assert store.similarity_search("anything") == []

    def test_numbers_that_do_not_match_are_refused_before_anything_is_embedded(self, store, model):
        model.calls.clear()
        with pytest.raises(DataError, match="1 ids for 2 documents"):
            store.add_texts(["one", "two"], ids=["a"])
        with pytest.raises(DataError, match="1 metadatas for 2 texts"):
            store.add_texts(["one", "two"], [{}])
        assert model.calls == []

    def test_vectors_that_cannot_be_used_leave_the_store_as_it_was(self, store):
        for vectors, says in [
            ([[1.0] * 32, [float("nan")] * 32], "'b'"),
            ([[1.0] * 32, [0.0] * 32], "'b'"),
            ([[1.0] * 5, [1.0] * 5], "5 dimensions, but 32"),
            ([[1.0] * 32], "1 rows for 2 ids"),
        ]:
            with pytest.raises(DataError, match=says):
                store.add_embeddings(["one", "two"], vectors, ids=["cat", "b"])
        assert store.get_by_ids(["cat", "b"]) == [ANIMALS[0]]

    def test_vectors_that_are_there_already_are_not_embedded_again(self, model):
        store = NudgeVectorStore(model)
        vectors = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
        ids = store.add_embeddings([ANIMALS[0], "a text"], vectors, ids=[None, "text"])
        assert ids == ["cat", "text"]
        assert model.calls == []
        assert store.get_embeddings(ids).tobytes() == vectors.tobytes()
        assert store.get_by_ids(ids) == [ANIMALS[0], Document(id="text", page_content="a text")]

    def test_changing_a_document_outside_changes_nothing_inside(self, model):
        given = Document(id="a", page_content="one", metadata={"tags": ["x"]})
        store = NudgeVectorStore.from_documents([given], model)
        given.metadata["tags"].append("y")
        for found in [
            *store.get_by_ids(["a"]),
            *store.similarity_search("one"),
            *store.max_marginal_relevance_search("one"),
        ]:
            assert found.metadata == {"tags": ["x"]}
            found.metadata["tags"].append("z")
            found.page_content = "changed"
        assert store.get_by_ids(["a"]) == [
            Document(id="a", page_content="one", metadata={"tags": ["x"]})
        ]


class TestDeleting:
    def test_by_id_ignores_those_that_are_not_there(self, store):
        assert store.delete(["cat", "nobody", "cat"]) is True
        assert ids_of(store.similarity_search("the cat sat", k=9)) == ["dog", "hen", "eel"]
        assert store.get_by_ids(["cat"]) == []

    def test_no_ids_at_all_is_nothing_and_none_is_everything(self, store, model):
        store.delete([])
        assert len(store.similarity_search("the", k=9)) == 4
        store.delete()
        assert store.similarity_search("the", k=9) == []
        store.add_embeddings(["another model"], [[1.0, 2.0]])

    def test_a_filter_does_not_delete_everything(self, store):
        with pytest.raises(DataError, match="filter"):
            store.delete(filter={"legs": 4})
        assert len(store.similarity_search("the", k=9)) == 4


class TestSearching:
    def test_four_come_back_unless_asked_otherwise(self):
        store, _, _ = random_store()
        assert len(store.similarity_search("query")) == 4
        assert len(store.max_marginal_relevance_search("query")) == 4

    @pytest.mark.parametrize("metric", ["cosine", "dot"])
    def test_all_ways_to_search_agree(self, metric):
        store, rows, query = random_store(metric)
        scores = rows.astype(np.float64) @ query
        if metric == "cosine":
            scores /= np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        best = np.argsort(-scores)[:7]
        found = store.similarity_search_with_score("query", k=7)
        assert ids_of(d for d, _ in found) == [str(i) for i in best]
        np.testing.assert_allclose([score for _, score in found], scores[best], rtol=1e-5)
        assert all(type(score) is float for _, score in found)
        assert store.similarity_search_with_score_by_vector(query, k=7) == found
        assert store.similarity_search("query", k=7) == [d for d, _ in found]
        assert store.similarity_search_by_vector(query, k=7) == [d for d, _ in found]

    def test_it_ranks_as_the_in_memory_store_does(self):
        store, rows, query = random_store()
        other = InMemoryVectorStore(
            TableEmbeddings(
                {"query": query} | {f"text {i}": row for i, row in enumerate(rows.tolist())}
            )
        )
        other.add_documents(store.get_by_ids([str(i) for i in range(40)]))
        ours = store.similarity_search_with_score("query", k=40)
        theirs = other.similarity_search_with_score("query", k=40)
        assert [d for d, _ in ours] == [d for d, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], rtol=1e-5)

    @pytest.mark.parametrize("lambda_mult", [0.0, 0.25, 0.5, 1.0])
    def test_diverse_choices_are_langchains(self, lambda_mult):
        store, _, query = random_store()
        candidates = ids_of(store.similarity_search("query", k=15))
        vectors = store.get_embeddings(candidates).astype(np.float64).tolist()
        chosen = maximal_marginal_relevance(query.astype(np.float64), vectors, lambda_mult, k=6)
        arguments = {"k": 6, "fetch_k": 15, "lambda_mult": lambda_mult}
        found = store.max_marginal_relevance_search("query", **arguments)
        assert ids_of(found) == [candidates[i] for i in chosen]
        assert store.max_marginal_relevance_search_by_vector(query, **arguments) == found

    @pytest.mark.parametrize("metric", ["cosine", "dot"])
    @pytest.mark.parametrize("length", [1e-3, 1.0, 1e4])
    def test_relevance_is_from_0_to_1_and_keeps_the_order(self, metric, length):
        store, _, _ = random_store(metric, length=length)
        found = store.similarity_search_with_relevance_scores("query", k=40)
        relevance = [score for _, score in found]
        assert relevance == sorted(relevance, reverse=True)
        assert relevance[0] > 0.5 > relevance[-1]
        assert all(0 <= score <= 1 for score in relevance)
        plain = [score for _, score in store.similarity_search_with_score("query", k=40)]
        assert len(set(relevance)) == len(set(plain))

    @given(st.floats(-3.4e38, 3.4e38), st.floats(-3.4e38, 3.4e38))
    @settings(max_examples=200)
    def test_the_map_of_inner_products_rises_and_stays_from_0_to_1(self, a, b):
        relevance = NudgeVectorStore(WordEmbeddings(), metric="dot")._select_relevance_score_fn()
        low, high = sorted([a, b])
        assert 0 <= relevance(low) <= relevance(high) <= 1
        assert relevance(0.0) == 0.5

    @pytest.mark.parametrize("text", ["the cat sat", "AN EEL SWAM"])
    def test_rounding_never_lifts_relevance_above_one(self, store, text):
        found = store.similarity_search_with_relevance_scores(text, k=4)
        assert found[0][1] == pytest.approx(1)
        relevance = store._select_relevance_score_fn()
        assert (relevance(1.0000001), relevance(-1.0000001)) == (1.0, 0.0)

    def test_a_threshold_keeps_the_relevant_ones(self, store):
        retriever = store.as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99}
        )
        assert ids_of(retriever.invoke("the cat sat")) == ["cat"]

    @pytest.mark.parametrize("search_type", ["similarity", "mmr", "similarity_score_threshold"])
    def test_one_set_of_arguments_fits_every_type_of_retriever(self, store, search_type):
        retriever = store.as_retriever(
            search_type=search_type,
            search_kwargs={
                "k": 2,
                "fetch_k": 3,
                "lambda_mult": 0.9,
                "score_threshold": 0.1,
                "filter": {"legs": 4},
            },
        )
        assert ids_of(retriever.invoke("the cat sat")) == ["cat", "dog"]

    def test_a_misspelt_argument_is_not_ignored(self, store):
        with pytest.raises(DataError, match="'filters'"):
            store.similarity_search("cat", filters={"legs": 4})
        with pytest.raises(DataError, match="'where'"):
            store.max_marginal_relevance_search("cat", where={"legs": 4})

    def test_a_query_of_another_model_is_named_as_such(self, store):
        with pytest.raises(DataError, match="another model"):
            store.similarity_search_by_vector([1.0, 2.0])

    def test_k_below_one_is_refused(self, store):
        with pytest.raises(DataError, match="k must be at least 1, got 0"):
            store.similarity_search("cat", k=0)


class TestFiltering:
    @pytest.mark.parametrize(
        ("filter", "expected"),
        [
            (None, {"cat", "dog", "hen", "eel"}),
            ({}, {"cat", "dog", "hen", "eel"}),
            ({"legs": 4}, {"cat", "dog"}),
            ({"legs": 2, "pet": False}, {"hen"}),
            ({"legs": 4, "pet": False}, set()),
            ({"pet": None}, set()),
            ({"tags": {"wet": 1}}, {"eel"}),
            (lambda document: document.metadata["legs"] < 3, {"hen", "eel"}),
            (lambda document: "ran" in document.page_content, {"dog", "hen"}),
            (lambda document: document.id == "eel", {"eel"}),
        ],
    )
    def test_only_documents_that_pass_are_found(self, store, filter, expected):
        question = "the dog"
        assert set(ids_of(store.similarity_search(question, k=9, filter=filter))) == expected
        mmr = store.max_marginal_relevance_search(question, k=9, fetch_k=9, filter=filter)
        assert set(ids_of(mmr)) == expected

    def test_the_best_k_are_taken_of_those_that_pass(self, store):
        assert ids_of(store.similarity_search("the cat", k=1, filter={"pet": False})) == ["hen"]

    @pytest.mark.parametrize(
        "filter",
        [
            {"legs": {"$in": [2, 4]}},
            {"legs": [2, 4]},
            {"$and": [{"legs": 4}]},
            {"$or": 1},
        ],
    )
    def test_operators_are_refused_and_the_remedy_named(self, store, filter):
        with pytest.raises(DataError, match="pass a function of a document instead"):
            store.similarity_search("the", filter=filter)

    def test_a_filter_of_another_type_is_refused(self, store):
        with pytest.raises(DataError, match="got 'legs'"):
            store.similarity_search("the", filter="legs")


class TestAsync:
    async def test_it_gives_what_sync_gives_through_the_models_async_methods(self, model):
        made = await NudgeVectorStore.afrom_documents(ANIMALS[:2], model)
        assert await made.aadd_documents(ANIMALS[2:3]) == ["hen"]
        assert await made.aadd_texts(["an eel swam"], [ANIMALS[3].metadata], ids=["eel"]) == ["eel"]
        assert {name for name, _ in model.calls} == {"aembed_documents"}
        sync = NudgeVectorStore.from_documents(ANIMALS, model)
        everyone = ids_of(ANIMALS)
        assert await made.aget_by_ids(everyone) == sync.get_by_ids(everyone) == ANIMALS
        assert made.get_embeddings(everyone).tobytes() == sync.get_embeddings(everyone).tobytes()

        model.calls.clear()
        question, options = "the dog ran", {"k": 3, "filter": {"legs": 4}}
        vector = model._embed(question)
        found = [
            await made.asimilarity_search(question, **options),
            await made.asimilarity_search_with_score(question, **options),
            await made.asimilarity_search_with_relevance_scores(question, **options),
            await made.amax_marginal_relevance_search(question, **options),
            await made.as_retriever(search_kwargs=options).ainvoke(question),
            await made.asimilarity_search_by_vector(vector, **options),
            await made.amax_marginal_relevance_search_by_vector(vector, **options),
        ]
        assert model.calls == [("aembed_query", question)] * 5
        assert found == [
            sync.similarity_search(question, **options),
            sync.similarity_search_with_score(question, **options),
            sync.similarity_search_with_relevance_scores(question, **options),
            sync.max_marginal_relevance_search(question, **options),
            sync.as_retriever(search_kwargs=options).invoke(question),
            sync.similarity_search_by_vector(vector, **options),
            sync.max_marginal_relevance_search_by_vector(vector, **options),
        ]
        assert await made.adelete(["cat"]) is True
        assert ids_of(await made.aget_by_ids(everyone)) == ["dog", "hen", "eel"]


def tuned_from(store, ids, seed=1, **kwargs):
    originals = store.get_embeddings(ids)
    moved = originals + np.random.default_rng(seed).normal(size=originals.shape) / 4
    moved = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    texts = [document.page_content for document in store.get_by_ids(ids)]
    return Tuned(ids, texts, originals, moved, **kwargs)


class TestTuning:
    def test_applied_vectors_rank_and_reverted_bytes_are_the_originals(self, store):
        ids = ids_of(ANIMALS)
        before = store.get_embeddings(ids).tobytes()
        tuned = tuned_from(store, ["cat", "eel"])
        assert store.apply(tuned) == []
        assert store.get_embeddings(["cat", "eel"]).tobytes() == tuned.vectors.tobytes()
        found = store.similarity_search_with_score_by_vector(tuned.vectors[1], k=1)
        assert found == [(ANIMALS[3], pytest.approx(1))]
        assert store.revert(tuned) == []
        assert store.get_embeddings(ids).tobytes() == before

    def test_what_is_gone_or_changed_is_left_alone_and_named(self, store):
        tuned = tuned_from(store, ["cat", "dog", "eel"])
        store.delete(["dog"])
        store.add_documents([Document(id="eel", page_content="another eel")])
        changed = store.get_embeddings(["eel"]).tobytes()
        assert store.apply(tuned) == ["dog", "eel"]
        assert store.get_embeddings(["eel"]).tobytes() == changed
        assert store.apply(tuned) == ["cat", "dog", "eel"]
        assert store.revert(tuned) == ["dog", "eel"]

    def test_documents_added_later_get_the_tuned_vector_of_their_text(self, store, model):
        tuned = tuned_from(store, ["cat"])
        later = NudgeVectorStore(model, tuned=tuned)
        later.add_documents(ANIMALS)
        assert later.get_embeddings(["cat"]).tobytes() == tuned.vectors.tobytes()
        assert later.get_embeddings(["dog"]).tobytes() == store.get_embeddings(["dog"]).tobytes()
        assert later.embeddings.nudge_base_model() is model

    def test_vectors_of_nudge_m_are_refused_under_cosine_only(self, store, model):
        tuned = tuned_from(store, ["cat"], method="nudge-m")
        for refused in (
            lambda: store.apply(tuned),
            lambda: NudgeVectorStore(model, tuned=tuned),
            lambda: NudgeVectorStore(NudgeEmbeddings(model, tuned)),
        ):
            with pytest.raises(MetricMismatchError, match="dot"):
                refused()
        dot = NudgeVectorStore(model, metric="dot", tuned=tuned)
        dot.add_documents(ANIMALS)
        assert dot.revert(tuned) == []
        assert dot.apply(tuned) == []

    def test_a_run_in_which_nothing_moved_changes_nothing(self, store):
        nothing = Tuned([], [], np.empty((0, 32), np.float32), np.empty((0, 32), np.float32))
        assert store.apply(nothing) == []
        assert store.revert(nothing) == []


class TestSaving:
    @pytest.mark.parametrize("name", ["folder", "deeper/folder", "store.safetensors"])
    @pytest.mark.parametrize("metric", ["cosine", "dot"])
    def test_what_is_loaded_is_what_was_saved(self, model, tmp_path, name, metric):
        store = NudgeVectorStore.from_documents(ANIMALS, model, metric=metric)
        store.add_texts(["odd \ud800 text \N{SNOWMAN}"], [{"nested": [None, 1.5, {"a": "b"}]}])
        store.delete(["dog"])
        store.save(tmp_path / name)
        again = NudgeVectorStore.load(str(tmp_path / name), model)
        everyone = store.similarity_search_with_score("the", k=9)
        assert again.similarity_search_with_score("the", k=9) == everyone
        ids = ids_of(document for document, _ in everyone)
        assert again.get_embeddings(ids).tobytes() == store.get_embeddings(ids).tobytes()
        assert again.metric == metric
        again.add_documents(ANIMALS)
        assert len(again.similarity_search("the", k=9)) == 5

    def test_an_empty_store(self, model, tmp_path):
        NudgeVectorStore(model).save(tmp_path)
        again = NudgeVectorStore.load(tmp_path, model)
        assert again.similarity_search("the") == []
        again.add_documents(ANIMALS)

    def test_saving_again_replaces_the_old_state(self, store, model, tmp_path):
        store.save(tmp_path)
        store.delete(["cat"])
        store.save(tmp_path)
        assert NudgeVectorStore.load(tmp_path, model).get_by_ids(["cat"]) == []
        assert len(list(tmp_path.iterdir())) == 1

    def test_tuned_documents_stay_tuned_and_can_be_put_back(self, store, model, tmp_path):
        before = store.get_embeddings(["cat"]).tobytes()
        tuned = tuned_from(store, ["cat"])
        store.apply(tuned)
        store.save(tmp_path)
        again = NudgeVectorStore.load(tmp_path, model, tuned=tuned)
        assert again.get_embeddings(["cat"]).tobytes() == tuned.vectors.tobytes()
        assert again.revert(tuned) == []
        assert again.get_embeddings(["cat"]).tobytes() == before
        again.add_documents(ANIMALS[:1])
        assert again.get_embeddings(["cat"]).tobytes() == tuned.vectors.tobytes()

    @pytest.mark.parametrize(
        "metadata",
        [{"x": {1, 2}}, {"x": float("nan")}, {"x": (1, 2)}, {1: "x"}, {"x": np.float32(1)}],
    )
    def test_metadata_that_json_would_change_names_the_document(self, model, tmp_path, metadata):
        store = NudgeVectorStore.from_documents(ANIMALS, model)
        store.save(tmp_path)
        # Set afterwards, since Document itself refuses or turns some of these.
        store.add_embeddings([Document(id="odd", page_content="odd")], [[1.0] * 32])
        store._documents["odd"].metadata = metadata
        with pytest.raises(DataError, match="document 'odd' is not plain JSON"):
            store.save(tmp_path)
        assert NudgeVectorStore.load(tmp_path, model).get_by_ids(["odd"]) == []

    def test_a_file_that_is_missing_cut_short_or_edited_is_named(self, store, model, tmp_path):
        with pytest.raises(CorruptFileError, match="does not exist"):
            NudgeVectorStore.load(tmp_path / "nowhere", model)
        store.save(tmp_path)
        (path,) = tmp_path.iterdir()
        whole = path.read_bytes()
        for content in (
            b"",
            whole[:-1],
            whole[:-1] + b"\xff",
            whole[:30],
            whole.replace(b"the cat sat", b"the cat SAT"),
            whole.replace(b'version\\": 2', b'version\\": 9'),
            whole.replace(b"langchain", b"languages"),
        ):
            assert content != whole
            path.write_bytes(content)
            with pytest.raises(CorruptFileError, match=path.name):
                NudgeVectorStore.load(tmp_path, model)

    def test_parts_that_do_not_belong_together_are_named(self, store, model, tmp_path):
        from nudge_integrations.common.files import load_arrays, save_arrays

        store.save(tmp_path)
        file = tmp_path / "vector_store.safetensors"
        manifest, arrays = load_arrays(file, "langchain vector store", 2)
        for broken in (
            manifest | {"documents": manifest["documents"][:2]},
            manifest | {"documents": [{"id": "a"}] * 4},
            manifest | {"metric": "l2"},
            {"metric": "cosine"},
        ):
            save_arrays(file, "langchain vector store", 2, broken, arrays)
            with pytest.raises(CorruptFileError, match="was edited"):
                NudgeVectorStore.load(tmp_path, model)

    def test_another_model_shows_at_the_first_search(self, store, tmp_path):
        store.save(tmp_path)
        again = NudgeVectorStore.load(tmp_path, WordEmbeddings(size=9))
        with pytest.raises(DataError, match="another model"):
            again.similarity_search("the")

    def test_nothing_is_pickled(self, store, tmp_path):
        store.save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["vector_store.safetensors"]
        load_safetensors(tmp_path / "vector_store.safetensors")


class TestThreads:
    def test_every_answer_is_whole_while_another_thread_writes(self):
        store, rows, query = random_store(n=200)
        documents = store.get_by_ids([str(i) for i in range(200)])
        done = threading.Event()
        faults, reads = [], []

        def read():
            try:
                while not done.is_set():
                    found = store.similarity_search_with_score_by_vector(query, k=50)
                    assert len(found) == 50
                    assert all(
                        document.page_content == f"text {document.id}" for document, _ in found
                    )
                    reads.append(len(store.similarity_search_by_vector(query, filter={"i": 7})))
            except Exception as error:
                faults.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            for _ in range(40):
                store.delete([str(i) for i in range(0, 200, 2)])
                store.add_embeddings(documents, rows)
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert not faults
        assert reads
        assert set(reads) == {1}
