"""The fine-tuning engine in the shape of LlamaIndex's own engines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, Document, MetadataMode, TextNode, TransformComponent

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.llama_index.embeddings import AsBaseEmbedding, NudgeEmbedding
from nudge_integrations.llama_index.nodes import EXAMPLE
from nudge_integrations.llama_index.vector_store import NudgeVectorStore
from nudge_integrations.relevance import RelevanceDataset
from nudge_integrations.relevance.checks import checked_documents
from nudge_integrations.tuning.engine import FinetuneEngine
from nudge_integrations.tuning.run import unique_texts

if TYPE_CHECKING:
    from typing_extensions import Self


class NudgeFinetuneEngine(FinetuneEngine):
    """Tunes the vectors of nodes towards the questions that they answer.

    The shape is that of `llama-index-finetuning`'s `BaseEmbeddingFinetuneEngine`: `finetune()`,
    then `get_finetuned_model()`. To `isinstance` it is one of these where that package, which is
    heavy and never imported from here, was imported before the engine was made.

    Examples:
        ```python
        engine = NudgeFinetuneEngine(train_dataset, embed_model=embed_model, nodes=nodes)
        engine.finetune()
        print(engine.report)
        retriever = engine.as_index().as_retriever(similarity_top_k=5)
        ```

    Args:
        train_dataset: Judged questions: a `RelevanceDataset`, an `EmbeddingQAFinetuneDataset`, or
            anything with the same fields. Its document ids are node ids.
        embed_model: A LlamaIndex `BaseEmbedding`, a `SentenceTransformer`, or the name of one.
            Left out: all-MiniLM-L6-v2.
        nodes: All nodes of the index. They are embedded as the framework does, metadata
            included. Left out: the documents of `train_dataset`.
        options: `val_dataset`, `test_dataset`, `method`, `metric` and more: see
            `nudge_integrations.tuning.options.EngineOptions`.

    Raises:
        DataError: Data that cannot be used; the offending id is named.
        LeakError: Two datasets share a question.
        MetricMismatchError: NUDGE-M with a metric other than `"dot"`.
    """

    _arguments = ("train_dataset", "embed_model", "nodes")
    _id_of = "its node.node_id (a splitter gives each piece of a Document a new one)"

    def __init__(
        self,
        train_dataset: Any,
        embed_model: Any = None,
        nodes: Sequence[BaseNode] | None = None,
        **options: Any,
    ) -> None:
        if nodes is None:
            corpus = RelevanceDataset.coerce(train_dataset).corpus
            nodes = [TextNode(id_=name, text=text) for name, text in corpus.items()]
        self.nodes = checked_documents(nodes, BaseNode, EXAMPLE)
        _register()
        super().__init__(train_dataset, self._texts_of(self.nodes), embed_model, **options)

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[BaseNode],
        llm: Any,
        embed_model: Any = None,
        *,
        transformations: Sequence[TransformComponent] | None = None,
        test_share: float = 0.2,
        questions: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Generate questions, filter them, embed, tune and measure, in one call.

        Examples:
            ```python
            engine = NudgeFinetuneEngine.from_documents(documents, llm=llm, embed_model=embed_model)
            print(engine.questions)
            print(engine.report)
            ```

        Args:
            documents: All nodes of the index; or `Document`s, which are cut into nodes as
                `VectorStoreIndex.from_documents` does it.
            llm: A LlamaIndex `LLM`, or a function from prompt to answer.
            embed_model: As for the engine itself.
            transformations: What cuts documents into nodes; None for `Settings.transformations`.
            test_share: Share of the questions that is kept for the report alone; below ten
                questions, and with 0, the report is about questions held out in turn.
            questions: Arguments of `generate_questions`, such as `{"max_documents": 500}`.
            options: As for the engine itself.

        Raises:
            DataError: Data that cannot be used, or not one question was left.
            NudgeError: The language model refuses every request, or its server is down; what was
                answered is kept, and the same call goes on from there.
        """
        return cls._from_generated(
            _cut(documents, transformations),
            llm,
            embed_model,
            test_share=test_share,
            questions=questions,
            options=options,
        )

    def _texts_of(self, documents: Any) -> dict[str, str]:
        nodes, mode = checked_documents(documents, BaseNode, EXAMPLE), MetadataMode.EMBED
        return unique_texts(((each.node_id, each.get_content(mode)) for each in nodes), "nodes")

    def _as_framework_model(self, encoder: Any) -> AsBaseEmbedding:
        return AsBaseEmbedding(encoder)

    def get_finetuned_model(self) -> NudgeEmbedding:
        """The embedding model for any index and store: tuned texts get their tuned vector.

        Queries go to the base model untouched. Vectors of NUDGE-M need a
        store that ranks by inner product, and an index hands its store plain numbers, so that
        none can check: take `as_index()`, or a store made for it (`SimpleVectorStore` ranks by
        cosine).

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        return NudgeEmbedding(self.base_model, self.tuned, check_model=False)

    def get_base_vector_store(self) -> NudgeVectorStore:
        """All nodes with the base model's vectors, as before tuning.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        return self._store(self.base_embeddings)

    def get_finetuned_vector_store(self) -> NudgeVectorStore:
        """All nodes with their tuned vectors, in an exact in-memory store.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        store = self._store(self.finetuned_embeddings)
        self._remember_bases(store._index)
        return store

    def as_index(self, **kwargs: Any) -> VectorStoreIndex:
        """An index over `get_finetuned_vector_store()`; nothing is embedded again.

        Args:
            **kwargs: For `VectorStoreIndex.from_vector_store`.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        return VectorStoreIndex.from_vector_store(
            self.get_finetuned_vector_store(), embed_model=self.get_finetuned_model(), **kwargs
        )

    def _store(self, vectors: FloatMatrix) -> NudgeVectorStore:
        store = NudgeVectorStore(metric=self.metric)
        copies = [node.model_copy() for node in self.nodes]
        for node, vector in zip(copies, vectors, strict=True):
            node.embedding = vector.tolist()
        store.add(copies)
        return store


def _cut(
    documents: Sequence[BaseNode], transformations: Sequence[TransformComponent] | None
) -> list[BaseNode]:
    documents = checked_documents(documents, BaseNode, EXAMPLE)
    if transformations is None and not any(isinstance(each, Document) for each in documents):
        return documents
    steps = Settings.transformations if transformations is None else transformations
    return list(run_transformations(documents, list(steps)))


def _register() -> None:
    """Make this a virtual subclass of the old package's engine, if that was imported."""
    types = sys.modules.get("llama_index.finetuning.types")
    base = getattr(types, "BaseEmbeddingFinetuneEngine", None)
    if base is not None:
        base.register(NudgeFinetuneEngine)


_register()
