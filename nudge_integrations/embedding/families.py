"""Which library an embedding model belongs to, without importing that library.

An object of a library's class can only exist once that library is imported, so looking into
`sys.modules` is enough, and costs nothing for the libraries that are not there.
"""

from __future__ import annotations

import sys
from typing import Any


def _is_instance(value: Any, module: str, name: str) -> bool:
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(value, known)


def is_torch_module(value: Any) -> bool:
    """Whether `value` is a `torch.nn.Module`."""
    return _is_instance(value, "torch.nn", "Module")


def is_sentence_transformer(value: Any) -> bool:
    """Whether `value` is a dense sentence-transformers model."""
    # A SparseEncoder was a subclass once; its vectors are no rows of a dense matrix.
    return _is_instance(value, "sentence_transformers", "SentenceTransformer") and not (
        _is_instance(value, "sentence_transformers", "SparseEncoder")
    )


def is_llama_index(value: Any) -> bool:
    """Whether `value` is a LlamaIndex `BaseEmbedding`."""
    return _is_instance(value, "llama_index.core.base.embeddings.base", "BaseEmbedding")


def is_langchain(value: Any) -> bool:
    """Whether `value` is a LangChain `Embeddings`."""
    return _is_instance(value, "langchain_core.embeddings.embeddings", "Embeddings")
