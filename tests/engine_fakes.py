"""A planted world, embedding models that read it from a table, and one face for both frameworks.

In the world every question lies near a *shifted* version of its document: the shift is the
document's own, so that questions held out profit from what the other questions of their document
teach. Everything is small, deterministic, and remembers what it was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import MetadataMode, TextNode

from nudge_integrations import RelevanceDataset, langchain, llama_index
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.tuning.tuned import TunedVectors

DIMENSION = 24
QUIET: dict[str, Any] = {"cache": False, "show_progress": False}

Table = dict[str, list[float]]


def unit(vector: Any) -> np.ndarray:
    array = np.asarray(vector, dtype=np.float64)
    return (array / np.linalg.norm(array)).astype(np.float32)


def by_hash(text: str, dimension: int) -> list[float]:
    """The vector of a text that is in no table."""
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return unit(np.random.default_rng(list(seed)).normal(size=dimension)).tolist()


@dataclass(frozen=True)
class World:
    """Judged questions, and the vector of every text."""

    data: RelevanceDataset
    table: Table
    dimension: int = DIMENSION

    def split(self, *fractions: float) -> tuple[RelevanceDataset, ...]:
        return self.data.split(fractions, seed=3)

    def base_vectors(self, ids: Sequence[str]) -> np.ndarray:
        return np.array([self.table[self.data.corpus[name]] for name in ids], dtype=np.float32)


def planted(
    documents: int = 30, questions: int = 4, seed: int = 0, shift: float = 1.5, still: int = 0
) -> World:
    """A world in which tuning helps; with `shift=0` one in which every answer is first already.

    The `still` documents answer no question.
    """
    rng = np.random.default_rng(seed)
    table: Table = {}
    queries, corpus, qrels = {}, {}, {}
    for number in range(documents):
        document, away = unit(rng.normal(size=DIMENSION)), unit(rng.normal(size=DIMENSION))
        name, text = f"d{number}", f"document number {number}"
        corpus[name], table[text] = text, document.tolist()
        for place in range(questions):
            asked = f"Question {place} about number {number}?"
            noise = 0.3 * shift * rng.normal(size=DIMENSION) / np.sqrt(DIMENSION)
            table[asked] = unit(document + 1.4 * shift * away + noise).tolist()
            queries[f"q{number}-{place}"] = asked
            qrels[f"q{number}-{place}"] = {name: 1}
    for number in range(documents, documents + still):
        corpus[f"d{number}"] = text = f"document number {number}"
        table[text] = unit(rng.normal(size=DIMENSION)).tolist()
    return World(RelevanceDataset(queries, corpus, qrels), table)


class FakeEmbeddings(Embeddings):
    """LangChain: vectors out of a table. `asked` holds (kind, text) of all it was asked."""

    def __init__(self, table: Mapping[str, list[float]], name: str | None = None, width: int = 0):
        self.table = dict(table)
        self.asked: list[tuple[str, str]] = []
        self.width = width or len(next(iter(self.table.values())))
        if name is not None:
            self.model = name  # what the package identifies a model by

    def _vector(self, kind: str, text: str) -> list[float]:
        self.asked.append((kind, text))
        return self.table.get(text) or by_hash(text, self.width)

    def embed_query(self, text: str) -> list[float]:
        return self._vector("query", text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vector("document", text) for text in texts]


class FakeEmbedding(BaseEmbedding):
    """LlamaIndex: the same."""

    _table: Any = PrivateAttr()
    _asked: Any = PrivateAttr(default_factory=list)
    _width: int = PrivateAttr()

    def __init__(self, table: Mapping[str, list[float]], name: str | None = None, width: int = 0):
        super().__init__(model_name=name or "unknown")
        self._table = dict(table)
        self._width = width or len(next(iter(self._table.values())))

    @property
    def asked(self) -> list[tuple[str, str]]:
        return self._asked

    def _vector(self, kind: str, text: str) -> list[float]:
        self._asked.append((kind, text))
        return self._table.get(text) or by_hash(text, self._width)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._vector("query", query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._vector("query", query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector("document", text)


class LangChain:
    """What a test does with LangChain."""

    name = "langchain"
    package = langchain
    documents_argument, model_argument = "documents", "embeddings"

    @staticmethod
    def model(world: World | Table, name: str | None = None) -> FakeEmbeddings:
        return FakeEmbeddings(world.table if isinstance(world, World) else world, name)

    @staticmethod
    def documents(corpus: Mapping[str, str]) -> list[Document]:
        return [Document(id=name, page_content=text) for name, text in corpus.items()]

    @staticmethod
    def engine(train: Any, model: Any, documents: Any = None, **options: Any) -> Any:
        return langchain.NudgeFinetuneEngine(
            train, embeddings=model, documents=documents, **{**QUIET, **options}
        )

    @staticmethod
    def tuned_model(base: Any, tuned: TunedVectors, **options: Any) -> Any:
        return langchain.NudgeEmbeddings(base, tuned, **options)

    @staticmethod
    def embed_query(model: Any, text: str) -> list[float]:
        return model.embed_query(text)

    @staticmethod
    def embed_documents(model: Any, texts: list[str]) -> list[list[float]]:
        return model.embed_documents(texts)

    @staticmethod
    def store(model: Any, corpus: Mapping[str, str], metric: Any = "cosine") -> Any:
        """Our own store, filled through the model."""
        store = langchain.NudgeVectorStore(model, metric=metric)
        store.add_documents(LangChain.documents(corpus))
        return store

    @staticmethod
    def framework_store(model: Any, corpus: Mapping[str, str]) -> Any:
        """The framework's own store, which ranks by cosine, filled through the model."""
        return InMemoryVectorStore.from_documents(LangChain.documents(corpus), model)

    @staticmethod
    def retriever(store: Any, model: Any, k: int = 10) -> Any:
        return store.as_retriever(search_kwargs={"k": k})

    @staticmethod
    def ranked(retriever: Any, question: str) -> list[str]:
        return [document.id for document in retriever.invoke(question)]

    @staticmethod
    def vectors(store: Any, ids: Sequence[str]) -> np.ndarray:
        return store.get_embeddings(ids)

    @staticmethod
    def save(store: Any, folder: Path) -> None:
        store.save(folder)

    @staticmethod
    def load(folder: Path, model: Any) -> Any:
        return langchain.NudgeVectorStore.load(folder, model)


class LlamaIndex:
    """What a test does with LlamaIndex: the mirror of `LangChain`."""

    name = "llama_index"
    package = llama_index
    documents_argument, model_argument = "nodes", "embed_model"

    @staticmethod
    def model(world: World | Table, name: str | None = None) -> FakeEmbedding:
        return FakeEmbedding(world.table if isinstance(world, World) else world, name)

    @staticmethod
    def documents(corpus: Mapping[str, str]) -> list[TextNode]:
        return [TextNode(id_=name, text=text) for name, text in corpus.items()]

    @staticmethod
    def engine(train: Any, model: Any, documents: Any = None, **options: Any) -> Any:
        return llama_index.NudgeFinetuneEngine(
            train, embed_model=model, nodes=documents, **{**QUIET, **options}
        )

    @staticmethod
    def tuned_model(base: Any, tuned: TunedVectors, **options: Any) -> Any:
        return llama_index.NudgeEmbedding(base, tuned, **options)

    @staticmethod
    def embed_query(model: Any, text: str) -> list[float]:
        return model.get_query_embedding(text)

    @staticmethod
    def embed_documents(model: Any, texts: list[str]) -> list[list[float]]:
        return model.get_text_embedding_batch(texts)

    @staticmethod
    def store(model: Any, corpus: Mapping[str, str], metric: Any = "cosine") -> Any:
        store = llama_index.NudgeVectorStore(metric=metric)
        nodes = LlamaIndex.documents(corpus)
        texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        for node, vector in zip(nodes, model.get_text_embedding_batch(texts), strict=True):
            node.embedding = vector
        store.add(nodes)
        return store

    @staticmethod
    def framework_store(model: Any, corpus: Mapping[str, str]) -> Any:
        return VectorStoreIndex(LlamaIndex.documents(corpus), embed_model=model)

    @staticmethod
    def retriever(store: Any, model: Any, k: int = 10) -> Any:
        index = store
        if not isinstance(store, VectorStoreIndex):
            index = VectorStoreIndex.from_vector_store(store, embed_model=model)
        return index.as_retriever(similarity_top_k=k)

    @staticmethod
    def ranked(retriever: Any, question: str) -> list[str]:
        return [hit.node.node_id for hit in retriever.retrieve(question)]

    @staticmethod
    def vectors(store: Any, ids: Sequence[str]) -> np.ndarray:
        return store.client.get(ids)

    @staticmethod
    def save(store: Any, folder: Path) -> None:
        store.persist(str(folder / "default__vector_store.json"))

    @staticmethod
    def load(folder: Path, model: Any) -> Any:
        return llama_index.NudgeVectorStore.from_persist_dir(str(folder))


FRAMEWORKS = (LangChain, LlamaIndex)


def fingerprint(probe: Any, name: str = "planted") -> ModelFingerprint:
    return ModelFingerprint(name, None, np.asarray(probe, dtype=np.float32))


def tuned_vectors(
    ids: Sequence[str] = ("d0", "d1", "d2"), dimension: int = 4, seed: int = 0, **changes: Any
) -> TunedVectors:
    """Some moved vectors, without a run."""
    rng = np.random.default_rng(seed)
    arguments: dict[str, Any] = {
        "ids": tuple(ids),
        "vectors": rng.normal(size=(len(ids), dimension)).astype(np.float32),
        "originals": rng.normal(size=(len(ids), dimension)).astype(np.float32),
        "text_hashes": tuple(text_hash(f"text of {name}") for name in ids),
        "metric": "cosine",
        "method": "nudge-n",
        "step": 0.25,
        "model": fingerprint(np.arange(1, dimension + 1)),
    }
    return TunedVectors(**{**arguments, **changes})


@dataclass
class RealData:
    """A data set with the vectors that all-MiniLM-L6-v2 gave it."""

    folder: Path
    table: Table = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("corpus", "queries"):
            vectors = np.load(self.folder / "embeddings" / "all-MiniLM-L6-v2" / f"{name}.npy")
            with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
                for line, vector in zip(lines, vectors, strict=True):
                    record = json.loads(line)
                    text = f"{record.get('title', '')} {record['text']}".strip()
                    self.table[text if name == "corpus" else record["text"]] = unit(vector).tolist()

    def split(self, name: str) -> RelevanceDataset:
        return RelevanceDataset.from_beir(self.folder, name)


def ndcg_at_10(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """NDCG@10 of one ranking, written out once more, apart from the package."""
    gains = [grades.get(name, 0) / np.log2(place + 2) for place, name in enumerate(ranked[:10])]
    best = sorted(grades.values(), reverse=True)[:10]
    ideal = sum(grade / np.log2(place + 2) for place, grade in enumerate(best))
    return float(sum(gains) / ideal)


def brute_force(
    ids: Sequence[str], vectors: np.ndarray, table: Table, data: RelevanceDataset
) -> float:
    """Mean NDCG@10 by cosine in float64, apart from the package."""
    matrix = np.asarray(vectors, dtype=np.float64)
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    total = []
    for name in data.judged_queries:
        scores = matrix @ np.asarray(table[data.queries[name]], dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        total.append(ndcg_at_10([ids[row] for row in order], data.qrels[name]))
    return float(np.mean(total))
