"""A LlamaIndex vector store over the exact in-memory index."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.simple import (
    DEFAULT_VECTOR_STORE,
    NAMESPACE_SEP,
    SimpleVectorStore,
)
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    DEFAULT_PERSIST_FNAME,
    BasePydanticVectorStore,
    MetadataFilters,
)

from nudge_integrations.common.index import ExactIndex
from nudge_integrations.errors import DataError
from nudge_integrations.llama_index.filters import Predicate, compile_filters
from nudge_integrations.llama_index.nodes import EXAMPLE, copied, embeddings_of
from nudge_integrations.llama_index.persistence import Files, find_stores, load_nodes, save_nodes
from nudge_integrations.llama_index.search import ExactSearch
from nudge_integrations.llama_index.threads import in_thread
from nudge_integrations.relevance.checks import checked_documents
from nudge_integrations.tuning.lookup import as_tuned

if TYPE_CHECKING:
    from typing_extensions import Self

    from nudge_integrations.tuning.tuned import TunedVectors

_SUFFIX = f"{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
_DEFAULT_PATH = os.path.join(DEFAULT_PERSIST_DIR, f"{DEFAULT_VECTOR_STORE}{_SUFFIX}")  # noqa: PTH118


class NudgeVectorStore(ExactSearch):
    """Nodes in memory, searched exactly, with vectors that can be tuned and restored.

    A drop-in for `SimpleVectorStore` (same ids, same scores) that keeps whole nodes. Adding an id
    again replaces its node and vector. Nodes that go in or come out are copies. Any number of
    threads may read while another writes.

    Search:
        Modes `default` and `mmr`; `doc_ids`, `node_ids` and `filters` apply before the top k is
        taken. An empty list of either kind finds nothing; only `node_ids=[]` beside a `query_str`,
        which is what `VectorStoreIndex.as_retriever` sends by itself, restricts nothing: give a
        retriever `doc_ids` or `filters` for access control.
        For `mmr`, the retriever's `vector_store_kwargs` take `mmr_threshold`, from 0 (diverse) to
        1 (pure similarity), 0.5 by default, and the number of candidates, all by default, as
        `mmr_prefetch_k` or `mmr_prefetch_factor` (times k). Similarities are those to the query.
        An index over `IndexNode`s beside plain nodes needs `store_nodes_override=True`, as over
        every store that keeps text; the log says so.

    Save and load:
        `storage_context.persist(folder)` and `StorageContext.from_defaults(persist_dir=folder)`
        work as with the default store, once `nudge_integrations.llama_index` was imported.

    Examples:
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.core.vector_stores import VectorStoreQuery
        >>> store = NudgeVectorStore()
        >>> store.add([TextNode(id_="a", text="A", embedding=[1.0, 0.0])])
        ['a']
        >>> store.query(VectorStoreQuery(query_embedding=[2.0, 0.0])).similarities
        [1.0]

    Args:
        metric: `"cosine"` or `"dot"` (inner product; for vectors of NUDGE-M).

    Raises:
        DataError: Another metric.
    """

    @classmethod
    def class_name(cls) -> str:
        """Name of the class in the framework's own JSON."""
        return "NudgeVectorStore"

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Add nodes, replacing those with the same ids. All or nothing.

        Args:
            nodes: Nodes with embeddings. Where an id repeats, its last node counts.

        Returns:
            The ids of `nodes`.

        Raises:
            DataError: A node without an embedding, or with one of another dimension, not finite,
                or under cosine zero. Nothing was added.
        """
        nodes = checked_documents(nodes, BaseNode, EXAMPLE)
        ids = [node.node_id for node in nodes]
        vectors = embeddings_of(nodes, self._index.dimension)
        copies = {node.node_id: copied(node) for node in nodes}
        with self._writing:
            self._index.upsert(ids, vectors)
            self._nodes.update(copies)
        return ids

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes whose source document is `ref_doc_id`; none is fine."""
        self._delete(lambda node: node.ref_doc_id == ref_doc_id)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **_: Any
    ) -> None:
        """Delete nodes by id, by filters, or those that meet both. Ids not there are ignored.

        Raises:
            DataError: Neither was given (`clear` deletes everything), or filters that cannot be
                applied. Nothing was deleted.
        """
        if node_ids is None and filters is None:
            raise DataError("delete_nodes needs node_ids or filters; clear() deletes everything")
        self._delete(compile_filters(filters), node_ids)

    def clear(self) -> None:
        """Delete everything; vectors of another dimension may come in afterwards."""
        with self._writing:
            self._index.clear()
            self._nodes.clear()

    def apply(self, tuned: TunedVectors) -> list[str]:
        """Replace original vectors with the tuned ones made from them.

        Returns:
            Ids left alone: not in the store, or with another vector than the run started from.

        Raises:
            MetricMismatchError: Vectors of NUDGE-M under cosine.
            DataError: Vectors of another dimension. Nothing was written.
        """
        return as_tuned(tuned).apply_to(self._index)

    def revert(self, tuned: TunedVectors) -> list[str]:
        """Restore the original vectors, byte for byte, where the store holds the tuned ones.

        Returns:
            Ids left alone: not in the store, or with another vector than the tuned one.

        Raises:
            DataError: Vectors of another dimension. Nothing was written.
        """
        return as_tuned(tuned).revert_in(self._index)

    def persist(self, persist_path: str = _DEFAULT_PATH, fs: Files = None) -> None:
        """Save nodes and vectors into one safetensors file at `persist_path`; nothing is pickled.

        `fs` is any fsspec file system, by default the local one. Only local saving is atomic.

        Raises:
            DataError: A node whose metadata is no JSON.
            NudgeError: The folder cannot be written to. An older state is still whole.
        """
        _, (index, nodes) = self.__reduce__()
        save_nodes(persist_path, index, [nodes[id_] for id_ in index.ids], fs)

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Files = None) -> Self:
        """Load a store that `persist` saved, bit for bit.

        Raises:
            CorruptFileError: Missing, truncated, edited, or not saved by this store.
            DataError: A node of a class of your own whose module was not imported.
        """
        index, nodes = load_nodes(persist_path, fs)
        return cls._restored(index, {node.node_id: node for node in nodes})

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str = DEFAULT_VECTOR_STORE,
        fs: Files = None,
    ) -> Self:
        """Load the store that `StorageContext.persist(persist_dir)` saved under `namespace`."""
        return cls.from_persist_path(f"{persist_dir}/{namespace}{_SUFFIX}", fs)

    @classmethod
    def from_namespaced_persist_dir(
        cls, persist_dir: str = DEFAULT_PERSIST_DIR, fs: Files = None
    ) -> dict[str, BasePydanticVectorStore]:
        """Load every vector store that `StorageContext.persist(persist_dir)` saved.

        They come by namespace, for `StorageContext.from_defaults(vector_stores=...)`. A file of
        `SimpleVectorStore`, such as the image store's, comes back as one.

        Raises:
            CorruptFileError: No store there, or as for `from_persist_path`.
        """
        found = find_stores(persist_dir, _SUFFIX, fs)
        return {
            namespace: (SimpleVectorStore if is_simple else cls).from_persist_path(path, fs)
            for namespace, (path, is_simple) in found.items()
        }

    async_add = in_thread("add")
    adelete = in_thread("delete")
    adelete_nodes = in_thread("delete_nodes")
    aclear = in_thread("clear")

    @classmethod
    def _restored(cls, index: ExactIndex, nodes: dict[str, BaseNode]) -> Self:
        store = cls(metric=index.metric)
        store._index, store._nodes = index, nodes
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        with self._writing:
            return self._restored, (copy.copy(self._index), dict(self._nodes))

    def __deepcopy__(self, _: Any = None) -> Self:
        _, (index, nodes) = self.__reduce__()
        return self._restored(index, {id_: copied(node) for id_, node in nodes.items()})

    def _delete(self, matches: Predicate, node_ids: list[str] | None = None) -> None:
        with self._writing:
            ids = [node.node_id for node in self._select(matches, node_ids)]
            for id_ in self._index.delete(ids):
                del self._nodes[id_]
