"""Embedding models that count what they are asked for, one a kind of model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import BaseModel, PrivateAttr

from nudge_integrations.embedding import Encoder

DIMENSION = 8


def vector_of(kind: str, text: str, dimension: int = DIMENSION) -> list[float]:
    """The vector that every fake gives `text`; queries and documents differ."""
    seed = hashlib.sha256(f"{kind}:{text}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(list(seed)).normal(size=dimension).tolist()


def matrix_of(kind: str, texts: list[str], dimension: int = DIMENSION) -> np.ndarray:
    return np.array([vector_of(kind, text, dimension) for text in texts], dtype=np.float32)


class CountingLlamaIndex(BaseEmbedding):
    model_name: str = "counting-llama"
    api_key: str = "sk-plain-secret"
    dimensions: int = DIMENSION
    _seen: list[str] = PrivateAttr(default_factory=list)

    def _get_query_embedding(self, query: str) -> list[float]:
        self._seen.append(query)
        return vector_of("query", query, self.dimensions)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        self._seen.append(text)
        return vector_of("document", text, self.dimensions)

    @property
    def seen(self) -> list[str]:
        return self._seen


class CountingLangChain(BaseModel, Embeddings):
    model: str = "counting-chain"
    dimensions: int = DIMENSION
    _seen: list[str] = PrivateAttr(default_factory=list)

    def embed_query(self, text: str) -> list[float]:
        self._seen.append(text)
        return vector_of("query", text, self.dimensions)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self._seen.extend(texts)
        return [vector_of("document", text, self.dimensions) for text in texts]

    @property
    def seen(self) -> list[str]:
        return self._seen


class CountingEncoder(Encoder):
    """An `Encoder` whose calls a test may watch, delay or spoil through `on_call`."""

    name = "counting-encoder"
    digest = "counting-encoder-1"

    def __init__(
        self,
        *,
        batch_size: int = 4,
        workers: int = 1,
        dimension: int = DIMENSION,
        on_call: Callable[[list[str], Any], Any] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.workers = workers
        self.dimension = dimension
        self.on_call = on_call
        self.seen: list[str] = []

    def encode_queries(self, texts: list[str]) -> Any:
        return self._answer("query", texts)

    def encode_documents(self, texts: list[str]) -> Any:
        return self._answer("document", texts)

    def _answer(self, kind: str, texts: list[str]) -> Any:
        vectors = matrix_of(kind, texts, self.dimension)
        answer = self.on_call(texts, vectors) if self.on_call else vectors
        self.seen.extend(texts)
        return answer


class UnidentifiedEncoder(CountingEncoder):
    name = "nameless"
    digest = None
