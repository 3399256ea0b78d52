"""A saved store comes back bit for bit, or says what is wrong with its files."""

from __future__ import annotations

import base64
import datetime
import uuid
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery
from safetensors.numpy import load_file

from nudge_integrations.errors import CorruptFileError, DataError, NudgeError
from nudge_integrations.llama_index.vector_store import NudgeVectorStore

PIXEL = base64.b64encode(b"\x89PNG bytes").decode()
VECTOR = [0.1, -0.2, 0.3]


class Recipe(TextNode):
    """A node class of the user's own."""

    servings: int = 0
    made: ClassVar[str] = "by hand"


def full(node_class: type[BaseNode], **fields: Any) -> BaseNode:
    return node_class(
        id_=f"{node_class.__name__} 1",
        metadata={"title": "Zürich 🏔", "tags": ["a", "b"], "nested": {"deep": [1, None, 2.5]}},
        excluded_embed_metadata_keys=["tags"],
        excluded_llm_metadata_keys=["nested"],
        metadata_template="{key} = {value}",
        metadata_separator=" | ",
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d1", metadata={"page": 3}),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="n2", hash="abc"),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
        },
        embedding=VECTOR,
        **fields,
    )


KINDS = [
    full(TextNode, text="line one\nline two", start_char_idx=3, end_char_idx=21),
    full(TextNode, text="half a surrogate pair: \ud83d"),
    full(Document, text="a whole document"),
    full(Node, text_resource=MediaResource(text="a node", mimetype="text/plain")),
    full(Node, image_resource=MediaResource(data=b"\x89PNG bytes", mimetype="image/png")),
    full(ImageNode, text="caption", image_url="https://example.com/a.png"),
    full(ImageDocument, text="caption", image=PIXEL),
    full(IndexNode, text="points at", index_id="table 1"),
    full(IndexNode, text="holds", index_id="n", obj=TextNode(id_="held", text="held")),
    full(Recipe, text="soup", servings=4),
]


def saved(path: Path, nodes: list[BaseNode], metric: str = "cosine") -> NudgeVectorStore:
    store = NudgeVectorStore(metric=metric)
    store.add(nodes)
    store.persist(str(path))
    return store


def numbered(number: int) -> list[BaseNode]:
    rows = np.random.default_rng(0).normal(size=(number, 5)).astype(np.float32)
    return [
        TextNode(id_=f"n{i}", text=f"text {i}", embedding=row.tolist())
        for i, row in enumerate(rows)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "default__vector_store.json"


@pytest.mark.parametrize("node", KINDS, ids=lambda node: type(node).__name__)
def test_a_node_of_every_kind_comes_back_whole(path: Path, node: BaseNode) -> None:
    saved(path, [node])

    (loaded,) = NudgeVectorStore.from_persist_path(str(path)).get_nodes()

    assert type(loaded) is type(node)
    assert loaded == node.model_copy(update={"embedding": None})
    assert loaded.hash == node.hash
    assert loaded.ref_doc_id == "d1"
    for mode in MetadataMode:
        assert loaded.get_content(mode) == node.get_content(mode)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_vectors_order_and_metric_come_back_bit_for_bit(path: Path, metric: str) -> None:
    store = saved(path, numbered(50), metric)
    store.delete_nodes(["n3"])
    store.add([TextNode(id_="n7", text="new", embedding=[0.1] * 5)])
    store.persist(str(path))

    loaded = NudgeVectorStore.from_persist_path(str(path))

    assert loaded.metric == metric
    assert loaded.client.ids == store.client.ids
    assert loaded.client.matrix.tobytes() == store.client.matrix.tobytes()
    assert loaded.get_nodes() == store.get_nodes()
    asked = VectorStoreQuery(query_embedding=[0.3, -1.0, 0.2, 0.5, 0.0], similarity_top_k=50)
    assert loaded.query(asked) == store.query(asked)


def test_an_empty_store_comes_back_empty_and_can_be_filled(path: Path) -> None:
    saved(path, [])

    loaded = NudgeVectorStore.from_persist_path(str(path))

    assert loaded.get_nodes() == []
    assert loaded.add(numbered(2)) == ["n0", "n1"]


def test_a_saved_store_is_one_safetensors_file(path: Path) -> None:
    saved(path, numbered(3))

    assert [file.name for file in path.parent.iterdir()] == ["default__vector_store.json"]
    assert load_file(path)["vectors"].shape == (3, 5)


def test_saving_again_replaces_what_was_saved(path: Path) -> None:
    saved(path, numbered(3))
    saved(path, numbered(5))

    assert len(NudgeVectorStore.from_persist_path(str(path)).client) == 5
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "value",
    [datetime.date(2024, 1, 1), float("nan"), (1, 2), {1: "one"}, {"a"}],
    ids=["date", "nan", "tuple", "integer key", "set"],
)
def test_metadata_that_json_cannot_hold_is_named_and_the_older_save_is_whole(
    path: Path, value: Any
) -> None:
    saved(path, numbered(3))

    with pytest.raises(DataError, match="'odd one'"):
        saved(path, [TextNode(id_="odd one", metadata={"when": value}, embedding=VECTOR)])

    assert len(NudgeVectorStore.from_persist_path(str(path)).client) == 3


def test_an_index_node_that_holds_what_json_cannot_is_named(path: Path) -> None:
    node = IndexNode(id_="pointer", text="x", index_id="i", obj=object(), embedding=VECTOR)

    with pytest.raises(DataError, match=r"obj of node 'pointer'"):
        saved(path, [node])


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(NudgeError, match="file"):
        saved(tmp_path / "file" / "store.json", numbered(1))


def test_a_class_that_is_not_imported_is_named(path: Path) -> None:
    module = type("Passing", (TextNode,), {"__module__": f"gone_{uuid.uuid4().hex}"})
    saved(path, [module(id_="n1", text="x", embedding=VECTOR)])
    module.__module__ = "elsewhere"

    with pytest.raises(DataError, match=r"'n1' is a gone_\w+\.Passing.*import"):
        NudgeVectorStore.from_persist_path(str(path))


def test_a_class_that_lost_a_field_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, [Recipe(id_="n1", text="soup", servings=2, embedding=VECTOR)])

    def broken(self: Any, **fields: Any) -> None:
        raise TypeError("no field 'servings'")

    monkeypatch.setattr(Recipe, "__init__", broken)
    with pytest.raises(CorruptFileError, match=r"'n1'.*Recipe.*servings"):
        NudgeVectorStore.from_persist_path(str(path))


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def swap(file: Path, old: bytes, new: bytes) -> None:
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new))


DAMAGE = {
    "no file": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "header truncated": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "text edited": lambda path: swap(path, b"text 1", b"text 9"),
    "metric edited": lambda path: swap(path, b"cosine", b"cosyne"),
    "other version": lambda path: swap(path, b'version\\": 2', b'version\\": 9'),
    "vectors edited": flip_last_byte,
    "saved by another store": lambda path: SimpleVectorStore().persist(str(path)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_files_are_refused(path: Path, damage: Any) -> None:
    saved(path, numbered(3))
    damage(path)

    with pytest.raises(CorruptFileError, match=str(path.parent)):
        NudgeVectorStore.from_persist_path(str(path))


# With the framework's storage context


@pytest.fixture
def index() -> VectorStoreIndex:
    storage_context = StorageContext.from_defaults(vector_store=NudgeVectorStore())
    nodes = [TextNode(id_=f"n{i}", text=f"text {i}") for i in range(4)]
    return VectorStoreIndex(
        nodes, storage_context=storage_context, embed_model=MockEmbedding(embed_dim=3)
    )


def test_a_storage_context_saves_it_and_an_index_loads_from_it(
    index: VectorStoreIndex, tmp_path: Path
) -> None:
    index.storage_context.persist(str(tmp_path))

    storage_context = StorageContext.from_defaults(
        persist_dir=str(tmp_path), vector_store=NudgeVectorStore.from_persist_dir(str(tmp_path))
    )
    loaded = load_index_from_storage(storage_context, embed_model=MockEmbedding(embed_dim=3))

    before, after = (each.as_retriever(similarity_top_k=3) for each in (index, loaded))
    assert after.retrieve("a question") == before.retrieve("a question")
    assert len(after.retrieve("a question")) == 3


def test_all_stores_of_a_storage_context_load_by_namespace(
    index: VectorStoreIndex, tmp_path: Path
) -> None:
    index.storage_context.add_vector_store(NudgeVectorStore(metric="dot"), "other")
    index.storage_context.persist(str(tmp_path))

    stores = NudgeVectorStore.from_namespaced_persist_dir(str(tmp_path))
    storage_context = StorageContext.from_defaults(persist_dir=str(tmp_path), vector_stores=stores)

    assert {name: store.class_name() for name, store in stores.items()} == {
        "default": "NudgeVectorStore",
        "image": "SimpleVectorStore",
        "other": "NudgeVectorStore",
    }
    assert storage_context.vector_stores["other"].metric == "dot"
    assert len(storage_context.vector_store.get_nodes()) == 4
    assert len(NudgeVectorStore.from_persist_dir(str(tmp_path), namespace="other").client) == 0


def test_persist_and_load_agree_on_where_things_are_by_default(
    index: VectorStoreIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    index.vector_store.persist()

    assert len(NudgeVectorStore.from_persist_dir().client) == 4


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorruptFileError, match=str(missing)):
            NudgeVectorStore.from_namespaced_persist_dir(str(missing))
        with pytest.raises(CorruptFileError, match=str(missing)):
            NudgeVectorStore.from_persist_dir(str(missing))


def test_a_damaged_store_among_several_is_not_taken_for_another_kind(
    index: VectorStoreIndex, tmp_path: Path
) -> None:
    index.storage_context.persist(str(tmp_path))
    DAMAGE["truncated"](tmp_path / "default__vector_store.json")

    with pytest.raises(CorruptFileError, match="default__vector_store"):
        NudgeVectorStore.from_namespaced_persist_dir(str(tmp_path))


# Other file systems


@pytest.fixture
def memory() -> fsspec.AbstractFileSystem:
    made = fsspec.filesystem("memory")
    made.store.clear()
    made.pseudo_dirs[:] = [""]
    return made


def test_it_saves_to_any_file_system_and_loads_from_it(
    index: VectorStoreIndex, memory: fsspec.AbstractFileSystem
) -> None:
    index.storage_context.persist("/remote/folder", fs=memory)
    index.insert_nodes([TextNode(id_="n9", text="more")])
    index.storage_context.persist("/remote/folder", fs=memory)

    loaded = NudgeVectorStore.from_persist_dir("/remote/folder", fs=memory)
    both = NudgeVectorStore.from_namespaced_persist_dir("/remote/folder", fs=memory)

    assert loaded.get_nodes() == index.vector_store.get_nodes()
    assert loaded.client.matrix.tobytes() == index.vector_store.client.matrix.tobytes()
    assert both.keys() == {"default", "image"}
    assert both["default"].get_nodes() == loaded.get_nodes()
    assert not [name for name in memory.ls("/remote/folder", False) if name.endswith(".tmp")]


def test_a_save_that_breaks_off_on_another_file_system_leaves_the_older_one_whole(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/remote/default__vector_store.json"
    store = NudgeVectorStore()
    store.add(numbered(2))
    store.persist(path, fs=memory)
    store.add(numbered(5))
    pipe_file = type(memory).pipe_file

    def broken(self: Any, target: str, data: bytes, **options: Any) -> None:
        pipe_file(self, target, data[: len(data) // 2], **options)
        raise OSError("the line is down")

    monkeypatch.setattr(type(memory), "pipe_file", broken)
    with pytest.raises(OSError, match="the line is down"):
        store.persist(path, fs=memory)

    assert len(NudgeVectorStore.from_persist_path(path, fs=memory).client) == 2


def test_damage_on_another_file_system_is_named_by_its_path_there(
    index: VectorStoreIndex, memory: fsspec.AbstractFileSystem
) -> None:
    path = "/remote/default__vector_store.json"
    with pytest.raises(CorruptFileError, match=path):
        NudgeVectorStore.from_persist_path(path, fs=memory)

    index.vector_store.persist(path, fs=memory)
    memory.pipe_file(path, memory.cat_file(path)[:-10])
    with pytest.raises(CorruptFileError, match=path):
        NudgeVectorStore.from_persist_path(path, fs=memory)


def test_the_local_file_system_by_name_is_the_local_one(path: Path) -> None:
    local = fsspec.filesystem("file")
    store = NudgeVectorStore()
    store.add(numbered(2))

    store.persist(f"file://{path}", fs=local)

    assert len(NudgeVectorStore.from_persist_path(str(path)).client) == 2
    assert len(NudgeVectorStore.from_persist_path(f"file://{path}", fs=local).client) == 2


def test_a_storage_context_that_is_not_told_of_the_store_loads_it_all_the_same(
    index: VectorStoreIndex, tmp_path: Path
) -> None:
    index.storage_context.persist(str(tmp_path))

    storage_context = StorageContext.from_defaults(persist_dir=str(tmp_path))
    loaded = load_index_from_storage(storage_context, embed_model=MockEmbedding(embed_dim=3))

    assert type(storage_context.vector_store) is NudgeVectorStore
    assert type(storage_context.vector_stores["image"]) is SimpleVectorStore
    before, after = (each.as_retriever(similarity_top_k=3) for each in (index, loaded))
    assert after.retrieve("a question") == before.retrieve("a question")
    assert len(after.retrieve("a question")) == 3


def test_a_storage_context_still_loads_the_framework_s_own_store(tmp_path: Path) -> None:
    nodes = [TextNode(id_="n1", text="text")]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=3))
    index.storage_context.persist(str(tmp_path))

    storage_context = StorageContext.from_defaults(persist_dir=str(tmp_path))

    assert type(storage_context.vector_store) is SimpleVectorStore
    assert storage_context.vector_store.get("n1") == [0.5, 0.5, 0.5]


def test_a_damaged_store_is_named_by_a_storage_context_as_well(
    index: VectorStoreIndex, tmp_path: Path
) -> None:
    index.storage_context.persist(str(tmp_path))
    flip_last_byte(tmp_path / "default__vector_store.json")

    with pytest.raises(CorruptFileError, match="default__vector_store"):
        StorageContext.from_defaults(persist_dir=str(tmp_path))
