"""The frameworks' own caches tell untuned, tuned and otherwise tuned vectors apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from engine_fakes import LangChain, LlamaIndex, World, planted, tuned_vectors
from langchain_classic.embeddings.cache import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import Document

from nudge_integrations import TunedVectors
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import Embedder
from nudge_integrations.langchain import NudgeEmbeddings
from nudge_integrations.llama_index import NudgeEmbedding


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=3)


def runs(world: World, model: Any) -> tuple[TunedVectors | None, ...]:
    """No run, and two that moved the same document differently."""
    name, text = next(iter(world.data.corpus.items()))
    original = np.array([world.table[text]], np.float32)
    first = tuned_vectors(
        [name],
        original.shape[1],
        originals=original,
        vectors=original + 1,
        text_hashes=(text_hash(text),),
        model=Embedder(model, cache=False, show_progress=False).fingerprint,
    )
    return None, first, dataclasses.replace(first, vectors=original + 2)


def test_an_ingestion_pipeline_serves_each_run_its_own_vectors(world: World) -> None:
    base, cache = LlamaIndex.model(world), IngestionCache()
    text = next(iter(world.data.corpus.values()))

    def ingested(tuned: TunedVectors | None) -> list[float] | None:
        pipeline = IngestionPipeline(transformations=[NudgeEmbedding(base, tuned)], cache=cache)
        (node,) = pipeline.run(documents=[Document(id_="d", text=text)])
        return node.embedding

    for tuned in [*runs(world, base), *reversed(runs(world, base))]:
        fresh = NudgeEmbedding(base, tuned).get_text_embedding(text)
        assert ingested(tuned) == pytest.approx(fresh)


def test_the_digest_is_in_the_model_s_own_json_and_says_nothing_of_an_untuned_one(
    world: World,
) -> None:
    base = LlamaIndex.model(world)
    none, one, two = (NudgeEmbedding(base, tuned).to_dict() for tuned in runs(world, base))

    assert none["tuned_digest"] == ""
    assert len({each["tuned_digest"] for each in (none, one, two)}) == 3


def test_cache_backed_embeddings_serve_each_run_its_own_vectors(world: World) -> None:
    base, store = LangChain.model(world), InMemoryByteStore()
    text = next(iter(world.data.corpus.values()))

    for tuned in [*runs(world, base), *reversed(runs(world, base))]:
        model = NudgeEmbeddings(base, tuned)
        cached = CacheBackedEmbeddings.from_bytes_store(
            model, store, namespace=model.model, key_encoder="sha256"
        )
        assert cached.embed_documents([text]) == model.embed_documents([text])
    assert len(list(store.yield_keys())) == 3


def test_a_namespace_names_model_and_run(world: World) -> None:
    base = LangChain.model(world)
    none, one, two = (NudgeEmbeddings(base, tuned) for tuned in runs(world, base))

    assert one.model == f"{none.model}-{one.tuned.digest}"
    assert len({none.model, one.model, two.model}) == 3
