"""The promises of the design, one section each, tried on the public face of both frameworks."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import (
    FRAMEWORKS,
    LangChain,
    LlamaIndex,
    RealData,
    World,
    brute_force,
    ndcg_at_10,
    planted,
    tuned_vectors,
)
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import MockLLM

from nudge_integrations import NudgeM, RelevanceDataset, TunedVectors
from nudge_integrations.common.files import header_of
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.errors import DataError, LeakError, MetricMismatchError
from nudge_integrations.tuning.saved import apply_to_saved, revert_in_saved

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    """One of the two frameworks."""
    return request.param


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=5)


def run(side: Any, world: World, train: Any = None, **options: Any) -> Any:
    """An engine after `finetune`, over all documents of the world."""
    engine = side.engine(
        world.data if train is None else train,
        options.pop("model", None) or side.model(world),
        side.documents(world.data.corpus),
        **options,
    )
    engine.finetune()
    return engine


def half(data: RelevanceDataset, part: int) -> RelevanceDataset:
    """Every second question: each document keeps some in both halves."""
    return data.subset([name for place, name in enumerate(data.queries) if place % 2 == part])


# --- The query path is untouched: same query vector, no added latency -------------------------


def test_a_query_vector_has_the_same_bytes_before_and_after(side: Any, world: World) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)

    for question in world.data.queries.values():
        before = side.embed_query(model, question)
        after = side.embed_query(engine.get_finetuned_model(), question)
        assert np.array(after).tobytes() == np.array(before).tobytes()


async def test_an_async_query_vector_has_the_same_bytes_too(side: Any, world: World) -> None:
    model = side.model(world)
    tuned = run(side, world, model=model).get_finetuned_model()
    question = world.data.queries["q0-0"]
    method = "aembed_query" if side is LangChain else "aget_query_embedding"

    assert await getattr(tuned, method)(question) == side.embed_query(model, question)


def test_a_tuned_document_s_own_text_is_embedded_untouched_as_a_query(
    side: Any, world: World
) -> None:
    model = side.model(world)
    tuned = run(side, world, model=model).get_finetuned_model()
    text = world.data.corpus["d0"]

    assert side.embed_query(tuned, text) == side.embed_query(model, text)
    assert side.embed_documents(tuned, [text]) != [side.embed_query(model, text)]


def test_the_base_model_is_asked_once_a_query_and_for_nothing_else(side: Any, world: World) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)
    tuned = engine.get_finetuned_model()
    retriever = side.retriever(engine.get_finetuned_vector_store(), tuned)
    model.asked.clear()

    questions = list(world.data.queries.values())[:7]
    for question in questions:
        side.ranked(retriever, question)

    assert model.asked == [("query", question) for question in questions]


@pytest.mark.parametrize(("method", "unmoved"), [("c", 0), ("n", 5)])
def test_the_base_model_is_never_asked_for_a_tuned_text(
    method: str, unmoved: int, side: Any, world: World
) -> None:
    model = side.model(world)
    engine = run(side, world, model=model, method=method)
    tuned = engine.get_finetuned_model()
    model.asked.clear()

    vectors = side.embed_documents(tuned, list(world.data.corpus.values()))

    still = [text for name, text in world.data.corpus.items() if name not in engine.tuned.ids]
    assert len(still) == unmoved
    assert model.asked == [("document", text) for text in still]
    assert np.array(vectors, np.float32).tobytes() == engine.finetuned_embeddings.tobytes()


def test_a_finetuned_store_is_filled_without_embedding_anything(side: Any, world: World) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)
    model.asked.clear()

    engine.get_base_vector_store()
    engine.get_finetuned_vector_store()

    assert model.asked == []


# --- Never worse on validation; a step of 0 leaves every bit, and the report says so ----------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shift", [0.2, 0.8, 2.0])
def test_never_worse_on_validation_than_the_base(seed: int, shift: float) -> None:
    world = planted(seed=seed, shift=shift, questions=3)
    train, validation = world.split(0.6, 0.4)

    engine = run(LangChain, world, train, val_dataset=validation, selection="holdout")

    ids = engine.ids
    before = brute_force(ids, engine.base_embeddings, world.table, validation)
    after = brute_force(ids, engine.finetuned_embeddings, world.table, validation)
    assert after >= before - 1e-9
    if engine.tuned.step > 0:
        assert after > before


def test_never_worse_on_questions_without_any_structure() -> None:
    rng = np.random.default_rng(1)
    world = planted(shift=2.0)
    scrambled = {
        text: rng.normal(size=world.dimension).tolist()
        if text in set(world.data.queries.values())
        else vector
        for text, vector in world.table.items()
    }
    train, validation = world.split(0.7, 0.3)

    engine = run(
        LangChain,
        world,
        train,
        model=LangChain.model(scrambled),
        val_dataset=validation,
        selection="holdout",
    )

    curve = dict(engine.report.curve)
    assert max(curve.values()) > curve[0.0], "some step looks better, by luck"
    assert engine.tuned.step == 0
    assert "may be luck" in engine.report.step_reason
    before = brute_force(engine.ids, engine.base_embeddings, scrambled, validation)
    after = brute_force(engine.ids, engine.finetuned_embeddings, scrambled, validation)
    assert after >= before - 1e-9


def test_where_no_step_helps_every_bit_stays_and_the_report_says_so(side: Any) -> None:
    world = planted(shift=0)

    engine = run(side, world)

    assert engine.tuned.step == 0
    assert len(engine.tuned) == 0
    assert engine.finetuned_embeddings.tobytes() == engine.base_embeddings.tobytes()
    ids = list(engine.ids)
    before = side.vectors(engine.get_base_vector_store(), ids)
    after = side.vectors(engine.get_finetuned_vector_store(), ids)
    assert after.tobytes() == before.tobytes()
    words = " ".join(str(engine.report).split())
    assert "No step improved the held-out questions: vectors are unchanged." in words
    assert "no step raised ndcg@10" in words
    assert "moved 0 of 30 documents" in words


def test_where_no_step_helps_the_tuned_model_is_the_base_model(side: Any) -> None:
    world = planted(shift=0)
    model = side.model(world)
    tuned = run(side, world, model=model).get_finetuned_model()
    texts = list(world.data.corpus.values())

    assert side.embed_documents(tuned, texts) == side.embed_documents(model, texts)


def test_a_step_of_0_survives_saving_and_says_so_still(tmp_path: Path) -> None:
    engine = run(LangChain, planted(shift=0))
    engine.save(tmp_path)

    loaded = TunedVectors.load(tmp_path)

    assert (loaded.step, len(loaded)) == (0, 0)
    assert "vectors are unchanged" in " ".join(str(loaded.report).split())


# --- Re-running starts from the original vectors, never from tuned ones -----------------------


def same_run(first: TunedVectors, second: TunedVectors) -> bool:
    return (
        first.ids == second.ids
        and first.step == second.step
        and first.vectors.tobytes() == second.vectors.tobytes()
        and first.originals.tobytes() == second.originals.tobytes()
    )


def test_a_second_run_of_one_engine_gives_the_same_vectors(side: Any, world: World) -> None:
    engine = run(side, world)
    first = engine.tuned

    engine.finetune()

    assert engine.tuned is not first
    assert same_run(engine.tuned, first)


def test_a_run_on_the_tuned_model_starts_from_the_base_model(side: Any, world: World) -> None:
    first = run(side, world)
    model = first.get_finetuned_model()

    again = run(side, world, model=model)
    once_more = run(side, world, model=side.tuned_model(again.get_finetuned_model(), first.tuned))

    assert same_run(again.tuned, first.tuned)
    assert same_run(once_more.tuned, first.tuned)
    assert again.base_model is first.base_model
    assert isinstance(again.base_model, type(side.model(world)))


def test_a_run_on_the_embedding_model_of_a_tuned_store_starts_from_the_base_model(
    world: World,
) -> None:
    first = run(LangChain, world)
    store = first.get_finetuned_vector_store()

    again = run(LangChain, world, model=store.embeddings)

    assert same_run(again.tuned, first.tuned)


def test_adding_questions_later_gives_what_one_run_with_all_gives(side: Any, world: World) -> None:
    whole = run(side, world)
    early = run(side, world, half(world.data, 0))

    later = run(
        side,
        world,
        half(world.data, 0).merge(half(world.data, 1)).subset(world.data.queries),
        model=early.get_finetuned_model(),
    )

    assert not same_run(early.tuned, whole.tuned)
    assert same_run(later.tuned, whole.tuned)


def test_a_store_tuned_before_takes_the_new_run_after_an_undo_and_never_drifts(
    side: Any, world: World
) -> None:
    ids = list(world.data.corpus)
    early, whole = run(side, world, half(world.data, 0)), run(side, world)
    store = early.get_finetuned_vector_store()
    held = side.vectors(store, ids)

    # Without the undo: vectors that moved are no originals, so they stay; none is moved twice.
    left_alone = store.apply(whole.tuned)
    assert set(left_alone) == set(whole.tuned.ids) & set(early.tuned.ids) != set()
    first, second = ([name in run.tuned.ids for name in ids] for run in (early, whole))
    after = side.vectors(store, ids)
    assert after[first].tobytes() == held[first].tobytes()
    only = np.array(second) & ~np.array(first)
    assert after[only].tobytes() == whole.finetuned_embeddings[only].tobytes()

    assert set(store.revert(whole.tuned)) == set(left_alone)
    assert side.vectors(store, ids).tobytes() == held.tobytes()
    assert store.revert(early.tuned) == []
    assert side.vectors(store, ids).tobytes() == whole.base_embeddings.tobytes()
    assert store.apply(whole.tuned) == []
    assert side.vectors(store, ids).tobytes() == whole.finetuned_embeddings.tobytes()


# --- Undo is exact: revert restores the original bytes ----------------------------------------


def test_revert_restores_every_byte_of_a_store(side: Any, world: World) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)
    ids = list(world.data.corpus)
    store = side.store(model, world.data.corpus)
    before = side.vectors(store, ids)

    assert store.apply(engine.tuned) == []
    assert side.vectors(store, ids).tobytes() == engine.finetuned_embeddings.tobytes()
    assert side.vectors(store, ids).tobytes() != before.tobytes()
    assert store.revert(engine.tuned) == []

    assert side.vectors(store, ids).tobytes() == before.tobytes()


def test_revert_restores_every_byte_after_saving_and_loading_everything(
    side: Any, world: World, tmp_path: Path
) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)
    ids = list(world.data.corpus)
    engine.save(tmp_path / "tuned")
    side.save(engine.get_finetuned_vector_store(), tmp_path / "store")

    store = side.load(tmp_path / "store", model)
    assert store.revert(TunedVectors.load(tmp_path / "tuned")) == []

    assert side.vectors(store, ids).tobytes() == engine.base_embeddings.tobytes()


def test_revert_restores_every_byte_of_a_matrix(world: World) -> None:
    engine = run(LangChain, world)
    ids, before = engine.ids, engine.base_embeddings

    moved = engine.tuned.apply(ids, before)

    assert moved.tobytes() == engine.finetuned_embeddings.tobytes() != before.tobytes()
    assert engine.tuned.revert(ids, moved).tobytes() == before.tobytes()


def test_undo_in_a_saved_store_restores_the_file_byte_for_byte(
    side: Any, world: World, tmp_path: Path
) -> None:
    engine = run(side, world)
    side.save(engine.get_base_vector_store(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert apply_to_saved(tmp_path, engine.tuned).changed == len(engine.tuned)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} != before
    assert revert_in_saved(tmp_path, engine.tuned).changed == len(engine.tuned)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_originals_are_the_bytes_that_the_base_model_gave(side: Any, world: World) -> None:
    tuned = run(side, world).tuned

    assert tuned.originals.tobytes() == world.base_vectors(tuned.ids).tobytes()


# --- NUDGE-M's vectors never meet cosine ------------------------------------------------------


def nudge_m(side: Any, world: World, **options: Any) -> Any:
    return run(side, world, method="m", metric="dot", **options)


MEETINGS: dict[str, Callable[[Any, World, Path], object]] = {
    "the engine's default metric": lambda side, world, _: side.engine(
        world.data, side.model(world), method="m"
    ),
    "the engine's metric": lambda side, world, _: side.engine(
        world.data, side.model(world), method="nudge-m", metric="cosine"
    ),
    "an instance as the engine's method": lambda side, world, _: side.engine(
        world.data, side.model(world), method=NudgeM(), metric="cosine"
    ),
    "a store's apply": lambda side, world, _: side.store(
        side.model(world), world.data.corpus
    ).apply(nudge_m(side, world).tuned),
    "the index": lambda side, world, _: nudge_m(side, world).tuned.apply_to(ExactIndex("cosine")),
    "a saved store": lambda side, world, folder: (
        side.save(side.store(side.model(world), world.data.corpus), folder),
        apply_to_saved(folder, nudge_m(side, world).tuned),
    ),
    "TunedVectors": lambda side, world, _: tuned_vectors(method="nudge-m", metric="cosine"),
    "TunedVectors said to be for cosine": lambda side, world, _: dataclasses.replace(
        nudge_m(side, world).tuned, metric="cosine"
    ),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_nudge_m_is_refused_under_cosine_by(
    meeting: str, side: Any, world: World, tmp_path: Path
) -> None:
    with pytest.raises(MetricMismatchError) as caught:
        MEETINGS[meeting](side, world, tmp_path)

    assert "NUDGE-M" in str(caught.value)
    assert "dot" in str(caught.value)
    assert "N" in str(caught.value)


def test_a_cosine_store_that_refused_nudge_m_is_as_it_was(side: Any, world: World) -> None:
    ids = list(world.data.corpus)
    store = side.store(side.model(world), world.data.corpus)
    before = side.vectors(store, ids)

    with pytest.raises(MetricMismatchError):
        store.apply(nudge_m(side, world).tuned)

    assert side.vectors(store, ids).tobytes() == before.tobytes()


def test_a_langchain_store_of_this_package_refuses_a_model_of_nudge_m_under_cosine(
    world: World,
) -> None:
    model = nudge_m(LangChain, world).get_finetuned_model()

    with pytest.raises(MetricMismatchError, match="metric='dot'"):
        LangChain.store(model, world.data.corpus, metric="cosine")
    assert len(LangChain.store(model, world.data.corpus, metric="dot").get_by_ids(["d0"])) == 1


def test_nudge_m_s_own_store_ranks_by_inner_product_and_better(side: Any, world: World) -> None:
    train, test = world.split(0.75, 0.25)
    engine = nudge_m(side, world, train=train, test_dataset=test)

    assert engine.get_finetuned_vector_store().metric == "dot"
    lengths = np.linalg.norm(engine.tuned.vectors, axis=1)
    assert (np.abs(lengths - 1) > 0.01).any()
    assert engine.report.row().difference > 0.05


def test_the_tuned_model_says_that_it_cannot_see_the_metric_of_other_stores(side: Any) -> None:
    # A store of another maker is handed numbers and asks nothing: nobody could refuse there.
    # The user has said metric='dot' to get here; the documentation says what that binds them to.
    words = " ".join(side.package.NudgeFinetuneEngine.get_finetuned_model.__doc__.split())

    assert "NUDGE-M" in words
    assert "inner product" in words
    assert "Raises: NotFinetunedError" in words
    assert "MetricMismatchError" not in words


# --- Train, validation and test never share a question ----------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("train_dataset", "val_dataset"),
        ("train_dataset", "test_dataset"),
        ("val_dataset", "test_dataset"),
    ],
)
def test_a_question_in_two_splits_is_named(
    first: str, second: str, side: Any, world: World
) -> None:
    names = ("train_dataset", "val_dataset", "test_dataset")
    parts = dict(zip(names, world.split(0.5, 0.3, 0.2), strict=True))
    leaking, from_ = second, parts[first]
    name = next(iter(from_.queries))
    text = from_.queries[name].upper().replace(" ", "  ")
    parts[leaking] = RelevanceDataset(
        {**parts[leaking].queries, "another-id": text},
        parts[leaking].corpus,
        {**parts[leaking].qrels, "another-id": dict(from_.qrels[name])},
    )
    model = side.model(world)

    with pytest.raises(LeakError) as caught:
        side.engine(parts.pop("train_dataset"), model, **parts)

    for part in (f"{first!r}", f"{second!r}", "'another-id'", f"{name!r}", "without_queries_of"):
        assert part in str(caught.value)
    assert model.asked == [], "found before anything was embedded"


def test_measuring_on_a_question_of_the_training_is_refused(side: Any, world: World) -> None:
    train, test = world.split(0.75, 0.25)
    engine = run(side, world, train)
    name = next(iter(train.queries))
    asked = RelevanceDataset(
        {**test.queries, "again": train.queries[name]},
        {},
        {**test.qrels, "again": dict(train.qrels[name])},
    )

    with pytest.raises(LeakError, match=f"'train_dataset'.*'again'.*'{name}'"):
        engine.evaluate(asked)
    assert engine.evaluate(test).row().queries == len(test)


def test_the_holdout_never_cuts_one_question_apart(world: World) -> None:
    texts, qrels = world.data.queries, world.data.qrels
    data = RelevanceDataset(
        {**texts, **{f"{name}-twin": text.upper() for name, text in texts.items()}},
        world.data.corpus,
        {**qrels, **{f"{name}-twin": dict(qrels[name]) for name in texts}},
    )
    table = {**world.table, **{text.upper(): world.table[text] for text in texts.values()}}

    engine = run(LangChain, world, data, model=LangChain.model(table), selection="holdout")

    # Asked for all questions, the engine says how many stand in either part: together all, if no
    # text stands in both.
    with pytest.raises(LeakError) as caught:
        engine.evaluate(data)
    shared = [int(count) for count in re.findall(r"shares (\d+) of its 240", str(caught.value))]
    assert sum(shared) == len(data) == 240
    assert shared[1] == engine.report.row().queries > 0


def test_cross_validation_keeps_one_question_under_two_ids_in_one_fold() -> None:
    # A fold that cut twins apart would see its own answers: questions without any structure would
    # then look as if tuning had helped them a lot.
    rng = np.random.default_rng(0)
    queries, corpus, qrels, table = {}, {}, {}, {}
    for number in range(60):
        corpus[f"d{number}"] = f"document {number}"
        table[f"document {number}"] = rng.normal(size=24).tolist()
        table[f"question {number}"] = table[f"QUESTION {number}"] = rng.normal(size=24).tolist()
        for twin, text in (("a", f"question {number}"), ("b", f"QUESTION {number}")):
            queries[f"q{number}{twin}"] = text
            qrels[f"q{number}{twin}"] = {f"d{number}": 1}
    data = RelevanceDataset(queries, corpus, qrels)

    engine = run(LangChain, World(data, table))

    # Each document answers one question (under two ids), so none held out may find it moved.
    assert engine.report.row(group="unseen").queries == len(data)
    assert engine.report.row().difference < 0.1


# --- Bad data: one clear exception, nothing half-written (see also test_bad_input.py) ---------


class FailsAfter:
    """Wraps an embedding method: good answers `count` times, then NaN."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, vectors: list[list[float]]) -> list[list[float]]:
        self.left -= 1
        return vectors if self.left >= 0 else [[float("nan")] * len(each) for each in vectors]


def test_a_run_that_fails_leaves_the_result_of_the_one_before(
    side: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = side.model(world)
    engine = run(side, world, model=model)
    first = engine.tuned
    spoil = FailsAfter(0)
    method = "embed_documents" if side is LangChain else "_get_text_embeddings"
    good = getattr(type(model), method)
    monkeypatch.setattr(type(model), method, lambda self, texts: spoil(good(self, texts)))

    with pytest.raises(DataError, match="'d0'"):
        engine.finetune()

    assert engine.tuned is first
    assert (
        engine.finetuned_embeddings.tobytes()
        == first.apply(engine.ids, engine.base_embeddings).tobytes()
    )


def test_a_failed_apply_writes_nothing(side: Any, world: World) -> None:
    store = side.store(side.model(world), world.data.corpus)
    ids = list(world.data.corpus)
    before = side.vectors(store, ids)
    narrow = tuned_vectors(ids=("d0", "d1"), dimension=world.dimension - 1)

    with pytest.raises(DataError, match=r"dimension"):
        store.apply(narrow)

    assert side.vectors(store, ids).tobytes() == before.tobytes()


# --- Nothing is printed: logging, and bars that can be turned off -----------------------------


def test_nothing_is_printed_and_the_bars_can_be_turned_off(
    side: Any, world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train, validation, test = world.split(0.6, 0.2, 0.2)
    model = side.model(world, name="planted-model")

    engine = run(
        side,
        world,
        train,
        model=model,
        val_dataset=validation,
        test_dataset=test,
        cache=tmp_path / "cache",
        show_progress=False,
    )
    engine.save(tmp_path / "tuned")
    TunedVectors.load(tmp_path / "tuned")
    store = engine.get_finetuned_vector_store()
    side.save(store, tmp_path / "store")
    side.load(tmp_path / "store", model)
    retriever = side.retriever(store, engine.get_finetuned_model())
    side.package.evaluate_retriever(retriever, test)
    _ = engine.report.summary(), str(engine.report)

    assert capfd.readouterr() == ("", "")


def test_the_bars_go_to_standard_error_where_they_are_on(
    side: Any, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = run(side, world, show_progress=True)
    retriever = side.retriever(engine.get_finetuned_vector_store(), engine.get_finetuned_model())
    side.package.evaluate_retriever(retriever, world.data, show_progress=True)

    out, err = capfd.readouterr()
    assert out == ""
    for bar in ("Embedding documents", "Embedding queries", "Retrieving"):
        assert bar in err


# --- No pickle is ever written or read --------------------------------------------------------


def test_no_pickle_is_written_or_read(
    side: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model = side.model(world, name="planted-model")

    engine = run(side, world, model=model, cache=tmp_path / "cache")
    engine.save(tmp_path / "tuned")
    loaded = TunedVectors.load(tmp_path / "tuned", model=engine.tuned.model)
    side.save(engine.get_finetuned_vector_store(), tmp_path / "store")
    store = side.load(tmp_path / "store", model)
    store.revert(loaded)
    run(side, world, model=model, cache=tmp_path / "cache")

    assert pickle.dumps is refuse
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    # LlamaIndex itself decides that a store's file is called .json; what is in it is safetensors.
    stores = {path for path in written if path.parent.name == "store"}
    assert len(stores) == 1
    assert all(header_of(path.read_bytes())["kind"].endswith("vector store") for path in stores)
    assert {path.suffix for path in {*written} - stores} == {".safetensors", ".sqlite3"}
    for path in written:
        assert b"\x80\x04\x95" not in path.read_bytes()[:64], "the start of a pickle"


# --- Same inputs, same seed, same device: same result -----------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "m", "metric": "dot"},
        {"selection": "holdout", "seed": 7},
        {"gamma": 0.1},
        {"validation_metric": "recall@1", "seed": 3},
    ],
    ids=str,
)
def test_the_same_inputs_and_seed_give_the_same_bytes(
    options: dict[str, Any], side: Any, world: World, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        run(side, world, **options).save(tmp_path / folder)

    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("one", "two")
    )
    assert one == two
    assert one.keys() == {"tuned.safetensors"}


def test_both_frameworks_give_the_same_vectors(world: World) -> None:
    assert same_run(run(LangChain, world).tuned, run(LlamaIndex, world).tuned)


def test_another_process_with_other_hashes_gives_the_same_bytes(
    world: World, tmp_path: Path
) -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from engine_fakes import LangChain, planted\n"
        "world = planted(still=5)\n"
        "engine = LangChain.engine(world.data, LangChain.model(world),"
        " LangChain.documents(world.data.corpus))\n"
        f"engine.finetune(); engine.save({str(tmp_path / 'there')!r})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)
    run(LangChain, world).save(tmp_path / "here")

    there, here = (tmp_path / name / "tuned.safetensors" for name in ("there", "here"))
    assert there.read_bytes() == here.read_bytes()


def test_the_order_of_the_questions_decides_no_fold(world: World) -> None:
    shuffled = np.random.default_rng(0).permutation(list(world.data.queries)).tolist()

    one, two = run(LangChain, world), run(LangChain, world, world.data.subset(shuffled))

    assert one.tuned.step == two.tuned.step
    assert one.report.row() == two.report.row()


# --- The whole thing: retrieval gets better, and the code of the chain stays as it is ---------


@pytest.fixture(scope="module")
def covidqa(data_dir: Path) -> RealData:
    return RealData(data_dir / "covidqa_passages")


@pytest.fixture(scope="module")
def covidqa_splits(covidqa: RealData) -> tuple[RelevanceDataset, ...]:
    train, validation, test = (covidqa.split(name) for name in ("train", "dev", "test"))
    validation = validation.without_queries_of(train)
    return train, validation, test.without_queries_of(train).without_queries_of(validation)


def langchain_answers(store: Any, model: Any, questions: list[str]) -> list[list[str]]:
    """A user's chain; nothing in it knows of tuning. Gives the ids that it answered from."""
    retriever = store.as_retriever(search_kwargs={"k": 10})
    used: list[list[str]] = []

    def as_context(documents: list[Any]) -> str:
        used.append([document.id for document in documents])
        return "\n\n".join(document.page_content for document in documents)

    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    chain = (
        {"context": retriever | as_context, "question": RunnablePassthrough()}
        | prompt
        | FakeListChatModel(responses=["an answer"])
        | StrOutputParser()
    )
    for question in questions:
        assert chain.invoke(question) == "an answer"
    return used


def llama_index_answers(store: Any, model: Any, questions: list[str]) -> list[list[str]]:
    """The same with LlamaIndex's query engine."""
    engine = VectorStoreIndex.from_vector_store(store, embed_model=model).as_query_engine(
        llm=MockLLM(max_tokens=1), similarity_top_k=10, response_mode="compact"
    )
    responses = [engine.query(question) for question in questions]
    return [[hit.node.node_id for hit in response.source_nodes] for response in responses]


@pytest.mark.parametrize(
    ("side", "answers"),
    [(LangChain, langchain_answers), (LlamaIndex, llama_index_answers)],
    ids=["langchain", "llama_index"],
    indirect=["side"],
)
def test_on_real_questions_an_unchanged_chain_answers_from_better_documents(
    side: Any,
    answers: Callable[..., list[list[str]]],
    covidqa: RealData,
    covidqa_splits: tuple[RelevanceDataset, ...],
) -> None:
    train, validation, test = covidqa_splits
    engine = side.engine(
        train,
        side.model(covidqa.table),
        side.documents(train.corpus),
        val_dataset=validation,
        test_dataset=test,
    )
    engine.finetune()
    asked = list(test.judged_queries)[:60]
    questions = [test.queries[name] for name in asked]

    before = answers(engine.get_base_vector_store(), engine.base_model, questions)
    after = answers(engine.get_finetuned_vector_store(), engine.get_finetuned_model(), questions)

    row = engine.report.row()
    assert row.queries == len(test)
    assert row.difference > 0.08
    assert row.significant
    means = [
        np.mean([ndcg_at_10(ids, test.qrels[name]) for ids, name in zip(found, asked, strict=True)])
        for found in (before, after)
    ]
    some = test.subset(asked)
    assert means == [
        pytest.approx(brute_force(engine.ids, vectors, covidqa.table, some), abs=1e-6)
        for vectors in (engine.base_embeddings, engine.finetuned_embeddings)
    ]
    assert means[1] > means[0]
    measured = brute_force(engine.ids, engine.finetuned_embeddings, covidqa.table, test)
    assert row.after == pytest.approx(measured, abs=1e-6)
