"""Stores and models that are pickled or copied: equal contents, and no strings attached."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine_fakes import FRAMEWORKS, LlamaIndex, World, planted

from nudge_integrations.common.index import ExactIndex

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=3)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def engine(side: Any, world: World) -> Any:
    engine = side.engine(
        world.data,
        side.model(world),
        side.documents(world.data.corpus),
        show_progress=False,
        cache=False,
    )
    engine.finetune()
    return engine


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_store_comes_back_with_all_that_is_in_it(
    side: Any, engine: Any, world: World, way: Any
) -> None:
    store, model = engine.get_finetuned_vector_store(), engine.get_finetuned_model()
    question = next(iter(world.data.queries.values()))
    ids = list(engine.ids)

    again = way(store)

    assert type(again) is type(store)
    assert again.metric == store.metric
    assert side.vectors(again, ids).tobytes() == side.vectors(store, ids).tobytes()
    one, two = (side.ranked(side.retriever(each, model), question) for each in (store, again))
    assert one == two
    assert again.revert(engine.tuned) == []
    base = np.asarray(engine.base_embeddings)
    assert side.vectors(again, ids).tobytes() == base.tobytes(), "the copy can be written to"
    tuned = engine.finetuned_embeddings
    assert side.vectors(store, ids).tobytes() == tuned.tobytes(), "and the first is untouched"


@pytest.mark.parametrize("side", [LlamaIndex], ids=["llama_index"])
def test_a_pydantic_copy_of_a_store_is_whole(engine: Any) -> None:
    store = engine.get_finetuned_vector_store()

    deep, shallow = store.model_copy(deep=True), store.model_copy()

    deep.clear()
    assert len(shallow.get_nodes()) == len(store.get_nodes()) == len(engine.ids)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_model_comes_back_with_its_tuned_vectors(engine: Any, world: World, way: Any) -> None:
    model = engine.get_finetuned_model()
    texts = list(world.data.corpus.values())
    embed = "embed_documents" if hasattr(model, "embed_documents") else "get_text_embedding_batch"

    again = way(model)

    assert getattr(again, embed)(texts) == getattr(model, embed)(texts)
    assert again.tuned.digest == model.tuned.digest


def test_an_index_is_pickled_without_its_lock_and_room_to_grow() -> None:
    index = ExactIndex("dot")
    index.upsert(["a", "b", "c"], np.eye(3))
    index.delete(["b"])

    again = pickle.loads(pickle.dumps(index))

    assert (again.metric, again.ids) == ("dot", ["a", "c"])
    assert again.matrix.tobytes() == index.matrix.tobytes()
    again.upsert(["d"], [[1, 1, 1]])
    assert len(index) == 2
