"""A LangChain embedding model that answers with tuned vectors for the texts that were tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from nudge_integrations.errors import DataError, ModelMismatchError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nudge_integrations.tuned import TunedVectors

_Vectors = list[list[float]]


class NudgeEmbeddings(Embeddings):
    """An embedding model whose document vectors are the tuned ones, for any vector store.

    Queries go to the base model untouched. So do documents, but for those whose exact text was
    tuned: they get their tuned vector, and the base model is not asked.

    Setup:
        ```bash
        pip install 'nudge-integrations[langchain]'
        ```

    Key init args:
        base: LangChain `Embeddings`, a `SentenceTransformer`, or the name of one. A
            `NudgeEmbeddings` is unwrapped first, so wrapping twice never tunes twice.
        tuned: What a run produced. Without it, every vector is the base model's.

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
        DataError: `base` is no embedding model.
        NudgeError: No model of that name can be loaded.
    """

    def __init__(
        self,
        base: Embeddings | SentenceTransformer | str,
        tuned: TunedVectors | None = None,
    ) -> None:
        model: Any = base
        while isinstance(model, NudgeEmbeddings):
            model = model.nudge_base_model()
        self._model = model
        self._base = model if isinstance(model, Embeddings) else _AsEmbeddings(model)
        self._tuned = tuned

    @property
    def tuned(self) -> TunedVectors | None:
        """The tuned vectors that documents are answered with."""
        return self._tuned

    def nudge_base_model(self) -> Any:
        """The model underneath, as it was given; what was tuned does not show in it."""
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
            ModelMismatchError: The base model's vectors have another dimension than the tuned.
            DataError: The base model gave more or fewer vectors than it was given texts.
        """
        vectors, rest = self._look_up(texts)
        found = self._base.embed_documents([texts[i] for i in rest]) if rest else []
        return _filled(vectors, rest, found)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, through the base model's own async method."""
        vectors, rest = self._look_up(texts)
        found = await self._base.aembed_documents([texts[i] for i in rest]) if rest else []
        return _filled(vectors, rest, found)

    def _look_up(self, texts: list[str]) -> tuple[list[list[float] | None], list[int]]:
        """The tuned vector of each text, and the positions of the texts that have none."""
        if self._tuned is None:
            return [None] * len(texts), list(range(len(texts)))
        found = [self._tuned.lookup(text) for text in texts]
        vectors = [None if vector is None else vector.tolist() for vector in found]
        return vectors, [i for i, vector in enumerate(vectors) if vector is None]


def _filled(vectors: list[list[float] | None], rest: list[int], found: _Vectors) -> _Vectors:
    if len(found) != len(rest):
        raise DataError(
            f"the base model gave {len(found)} vectors for {len(rest)} texts; "
            "it must give one for each"
        )
    tuned = next((vector for vector in vectors if vector is not None), None)
    if tuned is not None and rest and len(found[0]) != len(tuned):
        raise ModelMismatchError(
            f"the base model's vectors have {len(found[0])} dimensions, the tuned ones have "
            f"{len(tuned)}; use the model that the vectors were tuned for"
        )
    new = iter(found)
    return [next(new) if vector is None else vector for vector in vectors]


class _AsEmbeddings(Embeddings):
    """Any model that the package can embed with, as LangChain `Embeddings`."""

    def __init__(self, model: Any) -> None:
        from nudge_integrations.embedding import Embedder

        self._embedder = Embedder(model, cache=False, show_progress=False)

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._embedder.embed_queries([text])[0].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: _Vectors = self._embedder.embed_documents(texts).tolist()
        return vectors
