"""Documents in, judged questions out, through both frameworks' models over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from chat_models import langchain_model, text_of
from langchain_core.documents import Document
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from openai_server import Ask, OpenAIServer, Say

from nudge_integrations import QuestionFilters, agenerate_questions, generate_questions
from nudge_integrations.errors import DataError, NudgeError

QUIET = {"show_progress": False}


def test_every_document_gets_its_questions(
    server: OpenAIServer, make_llm: Callable[..., Any], documents: dict[str, str]
) -> None:
    found = generate_questions(documents, make_llm(server.url), **QUIET)

    data, report = found.dataset, found.report
    assert len(data) == 3 * len(documents)
    assert dict(data.corpus) == documents
    answered = [data.answers(name)[0] for name in data.queries]
    assert answered == [name for name in documents for _ in range(3)]  # in their order
    for name, text in data.queries.items():
        (document,) = data.answers(name)
        assert set(text.removeprefix("How is it with ").rstrip("?").split(" and ")) <= set(
            documents[document].split()
        )
    usage = report.usage
    assert (report.asked, report.written, report.kept) == (40, 120, 120)
    assert usage.tokens_read == sum(len(ask.user) // 4 for ask in server.asks)
    assert not usage.estimated
    assert server.most_running > 1
    assert "not looked for: near-duplicates (no embed_model)" in str(found)


def test_documents_of_both_frameworks(server: OpenAIServer) -> None:
    llm = langchain_model(server.url)
    plain = {"a": text_of(1), "b": text_of(2)}
    langchain = [Document(id=name, page_content=text) for name, text in plain.items()]
    nodes = [TextNode(id_=name, text=text, metadata={"page": 7}) for name, text in plain.items()]

    one, two, three = (
        generate_questions(each, llm, **QUIET).dataset for each in (plain, langchain, nodes)
    )

    assert one.queries == two.queries == three.queries
    assert one.qrels == two.qrels == three.qrels
    assert three.corpus["a"] == f"page: 7\n\n{text_of(1)}"  # as it is embedded, with metadata
    assert len(server.asks) == 2  # what was answered for the first was remembered
    assert "page: 7" not in server.asks[0].user


def test_a_language_model_may_be_a_function(documents: dict[str, str]) -> None:
    seen = []

    def llm(prompt: str) -> str:
        seen.append(prompt)
        return "1. What is that?\n2. Who is it?\n3. why so"

    found = generate_questions({"a": "some text"}, llm, **QUIET)

    assert list(found.dataset.queries.values()) == ["What is that?", "Who is it?", "why so"]
    assert found.report.usage.estimated
    assert "estimated by length" in str(found)
    assert len(seen) == 1


@pytest.mark.parametrize("structured", [True, False])
def test_structured_output_where_it_is_asked_for(
    server: OpenAIServer, documents: dict[str, str], structured: bool
) -> None:
    generate_questions(documents, langchain_model(server.url), structured=structured, **QUIET)

    kinds = {ask.body.get("response_format", {}).get("type") for ask in server.asks}
    assert kinds == ({"json_schema"} if structured else {None})


def test_llama_index_s_tools_are_used_where_the_model_has_them(server: OpenAIServer) -> None:
    from chat_models import llama_index_model

    llm = llama_index_model(server.url, is_function_calling_model=True)

    found = generate_questions({"a": text_of(1)}, llm, **QUIET)

    assert len(found.dataset) == 3
    assert server.asks[0].body["tools"][0]["function"]["name"] == "Questions"
    assert not found.report.usage.estimated


def test_a_server_without_structured_output_is_asked_for_text(documents: dict[str, str]) -> None:
    def script(ask: Ask) -> Say | None:
        known = "response_format" not in ask.body
        return None if known else Say("unknown field response_format", 400)

    with OpenAIServer(script) as server:
        llm = langchain_model(server.url)
        found = generate_questions(documents, llm, structured=True, concurrency=1, **QUIET)

    assert len(found.dataset) == 120
    assert sum("response_format" in ask.body for ask in server.asks) == 1
    assert not found.report.usage.failed


def test_the_same_text_is_asked_about_once_and_all_its_documents_answer(
    server: OpenAIServer,
) -> None:
    twins = {"a": text_of(1), "b": text_of(2), "c": text_of(1).upper()}

    found = generate_questions(twins, langchain_model(server.url), **QUIET)

    assert len(server.asks) == 2
    assert {found.dataset.answers(name) for name in found.dataset.queries} == {("a", "c"), ("b",)}


def test_max_documents_spreads_over_the_corpus(
    server: OpenAIServer, documents: dict[str, str]
) -> None:
    llm = langchain_model(server.url)

    found = generate_questions(documents, llm, max_documents=8, **QUIET)

    asked = sorted({int(found.dataset.answers(name)[0][1:]) for name in found.dataset.queries})
    assert len(asked) == 8
    gaps = [after - before for before, after in pairwise(asked)]
    assert max(gaps) == min(gaps) == 5
    other = generate_questions(documents, llm, max_documents=8, seed=1, **QUIET)
    assert other.dataset.qrels != found.dataset.qrels


def test_kinds_examples_and_the_user_s_prompt_reach_the_model(server: OpenAIServer) -> None:
    generate_questions(
        {"a": "Text of {a}"},
        langchain_model(server.url),
        questions_per_document=2,
        kinds=["keywords", "situation"],
        examples=["wo ist {mein} Paket"],
        prompt="Write as pirates do. {braces} stay %s.",
        **QUIET,
    )

    (ask,) = server.asks
    assert ask.system == "Write as pirates do. {braces} stay %s."
    assert "wo ist {mein} Paket" in ask.user
    assert "two to six words" in ask.user
    assert "support request" in ask.user
    assert ask.document == "Text of {a}"


def test_a_section_question_shows_the_text_around_it(server: OpenAIServer) -> None:
    parent = RelatedNodeInfo(node_id="book")
    nodes = [
        TextNode(
            id_=f"n{place}",
            text=f"part {place} {text_of(place)}",
            relationships={NodeRelationship.SOURCE: parent},
        )
        for place in range(3)
    ]
    nodes.append(TextNode(id_="other", text="part 3 of another book"))

    generate_questions(nodes, langchain_model(server.url), kinds=["section"], **QUIET)

    by_document = {ask.document.split()[1]: ask.user for ask in server.asks}
    assert "[before the document" not in by_document["0"]
    assert "part 1" in by_document["0"].split("[after the document")[1]
    assert "part 0" in by_document["1"]
    assert "part 2" in by_document["1"]
    assert "part 3" not in by_document["2"]
    assert "around" not in by_document["3"].split("[document")[0].replace("text around it", "")


def test_the_async_twin_leaves_the_loop_free(documents: dict[str, str]) -> None:
    async def run() -> tuple[int, Any]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        beside = asyncio.create_task(tick())
        found = await agenerate_questions(
            documents, langchain_model(server.url), concurrency=4, **QUIET
        )
        beside.cancel()
        # The same model object goes on being used in the loop afterwards.
        await langchain_model(server.url).ainvoke("hello")
        return ticks, found

    with OpenAIServer(delay=0.02) as server:
        ticks, found = asyncio.run(run())

    assert ticks > 10
    assert len(found.dataset) == 120


def test_money_runs_out(documents: dict[str, str], server: OpenAIServer) -> None:
    llm = langchain_model(server.url)
    price = (1_000.0, 1_000.0)
    whole = generate_questions(documents, llm, price_per_million=price, checkpoint=False, **QUIET)
    limit = whole.report.usage.cost / 2

    half = generate_questions(
        documents, llm, price_per_million=price, max_cost=limit, concurrency=2, **QUIET
    )

    assert half.report.usage.cost <= limit
    assert 15 <= half.report.asked <= 20
    assert "max_cost" in str(half)
    rest = generate_questions(documents, llm, price_per_million=price, **QUIET)
    assert rest.report.usage.remembered == half.report.asked
    assert rest.dataset == whole.dataset


def test_fruitless_documents_are_named(documents: dict[str, str]) -> None:
    some = dict(list(documents.items())[:4])
    said = {"d000": "I'm sorry, but I can't help with that.", "d001": "", "d002": "{}"}

    def script(ask: Ask) -> str | None:
        name = next(name for name, text in some.items() if text == ask.document)
        return said.get(name)

    with OpenAIServer(script) as server:
        found = generate_questions(some, langchain_model(server.url), **QUIET)
        again = generate_questions(some, langchain_model(server.url), **QUIET)

    assert found.report.fruitless == ("d000", "d001", "d002")
    assert len(found.dataset) == 3
    assert set(server.asked.values()) == {1, 2}  # an empty answer is asked for once more, and kept
    assert again.report.usage.asked == 0


@pytest.mark.parametrize(
    ("documents", "arguments", "message"),
    [
        ({}, {}, "no documents to ask about"),
        ("a text", {}, "no documents: the str"),
        ([Document(page_content="x")], {}, "document 0 .'x'. has no id"),
        ([3], {}, "document 0 is the int 3"),
        ({"a": "x"}, {"kinds": ["riddle"]}, "riddle"),
        ({"a": "x"}, {"kinds": []}, "no such kind"),
        ({"a": "x"}, {"questions_per_document": 0}, "questions_per_document must be"),
        ({"a": "x"}, {"max_cost": 1.0}, "price_per_million"),
        ({"a": "x"}, {"max_documents": 0}, "max_documents must be"),
        ({"a": "x"}, {"concurrency": 0}, "concurrency must be"),
        ({"a": "x"}, {"judge": len}, "judge needs embed_model"),
        ({"a": "x"}, {"filters": {"round_trip": 1}}, "QuestionFilters"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    server: OpenAIServer, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        generate_questions(documents, langchain_model(server.url), **QUIET, **arguments)
    assert not server.asks


def test_no_model_and_no_question_are_said(server: OpenAIServer) -> None:
    with pytest.raises(DataError, match="no language model: the int 3"):
        generate_questions({"a": "x"}, 3)
    with pytest.raises(DataError, match="wrote no usable question"):
        generate_questions({"a": "x"}, lambda _: "", **QUIET)


def test_a_wrong_key_ends_the_run_at_once(documents: dict[str, str]) -> None:
    with OpenAIServer(lambda _: Say("wrong key", 401)) as server:
        with pytest.raises(NudgeError, match=r"refuses every request.*wrong key.*check its key"):
            generate_questions(documents, langchain_model(server.url), **QUIET)
        assert len(server.asks) < 40


def test_filters_can_be_turned_on_and_off(server: OpenAIServer) -> None:
    def llm(_: str) -> str:
        return json.dumps(["one of them", "another one", "another one"])

    nothing, balanced = (
        QuestionFilters(near_duplicates=None, per_document=most) for most in (None, 1)
    )

    assert len(generate_questions({"a": "x"}, llm, filters=balanced, **QUIET).dataset) == 1
    found = generate_questions({"a": "x"}, llm, filters=nothing, **QUIET)
    assert len(found.dataset) == 2
    assert "not looked for" not in str(found)
