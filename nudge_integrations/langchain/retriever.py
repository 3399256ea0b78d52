"""Retrievers: one that ranks by tuned vectors over any store, one that names the run in traces."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, Field, PrivateAttr

from nudge_integrations.errors import DataError
from nudge_integrations.tuning.lookup import as_tuned
from nudge_integrations.tuning.overlay import Overlay
from nudge_integrations.tuning.traces import RUN, mark_span


class NudgeRetriever(BaseRetriever):
    """Ranks what a store finds by tuned vectors; the store keeps its original vectors.

    For stores that cannot be written to, and for comparing before and after. It takes a window of
    candidates from the store, scores those that were moved by their tuned vectors, and sorts. The
    answer is that of a tuned store as long as the window holds its documents; `overlay.inexact`
    of `overlay.queries` counts the queries for which it may not have.

    Examples:
        ```python
        retriever = NudgeRetriever(vector_store=store, tuned=engine.tuned, k=5)
        retriever.invoke("a question")
        ```

    Args:
        vector_store: Any vector store that holds the original vectors.
        tuned: What a run produced.
        embeddings: What embeds the questions; None for the store's own `embeddings`.
        k: How many documents to return.
        window: How many candidates to take from the store.
        search_kwargs: More arguments of the store's search, such as a filter.
        similarity_of: Turns an array of the store's scores into similarities. Left out: found out
            from documents whose similarity is known.

    Raises:
        DataError: No embedding model, a window smaller than `k`, or scores of no known kind.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    vector_store: VectorStore
    tuned: Any
    embeddings: Any = None
    k: int = Field(default=4, ge=1)
    window: int = 100
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    similarity_of: Any = None

    _overlay: Overlay = PrivateAttr()

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.embeddings = self.embeddings or self.vector_store.embeddings
        if self.embeddings is None:
            raise DataError("the vector store tells no embedding model: pass embeddings=")
        if self.window < self.k:
            raise DataError(f"window={self.window} is smaller than k={self.k}: widen it")
        self._overlay = Overlay(as_tuned(self.tuned), self.similarity_of)

    @property
    def overlay(self) -> Overlay:
        """What re-ranks, and counts for how many queries the window was too small."""
        return self._overlay

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
    ) -> list[Document]:
        vector = self.embeddings.embed_query(query)
        by_vector = getattr(self.vector_store, "similarity_search_with_score_by_vector", None)
        search: Any = by_vector or self.vector_store.similarity_search_with_score
        found = search(vector if by_vector else query, k=self.window, **self.search_kwargs)
        ranked = self._overlay.rank(
            vector,
            [document.page_content for document, _ in found],
            [score for _, score in found],
            self.k,
            whole=len(found) < self.window,
        )
        return [found[place][0] for place, _ in ranked]


class TracedRetriever(BaseRetriever):
    """Names the tuned run behind another retriever's answers, for logs and traces.

    Callbacks and LangSmith see the run's digest as `nudge_run` in the retriever's metadata,
    OpenTelemetry's current span as the attribute `nudge.run`.

    Examples:
        ```python
        retriever = TracedRetriever(retriever=store.as_retriever(), tuned=engine.tuned)
        retriever.invoke("a question")[0].metadata["nudge_run"]
        ```

    Args:
        retriever: Any retriever over a store that holds the tuned vectors, or a `NudgeRetriever`.
        tuned: What the run produced.
        tag_documents: Whether to put the digest into the documents' metadata, too.

    Raises:
        DataError: `tuned` is no tuned vectors.
    """

    retriever: BaseRetriever
    tuned: Any
    tag_documents: bool = True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.metadata = {**(self.metadata or {}), RUN: as_tuned(self.tuned).digest}

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        mark_span(self.tuned.digest)
        config = RunnableConfig(callbacks=run_manager.get_child())
        return self._tagged(self.retriever.invoke(query, config))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        mark_span(self.tuned.digest)
        config = RunnableConfig(callbacks=run_manager.get_child())
        return self._tagged(await self.retriever.ainvoke(query, config))

    def _tagged(self, found: list[Document]) -> list[Document]:
        if not self.tag_documents:
            return found
        run = {RUN: self.tuned.digest}
        return [each.model_copy(update={"metadata": {**each.metadata, **run}}) for each in found]
