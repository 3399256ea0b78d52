"""Addresses of live stores, for the command line and for scripts: `KIND:PLACE#COLLECTION`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nudge_integrations.common.lazy import require
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError, MissingExtraError, NudgeError, StoreError
from nudge_integrations.stores.checks import no_such
from nudge_integrations.stores.secrets import hidden
from nudge_integrations.stores.store import LiveStore

_WEB = ("http://", "https://")


def open_address(address: str, options: dict[str, Any]) -> LiveStore:
    """Open what an address names; see `open_store`.

    Raises:
        DataError: No address of that shape, or an option that this kind of store does not have.
        StoreError: Nothing is there.
    """
    place, mark, collection = address.rpartition("#")
    kind, _, where = (place if mark else address).partition(":")
    kind = kind.lower()
    wrong = _what_is_wrong(kind, where, collection if mark else "")
    if wrong:
        raise DataError(
            f"{hidden(address)!r} is no address of a store: give KIND:PLACE#COLLECTION, such as "
            "chroma:./db#docs, qdrant:http://localhost:6333#docs, lancedb:./db#docs, "
            f"postgresql://localhost/shop#docs or milvus:./milvus.db#docs; {wrong}"
        )
    known, open_it = _KINDS[kind]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DataError(
            f"{kind} has no option {unknown[0]!r}" + (f", only {', '.join(known)}" if known else "")
        )
    try:
        return open_it(place if kind in _POSTGRES else where, collection, options)
    except (NudgeError, MissingExtraError):
        raise
    except Exception as error:
        # Which exceptions there are depends on the client of the store and its release.
        raise StoreError(
            f"cannot open {hidden(address)}: {type(error).__name__}: {hidden(error).strip()}; is "
            "the place right, and the server running?"
        ) from error


def _what_is_wrong(kind: str, where: str, collection: str) -> str:
    if kind not in _KINDS:
        return f"there is no kind {kind!r}{did_you_mean(kind, _KINDS)}"
    if not collection:
        return "it names no collection: #COLLECTION is missing at its end"
    if not where or (kind in _POSTGRES and not where.startswith("//")):
        return f"{where!r} is no place" + (": // is missing" if where else "")
    return ""


def _chroma(where: str, collection: str, options: dict[str, Any]) -> LiveStore:  # noqa: ARG001
    chromadb = require("chromadb", "chroma")
    from nudge_integrations.stores.backends.chroma import ChromaStore

    if where.startswith(_WEB):
        from urllib.parse import urlsplit

        parts = urlsplit(where)
        client = chromadb.HttpClient(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
        )
    else:
        # The client would make an empty database of any folder.
        client = chromadb.PersistentClient(str(_there(where, "chroma.sqlite3")))
    names = [each.name for each in client.list_collections()]
    if collection not in names:
        raise no_such(f"Chroma at {hidden(where)}", "collection", collection, names)
    return ChromaStore(client.get_collection(collection, embedding_function=None))


def _qdrant(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    client = require("qdrant_client", "qdrant").QdrantClient
    from nudge_integrations.stores.backends.qdrant import QdrantStore

    if where.startswith(_WEB):
        opened = client(url=where, api_key=os.environ.get("QDRANT_API_KEY"))
    else:
        # As Chroma's.
        opened = client(path=str(_there(where, "meta.json")))
    return QdrantStore(opened, collection, **options)


def _lance(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    lancedb = require("lancedb", "lancedb")
    from nudge_integrations.stores.backends.lance import LanceStore

    database = lancedb.connect(where if "://" in where else str(_there(where)))
    try:
        table = database.open_table(collection)
    except (ValueError, FileNotFoundError) as error:
        tables = database.table_names()
        raise no_such(f"LanceDB at {hidden(where)}", "table", collection, tables) from error
    return LanceStore(table, **options)


def _postgres(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    require("psycopg", "postgres")
    from nudge_integrations.stores.backends.postgres import PostgresStore

    schema, _, table = collection.rpartition(".")
    if schema:
        options = {"schema": schema, **options}
    return PostgresStore(where, table, **options)


def _milvus(where: str, collection: str, options: dict[str, Any]) -> LiveStore:
    client = require("pymilvus", "milvus").MilvusClient
    from nudge_integrations.stores.backends.milvus import MilvusStore

    if where.startswith(_WEB):
        opened = client(where, token=os.environ.get("MILVUS_TOKEN", ""))
    else:
        opened = client(str(_there(where)))
    return MilvusStore(opened, collection, **options)


def _there(where: str, sign: str = "") -> Path:
    """A store's file or folder, which must be there, and hold the file that is the sign of one."""
    path = Path(where).expanduser()
    if not path.exists():
        whence = "" if path.is_absolute() else f", which is taken from {Path.cwd()}"
        raise StoreError(
            f"{path} does not exist: a store to tune must be there already; check the path{whence}"
        )
    if sign and not (path / sign).is_file():
        raise StoreError(f"{path} is no database: {path / sign} does not exist; check the path")
    return path


_Open = Callable[[str, str, dict[str, Any]], LiveStore]
_POSTGRES = ("postgresql", "postgres")
_COLUMNS = ("id_column", "vector_column", "metric")
_KINDS: dict[str, tuple[tuple[str, ...], _Open]] = {
    "chroma": ((), _chroma),
    "qdrant": (("vector",), _qdrant),
    "lancedb": (_COLUMNS, _lance),
    "postgresql": ((*_COLUMNS, "schema"), _postgres),
    "postgres": ((*_COLUMNS, "schema"), _postgres),
    "milvus": (("vector_field",), _milvus),
}
