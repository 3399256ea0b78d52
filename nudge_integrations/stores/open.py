"""Any store that a developer has in hand -> the backend that tunes it."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from typing import Any

from nudge_integrations.common.text import described, did_you_mean
from nudge_integrations.errors import (
    DataError,
    MissingExtraError,
    NudgeError,
    StoreError,
    UnsupportedStoreError,
)
from nudge_integrations.stores.places import hidden, shown_place
from nudge_integrations.stores.store import LiveStore

_SUPPORTED = (
    "a LangChain or LlamaIndex store of Chroma, Qdrant, LanceDB, PostgreSQL, Milvus or FAISS; "
    "InMemoryVectorStore, SimpleVectorStore or NudgeVectorStore; a chromadb Collection, a "
    "QdrantClient or MilvusClient with collection=..., a lancedb Table, a FAISS index; or an "
    "address such as 'postgresql://host/database#table'"
)
STORE_OPTIONS = {
    *("collection", "vector", "vector_field", "id_column", "vector_column"),
    *("metric", "schema", "names"),
}
"""What `open_store` is told of a store besides the store itself."""

# Package and class -> backend and how it opens; "" calls the class itself.
_OPENERS = {
    ("nudge_integrations", "NudgeVectorStore"): "memory.IndexStore",
    ("langchain_core", "InMemoryVectorStore"): "memory.LangChainMemoryStore",
    ("llama_index", "SimpleVectorStore"): "memory.LlamaIndexMemoryStore",
    ("chromadb", "Collection"): "chroma.ChromaStore",
    ("langchain_chroma", "Chroma"): "chroma.ChromaStore.from_wrapper",
    ("llama_index", "ChromaVectorStore"): "chroma.ChromaStore.from_wrapper",
    ("qdrant_client", "QdrantClient"): "qdrant.QdrantStore",
    ("langchain_qdrant", "QdrantVectorStore"): "qdrant.QdrantStore.from_wrapper",
    ("llama_index", "QdrantVectorStore"): "qdrant.QdrantStore.from_wrapper",
    ("lancedb", "Table"): "lance.LanceStore",
    ("llama_index", "LanceDBVectorStore"): "lance.LanceStore.from_llama_index",
    ("langchain_postgres", "PGVectorStore"): "postgres.PostgresStore.from_langchain",
    ("langchain_postgres", "PGVector"): "postgres.PostgresStore.from_langchain",
    ("llama_index", "PGVectorStore"): "postgres.PostgresStore.from_llama_index",
    ("pymilvus", "MilvusClient"): "milvus.MilvusStore",
    ("langchain_milvus", "Milvus"): "milvus.MilvusStore.from_langchain",
    ("faiss", "Index"): "faiss.FaissStore",
    ("langchain_community", "FAISS"): "faiss.FaissStore.from_langchain",
    ("llama_index", "FaissVectorStore"): "faiss.FaissStore.from_llama_index",
    ("llama_index", "FaissMapVectorStore"): "faiss.FaissStore.from_llama_index",
}
_ADDRESSES = {
    "chroma": "chroma.ChromaStore.from_address",
    "qdrant": "qdrant.QdrantStore.from_address",
    "lancedb": "lance.LanceStore.from_address",
    "postgresql": "postgres.PostgresStore",
    "postgres": "postgres.PostgresStore",
    "milvus": "milvus.MilvusStore.from_address",
}
# What people have in hand besides the store, by the name of its class.
_INSTEAD = {
    "VectorStoreRetriever": "the retriever's store: retriever.vectorstore",
    "BaseIndex": "the index's store: index.vector_store",
    "FinetuneEngine": "your store; the engine's own is engine.get_finetuned_vector_store()",
    "ClientAPI": "one of the client's collections: client.get_collection(NAME)",
    "DBConnection": "one of the database's tables: database.open_table(NAME)",
}


def open_store(store: Any, *, name: str | None = None, **options: Any) -> LiveStore:
    """Open a store for tuning.

    Args:
        store: The framework's own store, the client of the database, or an address:
            `chroma:FOLDER#COLLECTION`, `chroma:http://HOST:PORT#COLLECTION`,
            `qdrant:http://HOST:PORT#COLLECTION` (or a folder), `lancedb:FOLDER#TABLE`,
            `postgresql://USER@HOST/DATABASE#TABLE`, `milvus:http://HOST:PORT#COLLECTION` (or a
            file).
        name: What to call a FAISS index, so that a later process that loads it finds the file
            with its originals.
        options: What the object does not tell: `collection`, `vector` (Qdrant), `vector_field`
            (Milvus), `id_column`, `vector_column`, `metric` (LanceDB, PostgreSQL), `schema`
            (PostgreSQL), `names` (FAISS).

    Raises:
        UnsupportedStoreError: Not a store that can be tuned; the message says which can.
        StoreError: It cannot be reached, or has no such collection.
        MissingExtraError: The client is not installed; the message holds the pip command.
        DataError: An option that this kind of store does not have.
    """
    if isinstance(store, LiveStore):
        opened = store
    elif isinstance(store, str):
        opened = _open_address(store, options)
    else:
        opened = _opened(f"a {type(store).__name__}", _opener(store), (store,), options)
    if name is not None:
        opened.identity = f"{opened.kind} {name!r}"
        opened.uid = f"{opened.kind} named {name}"
    return opened


def _backend(path: str) -> Callable[..., LiveStore]:
    module, *names = path.split(".")
    found: Any = importlib.import_module(f"nudge_integrations.stores.backends.{module}")
    for name in names:
        found = getattr(found, name)
    return found  # type: ignore[no-any-return]


def _opened(
    what: str, open_it: Callable[..., LiveStore], given: tuple[Any, ...], options: dict[str, Any]
) -> LiveStore:
    """Call a backend's opener with the options that it knows.

    Raises:
        DataError: An option that it does not know, or lacks.
        StoreError: Whatever the client of the store raises.
    """
    known = dict(list(inspect.signature(open_it).parameters.items())[len(given) :])
    for name in options:
        if name not in known:
            only = f", only {', '.join(known)}" if known else ""
            raise DataError(f"{what} has no option {name!r}{only}{did_you_mean(name, known)}")
    for name, each in known.items():
        if each.default is each.empty and name not in options:
            raise DataError(
                f"{what} alone does not say which {name}: pass {name}='...' (to tune: "
                f"store_options={{{name!r}: '...'}})"
            )
    try:
        return open_it(*given, **options)
    except (NudgeError, MissingExtraError):
        raise
    except Exception as error:
        # Which exceptions there are depends on the client of the store and its release.
        raise StoreError(
            f"cannot open {what}: {type(error).__name__}: {hidden(error).strip()}; is the place "
            "right, and the server running?"
        ) from None


def _open_address(address: str, options: dict[str, Any]) -> LiveStore:
    place, _, collection = address.rpartition("#")
    kind, _, where = (place or address).partition(":")
    kind = kind.lower()
    sql = kind in ("postgresql", "postgres")
    wrong = ""
    if kind not in _ADDRESSES:
        wrong = f"there is no kind {kind!r}{did_you_mean(kind, _ADDRESSES)}"
    elif not place or not collection:
        wrong = "it names no collection: #COLLECTION is missing at its end"
    elif not where or (sql and not where.startswith("//")):
        wrong = f"{hidden(where)!r} is no place" + (": // is missing" if where else "")
    if wrong:
        raise DataError(
            f"{shown_address(address)!r} is no address of a store: give KIND:PLACE#COLLECTION, "
            "such as chroma:./db#docs, qdrant:http://localhost:6333#docs, lancedb:./db#docs, "
            f"postgresql://localhost/shop#docs or milvus:./milvus.db#docs; {wrong}"
        )
    what = kind if options else shown_address(address)
    open_it = _backend(_ADDRESSES[kind])
    return _opened(what, open_it, (place if sql else where, collection), options)


def shown_address(address: str) -> str:
    """An address without user, password and parameters; what cannot be parsed is left out."""
    place, mark, collection = address.rpartition("#")
    if not mark:
        place, collection = address, ""
    kind, colon, where = place.partition(":")
    if where.startswith("//"):
        shown = shown_place(place)
    else:
        shown = f"{kind}{colon}{hidden(shown_place(where))}"
    return f"{shown}{mark}{'***' if '@' in collection else collection}"


def _opener(store: Any) -> Callable[..., LiveStore]:
    """By the names of its classes and of the packages they come from: nothing is imported."""
    names = {kind.__name__ for kind in type(store).__mro__}
    for kind in type(store).__mro__:
        package = kind.__module__.split(".")[0]
        package = "faiss" if package.startswith("faiss") else package
        if (package, kind.__name__) in _OPENERS:
            return _backend(_OPENERS[package, kind.__name__])
    instead = next((_INSTEAD[name] for name in _INSTEAD if name in names), _SUPPORTED)
    if isinstance(store, os.PathLike):
        instead = f"an address, with its kind and its collection: 'chroma:{store}#COLLECTION'"
    if isinstance(store, type):
        instead = f"the {store.__name__} that holds your documents, not its class"
    what = f"{type(store).__module__}.{type(store).__name__}"
    raise UnsupportedStoreError(
        f"{described(store) if isinstance(store, type) else what} is no store that can be tuned in "
        f"place; give {instead}"
    )
