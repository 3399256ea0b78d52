"""A real small model end to end, in both frameworks: documents in, a tuned pipeline out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_fakes import LangChain, LlamaIndex
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike
from model_server import SETTINGS, small_model

from nudge_integrations.demo import demo_datasets
from nudge_integrations.langchain import NudgeFinetuneEngine as LangChainEngine
from nudge_integrations.llama_index import NudgeFinetuneEngine as LlamaIndexEngine
from nudge_integrations.questions.passages import Passages
from nudge_integrations.questions.prompts import Prompt

pytestmark = pytest.mark.slow
DOCUMENTS, ASKED = 40, 8


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with small_model() as address:
        yield address


def langchain(url: str) -> Any:
    return ChatOpenAI(base_url=url, timeout=120, max_tokens=48, **SETTINGS)


def llama_index(url: str) -> Any:
    return OpenAILike(api_base=url, timeout=120, max_tokens=48, is_chat_model=True, **SETTINGS)


@pytest.mark.parametrize(
    ("side", "engine_of", "model_of"),
    [(LangChain, LangChainEngine, langchain), (LlamaIndex, LlamaIndexEngine, llama_index)],
    ids=["langchain", "llama_index"],
)
def test_a_small_model_s_questions_tune_and_people_s_questions_test(
    side: Any, engine_of: Any, model_of: Any, url: str
) -> None:
    people = demo_datasets()["test"]
    answers = dict.fromkeys(each for name in people.queries for each in people.answers(name))
    corpus = {name: people.corpus[name] for name in list(answers)[:DOCUMENTS]}
    ours = [name for name in people.queries if set(people.qrels[name]) <= set(corpus)]
    test = people.subset(ours).with_corpus(corpus)

    engine = engine_of.from_documents(
        side.documents(corpus),
        model_of(url),
        test_dataset=test,
        questions={
            "max_documents": ASKED,
            "questions_per_document": 2,
            "max_characters": 800,
            "concurrency": 2,
        },
        cache=False,
        show_progress=False,
    )

    found, passages = engine.questions, Passages.of(corpus)
    assert found.report.asked == ASKED
    assert not found.report.usage.failed
    assert found.report.usage.tokens_written > 0
    assert len(found.dataset) == found.report.kept > 0
    dropped = sum(each.count for each in found.report.dropped)
    assert found.report.written == found.report.kept + dropped
    for name, text in found.dataset.queries.items():
        first, *others = found.dataset.answers(name)
        assert not Prompt().copied(text, corpus[first])
        assert all(passages.related(first, other) for other in others)
    assert engine.report.row().queries == len(test)
    assert len(engine.finetuned_embeddings) == DOCUMENTS
