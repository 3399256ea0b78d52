"""The one call for the impatient, in both frameworks, and what is refused before it costs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from chat_models import langchain_model, llama_index_model
from engine_fakes import LangChain, LlamaIndex, planted
from langchain_core.documents import Document
from llama_index.core import Document as LlamaDocument
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode
from openai_server import OpenAIServer

from nudge_integrations import QuestionFilters, RelevanceDataset
from nudge_integrations.errors import DataError, NudgeError
from nudge_integrations.langchain import NudgeFinetuneEngine as LangChainEngine
from nudge_integrations.llama_index import NudgeFinetuneEngine as LlamaIndexEngine

# The planted questions about one document differ in little.
ALIKE = QuestionFilters(near_duplicates=None)
OPTIONS: dict[str, Any] = {"cache": False, "show_progress": False}
MODELS = {LangChain: langchain_model, LlamaIndex: llama_index_model}
ENGINES = {LangChain: LangChainEngine, LlamaIndex: LlamaIndexEngine}


@pytest.fixture(params=[LangChain, LlamaIndex], ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def script_of(data: RelevanceDataset) -> Any:
    """The language model writes the planted questions."""
    asked: dict[str, list[str]] = {}
    for name, text in data.queries.items():
        asked.setdefault(data.corpus[data.answers(name)[0]], []).append(text)
    return lambda ask: json.dumps({"questions": asked[ask.document]})


def test_documents_in_a_better_pipeline_out(side: Any) -> None:
    world = planted(documents=40)
    with OpenAIServer(script_of(world.data)) as server:
        engine = ENGINES[side].from_documents(
            side.documents(world.data.corpus),
            MODELS[side](server.url),
            side.model(world),
            questions={"questions_per_document": 4, "filters": ALIKE},
            **OPTIONS,
        )

    assert engine.questions.report.kept == len(world.data)
    assert engine.questions.report.skipped is None
    row = engine.report.row()
    assert row.queries == len(world.data) // 5  # a fifth was kept for the report
    assert row.difference > 0.1
    retriever = side.retriever(engine.get_finetuned_vector_store(), engine.get_finetuned_model())
    assert side.ranked(retriever, "Question 0 about number 7?")[0] == "d7"
    # The engine given the same questions by hand does the same.
    train, test = engine.questions.split((0.8, 0.2))
    by_hand = side.engine(
        train, side.model(world), side.documents(world.data.corpus), test_dataset=test
    )
    by_hand.finetune()
    np.testing.assert_array_equal(engine.finetuned_embeddings, by_hand.finetuned_embeddings)


def test_a_test_set_of_people_s_questions_takes_the_place_of_the_share(side: Any) -> None:
    world = planted(documents=12)
    train, people = world.split(0.7, 0.3)
    with OpenAIServer(script_of(train)) as server:
        engine = ENGINES[side].from_documents(
            side.documents(world.data.corpus),
            MODELS[side](server.url),
            side.model(world),
            test_dataset=people,
            questions={"questions_per_document": 4, "filters": ALIKE},
            **OPTIONS,
        )

    assert engine.report.row().queries == len(people)
    assert engine.questions.report.kept == len(train)


def test_bad_options_are_refused_before_a_question_is_paid_for(side: Any) -> None:
    world = planted(documents=3)
    with OpenAIServer() as server:
        for wrong in ({"method": "x"}, {"speed": 3}, {"questions": {"concurrency": 0}}):
            with pytest.raises((DataError, NudgeError)):
                ENGINES[side].from_documents(
                    side.documents(world.data.corpus),
                    MODELS[side](server.url),
                    side.model(world),
                    **{**OPTIONS, **wrong},
                )
    assert not server.asks


def test_langchain_documents_without_ids_get_a_hash_of_their_text() -> None:
    world = planted(documents=12)
    documents = [Document(page_content=text) for text in world.data.corpus.values()]
    with OpenAIServer(script_of(world.data)) as server:
        llm = langchain_model(server.url)
        one, two = (
            LangChainEngine.from_documents(documents, llm, LangChain.model(world), **OPTIONS)
            for _ in range(2)
        )

    assert one.ids == two.ids
    assert all(document.id is None for document in documents)
    assert len(server.asks) == 12


def test_llama_index_documents_are_cut_as_its_index_does() -> None:
    words = " ".join(f"word{place}" for place in range(400))
    splitter = SentenceSplitter(chunk_size=200, chunk_overlap=0)
    with OpenAIServer() as server:
        engine = LlamaIndexEngine.from_documents(
            [LlamaDocument(id_="book", text=words)],
            llama_index_model(server.url),
            LlamaIndex.model({"x": [1.0, 0.0, 0.0]}),
            transformations=[splitter],
            **OPTIONS,
        )

    assert len(engine.nodes) == len(splitter.get_nodes_from_documents([LlamaDocument(text=words)]))
    assert all(isinstance(node, TextNode) and node.ref_doc_id == "book" for node in engine.nodes)
    assert len(server.asks) == len(engine.nodes)
