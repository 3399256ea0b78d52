"""Ranking by tuned vectors over a store that keeps its original ones."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from engine_fakes import FRAMEWORKS, LangChain, World, planted
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.errors import DataError
from nudge_integrations.tuning.overlay import Overlay


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=5)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def engine(side: Any, world: World) -> Any:
    engine = side.engine(
        world.data, side.model(world), side.documents(world.data.corpus), gamma=0.6, method="n"
    )
    engine.finetune()
    return engine


def overlaid(side: Any, store: Any, model: Any, tuned: Any, k: int = 10, **options: Any) -> Any:
    """The retriever over a store of ours, or of the framework's, that was never written to."""
    if side is LangChain:
        return side.package.NudgeRetriever(
            vector_store=store, embeddings=model, tuned=tuned, k=k, **options
        )
    index = side.retriever(store, model)._index
    return side.package.NudgeRetriever(index, tuned, similarity_top_k=k, **options)


@pytest.mark.parametrize("kind", ["store", "framework_store"])
def test_over_untouched_stores_it_answers_as_the_tuned_one(
    side: Any, engine: Any, world: World, kind: str
) -> None:
    model = engine.base_model
    store = getattr(side, kind)(model, world.data.corpus)
    retriever = overlaid(side, store, model, engine.tuned)
    tuned = side.retriever(engine.get_finetuned_vector_store(), model)
    base = side.retriever(engine.get_base_vector_store(), model)
    questions = list(world.data.queries.values())

    answers = [side.ranked(retriever, question) for question in questions]

    assert answers == [side.ranked(tuned, question) for question in questions]
    assert answers != [side.ranked(base, question) for question in questions]
    assert (retriever.overlay.queries, retriever.overlay.inexact) == (len(questions), 0)


def test_the_same_report_measures_base_overlay_and_tuned_store(
    side: Any, engine: Any, world: World
) -> None:
    model = engine.base_model
    store = engine.get_base_vector_store()
    measure = side.package.evaluate_retriever

    base, overlay, tuned = (
        measure(retriever, world.data).mean("ndcg@10")
        for retriever in (
            side.retriever(store, model),
            overlaid(side, store, model, engine.tuned),
            side.retriever(engine.get_finetuned_vector_store(), model),
        )
    )

    assert base < overlay == tuned


def test_a_window_that_is_too_small_is_counted(side: Any, engine: Any, world: World) -> None:
    store = engine.get_base_vector_store()
    retriever = overlaid(side, store, engine.base_model, engine.tuned, k=1, window=1)
    exact = side.retriever(engine.get_finetuned_vector_store(), engine.base_model, k=1)
    questions = list(world.data.queries.values())

    wrong = sum(side.ranked(retriever, each) != side.ranked(exact, each) for each in questions)

    assert wrong > 0
    assert wrong <= retriever.overlay.inexact <= retriever.overlay.queries == len(questions)


def test_nothing_moved_changes_nothing(side: Any, engine: Any, world: World) -> None:
    store = engine.get_base_vector_store()
    nothing = dataclasses.replace(
        engine.tuned,
        ids=(),
        text_hashes=(),
        vectors=engine.tuned.vectors[:0],
        originals=engine.tuned.originals[:0],
    )
    retriever = overlaid(side, store, engine.base_model, nothing)
    question = next(iter(world.data.queries.values()))

    plain = side.ranked(side.retriever(store, engine.base_model), question)
    assert side.ranked(retriever, question) == plain
    assert retriever.overlay.inexact == 0


def test_a_filter_is_handed_on(side: Any, engine: Any, world: World) -> None:
    store = engine.get_base_vector_store()
    if side is LangChain:
        options: Any = {"search_kwargs": {"filter": lambda document: document.id == "d3"}}
    else:
        (node,) = store.get_nodes(["d3"])
        node.metadata, node.excluded_embed_metadata_keys = {"kept": 1}, ["kept"]
        node.embedding = store.get("d3")
        store.add([node])
        only = MetadataFilter(key="kept", value=1)
        options = {"filters": MetadataFilters(filters=[only])}
    retriever = overlaid(side, store, engine.base_model, engine.tuned, **options)
    assert side.ranked(retriever, next(iter(world.data.queries.values()))) == ["d3"]


def test_what_cannot_work_is_refused(side: Any, engine: Any) -> None:
    store = engine.get_base_vector_store()
    with pytest.raises(DataError, match="window=3 is smaller than"):
        overlaid(side, store, engine.base_model, engine.tuned, k=4, window=3)
    with pytest.raises(DataError, match="tuned vectors are needed"):
        overlaid(side, store, engine.base_model, engine)


SCORES = {
    "cosine": lambda c: c,
    "relevance": lambda c: (1 + c) / 2,
    "cosine distance": lambda c: 1 - c,
    "negative inner product": lambda c: -c,
    "squared distance": lambda c: 2 - 2 * c,
    "distance": lambda c: math.sqrt(max(0.0, 2 - 2 * c)),
    "exp of minus distance": lambda c: math.exp(c - 1),
    "exp of minus squared distance": lambda c: math.exp(2 * c - 2),
}


@pytest.mark.parametrize("kind", SCORES)
@given(seed=st.integers(0, 1000), k=st.integers(1, 12))
def test_whatever_the_scores_mean_the_ranking_is_that_of_the_tuned_vectors(
    kind: str, seed: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    base = unit_rows(rng.normal(size=(12, 6)).astype(np.float32))
    query = unit_rows(rng.normal(size=(1, 6)).astype(np.float32))[0]
    tuned = tuned_for(base, moved := [1, 4, 5], rng)
    after = base.copy()
    after[moved] = tuned.vectors
    scores = [SCORES[kind](float(row @ query)) for row in base]

    ranked = Overlay(tuned).rank(query, [f"text of d{i}" for i in range(12)], scores, k, whole=True)

    order = np.argsort(-(after @ query).astype(np.float64), kind="stable")[:k]
    assert [place for place, _ in ranked] == order.tolist()
    assert [score for _, score in ranked] == pytest.approx((after @ query)[order], abs=1e-4)


def test_scores_that_mean_nothing_known_are_refused_with_the_way_out() -> None:
    rng = np.random.default_rng(0)
    base = unit_rows(rng.normal(size=(6, 6)).astype(np.float32))
    tuned = tuned_for(base, [0, 1], rng)
    texts = [f"text of d{i}" for i in range(6)]
    strange = [float(100 + row @ base[2]) for row in base]

    with pytest.raises(DataError, match=r"pass similarity_of="):
        Overlay(tuned).rank(base[2], texts, strange, 3, whole=True)

    known = Overlay(tuned, similarity_of=lambda score: score - 100)
    assert len(known.rank(base[2], texts, strange, 3, whole=True)) == 3


def tuned_for(base: np.ndarray, rows: list[int], rng: np.random.Generator) -> Any:
    from engine_fakes import tuned_vectors

    moved = unit_rows((base[rows] + rng.normal(size=(len(rows), 6))).astype(np.float32))
    return tuned_vectors([f"d{row}" for row in rows], 6, originals=base[rows], vectors=moved)
