"""Any store that a developer has in hand -> the backend that tunes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from nudge_integrations.common.text import described, did_you_mean
from nudge_integrations.errors import DataError, UnsupportedStoreError
from nudge_integrations.stores.store import LiveStore

_SUPPORTED = (
    "a LangChain or LlamaIndex store of Chroma, Qdrant, LanceDB, PostgreSQL, Milvus or FAISS; "
    "InMemoryVectorStore, SimpleVectorStore or NudgeVectorStore; a chromadb Collection, a "
    "QdrantClient or MilvusClient with collection=..., a lancedb Table, a FAISS index; or an "
    "address such as 'postgresql://host/database#table'"
)


STORE_OPTIONS = (
    "collection",
    "vector",
    "vector_field",
    "id_column",
    "vector_column",
    "metric",
    "schema",
    "names",
)
"""What `open_store` is told of a store beside the store itself."""


def open_store(store: Any, *, name: str | None = None, **options: Any) -> LiveStore:
    """Open a store for tuning.

    Args:
        store: The framework's own store, the client of the database, or an address:
            `chroma:FOLDER#COLLECTION`, `chroma:http://HOST:PORT#COLLECTION`,
            `qdrant:http://HOST:PORT#COLLECTION` (or a folder), `lancedb:FOLDER#TABLE`,
            `postgresql://USER@HOST/DATABASE#TABLE`, `milvus:http://HOST:PORT#COLLECTION` (or a
            file).
        name: What to call a store that lives in this process alone, so that its journal is
            found again by a later process that loads it.
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
        from nudge_integrations.stores.addresses import open_address

        opened = open_address(store, options)
    else:
        opened = _called(_opener(store), store, options)
    if name is not None:
        opened.identity, opened.lives_on = f"{opened.kind} {name!r}", True
    return opened


def _called(open_it: Callable[..., LiveStore], store: Any, options: dict[str, Any]) -> LiveStore:
    import inspect

    known = dict(inspect.signature(open_it).parameters)
    del known["store"]
    unknown = [each for each in options if each not in known]
    if unknown:
        raise DataError(
            f"a {type(store).__name__} has no option {unknown[0]!r}"
            + (f", only {', '.join(known)}" if known else "")
            + did_you_mean(unknown[0], known)
        )
    needed = [name for name, each in known.items() if each.default is each.empty]
    missing = [name for name in needed if name not in options]
    if missing:
        raise DataError(
            f"a {type(store).__name__} alone does not say which {missing[0]}: pass "
            f"{missing[0]}='...' (to tune: store_options={{{missing[0]!r}: '...'}})"
        )
    return open_it(store, **options)


def _opener(store: Any) -> Callable[..., LiveStore]:
    """By the names of its classes and of the packages they come from: nothing is imported."""
    for kind in type(store).__mro__:
        found = _OPENERS.get((kind.__module__.split(".")[0], kind.__name__))
        if found is None and kind.__module__.startswith("llama_index."):
            found = _OPENERS.get(("llama_index", kind.__name__))
        if found is not None:
            return found
        if kind.__module__.startswith("faiss") and kind.__name__ == "Index":
            return _faiss
    what = f"{type(store).__module__}.{type(store).__name__}"
    raise UnsupportedStoreError(
        f"{described(store) if isinstance(store, type) else what} is no store that can be tuned in "
        f"place; give {_instead_of(store) or _SUPPORTED}"
    )


def _instead_of(store: Any) -> str:
    """What was probably meant, where that can be seen; else nothing."""
    if isinstance(store, os.PathLike):
        return f"an address, which names its kind and its collection: 'chroma:{store}#COLLECTION'"
    if isinstance(store, type):
        return f"the {store.__name__} that holds your documents, not its class"
    names = (kind.__name__ for kind in type(store).__mro__)
    return next((_INSTEAD[name] for name in names if name in _INSTEAD), "")


def _nudge(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.memory import IndexStore

    return IndexStore(store)


def _langchain_memory(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.memory import LangChainMemoryStore

    return LangChainMemoryStore(store)


def _llama_index_memory(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.memory import LlamaIndexMemoryStore

    return LlamaIndexMemoryStore(store)


def _chroma(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.chroma import ChromaStore

    return ChromaStore(store)


def _chroma_wrapper(store: Any) -> LiveStore:
    return _chroma(store._collection)


def _qdrant(store: Any, collection: str, vector: str | None = None) -> LiveStore:
    from nudge_integrations.stores.backends.qdrant import QdrantStore

    return QdrantStore(store, collection, vector)


def _qdrant_langchain(store: Any) -> LiveStore:
    return _qdrant(store.client, store.collection_name, store.vector_name)


def _qdrant_llama_index(store: Any) -> LiveStore:
    return _qdrant(store.client, store.collection_name)


def _lance(
    store: Any,
    id_column: str = "id",
    vector_column: str = "vector",
    metric: Any = None,
) -> LiveStore:
    from nudge_integrations.stores.backends.lance import LanceStore

    return LanceStore(store, id_column, vector_column, metric)


def _lance_llama_index(store: Any, metric: Any = None) -> LiveStore:
    return _lance(store.table, "id", store.vector_column_name, metric)


def _postgres_langchain(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.postgres import PostgresStore

    inner = store._PGVectorStore__vs
    url = inner.engine.url.set(drivername="postgresql")
    strategy = str(getattr(inner.distance_strategy, "name", inner.distance_strategy))
    metrics: dict[str, Any] = {
        "COSINE_DISTANCE": "cosine",
        "INNER_PRODUCT": "dot",
        "EUCLIDEAN": "l2",
    }
    return PostgresStore(
        url.render_as_string(hide_password=False),
        inner.table_name,
        inner.id_column,
        inner.embedding_column,
        inner.schema_name,
        metrics.get(strategy),
    )


def _postgres_llama_index(store: Any) -> LiveStore:
    from nudge_integrations.stores.backends.postgres import PostgresStore

    url = str(store.connection_string)
    scheme, _, rest = url.partition("://")
    # The driver of SQLAlchemy is not libpq's business.
    plain = f"{scheme.split('+')[0]}://{rest}"
    return PostgresStore(
        plain, f"data_{store.table_name}", "node_id", "embedding", store.schema_name, "cosine"
    )


def _milvus(store: Any, collection: str, vector_field: str | None = None) -> LiveStore:
    from nudge_integrations.stores.backends.milvus import MilvusStore

    return MilvusStore(store, collection, vector_field)


def _milvus_langchain(store: Any) -> LiveStore:
    field = store._vector_field
    return _milvus(store.client, store.collection_name, field if isinstance(field, str) else None)


def _faiss(store: Any, names: Any = None) -> LiveStore:
    from nudge_integrations.stores.backends.faiss import FaissStore

    return FaissStore(store, names)


def _faiss_langchain(store: Any) -> LiveStore:
    return _faiss(store.index, {name: row for row, name in store.index_to_docstore_id.items()})


def _faiss_llama_index(store: Any) -> LiveStore:
    return _faiss(store.client)


def _faiss_map(store: Any) -> LiveStore:
    return _faiss(store.client, store._node_id_to_faiss_id_map)


# What people have in hand beside the store, by the name of its class.
_INSTEAD = {
    "VectorStoreRetriever": "the retriever's store: retriever.vectorstore",
    "BaseIndex": "the index's store: index.vector_store",
    "FinetuneEngine": "your store; the engine's own is engine.get_finetuned_vector_store()",
    "ClientAPI": "one of the client's collections: client.get_collection(NAME)",
    "DBConnection": "one of the database's tables: database.open_table(NAME)",
}

_OPENERS: dict[tuple[str, str], Callable[..., LiveStore]] = {
    ("nudge_integrations", "NudgeVectorStore"): _nudge,
    ("langchain_core", "InMemoryVectorStore"): _langchain_memory,
    ("llama_index", "SimpleVectorStore"): _llama_index_memory,
    ("chromadb", "Collection"): _chroma,
    ("langchain_chroma", "Chroma"): _chroma_wrapper,
    ("llama_index", "ChromaVectorStore"): _chroma_wrapper,
    ("qdrant_client", "QdrantClient"): _qdrant,
    ("langchain_qdrant", "QdrantVectorStore"): _qdrant_langchain,
    ("llama_index", "QdrantVectorStore"): _qdrant_llama_index,
    ("lancedb", "Table"): _lance,
    ("llama_index", "LanceDBVectorStore"): _lance_llama_index,
    ("langchain_postgres", "PGVectorStore"): _postgres_langchain,
    ("llama_index", "PGVectorStore"): _postgres_llama_index,
    ("pymilvus", "MilvusClient"): _milvus,
    ("langchain_milvus", "Milvus"): _milvus_langchain,
    ("langchain_community", "FAISS"): _faiss_langchain,
    ("llama_index", "FaissVectorStore"): _faiss_llama_index,
    ("llama_index", "FaissMapVectorStore"): _faiss_map,
}
