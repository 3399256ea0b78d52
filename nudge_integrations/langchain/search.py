"""All of LangChain's searches over the exact index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.index import ExactIndex, Metric
from nudge_integrations.common.rows import Hits
from nudge_integrations.errors import DataError
from nudge_integrations.langchain.documents import Filter, admits, copied

# Arguments of other search types, which a retriever hands to any of them.
_OF_OTHER_SEARCHES = frozenset({"fetch_k", "lambda_mult", "score_threshold"})


class ExactSearch(VectorStore):
    """The read-only half of `NudgeVectorStore`."""

    def __init__(self, embedding: Embeddings, metric: Metric) -> None:
        self._embedding = embedding
        self._index = ExactIndex(metric)
        self._documents: dict[str, Document] = {}
        # Held by writers, so that vectors and documents change together.
        self._writing = threading.RLock()

    @property
    def embeddings(self) -> Embeddings:
        """The embedding model of queries and documents."""
        return self._embedding

    @property
    def metric(self) -> Metric:
        """`"cosine"` or `"dot"`."""
        return self._index.metric

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Copies of the documents with these ids, in this order; missing ones are left out."""
        found = (self._documents.get(id_) for id_ in ids)
        return [copied(document) for document in found if document is not None]

    @property
    def store(self) -> dict[str, dict[str, Any]]:
        """A copy of the contents, in the form of `InMemoryVectorStore.store`."""
        with self._writing:
            ids, vectors = self._index.state()
            documents = [copied(self._documents[id_]) for id_ in ids]
        return {
            str(each.id): {
                "id": each.id,
                "vector": vector,
                "text": each.page_content,
                "metadata": each.metadata,
            }
            for each, vector in zip(documents, vectors.tolist(), strict=True)
        }

    def get_embeddings(self, ids: Sequence[str]) -> FloatMatrix:
        """Copy the stored vectors of `ids`, shape `(len(ids), dimension)`, float32.

        Raises:
            DataError: An id that is not in the store.
        """
        return self._index.get(ids)

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Find the `k` documents nearest to a vector, with cosines or inner products, best first.

        Args:
            embedding: The query, shape `(dimension,)`.
            k: How many to find, at least 1.
            filter: Metadata to be equal to, or a function of a document; it sees the stored
                documents themselves and must not change them.
            **kwargs: Arguments of other search types, which are ignored.

        Raises:
            DataError: An argument or a filter that is not known, `k` below 1, or a query that
                cannot be used, such as one of another dimension.
        """
        return self._search(
            filter, kwargs, lambda allowed: self._index.search(embedding, k, allowed)
        )

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search_with_score_by_vector`, without the scores."""
        found = self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs)
        return [document for document, _ in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score_by_vector`, for a question in words."""
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Like `similarity_search_with_score`, through the model's own async method."""
        vector = await self._embedding.aembed_query(query)
        return await run_in_executor(
            None, self.similarity_search_with_score_by_vector, vector, k, filter, **kwargs
        )

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search_with_score`, without the scores."""
        found = self.similarity_search_with_score(query, k, filter, **kwargs)
        return [document for document, _ in found]

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[Document]:
        """Like `similarity_search`, through the model's own async method."""
        found = await self.asimilarity_search_with_score(query, k, filter, **kwargs)
        return [document for document, _ in found]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Choose `k` of the `fetch_k` nearest documents that also differ from each other.

        Args:
            embedding: The query, shape `(dimension,)`.
            k: How many to choose, at least 1.
            fetch_k: How many to choose from, at least 1.
            lambda_mult: From 0 (most diverse) to 1 (pure similarity).
            filter: Metadata to be equal to, or a function of a document.
            **kwargs: Arguments of other search types, which are ignored.

        Raises:
            DataError: As for `similarity_search_with_score_by_vector`; `fetch_k` below 1;
                `lambda_mult` outside 0 to 1.
        """
        found = self._search(
            filter,
            kwargs,
            lambda allowed: self._index.mmr(embedding, k, fetch_k, lambda_mult, allowed),
        )
        return [document for document, _ in found]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search_by_vector`, for a question in words."""
        vector = self._embedding.embed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        return search(vector, k, fetch_k, lambda_mult, **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Like `max_marginal_relevance_search`, through the model's own async method."""
        vector = await self._embedding.aembed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        return await run_in_executor(None, search, vector, k, fetch_k, lambda_mult, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _cosine_relevance if self.metric == "cosine" else _dot_relevance

    def _search(
        self,
        filter: Filter,
        options: dict[str, Any],
        search: Callable[[Callable[[str], bool] | None], Hits],
    ) -> list[tuple[Document, float]]:
        unknown = sorted(set(options) - _OF_OTHER_SEARCHES)
        if unknown:
            raise DataError(
                f"unknown search argument {unknown[0]!r}; known are k, filter, fetch_k, "
                "lambda_mult and score_threshold"
            )
        asked = admits(filter)

        def allowed(id_: str) -> bool:
            document = self._documents.get(id_)
            return asked is None or (document is not None and asked(document))

        def found() -> list[tuple[Document, float]]:
            hits = search(None if asked is None else allowed)
            documents = (copied(self._documents[id_]) for id_ in hits.ids)
            return list(zip(documents, hits.scores.tolist(), strict=True))

        try:
            return found()
        except KeyError:
            # A writer is between the vectors and their documents: wait for it.
            with self._writing:
                return found()


def _cosine_relevance(score: float) -> float:
    """A cosine, -1 to 1, mapped onto 0 to 1; rounding beyond either end is clipped."""
    return min(1.0, max(0.0, (1 + score) / 2))


def _dot_relevance(score: float) -> float:
    """An inner product, which has no bounds, mapped into 0 to 1: `(1 + s / (1 + |s|)) / 2`.

    It rises with the score, gives 0.5 to a right angle, and unlike a logistic curve it still
    tells apart the large products of long vectors.
    """
    return (1 + score / (1 + abs(score))) / 2
