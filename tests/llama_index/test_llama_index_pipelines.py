"""The store inside what people build with LlamaIndex: indexes, pipelines, retrievers, engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from llama_index.core import Settings, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceSplitter, get_leaf_nodes
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RecursiveRetriever,
    VectorIndexRetriever,
)
from llama_index.core.schema import (
    Document,
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
)

from nudge_integrations.common.files import text_hash
from nudge_integrations.llama_index.vector_store import NudgeVectorStore

DIMENSION = 64


class BagOfWords(BaseEmbedding):
    """Texts that share words are near each other, and that is all there is to it."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = np.full(DIMENSION, 0.01, np.float32)
        for word in text.lower().split():
            seed = int(text_hash(word.strip(".,?:"))[:8], 16)
            vector += np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
        return vector.tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


TEXTS = [
    "Cats sleep in the sun all day.",
    "Dogs chase balls in the park.",
    "The train to Basel leaves at noon.",
    "Tea wants water just off the boil.",
    "A violin has four strings.",
    "Glaciers carve valleys out of rock.",
]
QUESTION = "When leaves the train to Basel?"


def make_nodes() -> list[TextNode]:
    """Node `n<i>` of document `d<i // 2>`."""
    return [
        TextNode(
            id_=f"n{i}",
            text=text,
            metadata={"rank": i},
            excluded_embed_metadata_keys=["rank"],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{i // 2}")},
        )
        for i, text in enumerate(TEXTS)
    ]


def make_index(store: Any = None, nodes: list[Any] | None = None, **options: Any) -> Any:
    storage_context = StorageContext.from_defaults(vector_store=store or NudgeVectorStore())
    nodes = make_nodes() if nodes is None else nodes
    return VectorStoreIndex(
        nodes, storage_context=storage_context, embed_model=BagOfWords(), **options
    )


@pytest.fixture(autouse=True)
def no_model_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_embed_model", BagOfWords())
    monkeypatch.setattr(Settings, "_llm", MockLLM())


@pytest.fixture
def index() -> VectorStoreIndex:
    return make_index()


def ids(found: list[NodeWithScore]) -> list[str]:
    return [hit.node.node_id for hit in found]


# Indexes


def test_an_index_finds_the_node_that_answers(index: VectorStoreIndex) -> None:
    best, *_ = index.as_retriever(similarity_top_k=3).retrieve(QUESTION)

    assert best.node.get_content() == TEXTS[2]
    assert best.node.ref_doc_id == "d1"
    assert best.node.metadata == {"rank": 2}
    assert 0.5 < best.score <= 1


def test_the_store_keeps_the_text_so_the_document_store_need_not(index: VectorStoreIndex) -> None:
    assert index.docstore.docs == {}


def test_an_index_over_a_filled_store_needs_no_nodes(index: VectorStoreIndex) -> None:
    again = VectorStoreIndex.from_vector_store(index.vector_store, embed_model=BagOfWords())

    before, after = (each.as_retriever().retrieve(QUESTION) for each in (index, again))

    assert after == before
    assert ids(after)[0] == "n2"


@pytest.mark.parametrize("mode", ["default", "mmr"])
@pytest.mark.parametrize("k", [1, 3, 100])
def test_the_code_of_a_retriever_gives_the_same_with_simple_vector_store(k: int, mode: str) -> None:
    """Under MMR the choice compares only where SimpleVectorStore weighs similarity alone."""
    options = {"vector_store_kwargs": {"mmr_threshold": 1.0}}
    found = [
        make_index(store)
        .as_retriever(similarity_top_k=k, vector_store_query_mode=mode, **options)
        .retrieve("balls and water for cats in the park")
        for store in (SimpleVectorStore(), NudgeVectorStore())
    ]

    simple, ours = found
    assert ids(ours) == ids(simple)
    assert [hit.node.get_content() for hit in ours] == [hit.node.get_content() for hit in simple]
    assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in simple], abs=1e-6)


@pytest.mark.parametrize("use_async", [False, True])
async def test_retrieving_asynchronously_gives_the_same(use_async: bool) -> None:
    index = make_index(use_async=use_async)
    retriever = index.as_retriever(similarity_top_k=4)

    assert await retriever.aretrieve(QUESTION) == retriever.retrieve(QUESTION)


def test_nodes_can_be_inserted_updated_and_deleted_through_an_index(
    index: VectorStoreIndex,
) -> None:
    index.insert(Document(id_="d9", text="Owls hunt mice at night."))
    retriever = index.as_retriever(similarity_top_k=1)
    assert retriever.retrieve("Which birds hunt mice at night?")[0].node.ref_doc_id == "d9"

    index.update_ref_doc(Document(id_="d9", text="Owls hunt voles at dawn."))
    assert "voles" in retriever.retrieve("Which birds hunt at night?")[0].node.get_content()
    assert len(index.vector_store.get_nodes()) == len(TEXTS) + 1

    index.delete_ref_doc("d9")
    index.delete_nodes(["n0"])
    assert [node.node_id for node in index.vector_store.get_nodes()] == [
        "n1",
        "n2",
        "n3",
        "n4",
        "n5",
    ]


async def test_an_index_inserts_and_deletes_asynchronously(index: VectorStoreIndex) -> None:
    await index.ainsert(Document(id_="d9", text="Owls hunt mice at night."))
    await index.adelete_ref_doc("d0")
    await index.adelete_nodes(["n5"])

    found = await index.as_retriever(similarity_top_k=9).aretrieve("mice at night")

    assert found[0].node.ref_doc_id == "d9"
    assert sorted(ids(found[1:])) == ["n2", "n3", "n4"]


# Retrievers


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        ({"doc_ids": ["d0", "d2"]}, {"n0", "n1", "n4", "n5"}),
        ({"node_ids": ["n3", "n5"]}, {"n3", "n5"}),
        (
            {
                "filters": MetadataFilters(
                    filters=[MetadataFilter(key="rank", value=3, operator=FilterOperator.GT)]
                )
            },
            {"n4", "n5"},
        ),
        ({}, {"n0", "n1", "n2", "n3", "n4", "n5"}),
    ],
    ids=["doc_ids", "node_ids", "filters", "none"],
)
def test_a_retriever_can_be_restricted(
    index: VectorStoreIndex, restriction: dict[str, Any], expected: set[str]
) -> None:
    retriever = VectorIndexRetriever(index, similarity_top_k=10, **restriction)

    assert set(ids(retriever.retrieve(QUESTION))) == expected


def test_fusing_retrievers_keeps_what_each_finds(index: VectorStoreIndex) -> None:
    other = make_index(nodes=[TextNode(id_="o1", text="The train to Bern leaves at one.")])
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2), other.as_retriever(similarity_top_k=2)],
        llm=MockLLM(),
        num_queries=1,
        similarity_top_k=3,
        use_async=False,
    )

    assert set(ids(fusion.retrieve(QUESTION))[:2]) == {"n2", "o1"}


def test_a_recursive_retriever_follows_index_nodes_to_what_they_stand_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    timetable = TextNode(id_="timetable", text="Basel 12:00, Bern 13:00, Chur 14:00")
    pointers = [
        IndexNode(id_="p1", text="When leaves a train?", index_id="timetable"),
        IndexNode(id_="p2", text="Which animals sleep?", index_id="timetable"),
    ]
    index = make_index(nodes=pointers)
    recursive = RecursiveRetriever(
        "vector",
        retriever_dict={"vector": index.as_retriever(similarity_top_k=1)},
        node_dict={"timetable": timetable},
    )

    assert ids(recursive.retrieve(QUESTION)) == ["timetable"]
    assert caplog.records == []


def test_an_index_of_index_nodes_beside_plain_ones_can_reach_all_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By default the framework asks a store that keeps text for the index nodes alone."""

    def retrieve(store: Any, times: int = 1, **options: Any) -> list[str]:
        caplog.clear()
        pointer = IndexNode(id_="p1", text="A pointer to a timetable", index_id="timetable")
        index = make_index(store, [*make_nodes(), pointer], **options)
        retriever = index.as_retriever(similarity_top_k=9)
        return [ids(retriever.retrieve(QUESTION)) for _ in range(times)][-1]

    all_of_them = retrieve(SimpleVectorStore())

    assert retrieve(NudgeVectorStore(), times=3) == ["p1"]
    assert [record.message.count("store_nodes_override=True") for record in caplog.records] == [1]
    assert retrieve(NudgeVectorStore(), store_nodes_override=True) == all_of_them
    assert caplog.records == []
    assert len(all_of_them) == len(TEXTS) + 1


def test_an_auto_merging_retriever_merges_leaves_into_their_parents() -> None:
    document = Document(id_="d1", text=" ".join(f"{text} {text}" for text in TEXTS))
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[256, 32], chunk_overlap=0)
    nodes = parser.get_nodes_from_documents([document])
    leaves = get_leaf_nodes(nodes)
    index = make_index(nodes=leaves)
    index.storage_context.docstore.add_documents(nodes)
    base = index.as_retriever(similarity_top_k=len(leaves))
    assert len(leaves) > 2

    merged = AutoMergingRetriever(base, index.storage_context).retrieve(QUESTION)

    (parent,) = {leaf.parent_node.node_id for leaf in leaves}
    assert ids(merged) == [parent]


def test_a_query_engine_answers_from_what_was_found(index: VectorStoreIndex) -> None:
    engine = RetrieverQueryEngine.from_args(index.as_retriever(similarity_top_k=2), llm=MockLLM())

    answer = engine.query(QUESTION)

    assert answer.source_nodes[0].node.node_id == "n2"
    assert TEXTS[2] in str(answer)


# Ingestion


def pipeline(store: NudgeVectorStore, **options: Any) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), BagOfWords()],
        vector_store=store,
        **options,
    )


def test_a_pipeline_fills_the_store() -> None:
    store = NudgeVectorStore()

    pipeline(store).run(documents=[Document(id_=f"d{i}", text=t) for i, t in enumerate(TEXTS)])

    index = VectorStoreIndex.from_vector_store(store, embed_model=BagOfWords())
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].node.ref_doc_id == "d2"
    assert len(store.get_nodes()) == len(TEXTS)


@pytest.mark.parametrize("as_async", [False, True])
async def test_a_pipeline_with_a_document_store_replaces_what_changed(as_async: bool) -> None:
    store = NudgeVectorStore()
    ingest = pipeline(
        store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )

    async def run(texts: dict[str, str]) -> dict[str | None, str]:
        documents = [Document(id_=name, text=text) for name, text in texts.items()]
        if as_async:
            await ingest.arun(documents=documents)
        else:
            ingest.run(documents=documents)
        return {node.ref_doc_id: node.get_content() for node in store.get_nodes()}

    assert await run({"a": TEXTS[0], "b": TEXTS[1]}) == {"a": TEXTS[0], "b": TEXTS[1]}
    before = {node.node_id for node in store.get_nodes() if node.ref_doc_id == "b"}

    assert await run({"a": TEXTS[3], "b": TEXTS[1]}) == {"a": TEXTS[3], "b": TEXTS[1]}
    assert before == {node.node_id for node in store.get_nodes() if node.ref_doc_id == "b"}
    assert len(store.client) == 2
