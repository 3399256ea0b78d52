"""A run with a field: every document moves by it, known or new, and to the same place."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import FRAMEWORKS, World, planted

from nudge_integrations import TunedVectors
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import Embedder
from nudge_integrations.errors import ModelMismatchError
from nudge_integrations.methods.field import Field


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=6)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def run(side: Any, world: World) -> TunedVectors:
    """A run over the first half of the documents, by a field; the other half comes later."""
    ids = list(world.data.corpus)
    vectors = world.base_vectors(ids)
    rng = np.random.default_rng(0)
    half = len(ids) // 2
    pulls = 0.3 * rng.normal(size=(3, vectors.shape[1])).astype(np.float32)
    pulls -= pulls.mean(axis=0)
    field = Field(vectors[:3], pulls, np.array([True, True, False]), own=0.5)
    rows, moved = field.move(vectors[:half])
    assert len(rows) > 0
    texts = [world.data.corpus[ids[row]] for row in rows]
    model = Embedder(side.model(world), cache=False, show_progress=False).fingerprint
    return TunedVectors(
        ids=tuple(ids[row] for row in rows),
        vectors=moved,
        originals=vectors[rows],
        text_hashes=tuple(text_hash(text) for text in texts),
        metric="cosine",
        method="nudge-c",
        step=0.3,
        model=model,
        field=field,
        labelled=tuple(ids[:2]),
    )


def expected(run: TunedVectors, world: World) -> np.ndarray:
    vectors = world.base_vectors(list(world.data.corpus))
    rows, moved = run.field.move(vectors)
    vectors[rows] = moved
    return vectors


def test_the_model_moves_known_and_new_documents_to_the_same_place(
    side: Any, world: World, run: TunedVectors
) -> None:
    model = side.tuned_model(side.model(world), run)
    corpus, after = world.data.corpus, expected(run, world)

    found = np.array(side.embed_documents(model, list(corpus.values())))
    one_by_one = np.array([side.embed_documents(model, [text])[0] for text in corpus.values()])

    np.testing.assert_allclose(found, after, atol=1e-5)
    np.testing.assert_allclose(one_by_one, after, atol=1e-5)
    new = [row for row, name in enumerate(corpus) if name not in run.ids]
    base = world.base_vectors(list(corpus))
    assert (np.abs(after[new] - base[new]).max(axis=1) > 1e-3).any(), "new ones move as well"


def test_documents_of_the_run_get_exactly_the_vectors_that_were_evaluated(
    side: Any, world: World, run: TunedVectors
) -> None:
    model = side.tuned_model(side.model(world), run)
    texts = [world.data.corpus[name] for name in run.ids]

    found = np.array(side.embed_documents(model, texts), np.float32)

    assert found.tobytes() == run.vectors.tobytes()


def test_queries_are_untouched(side: Any, world: World, run: TunedVectors) -> None:
    base = side.model(world)
    model = side.tuned_model(base, run)
    for text in [next(iter(world.data.queries.values())), next(iter(world.data.corpus.values()))]:
        assert side.embed_query(model, text) == side.embed_query(base, text)


def test_another_model_is_refused_before_a_new_document_moves(
    side: Any, world: World, run: TunedVectors
) -> None:
    other = side.model({text: vector[::-1] for text, vector in world.table.items()})
    other_run = dataclasses.replace(
        run, model=dataclasses.replace(run.model, probe=-run.model.probe)
    )
    model = side.tuned_model(other, other_run)

    with pytest.raises(ModelMismatchError):
        side.embed_documents(model, ["a new document"])


def test_a_matrix_moves_as_the_model_does(world: World, run: TunedVectors) -> None:
    ids = list(world.data.corpus)
    base = world.base_vectors(ids)

    np.testing.assert_allclose(run.apply(ids, base), expected(run, world), atol=1e-5)
    known = run.apply(run.ids, run.originals)
    assert known.tobytes() == run.vectors.tobytes()
    assert run.revert(run.ids, known).tobytes() == run.originals.tobytes()


def test_a_store_filled_through_the_model_moves_new_documents(
    side: Any, world: World, run: TunedVectors
) -> None:
    corpus = world.data.corpus
    store = side.store(side.tuned_model(side.model(world), run), corpus)

    np.testing.assert_allclose(side.vectors(store, list(corpus)), expected(run, world), atol=1e-5)


def test_a_field_on_disk_is_the_one_in_memory(
    world: World, run: TunedVectors, tmp_path: Path
) -> None:
    again = TunedVectors.load(run.save(tmp_path))
    ids = list(world.data.corpus)
    base = world.base_vectors(ids)

    assert again.labelled == run.labelled
    assert again.digest == run.digest
    assert again.apply(ids, base).tobytes() == run.apply(ids, base).tobytes()
    assert run.digest != dataclasses.replace(run, field=None).digest


def test_applying_to_a_store_moves_what_was_added_later_and_back_to_the_byte(
    side: Any, world: World, run: TunedVectors
) -> None:
    base = side.model(world)
    store, ids = side.store(base, world.data.corpus), list(world.data.corpus)
    before = side.vectors(store, ids)

    left = store.apply(run)

    np.testing.assert_allclose(side.vectors(store, ids), expected(run, world), atol=1e-5)
    assert left == []
    assert store.revert(run) == []
    assert side.vectors(store, ids).tobytes() == before.tobytes()
