"""Mistakes that newcomers make with what a run produced, and what they are told.

As in `test_newcomer_mistakes.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_fakes import FRAMEWORKS, LangChain
from llama_index.core import VectorStoreIndex
from newcomer import Desk, Mistake, Table, check

from nudge_integrations import TunedVectors, generate_questions
from nudge_integrations.errors import CorruptFileError, DataError, NotFinetunedError, NudgeError

mistake = Table()


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk.of(request.param, tmp_path)


@mistake.each()
def test_a_mistake_is_named_with_its_remedy_before_any_work(mistake: Mistake, desk: Desk) -> None:
    check(mistake, desk)


# --- Results ----------------------------------------------------------------------------------


@mistake(NotFinetunedError, names="nothing is tuned yet", remedy="call finetune() first, or await")
def a_result_before_finetune(desk: Desk) -> None:
    desk.engine().get_finetuned_vector_store()


@mistake(DataError, names="the str 'tuned'", remedy="TunedVectors.load('tuned')")
def a_folder_for_tuned_vectors(desk: Desk) -> None:
    desk.side.tuned_model(desk.model, "tuned")


@mistake(DataError, names="a NudgeFinetuneEngine", remedy="pass the .tuned of")
def an_engine_for_tuned_vectors(desk: Desk) -> None:
    engine = desk.finetuned()
    engine.get_base_vector_store().apply(engine)


@mistake(
    NudgeError,
    names="{folder}/run already holds another run",
    remedy="pass overwrite=True",
    before=lambda desk: desk.finetuned(gamma=0.3).save(desk.folder / "run"),
)
def saving_over_another_run(desk: Desk) -> None:
    desk.finetuned(gamma=0.2).save(desk.folder / "run")


@mistake(
    NudgeError,
    names="{folder}/notes.txt is a file",
    remedy="name a folder",
    before=lambda desk: (desk.folder / "notes.txt").write_text("mine"),
)
def saving_into_a_file(desk: Desk) -> None:
    desk.finetuned().save(desk.folder / "notes.txt")


def _run_and_store(desk: Desk) -> None:
    engine = desk.finetuned()
    engine.save(desk.folder / "run")
    desk.side.save(engine.get_finetuned_vector_store(), desk.folder / "store")


@mistake(
    CorruptFileError,
    names="safetensors is a file",
    remedy="'{folder}/run'",
    before=_run_and_store,
)
def loading_the_file_for_its_folder(desk: Desk) -> None:
    TunedVectors.load(desk.folder / "run" / "tuned.safetensors")


@mistake(
    CorruptFileError, names="no tuned vectors at", remedy="vector_store", before=_run_and_store
)
def loading_a_store_as_a_run(desk: Desk) -> None:
    TunedVectors.load(desk.folder / "store")


@mistake(DataError, names="not a {class}", remedy="Embedder(model).fingerprint")
def a_model_for_its_fingerprint(desk: Desk) -> None:
    TunedVectors.load(desk.folder, model=desk.model)


@mistake(DataError, names="a retriever is needed", remedy="as_retriever(")
def a_store_for_a_retriever(desk: Desk) -> None:
    if desk.side is LangChain:
        desk.side.package.evaluate_retriever(desk.side.store(desk.model, {}), desk.data)
    else:
        store = desk.side.package.NudgeVectorStore()
        index = VectorStoreIndex.from_vector_store(store, embed_model=desk.model)
        desk.side.package.evaluate_retriever(index, desk.data)


# --- Questions from a language model ----------------------------------------------------------


@mistake(DataError, names="the str 'gpt-4o-mini'", remedy="ChatOpenAI(model='gpt-4o-mini')")
def a_name_for_a_language_model(desk: Desk) -> None:
    generate_questions(desk.side.documents(desk.data.corpus), "gpt-4o-mini")


@mistake(DataError, names="'max_document'", remedy="did you mean 'max_documents'?")
def an_option_of_generating_misspelt(desk: Desk) -> None:
    options: Any = {"max_document": 3}
    generate_questions(desk.side.documents(desk.data.corpus), lambda prompt: prompt, **options)
