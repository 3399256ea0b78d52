"""NUDGE inside LlamaIndex: an engine, an embedding model, a vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nudge_integrations.common.lazy import lazy_names, require

require("llama_index.core", "llama-index")

_MODULE_OF = {
    "NudgeFinetuneEngine": "engine",
    "NudgeEmbedding": "embeddings",
    "NudgeVectorStore": "vector_store",
    "evaluate_retriever": "evaluation",
    "aevaluate_retriever": "evaluation",
}

if TYPE_CHECKING:
    from nudge_integrations.llama_index.embeddings import NudgeEmbedding
    from nudge_integrations.llama_index.engine import NudgeFinetuneEngine
    from nudge_integrations.llama_index.evaluation import aevaluate_retriever, evaluate_retriever
    from nudge_integrations.llama_index.vector_store import NudgeVectorStore

__all__ = [
    "NudgeEmbedding",
    "NudgeFinetuneEngine",
    "NudgeVectorStore",
    "aevaluate_retriever",
    "evaluate_retriever",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
