"""Mistakes that newcomers make with data, models and results, and what they are told.

Each is made as one would make it, in both frameworks. The message must name the offending thing
and what to do about it, before anything is embedded or written. `{}` stands for what the framework
calls its argument.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_fakes import FRAMEWORKS, LangChain, LlamaIndex, planted
from llama_index.core.schema import TextNode
from newcomer import Desk, Mistake, Table, check

from nudge_integrations import NudgeN, RelevanceDataset
from nudge_integrations.errors import (
    DataError,
    LeakError,
    MetricMismatchError,
    NudgeError,
)

mistake = Table()


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk.of(request.param, tmp_path)


@mistake.each()
def test_a_mistake_is_named_with_its_remedy_before_any_work(mistake: Mistake, desk: Desk) -> None:
    check(mistake, desk)


# --- Questions and judgments ------------------------------------------------------------------


@mistake(DataError, names="query 'q0-0'", remedy="are queries and corpus swapped")
def queries_and_corpus_swapped(desk: Desk) -> None:
    RelevanceDataset(desk.data.corpus, desk.data.queries, desk.data.qrels)


@mistake(DataError, names="query 'd0'", remedy="{{query id: {{document id: grade}}}}")
def judgments_from_document_to_query(desk: Desk) -> None:
    qrels = {document: {query: 1} for query, each in desk.data.qrels.items() for document in each}
    desk.engine({"queries": desk.data.queries, "corpus": desk.data.corpus, "qrels": qrels})


@mistake(DataError, names="document id 0 is int", remedy="use str(id)")
def numbers_for_ids(desk: Desk) -> None:
    desk.engine({"queries": desk.data.queries, "qrels": {"q0-0": {0: 1}}})


@mistake(DataError, names="'document number 0'", remedy="documents are called 'd0', 'd1'")
def judgments_name_texts_for_ids(desk: Desk) -> None:
    desk.engine({"queries": {"q": "what?"}, "qrels": {"q": ["document number 0"]}})


@mistake(DataError, names="'my-data'", remedy="RelevanceDataset.from_beir('my-data')")
def a_path_for_a_dataset(desk: Desk) -> None:
    desk.engine("my-data")


@mistake(DataError, names="tuple has no queries", remedy="pass one of them, such as [0]")
def all_splits_for_one(desk: Desk) -> None:
    desk.engine(desk.data.split())


@mistake(LeakError, names="'q0-0'", remedy="test_dataset.without_queries_of(train_dataset)")
def judged_on_what_it_was_trained_on(desk: Desk) -> None:
    desk.engine(test_dataset=desk.data)


@mistake(DataError, names="queries is empty", remedy="give at least one query")
def no_questions(desk: Desk) -> None:
    desk.engine({"queries": {}, "corpus": desk.data.corpus, "qrels": {}})


@mistake(DataError, names="{folder}/beir does not exist", remedy="name a BEIR folder")
def a_beir_folder_that_is_not_there(desk: Desk) -> None:
    RelevanceDataset.from_beir(desk.folder / "beir")


@mistake(
    DataError,
    names="qrels/trian.tsv",
    remedy="did you mean 'train'?",
    before=lambda desk: desk.data.to_beir(desk.folder),
)
def a_split_misspelt(desk: Desk) -> None:
    RelevanceDataset.from_beir(desk.folder, "trian")


def _columns_swapped(desk: Desk) -> None:
    desk.data.to_beir(desk.folder)
    path = desk.folder / "qrels" / "train.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{b}\t{a}\t{grade}\n" for a, b, grade in rows))


@mistake(DataError, names="train.tsv, line 2", remedy="swapped", before=_columns_swapped)
def columns_of_a_beir_file_swapped(desk: Desk) -> None:
    RelevanceDataset.from_beir(desk.folder)


# --- Documents --------------------------------------------------------------------------------


@mistake(DataError, names="document 0 is the str 'document number 0'", remedy="(id")
def texts_for_documents(desk: Desk) -> None:
    desk.engine(documents=list(desk.data.corpus.values()))


@mistake(DataError, names="no list of documents", remedy="pass a list of")
def one_document_for_a_list(desk: Desk) -> None:
    desk.engine(documents=desk.side.documents(desk.data.corpus)[0])


@mistake(DataError, names="but a dict", remedy="pass a list of")
def a_mapping_for_documents(desk: Desk) -> None:
    desk.engine(documents=dict(desk.data.corpus))


@mistake(DataError, names="document 0 is a", remedy="pass a list of")
def documents_of_the_other_framework(desk: Desk) -> None:
    other = LlamaIndex if desk.side is LangChain else LangChain
    desk.engine(documents=other.documents(desk.data.corpus))


@mistake(DataError, names="'d3'", remedy="give each its own")
def an_id_twice(desk: Desk) -> None:
    documents = desk.side.documents(desk.data.corpus)
    desk.engine(documents=[*documents, documents[3]])


@mistake(DataError, names="{documents} is empty", remedy="leave it out to take the 8 documents")
def an_empty_list_of_documents(desk: Desk) -> None:
    desk.engine(documents=[])


@mistake(DataError, names="document 0 is the str 'a text'", remedy="pass a list of")
def texts_into_a_store(desk: Desk) -> None:
    store = desk.side.store(desk.model, {})
    (store.add_documents if desk.side is LangChain else store.add)(["a text"])


# --- Models -----------------------------------------------------------------------------------


@mistake(DataError, names="the class {class}", remedy="{class}(...)")
def a_class_for_a_model(desk: Desk) -> None:
    desk.engine(model=type(desk.model))


@mistake(NudgeError, names="'./no-such-model'", remedy="check the path")
def a_model_folder_that_is_not_there(desk: Desk) -> None:
    desk.engine(model="./no-such-model")


@mistake(DataError, names="unknown argument", remedy="is called '{model}' here")
def the_argument_names_of_the_other_framework(desk: Desk) -> None:
    other = LlamaIndex if desk.side is LangChain else LangChain
    desk.side.package.NudgeFinetuneEngine(desk.data, **{other.model_argument: desk.model})


# --- Options ----------------------------------------------------------------------------------


@mistake(DataError, names="'gama'", remedy="did you mean 'gamma'?")
def an_option_misspelt(desk: Desk) -> None:
    desk.engine(gama=0.3)


@mistake(DataError, names="'0.3'", remedy="such as 0.3")
def gamma_as_text(desk: Desk) -> None:
    desk.engine(gamma="0.3")


@mistake(DataError, names="batch_size must be a whole number", remedy="at least 1, got '8'")
def batch_size_as_text(desk: Desk) -> None:
    desk.engine(batch_size="8")


@mistake(DataError, names="got '0'", remedy="such as 0.02")
def protect_unseen_as_text(desk: Desk) -> None:
    desk.engine(protect_unseen="0")


@mistake(DataError, names="'ndgc@10'", remedy="did you mean 'ndcg'?")
def a_metric_misspelt(desk: Desk) -> None:
    desk.engine(validation_metric="ndgc@10")


@mistake(DataError, names="'recall@5'", remedy="validation_metric='recall@5'")
def one_metric_taken_for_the_other(desk: Desk) -> None:
    desk.engine(metric="recall@5")


@mistake(DataError, names="'d'", remedy="'n' (NUDGE-N)")
def a_method_that_does_not_exist(desk: Desk) -> None:
    desk.engine(method="d")


@mistake(DataError, names="NudgeN'>", remedy="such as NudgeN()")
def a_class_for_a_method(desk: Desk) -> None:
    desk.engine(method=NudgeN)


@mistake(MetricMismatchError, names="metric='cosine'", remedy="use metric='dot'")
def nudge_m_under_cosine(desk: Desk) -> None:
    desk.engine(method="m")


@mistake(DataError, names="half_precision=True", remedy="set it on the model itself")
def half_precision_of_a_framework_s_model(desk: Desk) -> None:
    desk.engine(half_precision=True)


# --- What is no mistake -----------------------------------------------------------------------


def test_node_ids_that_a_splitter_made_are_told_from_document_ids() -> None:
    world = planted(documents=3)
    pieces = [TextNode(id_=f"piece-{n}", text=t) for n, t in enumerate(world.data.corpus.values())]

    with pytest.raises(DataError, match=r"'d0'.*are called 'piece-0'.*its node\.node_id"):
        LlamaIndex.engine(world.data, LlamaIndex.model(world), pieces)


def test_five_questions_move_nothing_and_the_report_says_why(desk: Desk) -> None:
    engine = desk.finetuned(train=desk.data.subset(list(desk.data.queries)[:5]))

    assert len(engine.tuned) == 0
    assert "may be luck" in str(engine.report)


def test_tuning_twice_and_saving_the_same_twice_change_nothing(desk: Desk) -> None:
    engine = desk.finetuned()
    first = engine.save(desk.folder / "run"), engine.tuned.vectors.tobytes()

    engine.finetune()

    assert (engine.save(desk.folder / "run"), engine.tuned.vectors.tobytes()) == first
    assert desk.finetuned(model=engine.get_finetuned_model()).tuned.vectors.tobytes() == first[1]


def test_a_model_and_a_dataset_of_the_other_framework_are_taken(desk: Desk) -> None:
    other = LlamaIndex if desk.side is LangChain else LangChain
    same: Any = {"queries": desk.data.queries, "corpus": desk.data.corpus}
    same["relevant_docs"] = {name: list(each) for name, each in desk.data.qrels.items()}

    engine = desk.finetuned(train=same, model=other.model(desk.world))

    assert engine.tuned.vectors.tobytes() == desk.finetuned().tuned.vectors.tobytes()
