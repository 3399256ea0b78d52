"""NUDGE inside LangChain: an engine, an embedding model, a vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nudge_integrations.common.lazy import lazy_names, require

require("langchain_core", "langchain")

_MODULE_OF = {
    "NudgeFinetuneEngine": "engine",
    "NudgeEmbeddings": "embeddings",
    "NudgeRetriever": "retriever",
    "NudgeVectorStore": "vector_store",
    "TracedRetriever": "retriever",
    "evaluate_retriever": "evaluation",
    "aevaluate_retriever": "evaluation",
}

if TYPE_CHECKING:
    from nudge_integrations.langchain.embeddings import NudgeEmbeddings
    from nudge_integrations.langchain.engine import NudgeFinetuneEngine
    from nudge_integrations.langchain.evaluation import aevaluate_retriever, evaluate_retriever
    from nudge_integrations.langchain.retriever import NudgeRetriever, TracedRetriever
    from nudge_integrations.langchain.vector_store import NudgeVectorStore

__all__ = [
    "NudgeEmbeddings",
    "NudgeFinetuneEngine",
    "NudgeRetriever",
    "NudgeVectorStore",
    "TracedRetriever",
    "aevaluate_retriever",
    "evaluate_retriever",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
