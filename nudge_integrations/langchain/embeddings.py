"""A LangChain embedding model that answers with tuned vectors for the texts that were tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, ModelMismatchError
from nudge_integrations.tuning.checks import as_tuned

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nudge_integrations.tuning.tuned import TunedVectors

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
        tuned = None if tuned is None else as_tuned(tuned)
        model: Any = base
        while isinstance(model, NudgeEmbeddings):
            model = model.nudge_base_model()
        self._model = model
        self._base = model if isinstance(model, Embeddings) else _AsEmbeddings(model)
        self._tuned = tuned
        self._unchecked = check_model

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
            ModelMismatchError: The vectors were tuned for another model than the base model.
            DataError: The base model gave more or fewer vectors than it was given texts.
        """
        vectors, rest = self._look_up(texts)
        if self._unchecked and len(rest) < len(texts):
            self._check(self._base.embed_documents([PROBE_TEXT]))
        found = self._base.embed_documents([texts[i] for i in rest]) if rest else []
        return self._filled(vectors, found)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, through the base model's own async method."""
        vectors, rest = self._look_up(texts)
        if self._unchecked and len(rest) < len(texts):
            self._check(await self._base.aembed_documents([PROBE_TEXT]))
        found = await self._base.aembed_documents([texts[i] for i in rest]) if rest else []
        return self._filled(vectors, found)

    def _look_up(self, texts: list[str]) -> tuple[list[list[float] | None], list[int]]:
        """The tuned vector of each text, and the positions of the texts that have none."""
        if self._tuned is None:
            return [None] * len(texts), list(range(len(texts)))
        found = [self._tuned.lookup(text) for text in texts]
        vectors = [None if vector is None else vector.tolist() for vector in found]
        return vectors, [i for i, vector in enumerate(vectors) if vector is None]

    def _check(self, probe: _Vectors) -> None:
        from nudge_integrations.embedding.encoders import probed

        assert self._tuned is not None  # asked only where a tuned vector was found
        self._tuned.check_model(probed(self._base, probe))
        self._unchecked = False

    def _filled(self, vectors: list[list[float] | None], found: _Vectors) -> _Vectors:
        """Put the base model's vectors into the places without a tuned one."""
        missing = vectors.count(None)
        if len(found) != missing:
            raise DataError(
                f"the base model gave {len(found)} vectors for {missing} texts; "
                "it must give one for each"
            )
        width = None if self._tuned is None else self._tuned.vectors.shape[1]
        for vector in found if width is not None else ():
            if len(vector) != width:
                raise ModelMismatchError(
                    f"the base model's vectors have {len(vector)} dimensions, the tuned ones have "
                    f"{width}; use the model that the vectors were tuned for"
                )
        new = iter(found)
        return [next(new) if vector is None else vector for vector in vectors]


class _AsEmbeddings(Embeddings):
    """Any model that the package can embed with, as LangChain `Embeddings`."""

    def __init__(self, model: Any) -> None:
        from nudge_integrations.embedding import Embedder

        self._embedder = Embedder(model, cache=False, show_progress=False)
        self.model = self._embedder.encoder.name  # where the name of a LangChain model is found

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._embedder.embed_queries([text])[0].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: _Vectors = self._embedder.embed_documents(texts).tolist()
        return vectors
