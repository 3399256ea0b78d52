"""Addresses of live stores, for the command line and for scripts: `KIND:PLACE#COLLECTION`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.optional import require
from nudge_integrations.stores.base import LiveStore
from nudge_integrations.stores.secrets import hidden

_WEB = ("http://", "https://")


def open_address(address: str, options: dict[str, Any]) -> LiveStore:
    """Open what an address names; see `open_store`.

    Raises:
        DataError: No address of that shape, or an option that this kind of store does not have.
        StoreError: Nothing is there.
    """
    place, mark, collection = address.rpartition("#")
    kind = place.split(":", 1)[0].lower()
    if not mark or not collection or kind not in _KINDS:
        raise DataError(
            f"{hidden(address)!r} is no address of a store: give KIND:PLACE#COLLECTION, such as "
            "chroma:./db#docs, qdrant:http://localhost:6333#docs, lancedb:./db#docs, "
            "postgresql://localhost/shop#docs or milvus:./milvus.db#docs"
        )
    known, open_it = _KINDS[kind]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DataError(
            f"{kind} has no option {unknown[0]!r}" + (f", only {', '.join(known)}" if known else "")
        )
    where = place if kind in ("postgresql", "postgres") else place.split(":", 1)[1]
    return open_it(where, collection, options)


def _chroma(where: str, collection: str, options: dict[str, Any]) -> LiveStore:  # noqa: ARG001
    chromadb = require("chromadb", "chroma")
    from nudge_integrations.stores.chroma import ChromaStore

    if where.startswith(_WEB):
        from urllib.parse import urlsplit

        parts = urlsplit(where)
        client = chromadb.HttpClient(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
        )
    else:
        client = chromadb.PersistentClient(str(_there(where)))
    names = [each.name for each in client.list_collections()]
    if collection not in names:
        raise StoreError(f"Chroma at {hidden(where)} has no collection {collection!r}")
    return ChromaStore(client.get_collection(collection, embedding_function=None))


def _qdrant(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    client = require("qdrant_client", "qdrant").QdrantClient
    from nudge_integrations.stores.qdrant import QdrantStore

    if where.startswith(_WEB):
        opened = client(url=where, api_key=os.environ.get("QDRANT_API_KEY"))
    else:
        opened = client(path=str(_there(where)))
    return QdrantStore(opened, collection, **options)


def _lance(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    lancedb = require("lancedb", "lancedb")
    from nudge_integrations.stores.lance import LanceStore

    database = lancedb.connect(where if "://" in where else str(_there(where)))
    try:
        table = database.open_table(collection)
    except (ValueError, FileNotFoundError) as error:
        raise StoreError(f"LanceDB at {hidden(where)} has no table {collection!r}") from error
    return LanceStore(table, **options)


def _postgres(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    require("psycopg", "postgres")
    from nudge_integrations.stores.postgres import PostgresStore

    schema, _, table = collection.rpartition(".")
    if schema:
        options = {"schema": schema, **options}
    return PostgresStore(where, table, **options)


def _milvus(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    client = require("pymilvus", "milvus").MilvusClient
    from nudge_integrations.stores.milvus import MilvusStore

    if where.startswith(_WEB):
        opened = client(where, token=os.environ.get("MILVUS_TOKEN", ""))
    else:
        opened = client(str(_there(where)))
    return MilvusStore(opened, collection, **options)


def _there(where: str) -> Path:
    path = Path(where).expanduser()
    if not path.exists():
        raise StoreError(f"{path} does not exist: a store to tune must be there already")
    return path


_Open = Callable[[str, str, dict[str, Any]], LiveStore]
_COLUMNS = ("id_column", "vector_column", "metric")
_KINDS: dict[str, tuple[tuple[str, ...], _Open]] = {
    "chroma": ((), _chroma),
    "qdrant": (("vector",), _qdrant),
    "lancedb": (_COLUMNS, _lance),
    "postgresql": ((*_COLUMNS, "schema"), _postgres),
    "postgres": ((*_COLUMNS, "schema"), _postgres),
    "milvus": (("vector_field",), _milvus),
}
