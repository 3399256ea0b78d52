"""Retrievers: one that ranks by tuned vectors over any index, one that names the run in traces."""

from __future__ import annotations

from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags

from nudge_integrations.errors import DataError
from nudge_integrations.llama_index.threads import in_thread
from nudge_integrations.tuning.lookup import as_tuned
from nudge_integrations.tuning.overlay import Overlay
from nudge_integrations.tuning.traces import RUN, mark_span


class NudgeRetriever(BaseRetriever):
    """Ranks what an index finds by tuned vectors; its store keeps the original vectors.

    For stores that cannot be written to, and for comparing before and after. It takes a window of
    candidates from the index, scores those that were moved by their tuned vectors, and sorts. The
    answer is that of a tuned store as long as the window holds its nodes; `overlay.inexact` of
    `overlay.queries` counts the queries for which it may not have.

    Examples:
        ```python
        retriever = NudgeRetriever(index, engine.tuned, similarity_top_k=5)
        retriever.retrieve("a question")
        ```

    Args:
        index: An index over any store that holds the original vectors.
        tuned: What a run produced.
        similarity_top_k: How many nodes to return.
        window: How many candidates to take from the index.
        similarity_of: Turns an array of the store's scores into similarities. Left out: found out
            from nodes whose similarity is known.
        kwargs: For `index.as_retriever`, such as `filters`.

    Attributes:
        overlay: What re-ranks, and counts for how many queries the window was too small.

    Raises:
        DataError: A window smaller than `similarity_top_k`, or scores of no known kind.
    """

    def __init__(
        self,
        index: VectorStoreIndex,
        tuned: Any,
        *,
        similarity_top_k: int = 4,
        window: int = 100,
        similarity_of: Any = None,
        **kwargs: Any,
    ) -> None:
        if window < similarity_top_k:
            raise DataError(
                f"window={window} is smaller than similarity_top_k={similarity_top_k}: widen it"
            )
        self.overlay = Overlay(as_tuned(tuned), similarity_of)
        self._embed_model = index._embed_model
        self._candidates = index.as_retriever(similarity_top_k=window, **kwargs)
        self._k, self._window = similarity_top_k, window
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if query_bundle.embedding is None:
            query_bundle.embedding = self._embed_model.get_agg_embedding_from_queries(
                query_bundle.embedding_strs
            )
        found = self._candidates.retrieve(query_bundle)
        ranked = self.overlay.rank(
            query_bundle.embedding,
            [hit.node.get_content(MetadataMode.EMBED) for hit in found],
            [hit.score or 0.0 for hit in found],
            self._k,
            whole=len(found) < self._window,
        )
        return [NodeWithScore(node=found[place].node, score=score) for place, score in ranked]

    _aretrieve = in_thread("_retrieve")


class TracedRetriever(BaseRetriever):
    """Names the tuned run behind another retriever's answers, for logs and traces.

    LlamaIndex's instrumentation sees the run's digest as the tag `nudge_run` of the spans and
    events of the retrieval, OpenTelemetry's current span as the attribute `nudge.run`.

    Examples:
        ```python
        retriever = TracedRetriever(index.as_retriever(), engine.tuned)
        retriever.retrieve("a question")[0].node.metadata["nudge_run"]
        ```

    Args:
        retriever: Any retriever over a store that holds the tuned vectors, or a `NudgeRetriever`.
        tuned: What the run produced.
        tag_documents: Whether to put the digest into the nodes' metadata, too; it is hidden from
            language models and embedding models.

    Raises:
        DataError: `tuned` is no tuned vectors.
    """

    def __init__(self, retriever: BaseRetriever, tuned: Any, *, tag_documents: bool = True) -> None:
        self._retriever, self._tag = retriever, tag_documents
        self._digest = as_tuned(tuned).digest
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        mark_span(self._digest)
        with instrument_tags({**active_instrument_tags.get(), RUN: self._digest}):
            return self._tagged(self._retriever.retrieve(query_bundle))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        mark_span(self._digest)
        with instrument_tags({**active_instrument_tags.get(), RUN: self._digest}):
            return self._tagged(await self._retriever.aretrieve(query_bundle))

    def _tagged(self, found: list[NodeWithScore]) -> list[NodeWithScore]:
        if not self._tag:
            return found
        return [NodeWithScore(node=self._with_run(hit.node), score=hit.score) for hit in found]

    def _with_run(self, node: BaseNode) -> BaseNode:
        hidden = ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
        lists = {name: [*getattr(node, name), RUN] for name in hidden}
        return node.model_copy(update={"metadata": {**node.metadata, RUN: self._digest}, **lists})
