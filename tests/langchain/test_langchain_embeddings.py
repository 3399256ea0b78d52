"""The tuned embedding model: queries untouched, tuned texts tuned, all others the base model's."""

import uuid

import chromadb
import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_fakes import TableEmbeddings, Tuned, WordEmbeddings
from langchain_qdrant import QdrantVectorStore

from nudge_integrations.embedding import Encoder
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, ModelMismatchError
from nudge_integrations.langchain.embeddings import NudgeEmbeddings
from nudge_integrations.langchain.vector_store import NudgeVectorStore

TEXTS = ["the cat sat", "the dog ran", "an eel swam"]


def unit_rows(n, d=16, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def base():
    return WordEmbeddings()


@pytest.fixture
def tuned(base):
    vectors = unit_rows(2, 32)
    originals = np.array([base._embed(TEXTS[0]), base._embed(TEXTS[2])], np.float32)
    return Tuned(["cat", "eel"], [TEXTS[0], TEXTS[2]], originals, vectors)


class TestVectors:
    def test_a_query_is_the_base_models_even_where_the_text_is_tuned(self, base, tuned):
        assert NudgeEmbeddings(base, tuned).embed_query(TEXTS[0]) == base._embed(TEXTS[0])
        assert base.calls == [("embed_query", TEXTS[0])]

    def test_tuned_texts_get_their_vector_and_the_rest_go_in_one_batch(self, base, tuned):
        texts = ["new", TEXTS[0], TEXTS[1], TEXTS[2], "new", TEXTS[0] + " "]
        vectors = NudgeEmbeddings(base, tuned, check_model=False).embed_documents(texts)
        assert vectors == [
            base._embed("new"),
            tuned.vectors[0].tolist(),
            base._embed(TEXTS[1]),
            tuned.vectors[1].tolist(),
            base._embed("new"),
            base._embed(TEXTS[0]),
        ]
        assert base.calls == [("embed_documents", ["new", TEXTS[1], "new", TEXTS[0] + " "])]

    def test_tuned_texts_alone_never_reach_the_base_model(self, base, tuned):
        model = NudgeEmbeddings(base, tuned, check_model=False)
        assert model.embed_documents([TEXTS[2], TEXTS[0]]) == tuned.vectors[[1, 0]].tolist()
        assert NudgeEmbeddings(base, tuned).embed_documents([]) == []
        assert base.calls == []

    def test_without_tuned_vectors_it_is_the_base_model(self, base):
        assert NudgeEmbeddings(base).embed_documents(TEXTS) == base.embed_documents(TEXTS)
        assert NudgeEmbeddings(base).tuned is None

    async def test_async_gives_the_same_through_the_models_async_methods(self, base, tuned):
        model = NudgeEmbeddings(base, tuned, check_model=False)
        expected = (model.embed_query("a question"), model.embed_documents([*TEXTS, "new"]))
        base.calls.clear()
        found = (
            await model.aembed_query("a question"),
            await model.aembed_documents([*TEXTS, "new"]),
        )
        assert found == expected
        assert [name for name, _ in base.calls] == ["aembed_query", "aembed_documents"]


class TestBase:
    def test_wrapping_twice_never_tunes_twice(self, base, tuned):
        once = NudgeEmbeddings(base, tuned)
        assert once.nudge_base_model() is base
        twice = NudgeEmbeddings(once)
        assert twice.nudge_base_model() is base
        assert twice.embed_documents(TEXTS[:1]) == [base._embed(TEXTS[0])]

    @pytest.mark.parametrize("wrapped_by", [NudgeEmbeddings, lambda model: model])
    def test_any_model_that_the_package_embeds_with_can_be_the_base(self, tuned, wrapped_by):
        class Prompted(Encoder):
            """Queries and documents differ, as with prompts."""

            name = "prompted"

            def encode_queries(self, texts):
                return np.tile(np.arange(1, 33), (len(texts), 1))

            def encode_documents(self, texts):
                return np.tile(np.arange(33, 65), (len(texts), 1))

        base = Prompted()
        model = NudgeEmbeddings(wrapped_by(base), tuned)
        assert model.nudge_base_model() is base
        assert model.embed_query(TEXTS[0]) == list(range(1, 33))
        assert model.embed_documents(["new", TEXTS[0]]) == [
            list(range(33, 65)),
            tuned.vectors[0].tolist(),
        ]

    def test_something_else_is_no_base(self):
        with pytest.raises(DataError, match="cannot embed with"):
            NudgeEmbeddings(7)

    def test_a_base_of_another_dimension_is_refused(self, tuned):
        model = NudgeEmbeddings(WordEmbeddings(size=8), tuned)
        with pytest.raises(ModelMismatchError, match="have 8 dimensions, the tuned ones have 32"):
            model.embed_documents(["new", TEXTS[1]])

    def test_a_single_vector_of_another_dimension_is_refused(self, base, tuned):
        class Cut(WordEmbeddings):
            def embed_documents(self, texts):
                return [
                    vector[:9] if text == "b" else vector
                    for text, vector in zip(texts, super().embed_documents(texts), strict=True)
                ]

        with pytest.raises(ModelMismatchError, match="have 9 dimensions"):
            NudgeEmbeddings(Cut(), tuned).embed_documents(["a", "b"])

    def test_a_base_that_drops_a_text_is_named(self, tuned):
        class Dropping(WordEmbeddings):
            def embed_documents(self, texts):
                return super().embed_documents(texts)[1:]

        with pytest.raises(DataError, match="returned 1 vectors for 2 texts"):
            NudgeEmbeddings(Dropping(), tuned).embed_documents(["new", "newer"])


def in_memory(documents, embeddings):
    return InMemoryVectorStore.from_documents(documents, embeddings)


def nudge(documents, embeddings):
    return NudgeVectorStore.from_documents(documents, embeddings)


def chroma(documents, embeddings):
    return Chroma.from_documents(
        documents,
        embeddings,
        client=chromadb.EphemeralClient(),
        collection_name=f"c{uuid.uuid4().hex}",
        collection_metadata={"hnsw:space": "cosine"},
    )


def qdrant(documents, embeddings):
    return QdrantVectorStore.from_documents(documents, embeddings, location=":memory:")


@pytest.mark.parametrize("make", [in_memory, nudge, chroma, qdrant])
def test_any_store_ranks_by_the_tuned_vectors(make):
    originals, queries = unit_rows(40), unit_rows(6, seed=1)
    texts = [f"text {i}" for i in range(40)]
    moved = [3, 8, 21, 34]
    vectors = originals.copy()
    # Far enough that every ranking changes: a store of the base model's vectors fails this test.
    vectors[moved] += 1.5 * queries[[0, 1, 2, 3]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tuned = Tuned(
        [f"doc{i}" for i in moved], [texts[i] for i in moved], originals[moved], vectors[moved]
    )
    table = dict(zip(texts, originals, strict=True))
    table |= {f"query {i}": row for i, row in enumerate(queries)}
    # Qdrant asks for the dimension of its vectors through a text of its own.
    table["dummy_text"] = originals[0]
    table[PROBE_TEXT] = originals[0]
    documents = [Document(page_content=text, metadata={"n": i}) for i, text in enumerate(texts)]
    store = make(documents, NudgeEmbeddings(TableEmbeddings(table), tuned))
    for i, query in enumerate(queries):
        found = [d.metadata["n"] for d in store.similarity_search(f"query {i}", k=10)]
        assert found == np.argsort(-(vectors @ query))[:10].tolist()
        if i < len(moved):
            assert found[0] == moved[i]
            assert np.argmax(originals @ query) != moved[i]
