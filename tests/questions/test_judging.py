"""A log of questions without answers: what is shown, how it is graded, what comes out."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from chat_models import langchain_model
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core.schema import NodeWithScore, TextNode
from openai_server import Ask, OpenAIServer

from nudge_integrations import Embedder, RelevanceDataset, judge_queries
from nudge_integrations.errors import DataError

DOCUMENTS = {f"d{place}": f"passage number {place} about topic{place}" for place in range(30)}
QUIET: dict[str, Any] = {"show_progress": False}
_PASSAGE = re.compile(r"\[passage (\d+) \w+\]\n(.*?)\n\[end", re.DOTALL)


class Letters(Embeddings):
    """Near is what has the same letters."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows = np.zeros((len(texts), 128), np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                rows[row, ord(letter) % 128] += 1
        return rows.tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def embedder() -> Embedder:
    return Embedder(Letters(), cache=False, show_progress=False)


def judge(prompt: str) -> str:
    """The topic asked for answers; the same digit elsewhere does partly."""
    asked = re.search(r"topic(\d+)\?", prompt)
    assert asked is not None
    answers, partly = [], []
    for number, text in _PASSAGE.findall(prompt):
        topic = text.rpartition("topic")[2]
        if topic == asked.group(1):
            answers.append(int(number))
        elif topic[0] == asked.group(1)[0]:
            partly.append(int(number))
    return json.dumps({"answers": answers, "partly": partly})


def test_what_is_found_is_graded_and_the_rest_is_not_judged() -> None:
    queries = {"a": "what of topic7?", "b": "what of topic21?", "c": "What of  topic21?"}

    found = judge_queries(
        queries, DOCUMENTS, judge, depth=6, deepest=6, embed_model=embedder(), **QUIET
    )

    data = found.dataset
    assert dict(data.queries) == {"a": "what of topic7?", "b": "what of topic21?"}
    assert data.qrels["a"]["d7"] == 2
    assert all(len(judged) == 6 for judged in data.qrels.values())
    for judged in data.qrels.values():
        for name, grade in judged.items():
            assert grade in (0, 1) or name in ("d7", "d21")
    assert dict(data.corpus) == DOCUMENTS
    assert (found.agreement, found.kappa) == (1.0, 1.0)
    assert "2 of 2 queries have an answer among 12 graded documents" in str(found)


def test_words_find_what_vectors_miss() -> None:
    class Blind(Letters):
        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([DOCUMENTS["d1"]])[0]

    model = Embedder(Blind(), cache=False, show_progress=False)
    found = judge_queries(["topic 29 is topic29?"], DOCUMENTS, judge, 4, embed_model=model, **QUIET)
    assert found.dataset.judged_queries


def test_nothing_is_paid_for_twice() -> None:
    def script(ask: Ask) -> str:
        return judge(ask.user)

    with OpenAIServer(script) as server:
        llm = langchain_model(server.url)
        one, two = (
            judge_queries(
                [f"of topic{n}?" for n in range(20)],
                DOCUMENTS,
                llm,
                5,
                embed_model=embedder(),
                **QUIET,
            )
            for _ in range(2)
        )
        assert one.usage.asked == len(server.asks) == 30  # ten were graded twice
        assert (two.usage.asked, two.usage.remembered) == (0, 30)
        assert one.dataset == two.dataset
        other = judge_queries(
            ["of topic1?"],
            DOCUMENTS,
            llm,
            5,
            embed_model=embedder(),
            again=0,
            ledger_tag="v2",
            **QUIET,
        )
        assert (other.usage.asked, other.agreement) == (1, None)


def store() -> Any:
    memory = InMemoryVectorStore(Letters())
    memory.add_documents([Document(id=name, page_content=text) for name, text in DOCUMENTS.items()])
    return memory


class Retriever:
    """The shape of LlamaIndex's retrievers."""

    def retrieve(self, query: str) -> list[NodeWithScore]:
        number = query.rpartition("topic")[2].strip("?")
        name = f"d{number}"
        return [NodeWithScore(node=TextNode(id_=name, text=DOCUMENTS[name]), score=1.0)]


@pytest.mark.parametrize(
    "source",
    [
        store,
        lambda: store().as_retriever(search_kwargs={"k": 5}),
        Retriever,
        lambda: lambda query: [("d3", DOCUMENTS["d3"])],
    ],
    ids=["LangChain store", "LangChain retriever", "LlamaIndex retriever", "function"],
)
def test_whatever_can_search_will_do(source: Any) -> None:
    found = judge_queries(["what of topic3?"], source(), judge, depth=5, **QUIET)
    (judged,) = found.dataset.qrels.values()
    assert judged["d3"] == 2
    assert not found.dataset.corpus


def test_a_live_store_is_searched_with_the_model() -> None:
    from nudge_integrations.stores import open_store

    found = judge_queries(
        ["what of topic3?"], open_store(store()), judge, 5, embed_model=embedder(), **QUIET
    )
    (judged,) = found.dataset.qrels.values()
    assert judged["d3"] == 2


@pytest.mark.parametrize(
    ("queries", "source", "options", "message"),
    [
        ([], DOCUMENTS, {}, "no queries to judge"),
        ("one", DOCUMENTS, {}, "no queries: the str 'one'"),
        ([3], DOCUMENTS, {}, "is the int 3"),
        (["a topic3?"], DOCUMENTS, {"embed_model": None}, "embed_model is needed"),
        (["a topic3?"], DOCUMENTS, {"depth": 0}, "depth=0"),
        (["a topic3?"], lambda _: [], {}, "found no document"),
        (["a topic3?"], lambda _: [Document("x")], {}, "without an id"),
        (["a topic3?"], lambda _: [("d9", "topic9")], {}, "no answer to any of 1 queries"),
        (["a topic3?"], DOCUMENTS, {"deph": 3}, "'deph'"),
    ],
)
def test_bad_input_is_named(queries: Any, source: Any, options: Any, message: str) -> None:
    options = {"embed_model": embedder(), **options}
    with pytest.raises(DataError, match=message):
        judge_queries(queries, source, judge, **options, **QUIET)


def test_a_dataset_s_queries_can_be_judged_anew() -> None:
    data = RelevanceDataset({"q": "what of topic5?"}, DOCUMENTS, {"q": ["d1"]})
    found = judge_queries(data, data, judge, 5, embed_model=embedder(), **QUIET)
    assert found.dataset.qrels["q"]["d5"] == 2


def test_queries_without_an_answer_are_looked_at_on() -> None:
    ranked = list(DOCUMENTS.items())
    asked: list[int] = []

    def counted(prompt: str) -> str:
        asked.append(len(_PASSAGE.findall(prompt)))
        return judge(prompt)

    found = judge_queries(["a topic29?"], lambda _: ranked, counted, 8, again=0, **QUIET)

    (judged,) = found.dataset.qrels.values()
    # The first eight hold a part of an answer (topic2), which is one: so no more is looked at.
    assert (len(judged), asked) == (8, [8])
    asked.clear()
    found = judge_queries(["a topic9?"], lambda _: ranked[::-1], counted, 8, again=0, **QUIET)
    (judged,) = found.dataset.qrels.values()
    assert judged["d9"] == 2
    assert asked == [8, 8, 8]


def test_a_refusal_is_no_judgment() -> None:
    def refusing(prompt: str) -> str:
        return "I'm sorry, I cannot help with that." if "topic9?" in prompt else judge(prompt)

    queries = {"a": "what of topic9?", "b": "what of topic21?"}
    found = judge_queries(queries, lambda _: list(DOCUMENTS.items()), refusing, 30, **QUIET)

    assert "a" not in found.dataset.qrels
    assert len(found.dataset.qrels["b"]) == 30
