"""Stores on disk that another process opens again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from world import World, world

from nudge_integrations import NudgeN
from nudge_integrations.stores import open_store, tune
from nudge_integrations.stores.plan import Plan
from nudge_integrations.stores.store import LiveStore

COUNT = 900


class OnDisk:
    """A store in a folder, or at a server, filled once and opened by many processes."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder, self.url = folder, url

    def data(self) -> World:
        return world(self.as_id, documents=COUNT, asked=400)

    def as_id(self, name: str) -> str:
        return name

    @property
    def address(self) -> str:
        raise NotImplementedError

    def fill(self) -> None:
        raise NotImplementedError


class ChromaOnDisk(OnDisk):
    @property
    def address(self) -> str:
        return f"chroma:{self.folder}/chroma#docs"

    def fill(self) -> None:
        import chromadb

        data = self.data()
        client = chromadb.PersistentClient(f"{self.folder}/chroma")
        config: Any = {"hnsw": {"space": "cosine", "ef_search": 2000}}
        made = client.create_collection("docs", configuration=config, embedding_function=None)
        made.add(ids=data.ids, embeddings=data.vectors)  # type: ignore[arg-type]


class ChromaServer(ChromaOnDisk):
    @property
    def address(self) -> str:
        return f"chroma:{self.url}#{self.folder.name}"

    def fill(self) -> None:
        import chromadb

        data = self.data()
        host, port = self.url.removeprefix("http://").split(":")
        client = chromadb.HttpClient(host, int(port))
        made = client.create_collection(
            self.folder.name,
            configuration={"hnsw": {"space": "cosine", "ef_search": 2000}},
            embedding_function=None,
        )
        made.add(ids=data.ids, embeddings=data.vectors)  # type: ignore[arg-type]


class QdrantOnDisk(OnDisk):
    def as_id(self, name: str) -> str:
        return str(int(name.removeprefix("doc-")) + 1)

    @property
    def address(self) -> str:
        return f"qdrant:{self.folder}/qdrant#docs"

    def fill(self) -> None:
        from qdrant_client import QdrantClient, models

        data = self.data()
        client = QdrantClient(path=f"{self.folder}/qdrant")
        client.create_collection(
            "docs",
            vectors_config=models.VectorParams(
                size=data.vectors.shape[1], distance=models.Distance.DOT
            ),
        )
        client.upsert(
            "docs",
            [
                models.PointStruct(id=int(name), vector=vector.tolist())
                for name, vector in zip(data.ids, data.vectors, strict=True)
            ],
        )
        client.close()


class LanceOnDisk(OnDisk):
    @property
    def address(self) -> str:
        return f"lancedb:{self.folder}/lance#docs"

    def fill(self) -> None:
        import lancedb
        import pyarrow as pa

        data = self.data()
        flat = pa.array(data.vectors.ravel(), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, data.vectors.shape[1])
        rows = pa.table({"id": data.ids, "vector": vectors})
        lancedb.connect(f"{self.folder}/lance").create_table("docs", rows)


class MilvusOnDisk(OnDisk):
    @property
    def address(self) -> str:
        return f"milvus:{self.folder}/milvus.db#docs"

    def fill(self) -> None:
        from pymilvus import DataType, MilvusClient

        data = self.data()
        client = MilvusClient(f"{self.folder}/milvus.db")
        schema = client.create_schema(auto_id=False)
        schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=100)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=data.vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        client.create_collection("docs", schema=schema, index_params=index)
        client.insert(
            "docs",
            [
                {"pk": name, "vector": vector.tolist()}
                for name, vector in zip(data.ids, data.vectors, strict=True)
            ],
        )
        client.close()


class PostgresServer(OnDisk):
    @property
    def address(self) -> str:
        return f"{self.url}#{self.folder.name}"

    def fill(self) -> None:
        import psycopg
        from pgvector.psycopg import register_vector

        data = self.data()
        with psycopg.connect(self.url, autocommit=True) as connection:
            register_vector(connection)
            width = data.vectors.shape[1]
            table = f'"{self.folder.name}"'
            connection.execute(
                f"CREATE TABLE {table} (id text PRIMARY KEY, embedding vector({width}))"  # type: ignore[arg-type]
            )
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {table} VALUES (%s, %s)",  # type: ignore[arg-type]
                    list(zip(data.ids, data.vectors, strict=True)),
                )


STORES: dict[str, Callable[..., OnDisk]] = {
    "chroma": ChromaOnDisk,
    "chroma-server": ChromaServer,
    "qdrant": QdrantOnDisk,
    "lancedb": LanceOnDisk,
    "milvus": MilvusOnDisk,
    "postgres": PostgresServer,
}


def open_again(backend: OnDisk) -> LiveStore:
    options = {"metric": "cosine"} if isinstance(backend, LanceOnDisk) else {}
    return open_store(backend.address, **options)


def make_plan(backend: OnDisk) -> Plan:
    data = backend.data()
    return tune(
        open_again(backend),
        data.dataset(),
        embed_query=data.embed,
        method=NudgeN(),
        gamma=0.3,
        show_progress=False,
    )


def matrix(store: LiveStore, ids: list[str]) -> np.ndarray:
    found = store.read(ids)
    return np.stack([found[name] for name in ids])
