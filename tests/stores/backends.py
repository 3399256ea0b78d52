"""Every store under one roof: made with rows, looked at, changed by somebody else."""

from __future__ import annotations

import uuid
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from langchain_core.embeddings import Embeddings

Rows = dict[str, Any]
OWN = "__nudge__"
"""Where stores in memory keep originals, so that they save them, too."""
_SPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Fixed(Embeddings):
    """Embeds a text as the vector that stands in it, so that wrappers search as we do."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed_query(self, text: str) -> list[float]:
        return [float(each) for each in text.split()]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0] * self.dimension for _ in texts]


def as_text(vector: np.ndarray) -> str:
    """A query that `Fixed` embeds as the vector."""
    return " ".join(map(repr, vector.tolist()))


class Backend(ABC):
    """A store with rows `id -> (vector, text, number)`."""

    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    options: dict[str, Any]
    changing: ClassVar[bool] = True
    """Whether somebody else can delete rows and put others."""
    ids_of_any_kind: ClassVar[bool] = True
    rounding: ClassVar[float] = 0.0
    """How far a vector may be from the original that was put back."""

    def __init__(self, folder: Path, metric: str = "cosine") -> None:
        self.folder, self.metric, self.options = folder, metric, {}

    @abstractmethod
    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        """Make the store; what the application holds comes back."""

    @abstractmethod
    def rest(self) -> Rows:
        """Everything of every row but its vector."""

    @abstractmethod
    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Somebody puts these rows (again), with other vectors."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Somebody deletes rows."""

    def as_id(self, name: str) -> str:
        """An id that this store takes."""
        return name

    def found(self, vector: np.ndarray, k: int) -> list[str] | None:
        """What the framework's own wrapper finds; None where there is none."""
        return None

    def filter(self, tenant: str) -> Any:
        """The store's own filter for the rows of one tenant."""
        return lambda metadata: metadata["tenant"] == tenant

    def close(self) -> None:  # noqa: B027
        """Let go of files and processes."""


def tenant_of(name: str) -> str:
    return "ab"[zlib.crc32(name.encode()) % 2]


def payload(name: str) -> dict[str, Any]:
    label = f"{name} — “quoted” 'it'"
    return {"label": label, "number": len(name), "flag": True, "tenant": tenant_of(name)}


def text_of(name: str) -> str:
    return f"text of {name}: ünïcode, 'quotes' and \"more\""


class LangChainMemory(Backend):
    name = "langchain-memory"

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        from langchain_core.vectorstores import InMemoryVectorStore

        self.store = InMemoryVectorStore(Fixed(vectors.shape[1]))
        self.put(ids, vectors)
        return self.store

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        for name, vector in zip(ids, vectors, strict=True):
            self.store.store[name] = {
                "id": name,
                "vector": [float(each) + 1e-12 for each in vector],
                "text": text_of(name),
                "metadata": payload(name),
            }

    def rest(self) -> Rows:
        return {
            name: {k: v for k, v in row.items() if k not in ("vector", OWN)}
            for name, row in self.store.store.items()
        }

    def delete(self, ids: Sequence[str]) -> None:
        self.store.delete(list(ids))

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        return [doc.id or "" for doc in self.store.similarity_search(as_text(vector), k=k)]


class NudgeLangChain(LangChainMemory):
    name = "nudge-langchain"
    metrics = ("cosine", "dot")

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        from nudge_integrations.langchain import NudgeVectorStore

        self.store: Any = NudgeVectorStore(Fixed(vectors.shape[1]), metric=self.metric)
        self.put(ids, vectors)
        return self.store

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        from langchain_core.documents import Document

        documents = [Document(text_of(name), metadata=payload(name)) for name in ids]
        self.store.add_embeddings(documents, vectors, ids=list(ids))

    def rest(self) -> Rows:
        known = self.store.get_by_ids(list(self.store._index.ids))
        return {doc.id: (doc.page_content, doc.metadata) for doc in known}


class LlamaIndexMemory(Backend):
    name = "llama-index-memory"

    def make(self) -> Any:
        from llama_index.core.vector_stores import SimpleVectorStore

        return SimpleVectorStore()

    def nodes(self, ids: Sequence[str], vectors: np.ndarray) -> list[Any]:
        from llama_index.core.schema import TextNode

        return [
            TextNode(id_=name, text=text_of(name), metadata=payload(name), embedding=v.tolist())
            for name, v in zip(ids, vectors, strict=True)
        ]

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        self.store: Any = self.make()
        self.store.add(self.nodes(ids, vectors))
        return self.store

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        self.store.add(self.nodes(ids, vectors))

    def rest(self) -> Rows:
        return {"metadata": {k: v for k, v in self.store.data.metadata_dict.items() if k != OWN}}

    def delete(self, ids: Sequence[str]) -> None:
        self.store.delete_nodes(node_ids=list(ids))

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        from llama_index.core.vector_stores import VectorStoreQuery

        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=k)
        return list(self.store.query(query).ids or [])


class NudgeLlamaIndex(LlamaIndexMemory):
    name = "nudge-llama-index"
    metrics = ("cosine", "dot")

    def make(self) -> Any:
        from nudge_integrations.llama_index import NudgeVectorStore

        return NudgeVectorStore(metric=self.metric)

    def rest(self) -> Rows:
        return {
            node.node_id: (node.get_content(), node.metadata) for node in self.store.get_nodes()
        }


class Chroma(Backend):
    name = "chroma"
    metrics = ("cosine", "dot", "l2")
    _spaces: ClassVar = {"cosine": "cosine", "dot": "ip", "l2": "l2"}

    def client(self) -> Any:
        import chromadb

        return chromadb.PersistentClient(str(self.folder / "chroma"))

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        self.known = self.client()
        self.collection = self.known.create_collection(
            f"docs-{uuid.uuid4().hex[:8]}",
            configuration={
                "hnsw": {
                    "space": self._spaces[self.metric],
                    # Wide enough to be exact on what the tests hold.
                    "ef_search": 3000,
                    "ef_construction": 400,
                    "max_neighbors": 64,
                }
            },
            embedding_function=None,
        )
        for start in range(0, len(ids), 2000):
            part = slice(start, start + 2000)
            self._add(ids[part], vectors[part])
        return self.wrapped()

    def wrapped(self) -> Any:
        return self.collection

    def _add(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        self.collection.upsert(
            ids=list(ids),
            embeddings=vectors,
            documents=[text_of(name) for name in ids],
            metadatas=[payload(name) for name in ids],
        )

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        self._add(ids, vectors)

    def rest(self) -> Rows:
        found = self.collection.get(include=["documents", "metadatas"])
        rows = zip(found["documents"], found["metadatas"], strict=True)
        return dict(zip(found["ids"], rows, strict=True))

    def delete(self, ids: Sequence[str]) -> None:
        self.collection.delete(ids=list(ids))

    def filter(self, tenant: str) -> Any:
        return {"tenant": tenant}


class LangChainChroma(Chroma):
    name = "langchain-chroma"
    metrics = ("cosine",)

    def wrapped(self) -> Any:
        from langchain_chroma import Chroma as Wrapper

        self.store = Wrapper(
            client=self.known, collection_name=self.collection.name, embedding_function=Fixed(0)
        )
        return self.store

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        return [doc.id for doc in self.store.similarity_search_by_vector(vector.tolist(), k=k)]


class LlamaIndexChroma(Chroma):
    name = "llama-index-chroma"
    metrics = ("cosine",)

    def wrapped(self) -> Any:
        from llama_index.vector_stores.chroma import ChromaVectorStore

        return ChromaVectorStore(chroma_collection=self.collection)


class Qdrant(Backend):
    name = "qdrant"
    metrics = ("cosine", "dot", "l2")
    vector: ClassVar[str | None] = None
    ids_of_any_kind = False
    rounding = 1.2e-7  # local mode normalises again what is of length 1
    datatype: ClassVar[Any] = None
    _distances: ClassVar = {"cosine": "Cosine", "dot": "Dot", "l2": "Euclid"}

    def as_id(self, name: str) -> str:
        return str(uuid.uuid5(_SPACE, name))

    def open(self) -> Any:
        from qdrant_client import QdrantClient

        return QdrantClient(":memory:")

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        from qdrant_client import models

        self.client = self.open()
        params = models.VectorParams(
            size=vectors.shape[1],
            distance=models.Distance(self._distances[self.metric]),
            datatype=self.datatype,
        )
        config = {self.vector: params, "other": params} if self.vector else params
        self.client.create_collection("docs", vectors_config=config)
        self.put(ids, vectors)
        self.options = {"collection": "docs"}
        if self.vector:
            self.options["vector"] = self.vector
        return self.wrapped()

    def wrapped(self) -> Any:
        return self.client

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        from qdrant_client import models

        points = []
        for name, each in zip(ids, vectors, strict=True):
            vector = each.tolist()
            named = {self.vector: vector, "other": vector[::-1]} if self.vector else vector
            content = {"page_content": text_of(name), "metadata": payload(name)}
            points.append(models.PointStruct(id=name, vector=named, payload=content))
        for start in range(0, len(points), 1000):
            self.client.upsert("docs", points[start : start + 1000])

    def rest(self) -> Rows:
        points, _ = self.client.scroll("docs", limit=100_000, with_vectors=bool(self.vector))
        return {
            str(point.id): (point.payload, point.vector["other"] if self.vector else None)
            for point in points
        }

    def delete(self, ids: Sequence[str]) -> None:
        self.client.delete("docs", list(ids))

    def filter(self, tenant: str) -> Any:
        from qdrant_client import models

        match = models.MatchValue(value=tenant)
        return models.Filter(must=[models.FieldCondition(key="metadata.tenant", match=match)])

    def close(self) -> None:
        self.client.close()


class QdrantHalf(Qdrant):
    """Local mode keeps float32, whatever the collection says."""

    name = "qdrant-float16"
    datatype = "float16"


class QdrantOnDisk(Qdrant):
    name = "qdrant-disk"
    metrics = ("cosine",)

    def open(self) -> Any:
        from qdrant_client import QdrantClient

        return QdrantClient(path=str(self.folder / "qdrant"))


class QdrantNamed(Qdrant):
    name = "qdrant-named"
    metrics = ("cosine",)
    vector = "text"


class LangChainQdrant(Qdrant):
    name = "langchain-qdrant"
    metrics = ("cosine",)

    def wrapped(self) -> Any:
        from langchain_qdrant import QdrantVectorStore

        self.options = {}
        config = self.client.get_collection("docs").config.params.vectors
        self.store = QdrantVectorStore(self.client, "docs", Fixed(config.size))
        return self.store

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        docs = self.store.similarity_search_by_vector(vector.tolist(), k=k)
        return [doc.metadata["_id"] for doc in docs]


class LlamaIndexQdrant(Qdrant):
    name = "llama-index-qdrant"
    metrics = ("cosine",)

    def wrapped(self) -> Any:
        from llama_index.vector_stores.qdrant import QdrantVectorStore

        self.options = {}
        return QdrantVectorStore("docs", client=self.client)


class Lance(Backend):
    name = "lancedb"
    numbers: ClassVar[Any] = np.float32
    metrics = ("cosine", "dot", "l2")

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        import lancedb

        self.database = lancedb.connect(str(self.folder / "lance"))
        self.table = self.database.create_table("docs", self._rows(ids, vectors))
        self.options = {"metric": self.metric}
        return self.wrapped()

    def wrapped(self) -> Any:
        return self.table

    def _rows(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        import pyarrow as pa

        flat = pa.array(vectors.astype(self.numbers).ravel())
        return pa.table(
            {
                "id": list(ids),
                "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
                "text": [text_of(name) for name in ids],
                "label": [payload(name)["label"] for name in ids],
                "tenant": [payload(name)["tenant"] for name in ids],
            }
        )

    def filter(self, tenant: str) -> Any:
        return f"tenant = '{tenant}'"

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        merge = self.table.merge_insert("id").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(self._rows(ids, vectors))

    def rest(self) -> Rows:
        found = self.table.search().select(["id", "text", "label"]).limit(None).to_list()
        return {row["id"]: (row["text"], row["label"]) for row in found}

    def delete(self, ids: Sequence[str]) -> None:
        quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in ids)
        self.table.delete(f"id IN ({quoted})")


class LanceHalf(Lance):
    name = "lancedb-float16"
    numbers = np.float16


class LlamaIndexLance(Lance):
    name = "llama-index-lancedb"
    metrics = ("l2",)

    def wrapped(self) -> Any:
        from llama_index.vector_stores.lancedb import LanceDBVectorStore

        self.store = LanceDBVectorStore(connection=self.database, table=self.table)
        return self.store


class Faiss(Backend):
    name = "faiss"
    metrics = ("dot", "l2")
    changing = False
    mapped: ClassVar[bool] = False

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        import faiss

        kinds = {"dot": faiss.IndexFlatIP, "l2": faiss.IndexFlatL2}
        self.index = kinds[self.metric](vectors.shape[1])
        numbers = np.arange(len(ids))
        if self.mapped:
            self.index = faiss.IndexIDMap2(self.index)
            numbers = 10 + 3 * numbers
            self.index.add_with_ids(vectors, numbers)
        else:
            self.index.add(vectors)
        self.options = {"names": dict(zip(ids, numbers.tolist(), strict=True))}
        return self.index

    def rest(self) -> Rows:
        return {}

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        raise NotImplementedError

    def delete(self, ids: Sequence[str]) -> None:
        raise NotImplementedError


class FaissMapped(Faiss):
    name = "faiss-idmap"
    mapped = True


class LlamaIndexFaiss(Faiss):
    name = "llama-index-faiss"
    metrics = ("l2",)

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        import faiss
        from llama_index.core.schema import TextNode
        from llama_index.vector_stores.faiss import FaissMapVectorStore

        index = faiss.IndexIDMap2(faiss.IndexFlatL2(vectors.shape[1]))
        self.store = FaissMapVectorStore(faiss_index=index)
        self.store.add(
            [
                TextNode(id_=name, text=text_of(name), embedding=vector.tolist())
                for name, vector in zip(ids, vectors, strict=True)
            ]
        )
        return self.store

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        from llama_index.core.vector_stores import VectorStoreQuery

        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=k)
        return list(self.store.query(query).ids or [])


class Milvus(Backend):
    name = "milvus"
    metrics = ("cosine", "dot", "l2")
    _kinds: ClassVar = {"cosine": "COSINE", "dot": "IP", "l2": "L2"}

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        from pymilvus import DataType, MilvusClient

        self.file = str(self.folder / "milvus.db")
        self.client = MilvusClient(self.file)
        self.collection = f"docs_{uuid.uuid4().hex[:8]}"
        schema = self.client.create_schema(enable_dynamic_field=True, auto_id=False)
        schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=500)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        schema.add_field("text", DataType.VARCHAR, max_length=2000)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=self._kinds[self.metric])
        self.client.create_collection(self.collection, schema=schema, index_params=index)
        self.put(ids, vectors)
        self.client.load_collection(self.collection)
        self.options = {"collection": self.collection}
        return self.wrapped()

    def wrapped(self) -> Any:
        return self.client

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        rows = [
            {"pk": name, "vector": vector.tolist(), "text": text_of(name), **payload(name)}
            for name, vector in zip(ids, vectors, strict=True)
        ]
        for start in range(0, len(rows), 1000):
            self.client.upsert(self.collection, rows[start : start + 1000])

    def rest(self) -> Rows:
        found = self.client.query(
            self.collection,
            filter="pk != ''",
            output_fields=["pk", "text", "label", "number", "flag"],
            limit=10_000,
        )
        return {row["pk"]: dict(row) for row in found}

    def delete(self, ids: Sequence[str]) -> None:
        self.client.delete(self.collection, ids=list(ids))

    def filter(self, tenant: str) -> Any:
        return f'tenant == "{tenant}"'

    def close(self) -> None:
        self.client.close()


class LangChainMilvus(Milvus):
    name = "langchain-milvus"
    metrics = ("cosine",)

    def wrapped(self) -> Any:
        from langchain_milvus import Milvus as Wrapper

        self.options = {}
        self.store = Wrapper(
            Fixed(0),
            collection_name=self.collection,
            connection_args={"uri": self.file},
            enable_dynamic_field=True,
        )
        return self.store

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        docs = self.store.similarity_search_by_vector(vector.tolist(), k=k)
        return [doc.metadata["pk"] for doc in docs]


class Postgres(Backend):
    name = "postgres"
    metrics = ("cosine", "dot", "l2")
    precision: ClassVar[str] = "vector"
    url: str = ""
    """Of a server; the fixture puts it here."""

    def __init__(self, folder: Path, metric: str = "cosine") -> None:
        super().__init__(folder, metric)
        self.table = f'docs "{uuid.uuid4().hex[:8]}'

    def connect(self) -> Any:
        import psycopg
        from pgvector.psycopg import register_vector

        connection = psycopg.connect(self.url, autocommit=True)
        register_vector(connection)
        return connection

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        with self.connect() as connection:
            connection.execute(
                f"CREATE TABLE {self._quoted} (id text PRIMARY KEY, content text, label text, "
                f"tenant text, embedding {self.precision}({vectors.shape[1]}))"
            )
        self.put(ids, vectors)
        self.options = {"metric": self.metric}
        return f"{self.url}#{self.table}"

    @property
    def _quoted(self) -> str:
        return '"' + self.table.replace('"', '""') + '"'

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {self._quoted} VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding",
                [
                    (name, text_of(name), payload(name)["label"], tenant_of(name), vector)
                    for name, vector in zip(ids, vectors, strict=True)
                ],
            )

    def rest(self) -> Rows:
        with self.connect() as connection:
            columns = "id, content, label, tenant"
            rows = connection.execute(f"SELECT {columns} FROM {self._quoted}").fetchall()
        return {row[0]: row[1:] for row in rows}

    def delete(self, ids: Sequence[str]) -> None:
        with self.connect() as connection:
            connection.execute(f"DELETE FROM {self._quoted} WHERE id = ANY(%s)", (list(ids),))

    def filter(self, tenant: str) -> Any:
        return "tenant = %s AND label LIKE '%%“quoted”%%'", [tenant]


class PostgresHalf(Postgres):
    name = "postgres-halfvec"
    precision = "halfvec"


class LangChainPostgres(Postgres):
    name = "langchain-postgres"
    metrics = ("cosine",)
    ids_of_any_kind = False

    def as_id(self, name: str) -> str:
        return str(uuid.uuid5(_SPACE, name))

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        from langchain_postgres import PGEngine, PGVectorStore

        self.table = f"docs_{uuid.uuid4().hex[:8]}"
        self.engine = PGEngine.from_connection_string(
            self.url.replace("postgresql://", "postgresql+psycopg://")
        )
        self.engine.init_vectorstore_table(self.table, vectors.shape[1])
        self.store = PGVectorStore.create_sync(self.engine, Fixed(0), self.table)
        self.put(ids, vectors)
        return self.store

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        self.store.add_embeddings(
            [text_of(name) for name in ids],
            vectors.tolist(),
            metadatas=[payload(name) for name in ids],
            ids=list(ids),
        )

    def rest(self) -> Rows:
        with self.connect() as connection:
            rows = connection.execute(
                f"SELECT langchain_id::text, content, langchain_metadata::text FROM {self._quoted}"
            ).fetchall()
        return {row[0]: row[1:] for row in rows}

    def delete(self, ids: Sequence[str]) -> None:
        self.store.delete(list(ids))

    def found(self, vector: np.ndarray, k: int) -> list[str]:
        docs = self.store.similarity_search_by_vector(vector.tolist(), k=k)
        return [str(doc.id) for doc in docs]


class LlamaIndexPostgres(LlamaIndexMemory):
    name = "llama-index-postgres"
    url: str = ""

    def make(self) -> Any:
        from llama_index.vector_stores.postgres import PGVectorStore

        self.table = f"docs_{uuid.uuid4().hex[:8]}"
        self.store = PGVectorStore(
            connection_string=self.url.replace("postgresql://", "postgresql+psycopg2://"),
            async_connection_string=self.url.replace("postgresql://", "postgresql+asyncpg://"),
            table_name=self.table,
            embed_dim=self.dimension,
        )
        return self.store

    def fill(self, ids: Sequence[str], vectors: np.ndarray) -> Any:
        self.dimension = vectors.shape[1]
        return super().fill(ids, vectors)

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        self.delete(ids)
        super().put(ids, vectors)

    def rest(self) -> Rows:
        import psycopg

        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                f"SELECT node_id, text, metadata_::text FROM data_{self.table}"
            ).fetchall()
        return {row[0]: row[1:] for row in rows}

    def close(self) -> None:
        self.store._engine.dispose() if self.store._engine else None


EMBEDDED: list[type[Backend]] = [
    *(LangChainMemory, NudgeLangChain, LlamaIndexMemory, NudgeLlamaIndex),
    *(Chroma, LangChainChroma, LlamaIndexChroma),
    *(Qdrant, QdrantOnDisk, QdrantNamed, LangChainQdrant, LlamaIndexQdrant),
    *(Lance, LlamaIndexLance, Faiss, FaissMapped, LlamaIndexFaiss),
    *(Milvus, LangChainMilvus),
]
SERVED: list[type[Backend]] = [Postgres, LangChainPostgres, LlamaIndexPostgres]
