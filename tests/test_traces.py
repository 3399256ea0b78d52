"""Which tuned run answered: in metadata, in the frameworks' own traces, and in OpenTelemetry's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from engine_fakes import FRAMEWORKS, LangChain, LlamaIndex, World, planted
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.retrievers import BaseRetriever
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import MetadataMode
from opentelemetry.sdk.trace import TracerProvider

from nudge_integrations.errors import DataError

QUESTION = "Question 0 about number 0?"


@pytest.fixture(scope="module")
def world() -> World:
    return planted(documents=6, still=2)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def engine(side: Any, world: World) -> Any:
    engine = side.engine(world.data, side.model(world), gamma=0.6, method="n")
    engine.finetune()
    return engine


def traced(side: Any, engine: Any, **options: Any) -> tuple[Any, Any]:
    """A retriever over the tuned store, and the same one traced."""
    plain = side.retriever(engine.get_finetuned_vector_store(), engine.base_model)
    if side is LangChain:
        return plain, side.package.TracedRetriever(retriever=plain, tuned=engine.tuned, **options)
    return plain, side.package.TracedRetriever(plain, engine.tuned, **options)


def metadata(side: Any, retriever: Any, wait: bool = False) -> list[dict[str, Any]]:
    if side is LangChain:
        ask = retriever.ainvoke if wait else retriever.invoke
    else:
        ask = retriever.aretrieve if wait else retriever.retrieve
    found = asyncio.run(ask(QUESTION)) if wait else ask(QUESTION)
    return [hit.metadata for hit in found]


@pytest.mark.parametrize("wait", [False, True], ids=["sync", "async"])
def test_documents_carry_the_run_and_the_store_s_own_stay_as_they_were(
    side: Any, engine: Any, wait: bool
) -> None:
    plain, retriever = traced(side, engine)

    assert side.ranked(retriever, QUESTION) == side.ranked(plain, QUESTION)
    assert {each["nudge_run"] for each in metadata(side, retriever, wait)} == {engine.tuned.digest}
    assert all("nudge_run" not in each for each in metadata(side, plain, wait))
    _, quiet = traced(side, engine, tag_documents=False)
    assert all("nudge_run" not in each for each in metadata(side, quiet, wait))


def test_opentelemetry_s_span_carries_the_run(side: Any, engine: Any) -> None:
    _, retriever = traced(side, engine, tag_documents=False)
    with TracerProvider().get_tracer("a test").start_as_current_span("ask") as span:
        side.ranked(retriever, QUESTION)

    assert span.attributes == {"nudge.run": engine.tuned.digest}


def test_langchain_s_callbacks_see_the_run(world: World) -> None:
    engine = LangChain.engine(world.data, LangChain.model(world), gamma=0.6, method="n")
    engine.finetune()
    _, retriever = traced(LangChain, engine, metadata={"mine": 1})
    seen: list[dict[str, Any]] = []

    class Handler(BaseCallbackHandler):
        def on_retriever_start(self, *_: Any, metadata: Any = None, **__: Any) -> None:
            seen.append(metadata or {})

    retriever.invoke(QUESTION, config={"callbacks": [Handler()]})

    assert isinstance(retriever, BaseRetriever)
    assert (seen[0]["nudge_run"], seen[0]["mine"]) == (engine.tuned.digest, 1)
    assert len(seen) == 2, "the retriever underneath is traced, too"


def test_llama_index_s_instrumentation_sees_the_run(world: World) -> None:
    engine = LlamaIndex.engine(world.data, LlamaIndex.model(world), gamma=0.6, method="n")
    engine.finetune()
    _, retriever = traced(LlamaIndex, engine)
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event.tags.get("nudge_run"))

    dispatcher = get_dispatcher()
    handler = Handler()
    dispatcher.add_event_handler(handler)
    try:
        (hit, *_) = retriever.retrieve(QUESTION)
    finally:
        dispatcher.event_handlers.remove(handler)

    assert engine.tuned.digest in seen
    assert "nudge_run" not in hit.node.get_content(MetadataMode.LLM)
    assert "nudge_run" not in hit.node.get_content(MetadataMode.EMBED)


def test_only_tuned_vectors_can_be_named(side: Any, engine: Any) -> None:
    plain, _ = traced(side, engine)
    make = side.package.TracedRetriever
    arguments = {"retriever": plain, "tuned": engine}
    with pytest.raises(DataError, match="tuned vectors are needed"):
        make(**arguments)


def test_no_tracing_library_is_loaded() -> None:
    code = (
        "import sys; from nudge_integrations.tuning.traces import mark_span; mark_span('x'); "
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
