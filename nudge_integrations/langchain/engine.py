"""The fine-tuning engine for LangChain, mirroring the one for LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.langchain.documents import EXAMPLE
from nudge_integrations.langchain.embeddings import AsEmbeddings, NudgeEmbeddings
from nudge_integrations.langchain.vector_store import NudgeVectorStore
from nudge_integrations.relevance import RelevanceDataset
from nudge_integrations.relevance.checks import checked_documents
from nudge_integrations.tuning.engine import FinetuneEngine
from nudge_integrations.tuning.run import unique_texts

if TYPE_CHECKING:
    from typing_extensions import Self


class NudgeFinetuneEngine(FinetuneEngine):
    """Tunes the vectors of documents towards the questions that they answer.

    Examples:
        ```python
        engine = NudgeFinetuneEngine(train_dataset, embeddings=embeddings, documents=documents)
        engine.finetune()
        print(engine.report)
        retriever = engine.get_finetuned_vector_store().as_retriever(search_kwargs={"k": 5})
        ```

    Args:
        train_dataset: Judged questions: a `RelevanceDataset`, or anything with `queries`,
            `corpus` and `relevant_docs` (or `qrels`). Its document ids are `Document.id`.
        embeddings: LangChain `Embeddings`, a `SentenceTransformer`, or the name of one. Left
            out: all-MiniLM-L6-v2.
        documents: All documents of the store, each with an id. Left out: the documents of
            `train_dataset`.
        options: `val_dataset`, `test_dataset`, `method`, `metric` and more: see
            `nudge_integrations.tuning.options.EngineOptions`.

    Raises:
        DataError: Data that cannot be used; the offending id is named.
        LeakError: Two datasets share a question.
        MetricMismatchError: NUDGE-M with a metric other than `"dot"`.
    """

    _arguments = ("train_dataset", "embeddings", "documents")
    _id_of = "its Document.id"

    def __init__(
        self,
        train_dataset: Any,
        embeddings: Any = None,
        documents: Sequence[Document] | None = None,
        **options: Any,
    ) -> None:
        if documents is None:
            corpus = RelevanceDataset.coerce(train_dataset).corpus
            documents = [Document(id=name, page_content=text) for name, text in corpus.items()]
        self.documents = checked_documents(documents, Document, EXAMPLE)
        super().__init__(train_dataset, self._texts_of(self.documents), embeddings, **options)

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        llm: Any,
        embeddings: Any = None,
        *,
        test_share: float = 0.2,
        questions: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Generate questions, filter them, embed, tune and measure, in one call.

        Examples:
            ```python
            engine = NudgeFinetuneEngine.from_documents(documents, llm=llm, embeddings=embeddings)
            print(engine.questions)
            print(engine.report)
            ```

        Args:
            documents: All documents of the store. Those without an id get a hash of their text.
            llm: A LangChain chat model, or a function from prompt to answer.
            embeddings: As for the engine itself.
            test_share: Share of the questions that is kept for the report alone; below ten
                questions, and with 0, the report is about questions held out in turn.
            questions: Arguments of `generate_questions`, such as `{"max_documents": 500}`.
            options: As for the engine itself.

        Raises:
            DataError: Data that cannot be used, or not one question was left.
            NudgeError: The language model refuses every request, or its server is down; what was
                answered is kept, and the same call goes on from there.
        """
        whole = checked_documents(documents, Document, EXAMPLE)
        return cls._from_generated(
            [each if each.id else _with_id(each) for each in whole],
            llm,
            embeddings,
            test_share=test_share,
            questions=questions,
            options=options,
        )

    def _texts_of(self, documents: Any) -> dict[str, str]:
        whole = checked_documents(documents, Document, EXAMPLE)
        return unique_texts(_texts(whole), "documents")

    def _as_framework_model(self, encoder: Any) -> AsEmbeddings:
        return AsEmbeddings(encoder)

    def get_finetuned_model(self) -> NudgeEmbeddings:
        """The embedding model for any vector store: tuned texts get their tuned vector.

        Queries go to the base model untouched. Vectors of NUDGE-M need a
        store that ranks by inner product: `NudgeVectorStore` checks that, while stores of other
        makers are handed plain numbers and cannot (`InMemoryVectorStore` ranks by cosine).

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        return NudgeEmbeddings(self.base_model, self.tuned, check_model=False)

    def get_base_vector_store(self) -> NudgeVectorStore:
        """All documents with the base model's vectors, as before tuning.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        return self._store(NudgeEmbeddings(self.base_model), self.base_embeddings)

    def get_finetuned_vector_store(self) -> NudgeVectorStore:
        """All documents with their tuned vectors, in an exact in-memory store.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        store = self._store(self.get_finetuned_model(), self.finetuned_embeddings)
        self._remember_bases(store._index)
        return store

    def _store(self, embedding: NudgeEmbeddings, vectors: FloatMatrix) -> NudgeVectorStore:
        store = NudgeVectorStore(embedding, metric=self.metric)
        store.add_embeddings(self.documents, vectors)
        return store


def _with_id(document: Document) -> Document:
    """Give a document a hash of its text as id, so that the next run finds it again."""
    return document.model_copy(update={"id": text_hash(document.page_content)[:32]})


def _texts(documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    for place, document in enumerate(documents):
        if document.id is None:
            raise DataError(
                f"document {place} ({document.page_content[:40]!r}) has no id; judgments name "
                "documents by id, so make it Document(id=..., page_content=...)"
            )
        yield document.id, document.page_content
