"""`evaluate_retriever`: any retriever of either framework, scored as its rankings are."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fakes import FRAMEWORKS, LangChain, LlamaIndex, World, planted
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever as LangChainRetriever
from llama_index.core.base.base_retriever import BaseRetriever as LlamaIndexRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from pydantic import Field

from nudge_integrations import RelevanceDataset, evaluate_rankings
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import DEFAULT_METRICS

METRICS = ("ndcg@10", "recall@3", "mrr@10")


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def world() -> World:
    return planted(documents=12, questions=2)


class FixedLangChain(LangChainRetriever):
    """Answers from a table of rankings; remembers how it was asked."""

    rankings: dict[str, list[str]]
    asked: list[str] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(f"sync {query}")
        return [Document(id=name, page_content=name) for name in self.rankings[query]]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(f"async {query}")
        return [Document(id=name, page_content=name) for name in self.rankings[query]]


class FixedLlamaIndex(LlamaIndexRetriever):
    """The same."""

    def __init__(self, rankings: dict[str, list[str]]) -> None:
        super().__init__()
        self.rankings = rankings
        self.asked: list[str] = []

    def _hits(self, query: str) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(id_=name, text=name)) for name in self.rankings[query]]

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        self.asked.append(f"sync {query_bundle.query_str}")
        return self._hits(query_bundle.query_str)

    async def _aretrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        self.asked.append(f"async {query_bundle.query_str}")
        return self._hits(query_bundle.query_str)


DATA = RelevanceDataset(
    {"q1": "first?", "q2": "second?", "q3": "third?", "q4": "not judged?"},
    {},
    {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}, "q3": {"a": 0, "d": 1}},
)
RANKINGS = {"first?": ["b", "x", "a"], "second?": [], "third?": ["d", "d", "a"]}
BY_ID = {"q1": RANKINGS["first?"], "q2": [], "q3": RANKINGS["third?"]}


def fixed(side: Any, rankings: dict[str, list[str]] = RANKINGS) -> Any:
    if side is LangChain:
        return FixedLangChain(rankings=rankings, asked=[])
    return FixedLlamaIndex(rankings)


def same(one: Any, two: Any) -> bool:
    return one.query_ids == two.query_ids and {
        name: values.tolist() for name, values in one.values.items()
    } == {name: values.tolist() for name, values in two.values.items()}


async def test_sync_and_async_score_what_the_rankings_score(side: Any) -> None:
    expected = evaluate_rankings(BY_ID, DATA.qrels, METRICS)

    sync = side.package.evaluate_retriever(fixed(side), DATA, METRICS)
    through_async = await side.package.aevaluate_retriever(fixed(side), DATA, METRICS)

    assert same(sync, expected)
    assert same(through_async, expected)
    assert sync.query_ids == ("q1", "q2", "q3")
    assert sync.first_answer.tolist() == [1, 0, 1]


async def test_each_judged_question_is_asked_once_through_the_method_of_its_kind(
    side: Any,
) -> None:
    retriever = fixed(side)

    side.package.evaluate_retriever(retriever, DATA)
    assert retriever.asked == ["sync first?", "sync second?", "sync third?"]
    retriever.asked.clear()
    await side.package.aevaluate_retriever(retriever, DATA)
    assert retriever.asked == ["async first?", "async second?", "async third?"]


def test_a_store_s_retriever_scores_what_its_rankings_score(side: Any, world: World) -> None:
    model = side.model(world)
    retriever = side.retriever(side.store(model, world.data.corpus), model, k=5)
    rankings = {name: side.ranked(retriever, text) for name, text in world.data.queries.items()}

    scores = side.package.evaluate_retriever(retriever, world.data)

    assert same(scores, evaluate_rankings(rankings, world.data.qrels))
    assert tuple(scores.values) == tuple(DEFAULT_METRICS)
    assert 0.2 < scores.mean("ndcg@10") < 1


def test_one_metric_may_come_as_a_string(side: Any) -> None:
    scores = side.package.evaluate_retriever(fixed(side), DATA, "recall@1")

    assert list(scores.values) == ["recall@1"]


def test_a_dataset_of_another_shape_is_taken(side: Any) -> None:
    shaped = {"queries": dict(DATA.queries), "corpus": {}, "relevant_docs": {"q1": ["a", "b"]}}

    scores = side.package.evaluate_retriever(fixed(side), shaped, "recall@3")

    assert scores.query_ids == ("q1",)
    assert scores.mean("recall@3") == 1


def test_ids_that_a_store_keeps_in_the_metadata_are_found_there() -> None:
    class InMetadata(FixedLangChain):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            found = super()._get_relevant_documents(query, run_manager=run_manager)
            return [
                Document(page_content="text", metadata={"_id": document.id}) for document in found
            ]

    retriever = InMetadata(rankings=RANKINGS)

    scores = LangChain.package.evaluate_retriever(retriever, DATA, METRICS, id_key="_id")

    assert same(scores, evaluate_rankings(BY_ID, DATA.qrels, METRICS))


@pytest.mark.parametrize("id_key", [None, "_id", "other"])
def test_a_document_without_an_id_is_named_at_once(id_key: str | None) -> None:
    class WithoutIds(FixedLangChain):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            self.asked.append(query)
            return [Document(page_content=f"a text about {query}", metadata={"x": 1})]

    retriever = WithoutIds(rankings=RANKINGS, asked=[])

    with pytest.raises(DataError) as caught:
        LangChain.package.evaluate_retriever(retriever, DATA, id_key=id_key)

    assert type(caught.value) is DataError
    for part in ("'a text about first?'", repr(id_key) if id_key else "no id", "id_key="):
        assert part in str(caught.value)
    assert retriever.asked == ["first?"], "not after every question was asked"


JUDGED = RelevanceDataset(DATA.queries, dict.fromkeys("abcd", "text"), DATA.qrels)


async def test_ids_of_which_none_is_the_dataset_s_are_refused(side: Any) -> None:
    retriever = fixed(side, {"first?": [], "second?": ["chunk-1"], "third?": ["chunk-2"]})
    remedy = "id_key=" if side is LangChain else "node_id"

    with pytest.raises(DataError, match=f"'chunk-1'.*the dataset has 'a'.*{remedy}"):
        side.package.evaluate_retriever(retriever, JUDGED)
    with pytest.raises(DataError, match=f"'chunk-1'.*the dataset has 'a'.*{remedy}"):
        await side.package.aevaluate_retriever(retriever, JUDGED)


async def test_without_a_corpus_the_judged_ids_are_those_that_must_be_met(side: Any) -> None:
    retriever = fixed(side, {"first?": [], "second?": ["chunk-1"], "third?": ["chunk-2"]})

    with pytest.raises(DataError, match=r"'chunk-1'.*the dataset has 'a'"):
        side.package.evaluate_retriever(retriever, DATA)
    with pytest.raises(DataError, match=r"'chunk-1'.*the dataset has 'a'"):
        await side.package.aevaluate_retriever(retriever, DATA)


@pytest.mark.parametrize("key", ["_id", "doc_id"])
def test_ids_in_the_metadata_are_recognised_without_being_named(key: str) -> None:
    class InMetadata(FixedLangChain):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [
                Document(id=f"uuid-{place}", page_content="text", metadata={key: name, "x": 1})
                for place, name in enumerate(self.rankings[query])
            ]

    scores = LangChain.package.evaluate_retriever(InMetadata(rankings=RANKINGS), JUDGED, METRICS)

    assert same(scores, evaluate_rankings(BY_ID, DATA.qrels, METRICS))


@pytest.mark.parametrize("relation", [NodeRelationship.PARENT, NodeRelationship.SOURCE])
def test_parents_of_nodes_are_recognised(relation: NodeRelationship) -> None:
    class Chunks(FixedLlamaIndex):
        def _hits(self, query: str) -> list[NodeWithScore]:
            return [
                NodeWithScore(
                    node=TextNode(text="t", relationships={relation: RelatedNodeInfo(node_id=name)})
                )
                for name in self.rankings[query]
            ]

    scores = LlamaIndex.package.evaluate_retriever(Chunks(RANKINGS), JUDGED, METRICS)

    assert same(scores, evaluate_rankings(BY_ID, DATA.qrels, METRICS))


def test_own_ids_go_before_those_of_the_metadata() -> None:
    class Both(FixedLangChain):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            found = super()._get_relevant_documents(query, run_manager=run_manager)
            return [Document(id=each.id, page_content="", metadata={"_id": "a"}) for each in found]

    scores = LangChain.package.evaluate_retriever(Both(rankings=RANKINGS), JUDGED, METRICS)

    assert same(scores, evaluate_rankings(BY_ID, DATA.qrels, METRICS))


def test_the_scores_know_the_questions_by_their_text(side: Any) -> None:
    assert side.package.evaluate_retriever(fixed(side), DATA).texts["q1"] == "first?"


@pytest.mark.parametrize("second", [["chunk-1", "b"], []], ids=["one id is known", "no answer"])
def test_a_retriever_that_merely_finds_nothing_is_measured(second: list[str], side: Any) -> None:
    retriever = fixed(side, {"first?": [], "second?": second, "third?": []})

    assert side.package.evaluate_retriever(retriever, JUDGED).mean("ndcg@10") == 0


@pytest.mark.parametrize(
    ("dataset", "metrics", "named"),
    [
        pytest.param(DATA, ["ndgc@10"], "unknown metric 'ndgc@10'", id="a metric with a typo"),
        pytest.param(DATA, "recall", "unknown metric 'recall'", id="a metric without a cut-off"),
        pytest.param({"queries": {}}, METRICS, "no judgments", id="no judgments"),
        pytest.param(None, METRICS, "NoneType has no queries", id="no dataset"),
    ],
)
async def test_what_cannot_be_measured_is_refused_before_anything_is_asked(
    side: Any, dataset: Any, metrics: Any, named: str
) -> None:
    retriever = fixed(side)

    with pytest.raises(DataError, match=named):
        side.package.evaluate_retriever(retriever, dataset, metrics)
    with pytest.raises(DataError, match=named):
        await side.package.aevaluate_retriever(retriever, dataset, metrics)

    assert retriever.asked == []


def test_a_bar_is_drawn_only_when_asked_for(side: Any, capfd: pytest.CaptureFixture[str]) -> None:
    side.package.evaluate_retriever(fixed(side), DATA)
    assert capfd.readouterr() == ("", "")

    side.package.evaluate_retriever(fixed(side), DATA, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Retrieving" in err
