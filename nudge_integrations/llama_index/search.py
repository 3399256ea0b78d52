"""All of LlamaIndex's searches over the exact index."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.simple import SimpleVectorStoreData
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from nudge_integrations.common.index import ExactIndex, Metric
from nudge_integrations.common.rows import Hits
from nudge_integrations.errors import DataError
from nudge_integrations.llama_index.filters import NO_REF_DOC, Predicate, compile_filters
from nudge_integrations.llama_index.nodes import copied
from nudge_integrations.llama_index.threads import in_thread

_DEFAULT_MMR_THRESHOLD = 0.5

logger = logging.getLogger(__name__)


class ExactSearch(BasePydanticVectorStore):
    """The read-only half of `NudgeVectorStore`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False
    metric: str = Field(default="cosine", frozen=True)

    _index: ExactIndex = PrivateAttr()
    _nodes: dict[str, BaseNode] = PrivateAttr(default_factory=dict)
    # Held by writers, so that vectors and nodes change together.
    _writing: Any = PrivateAttr(default_factory=threading.RLock)
    _said: bool = PrivateAttr(default=False)

    def __init__(self, metric: Metric = "cosine", **kwargs: Any) -> None:
        index = ExactIndex(metric)
        super().__init__(metric=metric, **kwargs)  # type: ignore[call-arg]
        self._index = index

    @property
    def client(self) -> ExactIndex:
        """The vectors by node id. Read from it; write through the store."""
        return self._index

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Copy nodes, in the order of `node_ids`, or else in the order in which they came in.

        Ids not there are left out. Neither ids nor filters: all. Nodes come without embeddings.

        Raises:
            DataError: Filters that cannot be applied.
        """
        return [copied(node) for node in self._select(compile_filters(filters), node_ids)]

    def get(self, text_id: str) -> list[float]:
        """The vector of one node, as `SimpleVectorStore.get` gives it.

        Raises:
            DataError: A node that is not in the store.
        """
        vector: list[float] = self._index.get([text_id])[0].tolist()
        return vector

    @property
    def data(self) -> SimpleVectorStoreData:
        """A copy of the contents, in the form of `SimpleVectorStore.data`."""
        with self._writing:
            ids, matrix = self._index.state()
            nodes = [self._nodes[id_] for id_ in ids]
        found = SimpleVectorStoreData()
        for node, vector in zip(nodes, matrix.tolist(), strict=True):
            found.embedding_dict[node.node_id] = vector
            found.text_id_to_ref_doc_id[node.node_id] = node.ref_doc_id or NO_REF_DOC
            metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
            metadata.pop("_node_content", None)
            found.metadata_dict[node.node_id] = metadata
        return found

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """`data` as plain JSON, as `SimpleVectorStore.to_dict` gives it."""
        return self.data.to_dict()

    aget_nodes = in_thread("get_nodes")

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nodes most similar to the query, best first.

        Args:
            query: With `query_embedding`; see the class for what else counts.
            **kwargs: `mmr_threshold`, `mmr_prefetch_factor`, `mmr_prefetch_k`.

        Returns:
            Nodes without embeddings, similarities and ids; at most `similarity_top_k`.

        Raises:
            DataError: No embedding, one of another dimension, a mode that is not there, a
                threshold outside 0 to 1, or filters that cannot be applied.
        """
        try:
            return self._query(query, kwargs)
        except KeyError:
            # A writer is between the vectors and their nodes: wait for it.
            with self._writing:
                return self._query(query, kwargs)

    aquery = in_thread("query")

    def _select(self, matches: Predicate, node_ids: list[str] | None) -> list[BaseNode]:
        ids = list(self._nodes) if node_ids is None else node_ids
        found = (self._nodes.get(id_) for id_ in ids)
        return [node for node in found if node is not None and matches(node)]

    def _query(self, query: VectorStoreQuery, options: dict[str, Any]) -> VectorStoreQueryResult:
        self._say_what_is_hidden(query.node_ids or ())
        hits = self._hits(query, options)
        nodes = [copied(self._nodes[id_]) for id_ in hits.ids]
        return VectorStoreQueryResult(nodes, hits.scores.tolist(), hits.ids)

    def _hits(self, query: VectorStoreQuery, options: dict[str, Any]) -> Hits:
        vector, k = query.query_embedding, query.similarity_top_k
        if vector is None:
            raise DataError("the query has no query_embedding: embed it with the nodes' model")
        if query.mode == VectorStoreQueryMode.DEFAULT:
            return self._index.search(vector, k, self._allowed(query))
        if query.mode != VectorStoreQueryMode.MMR:
            raise DataError(
                f"mode {getattr(query.mode, 'value', query.mode)!r} is not there: NudgeVectorStore "
                "holds dense vectors only; use 'default' or 'mmr', and for keywords add a second "
                "retriever with QueryFusionRetriever"
            )
        given = (options.get("mmr_threshold"), query.mmr_threshold, _DEFAULT_MMR_THRESHOLD)
        threshold = next(each for each in given if each is not None)
        if not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
            raise DataError(
                f"mmr_threshold must be from 0 (diverse) to 1 (pure similarity), got {threshold!r}"
            )
        fetch_k = _prefetch(k, len(self._index), options)
        return self._index.mmr(vector, k, fetch_k, threshold, self._allowed(query))

    def _allowed(self, query: VectorStoreQuery) -> Callable[[str], bool] | None:
        """What the query is restricted to; None for everything."""
        node_ids = None if query.node_ids is None else set(query.node_ids)
        if not node_ids and query.query_str is not None:
            # Every retriever over a store that keeps text sends an empty list by itself. Without
            # the question's text, the list is somebody's access list, and an empty one admits
            # nothing.
            node_ids = None
        doc_ids = None if query.doc_ids is None else set(query.doc_ids)
        if node_ids is None and doc_ids is None and not query.filters:
            return None
        matches = compile_filters(query.filters)

        def allowed(id_: str) -> bool:
            if node_ids is not None and id_ not in node_ids:
                return False
            node = self._nodes[id_]
            return (doc_ids is None or node.ref_doc_id in doc_ids) and matches(node)

        return allowed

    def _say_what_is_hidden(self, node_ids: Collection[str]) -> None:
        """Log, once, that a query for index and image nodes alone passes over the other nodes.

        `VectorStoreIndex.as_retriever` asks for them alone, perhaps without anyone wanting it,
        over every store that keeps text and got both kinds.
        """
        if self._said or not node_ids or len(node_ids) >= len(self._nodes):
            return
        asked = (self._nodes.get(id_) for id_ in node_ids)
        if all(node is None or isinstance(node, IndexNode | ImageNode) for node in asked):
            self._said = True
            logger.warning(
                "A retriever asks for the IndexNodes and ImageNodes of this store alone and never "
                "finds its other nodes. If that is not wanted, build the index with "
                "VectorStoreIndex(..., store_nodes_override=True)"
            )


def _prefetch(k: int, everything: int, options: Mapping[str, Any]) -> int:
    """Number of candidates for maximal marginal relevance."""
    factor, number = options.get("mmr_prefetch_factor"), options.get("mmr_prefetch_k")
    if factor is not None and number is not None:
        raise DataError(
            f"mmr_prefetch_factor={factor} and mmr_prefetch_k={number} exclude each other: "
            "give one of them"
        )
    if factor is not None:
        number = k * factor
    # Never fewer candidates than answers.
    return max(everything if number is None else int(number), k)
