"""The store keeps LlamaIndex's contract, searches exactly, and takes and gives back vectors."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import MockEmbedding, PropertyGraphIndex
from llama_index.core.graph_stores.types import KG_NODES_KEY, EntityNode
from llama_index.core.indices.property_graph import VectorContextRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.schema import (
    Document,
    IndexNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
    TransformComponent,
)
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from nudge_integrations.common.index import ExactIndex
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.errors import DataError, MetricMismatchError
from nudge_integrations.llama_index.vector_store import NudgeVectorStore
from nudge_integrations.tuning.tuned import TunedVectors

DIMENSION = 8


def vectors(number: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(number, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_nodes(number: int, seed: int = 0) -> list[TextNode]:
    """Node `n<i>`, of document `d<i // 4>`, with `i` and its parity as metadata."""
    return [
        TextNode(
            id_=f"n{i}",
            text=f"text {i}",
            embedding=row.tolist(),
            metadata={"number": i, "parity": "odd" if i % 2 else "even"},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{i // 4}")},
        )
        for i, row in enumerate(vectors(number, seed))
    ]


def query(seed: int = 99, **options: Any) -> VectorStoreQuery:
    embedding = np.random.default_rng(seed).normal(size=DIMENSION).tolist()
    return VectorStoreQuery(query_embedding=embedding, **{"similarity_top_k": 5, **options})


def parity(value: str) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="parity", value=value)])


def tuned(nodes: list[TextNode], method: str = "nudge-n", metric: str = "cosine") -> TunedVectors:
    originals = np.array([node.embedding for node in nodes], np.float32)
    return TunedVectors(
        ids=tuple(node.node_id for node in nodes),
        vectors=vectors(len(nodes), seed=7),
        originals=originals,
        text_hashes=tuple(f"hash of {node.node_id}" for node in nodes),
        metric=metric,
        method=method,
        step=0.5,
        model=ModelFingerprint("model", None, np.ones(DIMENSION, np.float32)),
    )


@pytest.fixture
def store() -> NudgeVectorStore:
    made = NudgeVectorStore()
    made.add(make_nodes(20))
    return made


def ids(found: VectorStoreQueryResult) -> list[str]:
    assert found.nodes is not None
    assert found.ids == [node.node_id for node in found.nodes]
    return found.ids


# Adding


def test_it_declares_what_an_index_needs_to_know() -> None:
    store = NudgeVectorStore()

    assert store.stores_text
    assert store.is_embedding_query
    assert not store.flat_metadata
    assert isinstance(store.client, ExactIndex)
    assert NudgeVectorStore.class_name() == "NudgeVectorStore"


def test_its_own_json_holds_the_settings_and_not_the_content(store: NudgeVectorStore) -> None:
    saved = NudgeVectorStore(metric="dot").model_dump()

    assert saved["class_name"] == "NudgeVectorStore"
    assert NudgeVectorStore.from_dict(saved).metric == "dot"
    assert store.model_dump().keys() == saved.keys()


def test_an_unknown_metric_or_setting_is_refused() -> None:
    with pytest.raises(DataError, match="'l2'"):
        NudgeVectorStore(metric="l2")
    with pytest.raises(ValueError, match="embedding"):
        NudgeVectorStore(embedding=1)


def test_add_returns_the_ids_and_keeps_everything_but_the_embedding() -> None:
    store, nodes = NudgeVectorStore(), make_nodes(3)

    assert store.add(nodes) == ["n0", "n1", "n2"]
    for stored, node in zip(store.get_nodes(), nodes, strict=True):
        assert stored == node.model_copy(update={"embedding": None})
    assert np.array_equal(store.client.matrix, np.array([node.embedding for node in nodes]))


def test_adding_an_id_again_replaces_its_node_and_its_vector(store: NudgeVectorStore) -> None:
    replacement = TextNode(id_="n3", text="new", embedding=query().query_embedding)

    store.add([replacement])

    found = store.query(query(similarity_top_k=1))
    assert ids(found) == ["n3"]
    assert found.nodes[0].get_content() == "new"
    assert found.similarities == [pytest.approx(1)]
    assert len(store.client) == len(store.get_nodes()) == 20


def test_of_an_id_given_twice_at_once_the_last_counts() -> None:
    store = NudgeVectorStore()
    first, last = make_nodes(2)
    last.id_ = "n0"

    assert store.add([first, last]) == ["n0", "n0"]
    assert [node.get_content() for node in store.get_nodes()] == ["text 1"]
    assert store.client.get(["n0"])[0].tolist() == last.embedding


@pytest.mark.parametrize(
    ("embedding", "named"),
    [
        (None, "embed"),
        ([1.0] * (DIMENSION + 1), "9 dimensions, but 8"),
        ([math.nan] * DIMENSION, "finite"),
        ([0.0] * DIMENSION, "zero"),
    ],
    ids=["none", "dimension", "nan", "zero"],
)
def test_a_bad_embedding_is_named_and_nothing_is_added(
    store: NudgeVectorStore, embedding: list[float] | None, named: str
) -> None:
    before = store.client.matrix.copy()
    good = TextNode(id_="good", text="good", embedding=[1.0] * DIMENSION)
    bad = TextNode(id_="bad", text="bad", embedding=embedding)

    with pytest.raises(DataError, match=named) as caught:
        store.add([good, bad])

    assert "'bad'" in str(caught.value)
    assert np.array_equal(store.client.matrix, before)
    assert store.get_nodes(["good", "bad"]) == []


def test_adding_nothing_is_fine() -> None:
    assert NudgeVectorStore().add([]) == []


def test_nodes_of_every_kind_keep_their_class() -> None:
    store = NudgeVectorStore()
    retriever = object()
    store.add(
        [
            Document(id_="doc", text="a document", embedding=[1.0, 0.0]),
            IndexNode(
                id_="index", text="points", index_id="x", obj=retriever, embedding=[0.0, 1.0]
            ),
        ]
    )

    document, pointer = store.get_nodes(["doc", "index"])

    assert isinstance(document, Document)
    assert isinstance(pointer, IndexNode)
    assert pointer.obj is retriever


# Mutation


def test_changing_a_node_after_adding_it_changes_nothing_in_the_store() -> None:
    store, (node,) = NudgeVectorStore(), make_nodes(1)
    node.metadata["tags"] = ["a"]
    store.add([node])

    node.metadata["tags"].append("b")
    node.metadata["number"] = -1
    node.text = "changed"
    node.relationships.clear()
    node.embedding[0] = 100.0

    (stored,) = store.get_nodes()
    assert stored.metadata["tags"] == ["a"]
    assert stored.metadata["number"] == 0
    assert stored.get_content() == "text 0"
    assert stored.ref_doc_id == "d0"
    assert store.client.get(["n0"]).max() <= 1


@pytest.mark.parametrize("way_out", ["query", "get_nodes"])
def test_changing_a_node_that_came_out_changes_nothing_in_the_store(way_out: str) -> None:
    store = NudgeVectorStore()
    store.add(make_nodes(1))

    def out() -> Any:
        return store.query(query()).nodes[0] if way_out == "query" else store.get_nodes()[0]

    taken = out()
    assert taken.embedding is None
    taken.metadata["number"] = -1
    taken.relationships.clear()
    taken.set_content("changed")

    assert out().metadata["number"] == 0
    assert out().ref_doc_id == "d0"
    assert out().get_content() == "text 0"


# Reading


def test_nodes_come_in_the_order_asked_for_and_missing_ones_are_left_out(
    store: NudgeVectorStore,
) -> None:
    assert [node.node_id for node in store.get_nodes(["n7", "gone", "n2"])] == ["n7", "n2"]
    assert [node.node_id for node in store.get_nodes()] == [f"n{i}" for i in range(20)]
    assert store.get_nodes([]) == []


def test_nodes_can_be_read_by_filters_and_by_both(store: NudgeVectorStore) -> None:
    assert len(store.get_nodes(filters=parity("odd"))) == 10
    assert [node.node_id for node in store.get_nodes(["n1", "n2"], parity("odd"))] == ["n1"]


# Deleting


def test_delete_takes_all_nodes_of_a_document(store: NudgeVectorStore) -> None:
    store.delete("d1")
    store.delete("no such document")

    assert len(store.client) == 16
    assert store.get_nodes(["n4", "n5", "n6", "n7"]) == []
    assert "n3" in store.client


def test_delete_nodes_by_id_by_filters_and_by_both(store: NudgeVectorStore) -> None:
    store.delete_nodes(["n0", "gone", "n0"])
    assert store.get_nodes(["n0"]) == []

    store.delete_nodes(["n1", "n2"], parity("odd"))
    assert [node.node_id for node in store.get_nodes(["n1", "n2"])] == ["n2"]

    store.delete_nodes(filters=parity("odd"))
    assert {node.metadata["parity"] for node in store.get_nodes()} == {"even"}
    assert len(store.client) == len(store.get_nodes()) == 9


def test_delete_nodes_without_saying_which_deletes_nothing(store: NudgeVectorStore) -> None:
    with pytest.raises(DataError, match=r"clear\(\)"):
        store.delete_nodes()
    store.delete_nodes([])

    assert len(store.client) == 20


def test_filters_that_cannot_be_applied_delete_nothing(store: NudgeVectorStore) -> None:
    impossible = MetadataFilters(
        filters=[MetadataFilter(key="parity", value=3, operator=FilterOperator.GT)]
    )
    with pytest.raises(DataError, match="parity"):
        store.delete_nodes(filters=impossible)

    assert len(store.client) == 20


def test_a_cleared_store_is_empty_and_takes_another_dimension(store: NudgeVectorStore) -> None:
    store.clear()

    assert store.get_nodes() == []
    assert ids(store.query(query())) == []
    assert store.add([TextNode(id_="n", text="n", embedding=[1.0, 2.0])]) == ["n"]


# Searching


def test_an_empty_store_answers_with_nothing() -> None:
    found = NudgeVectorStore().query(query())

    assert (found.nodes, found.similarities, found.ids) == ([], [], [])


@pytest.mark.parametrize("k", [1, 5, 20])
def test_it_finds_what_simple_vector_store_finds_with_the_same_scores(
    store: NudgeVectorStore, k: int
) -> None:
    simple = SimpleVectorStore()
    simple.add(make_nodes(20))
    for seed in range(20):
        asked = query(seed, similarity_top_k=k)
        expected, found = simple.query(asked), store.query(asked)

        assert ids(found) == expected.ids
        assert found.similarities == pytest.approx(expected.similarities, abs=1e-6)
        assert all(type(score) is float for score in found.similarities)


def test_under_dot_the_length_counts() -> None:
    store = NudgeVectorStore(metric="dot")
    store.add(
        [
            TextNode(id_="near", text="near", embedding=[1.0, 0.0]),
            TextNode(id_="long", text="long", embedding=[3.0, 3.0]),
        ]
    )

    found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=2))

    assert ids(found) == ["long", "near"]
    assert found.similarities == [3.0, 1.0]


def test_asking_for_more_than_there_is_gives_all(store: NudgeVectorStore) -> None:
    assert len(ids(store.query(query(similarity_top_k=1000)))) == 20


@pytest.mark.parametrize(
    ("restriction", "allowed"),
    [
        ({"doc_ids": ["d2"]}, {8, 9, 10, 11}),
        ({"node_ids": ["n3", "n19", "gone"]}, {3, 19}),
        ({"filters": parity("odd")}, set(range(1, 20, 2))),
        ({"doc_ids": ["d2", "d3"], "filters": parity("odd"), "node_ids": ["n9", "n10"]}, {9}),
        ({"doc_ids": ["no such document"]}, set()),
        ({"doc_ids": []}, set()),
        ({"node_ids": []}, set()),
        ({"doc_ids": [], "query_str": "a question"}, set()),
        ({"node_ids": [], "query_str": "a question"}, set(range(20))),
        ({"node_ids": ["n3"], "query_str": "a question"}, {3}),
    ],
    ids=[
        "doc_ids",
        "node_ids",
        "filters",
        "all three",
        "nothing left",
        "no documents",
        "no nodes",
        "a retriever and no documents",
        "what as_retriever sends by itself",
        "a retriever and one node",
    ],
)
@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR])
def test_restrictions_come_before_the_top_k(
    store: NudgeVectorStore,
    mode: VectorStoreQueryMode,
    restriction: dict[str, Any],
    allowed: set[int],
) -> None:
    every = ids(store.query(query(mode=mode, similarity_top_k=20, **restriction)))
    one = ids(store.query(query(mode=mode, similarity_top_k=1, **restriction)))

    assert set(every) == {f"n{i}" for i in allowed}
    assert one == every[:1]


def test_nested_filters_restrict_a_query(store: NudgeVectorStore) -> None:
    low_or_odd = MetadataFilters(
        condition=FilterCondition.OR,
        filters=[
            MetadataFilter(key="number", value=2, operator=FilterOperator.LT),
            MetadataFilters(
                filters=[
                    *parity("odd").filters,
                    MetadataFilter(key="doc_id", value="d4"),
                ]
            ),
        ],
    )

    found = ids(store.query(query(filters=low_or_odd, similarity_top_k=20)))

    assert set(found) == {"n0", "n1", "n17", "n19"}


def test_filters_that_cannot_be_applied_say_so(store: NudgeVectorStore) -> None:
    impossible = MetadataFilters(
        filters=[MetadataFilter(key="parity", value=3, operator=FilterOperator.GT)]
    )
    with pytest.raises(DataError, match="'parity' > 3"):
        store.query(query(filters=impossible))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (VectorStoreQuery(query_str="words only"), "query_embedding"),
        (VectorStoreQuery(query_embedding=[1.0, 2.0]), "2 dimensions"),
        (query(similarity_top_k=0), "k must be at least 1"),
        (query(mode=VectorStoreQueryMode.HYBRID), "'hybrid'.*QueryFusionRetriever"),
        (query(mode=VectorStoreQueryMode.SVM), "'svm'.*'mmr'"),
        (query(mode=VectorStoreQueryMode.MMR, mmr_threshold=1.5), "1.5"),
    ],
    ids=["no embedding", "dimension", "k", "hybrid", "svm", "threshold"],
)
def test_a_query_that_cannot_be_answered_says_why(
    store: NudgeVectorStore, asked: VectorStoreQuery, named: str
) -> None:
    with pytest.raises(DataError, match=named):
        store.query(asked)


# Maximal marginal relevance


@pytest.mark.parametrize(("k", "threshold"), [(1, 0.5), (2, 0.2), (2, 0.5), (2, 0.9), (7, 1.0)])
def test_mmr_chooses_what_simple_vector_store_chooses(
    store: NudgeVectorStore, k: int, threshold: float
) -> None:
    """From the third on, SimpleVectorStore looks at the latest choice only, so two compare."""
    simple = SimpleVectorStore()
    simple.add(make_nodes(20))
    for seed in range(100, 110):
        asked = query(seed, mode=VectorStoreQueryMode.MMR, similarity_top_k=k)

        expected = simple.query(asked, mmr_threshold=threshold)

        assert ids(store.query(asked, mmr_threshold=threshold)) == expected.ids


def test_mmr_looks_at_all_that_was_chosen_before() -> None:
    """By hand: b is far from a, c is a again; the third must not be c, though c is far from b."""
    store = NudgeVectorStore()
    store.add(
        [
            TextNode(id_="a", text="a", embedding=[1.0, 0.0, 0.0]),
            TextNode(id_="c", text="c", embedding=[0.99, 0.05, 0.0]),
            TextNode(id_="b", text="b", embedding=[0.5, 0.8, 0.0]),
            TextNode(id_="d", text="d", embedding=[0.5, 0.0, 0.8]),
        ]
    )
    asked = VectorStoreQuery(
        query_embedding=[1.0, 0.0, 0.0],
        similarity_top_k=3,
        mode=VectorStoreQueryMode.MMR,
        mmr_threshold=0.3,
    )

    found = store.query(asked)

    assert ids(found) == ["a", "b", "d"]
    assert found.similarities == pytest.approx([1, 0.53, 0.53], abs=0.01)


def test_the_threshold_of_the_call_comes_before_that_of_the_query(store: NudgeVectorStore) -> None:
    asked = query(mode=VectorStoreQueryMode.MMR, mmr_threshold=1.0, similarity_top_k=20)

    plain = ids(store.query(query(similarity_top_k=20)))

    assert ids(store.query(asked)) == plain
    assert ids(store.query(asked, mmr_threshold=0.1)) != plain
    asked.mmr_threshold = None
    assert ids(store.query(asked)) == ids(store.query(asked, mmr_threshold=0.5))


def test_candidates_of_mmr_can_be_limited(store: NudgeVectorStore) -> None:
    nearest = ids(store.query(query(similarity_top_k=6)))
    asked = query(mode=VectorStoreQueryMode.MMR, mmr_threshold=0.01, similarity_top_k=3)

    assert not set(ids(store.query(asked))) <= set(nearest)
    assert set(ids(store.query(asked, mmr_prefetch_factor=2))) <= set(nearest)
    assert set(ids(store.query(asked, mmr_prefetch_k=6))) <= set(nearest)
    assert set(ids(store.query(asked, mmr_prefetch_k=1))) == set(nearest[:3])
    with pytest.raises(DataError, match="mmr_prefetch_k"):
        store.query(asked, mmr_prefetch_factor=2, mmr_prefetch_k=6)


# Tuned vectors


def test_tuned_vectors_go_in_and_the_originals_come_back_bit_for_bit(
    store: NudgeVectorStore,
) -> None:
    before = store.client.matrix.copy()
    result = tuned(make_nodes(20)[:5])

    assert store.apply(result) == []
    assert np.array_equal(store.client.get(result.ids), result.vectors)
    assert np.array_equal(store.client.matrix[5:], before[5:])

    assert store.revert(result) == []
    assert store.client.matrix.tobytes() == before.tobytes()


def test_tuned_vectors_change_what_is_found(store: NudgeVectorStore) -> None:
    result = tuned(make_nodes(20)[:5])
    asked = VectorStoreQuery(query_embedding=result.vectors[3].tolist(), similarity_top_k=1)
    assert ids(store.query(asked)) != ["n3"]

    store.apply(result)

    assert ids(store.query(asked)) == ["n3"]


def test_what_is_not_as_the_run_left_it_is_left_alone_and_named(store: NudgeVectorStore) -> None:
    result = tuned(make_nodes(20)[:5])
    store.delete_nodes(["n1"])
    (replaced,) = make_nodes(1, seed=5)
    replaced.id_ = "n2"
    store.add([replaced])

    assert store.apply(result) == ["n1", "n2"]
    assert store.client.get(["n2"])[0].tolist() == replaced.embedding
    assert store.apply(result) == list(result.ids)


def test_nudge_m_is_refused_under_cosine_and_welcome_under_dot(store: NudgeVectorStore) -> None:
    before = store.client.matrix.copy()
    result = tuned(make_nodes(3), method="nudge-m", metric="dot")

    with pytest.raises(MetricMismatchError, match="metric='dot'"):
        store.apply(result)
    assert np.array_equal(store.client.matrix, before)

    inner = NudgeVectorStore(metric="dot")
    inner.add(make_nodes(3))
    assert inner.apply(result) == []


# Async


async def test_async_does_what_sync_does() -> None:
    one, other = NudgeVectorStore(), NudgeVectorStore()
    assert await one.async_add(make_nodes(20)) == other.add(make_nodes(20))

    await one.adelete("d1")
    other.delete("d1")
    await one.adelete_nodes(["n0"], parity("even"))
    other.delete_nodes(["n0"], parity("even"))
    assert await one.aget_nodes() == other.get_nodes()
    assert await one.aget_nodes(["n3", "n2"], parity("odd")) == other.get_nodes(["n3"])
    for mode in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
        asked = query(mode=mode, filters=parity("odd"))
        assert await one.aquery(asked, mmr_threshold=0.3) == other.query(asked, mmr_threshold=0.3)

    await one.aclear()
    assert one.get_nodes() == []
    with pytest.raises(DataError):
        await one.adelete_nodes()


# Threads


def run_beside(write: Callable[[], None], read: Callable[[], None], readers: int = 3) -> None:
    """Call `read` over and over in threads while `write` runs; raise what any of them raised."""
    failures: list[BaseException] = []
    done = threading.Event()

    def reading() -> None:
        try:
            while not done.is_set():
                read()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=reading) for _ in range(readers)]
    for thread in threads:
        thread.start()
    try:
        write()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("restriction", [{}, {"filters": parity("even")}], ids=["all", "filters"])
def test_threads_read_whole_answers_while_another_writes(restriction: dict[str, Any]) -> None:
    store = NudgeVectorStore()
    steady = make_nodes(40)
    store.add(steady)
    passing = make_nodes(40, seed=1)
    for node in passing:
        node.id_ = f"passing {node.id_}"

    def write() -> None:
        for _ in range(150):
            store.add(passing)
            store.delete_nodes([node.node_id for node in passing])

    def read() -> None:
        found = store.query(query(similarity_top_k=10, **restriction))
        assert len(found.nodes) == len(found.similarities) == len(found.ids) == 10
        assert [node.node_id for node in found.nodes] == found.ids
        assert found.similarities == sorted(found.similarities, reverse=True)
        assert len(store.get_nodes(["n0", "n39"])) == 2

    run_beside(write, read)

    assert len(store.client) == len(store.get_nodes()) == 40


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.lists(st.integers(0, 9), max_size=4)),
            st.tuples(st.just("delete_nodes"), st.lists(st.integers(0, 9), max_size=4)),
            st.tuples(st.just("delete"), st.integers(0, 2)),
            st.tuples(st.just("clear"), st.none()),
        ),
        max_size=12,
    )
)
def test_whatever_is_done_in_whatever_order_it_holds_what_a_dict_would(
    steps: list[tuple[str, Any]],
) -> None:
    store, expected, nodes = NudgeVectorStore(), {}, make_nodes(10)
    for name, value in steps:
        if name == "add":
            store.add([nodes[i] for i in value])
            expected.update({f"n{i}": nodes[i] for i in value})
        elif name == "delete_nodes":
            store.delete_nodes([f"n{i}" for i in value])
            expected = {k: v for k, v in expected.items() if k not in {f"n{i}" for i in value}}
        elif name == "delete":
            store.delete(f"d{value}")
            expected = {k: v for k, v in expected.items() if v.ref_doc_id != f"d{value}"}
        else:
            store.clear()
            expected = {}

    assert [node.node_id for node in store.get_nodes()] == list(expected) == store.client.ids
    held = [node.embedding for node in expected.values()]
    assert store.client.matrix.tolist() == held


# What SimpleVectorStore lets its users look into


def test_its_contents_can_be_looked_into_as_those_of_the_simple_store(
    store: NudgeVectorStore,
) -> None:
    simple = SimpleVectorStore()
    nodes = make_nodes(20)
    simple.add(nodes)

    assert store.data.text_id_to_ref_doc_id == simple.data.text_id_to_ref_doc_id
    assert store.data.metadata_dict == simple.data.metadata_dict
    assert store.data.embedding_dict.keys() == simple.data.embedding_dict.keys()
    for name, vector in simple.data.embedding_dict.items():
        assert store.data.embedding_dict[name] == pytest.approx(vector, rel=1e-6)
        assert store.get(name) == store.data.embedding_dict[name]
    assert SimpleVectorStore.from_dict(store.to_dict()).data == store.data
    with pytest.raises(DataError, match="'gone'"):
        store.get("gone")


def test_filters_see_the_type_of_a_node(store: NudgeVectorStore) -> None:
    store.add([IndexNode(id_="pointer", text="x", index_id="i", embedding=[1.0] * 8)])
    kinds = {
        kind: MetadataFilters(filters=[MetadataFilter(key="_node_type", value=kind)])
        for kind in ("IndexNode", "TextNode")
    }

    assert ids(store.query(query(filters=kinds["IndexNode"], similarity_top_k=30))) == ["pointer"]
    assert len(ids(store.query(query(filters=kinds["TextNode"], similarity_top_k=30)))) == 20


class Names(TransformComponent):
    """Finds one entity in each node."""

    def __call__(self, nodes: Any, **_: Any) -> Any:
        for node in nodes:
            node.metadata[KG_NODES_KEY] = [EntityNode(name="Ada")]
        return nodes


def test_a_property_graph_keeps_its_vectors_in_it() -> None:
    store = NudgeVectorStore()
    node = TextNode(id_="t", text="Ada wrote notes")
    index = PropertyGraphIndex(
        [node],
        kg_extractors=[Names()],
        vector_store=store,
        embed_model=MockEmbedding(embed_dim=4),
        llm=MockLLM(),
        show_progress=False,
    )

    retriever = index.as_retriever(
        sub_retrievers=[
            VectorContextRetriever(
                index.property_graph_store,
                vector_store=store,
                embed_model=MockEmbedding(embed_dim=4),
            )
        ]
    )

    assert len(store.client) == 1
    assert "Ada" in store.get_nodes()[0].text
    assert isinstance(retriever.retrieve("who wrote?"), list)
