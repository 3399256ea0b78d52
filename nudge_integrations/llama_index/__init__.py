"""NUDGE inside LlamaIndex: an engine, an embedding model, a vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nudge_integrations.common.lazy import lazy_names, require

require("llama_index.core", "llama-index")

_MODULE_OF = {
    "NudgeFinetuneEngine": "engine",
    "NudgeEmbedding": "embeddings",
    "NudgeRetriever": "retriever",
    "NudgeVectorStore": "vector_store",
    "TracedRetriever": "retriever",
    "evaluate_retriever": "evaluation",
    "aevaluate_retriever": "evaluation",
}

if TYPE_CHECKING:
    from nudge_integrations.llama_index.embeddings import NudgeEmbedding
    from nudge_integrations.llama_index.engine import NudgeFinetuneEngine
    from nudge_integrations.llama_index.evaluation import aevaluate_retriever, evaluate_retriever
    from nudge_integrations.llama_index.retriever import NudgeRetriever, TracedRetriever
    from nudge_integrations.llama_index.vector_store import NudgeVectorStore

__all__ = [
    "NudgeEmbedding",
    "NudgeFinetuneEngine",
    "NudgeRetriever",
    "NudgeVectorStore",
    "TracedRetriever",
    "aevaluate_retriever",
    "evaluate_retriever",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)


def _load_ours_too() -> None:
    """Make `StorageContext.from_defaults(persist_dir=...)` load a saved `NudgeVectorStore`.

    The framework asks `SimpleVectorStore` to load every vector store in that folder, whichever
    class saved it, and offers no way to register another class.
    """
    from llama_index.core.vector_stores.simple import SimpleVectorStore

    theirs: Any = SimpleVectorStore.from_persist_path

    def from_persist_path(cls: Any, persist_path: str, fs: Any = None) -> Any:
        from nudge_integrations.llama_index.persistence import is_ours
        from nudge_integrations.llama_index.vector_store import NudgeVectorStore

        if cls is SimpleVectorStore and is_ours(persist_path, fs):
            return NudgeVectorStore.from_persist_path(persist_path, fs)
        return theirs.__func__(cls, persist_path, fs)

    SimpleVectorStore.from_persist_path = classmethod(from_persist_path)  # type: ignore


_load_ours_too()
