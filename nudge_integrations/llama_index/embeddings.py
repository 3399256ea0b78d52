"""A LlamaIndex embedding model that returns tuned vectors for tuned texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from nudge_integrations.llama_index.threads import in_thread
from nudge_integrations.tuning.lookup import TextLookup, as_tuned

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nudge_integrations.tuning.tuned import TunedVectors

_LARGEST_BATCH = 2048


class NudgeEmbedding(BaseEmbedding):
    """An embedding model whose text vectors are the tuned ones, for any index and any store.

    Queries go to the base model untouched. A text that was tuned (exactly what the framework embeds
    of a node, metadata included) gets its tuned vector, and the base model is not asked. Any other
    text gets the base model's vector, which the run's field, if it has one, moves like those of
    its neighbours. The base model's own public methods are called, so its batches,
    cache, rate limit and callbacks stay in force, and nothing is counted twice.

    Examples:
        >>> from llama_index.core import MockEmbedding, VectorStoreIndex
        >>> from llama_index.core.schema import TextNode
        >>> embed_model = NudgeEmbedding(MockEmbedding(embed_dim=4))  # and TunedVectors.load(...)
        >>> index = VectorStoreIndex([TextNode(text="a text")], embed_model=embed_model)

    Args:
        base: A LlamaIndex `BaseEmbedding`, a `SentenceTransformer`, or the name of one. A
            `NudgeEmbedding` is unwrapped first, so wrapping twice never tunes twice.
        tuned: What a run produced. Without it, every vector is the base model's. Vectors of
            NUDGE-M need a store that ranks by inner product.
        check_model: Whether to make sure, when a tuned vector is to be given for the first time,
            that the base model is the one tuned for. That embeds one short text, once.

    Raises:
        DataError: `base` is no embedding model, or `tuned` no tuned vectors.
        NudgeError: No model of that name can be loaded.
    """

    tuned_digest: str = Field(
        default="", description="Names the tuned vectors, so that no cache mixes two runs."
    )

    _model: Any = PrivateAttr(default=None)
    _base: BaseEmbedding = PrivateAttr()
    _lookup: TextLookup = PrivateAttr()

    def __init__(
        self,
        base: BaseEmbedding | SentenceTransformer | str,
        tuned: TunedVectors | None = None,
        *,
        check_model: bool = True,
    ) -> None:
        lookup = TextLookup(None if tuned is None else as_tuned(tuned), check_model)
        model: Any = base
        while isinstance(model, NudgeEmbedding):
            model = model.nudge_base_model()
        inner = model if isinstance(model, BaseEmbedding) else AsBaseEmbedding(model)
        super().__init__(  # type: ignore[call-arg]
            model_name=inner.model_name,
            embed_batch_size=inner.embed_batch_size,
            num_workers=inner.num_workers,
            tuned_digest=lookup.tuned.digest if lookup.tuned else "",
        )
        self._model, self._base, self._lookup = model, inner, lookup

    def __setattr__(self, name: str, value: Any) -> None:
        # An index hands its callback manager to its embedding model: it belongs where the calls
        # are made.
        if name == "callback_manager":
            self._base.callback_manager = value
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._restored, (self._model, self._lookup)

    @classmethod
    def _restored(cls, model: Any, lookup: TextLookup) -> NudgeEmbedding:
        return cls(model, lookup.tuned, check_model=lookup.unchecked)

    @classmethod
    def class_name(cls) -> str:
        """Name of the class in the framework's own JSON."""
        return "NudgeEmbedding"

    @property
    def tuned(self) -> TunedVectors | None:
        """The tuned vectors that this model returns."""
        return self._lookup.tuned

    def nudge_base_model(self) -> Any:
        """The base model as it was passed in, untuned."""
        return self._model

    def get_query_embedding(self, query: str) -> list[float]:
        """Embed a query: the base model's own answer."""
        return self._base.get_query_embedding(query)

    async def aget_query_embedding(self, query: str) -> list[float]:
        """Embed a query through the base model's own async method."""
        return await self._base.aget_query_embedding(query)

    def get_text_embedding(self, text: str) -> list[float]:
        """Embed a text: its tuned vector if it has one, else the base model's answer.

        Raises:
            ModelMismatchError: The vector was tuned for another model than the base model.
        """
        found = [self._base.get_text_embedding(each) for each in self._lookup.ask([text])]
        return self._lookup.answer([text], self._base, found)[0]

    async def aget_text_embedding(self, text: str) -> list[float]:
        """Like `get_text_embedding`, through the base model's own async method."""
        found = [await self._base.aget_text_embedding(each) for each in self._lookup.ask([text])]
        return self._lookup.answer([text], self._base, found)[0]

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """Embed texts: those without a tuned vector go to the base model together, in order.

        Raises:
            ModelMismatchError: The vectors were tuned for another model than the base model.
            DataError: The base model returned more or fewer vectors than it was given texts.
        """
        ask, embed = self._lookup.ask(texts), self._base.get_text_embedding_batch
        found = embed(ask, show_progress=show_progress, **kwargs) if ask else []
        return self._lookup.answer(texts, self._base, found)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """Like `get_text_embedding_batch`, through the base model's own async method."""
        ask, embed = self._lookup.ask(texts), self._base.aget_text_embedding_batch
        found = await embed(ask, show_progress=show_progress, **kwargs) if ask else []
        return self._lookup.answer(texts, self._base, found)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.get_query_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.aget_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.get_text_embedding(text)


class AsBaseEmbedding(BaseEmbedding):
    """Any supported embedding model as a LlamaIndex `BaseEmbedding`."""

    _embedder: Any = PrivateAttr(default=None)

    def __init__(self, model: Any) -> None:
        from nudge_integrations.embedding import Embedder

        embedder = Embedder(model, cache=False, show_progress=False)
        encoder = embedder.encoder
        super().__init__(
            model_name=encoder.name, embed_batch_size=min(encoder.batch_size, _LARGEST_BATCH)
        )
        self._embedder = embedder

    def nudge_base_model(self) -> Any:
        """The underlying encoder, for an engine that is given this model."""
        return self._embedder.encoder

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._embedder.embed_queries([query])[0].tolist()
        return vector

    _aget_query_embedding = in_thread("_get_query_embedding")

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.embed_documents(texts).tolist()
        return vectors

    _aget_text_embedding = in_thread("_get_text_embedding")
    _aget_text_embeddings = in_thread("_get_text_embeddings")
