"""A LangChain embedding model that returns tuned vectors for tuned texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from nudge_integrations.tuning.lookup import TextLookup, as_tuned

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nudge_integrations.tuning.tuned import TunedVectors


class NudgeEmbeddings(Embeddings):
    """An embedding model whose document vectors are the tuned ones, for any vector store.

    Queries go to the base model untouched. A document whose exact text was tuned gets its tuned
    vector, and the base model is not asked. Any other document gets the base model's vector,
    which the run's field, if it has one, moves like those of its neighbours.

    Setup:
        ```bash
        pip install 'nudge-integrations[langchain]'
        ```

    Key init args:
        base: LangChain `Embeddings`, a `SentenceTransformer`, or the name of one. A
            `NudgeEmbeddings` is unwrapped first, so wrapping twice never tunes twice.
        tuned: What a run produced. Without it, every vector is the base model's.
        check_model: Whether to make sure, when a tuned vector is to be given for the first time,
            that the base model is the one tuned for. That embeds one short text, once.

    Instantiate:
        ```python
        from nudge_integrations import TunedVectors
        from nudge_integrations.langchain import NudgeEmbeddings

        embeddings = NudgeEmbeddings(base_embeddings, TunedVectors.load("tuned"))
        ```

    Use in any vector store:
        ```python
        store = Chroma.from_documents(documents, embeddings)
        store.similarity_search("a question")
        ```

    Async:
        ```python
        vectors = await embeddings.aembed_documents(texts)
        vector = await embeddings.aembed_query("a question")
        ```

    Raises:
        DataError: `base` is no embedding model, or `tuned` no tuned vectors.
        NudgeError: No model of that name can be loaded.
    """

    def __init__(
        self,
        base: Embeddings | SentenceTransformer | str,
        tuned: TunedVectors | None = None,
        *,
        check_model: bool = True,
    ) -> None:
        model: Any = base
        while isinstance(model, NudgeEmbeddings):
            model = model.nudge_base_model()
        self._model = model
        self._base = model if isinstance(model, Embeddings) else AsEmbeddings(model)
        self._lookup = TextLookup(None if tuned is None else as_tuned(tuned), check_model)

    @property
    def tuned(self) -> TunedVectors | None:
        """The tuned vectors that this model returns."""
        return self._lookup.tuned

    @property
    def model(self) -> str:
        """A name that changes with the tuned vectors, such as the namespace of a cache needs.

        `CacheBackedEmbeddings.from_bytes_store(embeddings, store, namespace=embeddings.model)`
        """
        from nudge_integrations.embedding.models import settings_name

        name = settings_name(self._base)
        return f"{name}-{self.tuned.digest}" if self.tuned else name

    def nudge_base_model(self) -> Any:
        """The base model as it was passed in, untuned."""
        return self._model

    def embed_query(self, text: str) -> list[float]:
        """Embed a query: the base model's own answer."""
        return self._base.embed_query(text)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query through the base model's own async method."""
        return await self._base.aembed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents: the tuned vector of each text that has one, else the base model's.

        Raises:
            ModelMismatchError: The vectors were tuned for another model than the base model.
            DataError: The base model gave more or fewer vectors than it was given texts.
        """
        ask = self._lookup.ask(texts)
        found = self._base.embed_documents(ask) if ask else []
        return self._lookup.answer(texts, self._base, found)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, through the base model's own async method."""
        ask = self._lookup.ask(texts)
        found = await self._base.aembed_documents(ask) if ask else []
        return self._lookup.answer(texts, self._base, found)


class AsEmbeddings(Embeddings):
    """Any supported embedding model as LangChain `Embeddings`."""

    def __init__(self, model: Any) -> None:
        from nudge_integrations.embedding import Embedder

        self._embedder = Embedder(model, cache=False, show_progress=False)
        self.model = self._embedder.encoder.name  # where the name of a LangChain model is found

    def nudge_base_model(self) -> Any:
        """The underlying encoder, for an engine that is given this model."""
        return self._embedder.encoder

    def embed_query(self, text: str) -> list[float]:
        """Embed a question."""
        vector: list[float] = self._embedder.embed_queries([text])[0].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents."""
        vectors: list[list[float]] = self._embedder.embed_documents(texts).tolist()
        return vectors
