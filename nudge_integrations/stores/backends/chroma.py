"""Chroma: embedded, or a server.

Traps: `get` ignores the order of ids; a batch has a largest size; `update` passes over ids that are
not there; a cosine collection keeps unit vectors and lengths apart, so the last digit of what is
read differs from what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores.formats import Hits, checked_metric, finite, json_or, similarity
from nudge_integrations.stores.places import existing_path, is_web, no_such, shown_place
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_METRICS: dict[str, Any] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}
_PAGE = 1000
_MARK = "nudge_journal"


class ChromaStore(LiveStore):
    """A Chroma collection; filters are `where` dictionaries, or their JSON.

    Args:
        collection: `chromadb.Collection`.
    """

    kind = "Chroma"
    exact = False

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.identity = f"Chroma collection {collection.name!r} ({collection.id})"
        settings = collection._client.get_settings()
        # A copy of an embedded database has collections of the same ids.
        place = Path(settings.persist_directory).resolve() if settings.is_persistent else ""
        self.uid = f"chroma {place} {collection.id}"
        self.batch = min(_PAGE, int(collection._client.get_max_batch_size()))
        config = collection.configuration_json
        space = (config.get("hnsw") or config.get("spann") or {}).get("space")
        self.metric = checked_metric(space, _METRICS, self.identity)

    @classmethod
    def from_address(cls, where: str, collection: str) -> ChromaStore:
        """`chroma:FOLDER#COLLECTION` or `chroma:http://HOST:PORT#COLLECTION`."""
        chromadb = require("chromadb", "chroma")
        if is_web(where):
            parts = urlsplit(where)
            secure = parts.scheme == "https"
            client = chromadb.HttpClient(
                host=parts.hostname or "localhost",
                port=parts.port or (443 if secure else 8000),
                ssl=secure,
            )
        else:
            # The client would make an empty database of any folder.
            client = chromadb.PersistentClient(str(existing_path(where, "chroma.sqlite3")))
        names = [each.name for each in client.list_collections()]
        if collection not in names:
            raise no_such(f"Chroma at {shown_place(where)}", "collection", collection, names)
        return cls(client.get_collection(collection, embedding_function=None))

    @classmethod
    def from_wrapper(cls, store: Any) -> ChromaStore:
        """The vector stores of LangChain and LlamaIndex."""
        return cls(store._collection)

    def sidecar(self) -> Sidecar:
        """A sibling collection, named by this one's UUID."""
        return ChromaSidecar(self, self._collection)

    def mark(self) -> str | None:
        """In the collection's metadata."""
        return self._metadata().get(_MARK) or None

    def set_mark(self, mark: str | None) -> bool:
        """In the collection's metadata, which may not be empty: an empty text is no mark."""
        metadata = {**self._metadata(), _MARK: mark or ""}
        self.with_retries("leave a note", self._collection.modify, metadata=metadata)
        return True

    def _metadata(self) -> dict[str, Any]:
        """As the database has it now, whoever renamed the collection."""
        find = self._collection._client.get_collection_by_id
        return self.with_retries("read metadata", find, self._collection.id).metadata or {}

    def _as_filter(self, chosen: Any) -> dict[str, Any]:
        where = json_or(chosen, chosen)
        if not isinstance(where, dict) or not where:
            raise DataError(
                f"filter= for {self.identity} must be a where dictionary, such as "
                f"{{'tenant': 'acme'}}, got {chosen!r:.80}"
            )
        return where

    @cached_property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        get = self._collection.get
        vectors = self.with_retries("read a vector", get, limit=1, include=["embeddings"])
        found = vectors["embeddings"]
        if found is None or len(found) == 0:
            raise StoreError(f"{self.identity} is empty: add documents first")
        return len(found[0])

    def count(self) -> int:
        """Number of vectors."""
        if self.filter is not None:
            return sum(1 for _ in self.ids())
        return int(self.with_retries("count", self._collection.count))

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Id, text and metadata of every row, page by page."""
        include = ["documents", "metadatas"] if texts else []
        for page in _pages(self, self._collection, include, self.filter):
            for row, name in enumerate(page["ids"]):
                fields = {"page_content": page["documents"][row]} if texts else {}
                yield name, {**(page["metadatas"][row] or {}), **fields} if texts else {}

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        found = self._collection.get(ids=ids, where=self.filter, include=["embeddings"])
        if found["ids"] and found["embeddings"] is None:
            raise UnsupportedStoreError(f"{self.identity} gives no vectors back")
        return zip(found["ids"], found["embeddings"], strict=True)

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        found = self._collection.query(
            query_embeddings=vectors,
            n_results=min(k, max(1, self._collection.count())),
            where=self.filter,
            include=["distances"],
        )
        return [
            finite((name, similarity(self.metric, far)) for name, far in zip(*each, strict=True))
            for each in zip(found["ids"], found["distances"], strict=True)
        ]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:  # noqa: ARG002
        self._collection.update(ids=ids, embeddings=vectors)


class ChromaSidecar(Sidecar):
    """Records in the metadata of a sibling collection."""

    def __init__(self, store: ChromaStore, collection: Any) -> None:
        self._name = f"nudge-{collection.id}"
        self._client, self._of = collection._client, collection
        super().__init__(store, f"Chroma collection {self._name!r}")

    def _open(self, create: bool = False) -> Any:
        """The sibling; None if there is none."""
        from chromadb.api.models.Collection import Collection
        from chromadb.errors import NotFoundError

        place = {"tenant": self._of.tenant, "database": self._of.database}
        find = self._client.get_or_create_collection if create else self._client.get_collection
        try:
            model = find(self._name, **place)
        except NotFoundError:
            return None
        return Collection(client=self._client, model=model, embedding_function=None)

    def _load(self, kind: str) -> Mapping[str, str]:
        sibling = self._open()
        if sibling is None:
            return {}
        pages = _pages(self.store, sibling, ["metadatas"], {"kind": kind})
        return {each["key"]: each["value"] for page in pages for each in page["metadatas"]}

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        self._open(create=True).upsert(
            ids=[f"{kind}:{key}" for key in records],
            # Chroma insists on vectors; these are never searched.
            embeddings=np.random.default_rng(0).random((len(records), 2), np.float32),
            metadatas=[{"kind": kind, "key": k, "value": value} for k, value in records.items()],
        )

    def _drop(self, kind: str, keys: list[str]) -> None:
        sibling = self._open()
        if sibling is not None:
            sibling.delete(ids=[f"{kind}:{key}" for key in keys])


def _pages(store: LiveStore, collection: Any, include: list[str], where: Any) -> Iterator[Any]:
    offset, size = 0, _PAGE
    while size == _PAGE:
        given = {"limit": _PAGE, "offset": offset, "include": include, "where": where}
        page = store.with_retries("list rows", collection.get, **given)
        yield page
        size, offset = len(page["ids"]), offset + _PAGE
