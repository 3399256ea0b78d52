"""An in-memory LangChain vector store whose vectors can be tuned and restored."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from nudge_integrations.common.files import read_file, write_atomically
from nudge_integrations.common.index import ExactIndex, Metric
from nudge_integrations.errors import DataError
from nudge_integrations.langchain.documents import copied, documents_of, to_json, with_ids
from nudge_integrations.langchain.embeddings import NudgeEmbeddings
from nudge_integrations.langchain.search import ExactSearch
from nudge_integrations.tuning.lookup import as_tuned
from nudge_integrations.tuning.options import check_metric
from nudge_integrations.tuning.saved import LANGCHAIN

if TYPE_CHECKING:
    from typing_extensions import Self

    from nudge_integrations.tuning.tuned import TunedVectors


class NudgeVectorStore(ExactSearch):
    """Documents in memory, searched exactly, with vectors that can be tuned and restored.

    A drop-in for `InMemoryVectorStore`. Documents are copied on their way in and out. Any number
    of threads may read while another writes.

    Setup:
        ```bash
        pip install 'nudge-integrations[langchain]'
        ```

    Key init args:
        embedding: Embeds the queries, and the documents that come without a vector.
        metric: `"cosine"` or `"dot"` (inner product). NUDGE-M's vectors need `"dot"`.
        tuned: What a run produced. Documents added later get their vectors as from
            `NudgeEmbeddings(embedding, tuned)`.

    Instantiate:
        ```python
        from nudge_integrations.langchain import NudgeVectorStore

        store = NudgeVectorStore(embeddings)
        ```

    Add:
        ```python
        store.add_documents([Document(id="1", page_content="foo", metadata={"baz": "bar"})])
        store.add_embeddings(documents, vectors)  # nothing is embedded
        ```

    Search:
        ```python
        store.similarity_search("thud", k=1)
        store.similarity_search_with_score("thud", k=1)  # cosine or inner product: high is near
        store.max_marginal_relevance_search("thud", k=2, fetch_k=10, lambda_mult=0.5)
        ```

    Filter:
        ```python
        store.similarity_search("thud", filter={"baz": "bar"})  # equal metadata
        store.similarity_search("thud", filter=lambda document: "foo" in document.page_content)
        ```

    Tune and undo:
        ```python
        left_alone = store.apply(tuned)  # ids that are not here, or whose vector is another
        store.revert(tuned)  # the original bytes
        ```

    Async:
        ```python
        await store.aadd_documents(documents)
        await store.asimilarity_search("thud", k=1)
        ```

    Retriever:
        ```python
        store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 10})
        ```

    Save and load:
        ```python
        store.save("folder")  # one safetensors file, nothing pickled
        store = NudgeVectorStore.load("folder", embeddings)
        ```

    Raises:
        DataError: Another metric.
        MetricMismatchError: NUDGE-M's vectors under cosine.
    """

    def __init__(
        self, embedding: Embeddings, *, metric: Metric = "cosine", tuned: TunedVectors | None = None
    ) -> None:
        if tuned is not None or not isinstance(embedding, Embeddings):
            embedding = NudgeEmbeddings(embedding, tuned)
        if isinstance(embedding, NudgeEmbeddings) and embedding.tuned is not None:
            check_metric(embedding.tuned.method, metric)
        super().__init__(embedding, metric)

    def add_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **_kwargs: Any
    ) -> list[str]:
        """Embed and add documents, replacing those with the same ids.

        Args:
            documents: What to add. One without an id gets a UUID.
            ids: One for each document, instead of the documents' own.
            **_kwargs: Ignored; other stores take `batch_size` and the like.

        Returns:
            The id of each document.

        Raises:
            DataError: Another number of ids or vectors than of documents, or vectors that cannot
                be used. Nothing was added.
        """
        added, texts = with_ids(documents, ids)
        return self._put(added, self._embedding.embed_documents(texts) if texts else [])

    async def aadd_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **_kwargs: Any
    ) -> list[str]:
        """Like `add_documents`, through the embedding model's own async method."""
        added, texts = with_ids(documents, ids)
        vectors = await self._embedding.aembed_documents(texts) if texts else []
        return await run_in_executor(None, self._put, added, vectors)

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Embed texts and add them; `ids` and all else as for `add_documents`."""
        return self.add_documents(documents_of(texts, metadatas), **kwargs)

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Like `add_texts`, through the embedding model's own async method."""
        return await self.aadd_documents(documents_of(texts, metadatas), **kwargs)

    def add_embeddings(
        self,
        documents: Sequence[Document | str],
        vectors: Any,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add documents with vectors you already have.

        Args:
            documents: Documents, or texts where there is no metadata.
            vectors: Shape `(len(documents), dimension)`.
            ids: As for `add_documents`, which says what is returned and raised, too.
        """
        whole = [Document(page_content=d) if isinstance(d, str) else d for d in documents]
        return self._put(with_ids(whole, ids)[0], vectors)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete by id; ids that are not there are ignored. None deletes everything."""
        if kwargs:
            # Such as a filter: to ignore it might delete everything.
            raise DataError(f"delete knows ids only, got {sorted(kwargs)}: nothing was deleted")
        with self._writing:
            if ids is None:
                self._index.clear()
                self._documents.clear()
            else:
                for id_ in self._index.delete(ids):
                    del self._documents[id_]
        return True

    def apply(self, tuned: TunedVectors) -> list[str]:
        """Replace original vectors with the tuned ones made from them.

        Returns:
            The ids left alone: not in the store, or with another vector than the original.

        Raises:
            MetricMismatchError: NUDGE-M's vectors under cosine.
        """
        return as_tuned(tuned).apply_to(self._index)

    def revert(self, tuned: TunedVectors) -> list[str]:
        """Restore the original bytes where `apply` wrote tuned vectors; otherwise like `apply`."""
        return as_tuned(tuned).revert_in(self._index)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add texts to it; `kwargs` go to the store: `metric`, `tuned`."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like `from_texts`, through the embedding model's own async method."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save documents and vectors, atomically and checksummed; the embedding model is not.

        `path` is a folder, or a file that ends in `.safetensors`; what was saved there is replaced.

        Raises:
            DataError: Metadata that is not plain JSON; the document is named.
            NudgeError: The folder cannot be written to.
        """
        _, (_, index, documents) = self.__reduce__()
        saved = [to_json(documents[id_]) for id_ in index.ids]
        write_atomically(_file(path), LANGCHAIN.pack(index, saved))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], embedding: Embeddings, tuned: TunedVectors | None = None
    ) -> Self:
        """Load what `save` saved, bit for bit.

        Pass the model that made the saved vectors; one of another dimension fails at a search.

        Raises:
            CorruptFileError: Missing, truncated, edited, or of another version.
            MetricMismatchError: NUDGE-M's vectors under cosine.
        """
        file = _file(path)
        index, saved = LANGCHAIN.unpack(read_file(file, LANGCHAIN.kind), file)
        documents = {str(each["id"]): Document(**each) for each in saved}
        return cls._restored(embedding, index, documents, tuned)

    @classmethod
    def _restored(
        cls, embedding: Embeddings, index: ExactIndex, documents: Any, tuned: Any = None
    ) -> Self:
        store = cls(embedding, metric=index.metric, tuned=tuned)
        store._index, store._documents = index, documents
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        with self._writing:
            index = copy.copy(self._index)
            return self._restored, (self._embedding, index, dict(self._documents))

    def __deepcopy__(self, _: Any) -> Self:
        # The embedding model is shared: it may hold a client that cannot be copied.
        _, (embedding, index, documents) = self.__reduce__()
        return self._restored(
            embedding, index, {id_: copied(each) for id_, each in documents.items()}
        )

    def _put(self, documents: list[Document], vectors: Any) -> list[str]:
        ids = [str(document.id) for document in documents]
        with self._writing:
            # First the vectors: they are checked, and nothing is written if they are refused.
            self._index.upsert(ids, vectors)
            self._documents.update(zip(ids, documents, strict=True))
        return ids


def _file(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    is_file = path.suffix == Path(LANGCHAIN.pattern).suffix and not path.is_dir()
    return path if is_file else path / LANGCHAIN.pattern
