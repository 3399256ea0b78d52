"""Qdrant: local, a server, a cluster.

Traps: ids are whole numbers or UUIDs; vectors may have names; a point that is gone cannot be
updated, so its batch is written without it. A cosine collection normalises what is written: a
server passes over vectors that are of length 1 already, local mode does it again, on every load
too, so that there a vector is put back but for its last digit.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.places import existing_path, is_web, no_such, shown_place
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import (
    Hits,
    LiveStore,
    as_lists,
    checked_metric,
    finite,
    uuid_id,
    whole_id,
)

_METRICS: dict[str, Any] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2"}
_PAGE = 1000
_MARK = "nudge_journal"
_SPACE = uuid.UUID("5c1f6f0e-6d3b-4f63-9a43-0d4f2b1c6a10")


class QdrantStore(LiveStore):
    """One vector of each point of a Qdrant collection.

    Args:
        client: `qdrant_client.QdrantClient`.
        collection: Its name.
        vector: Name of the vector; None for the only one.
    """

    kind = "Qdrant"
    batch = 500

    def __init__(self, client: Any, collection: str, vector: str | None = None) -> None:
        self._client = client
        if not client.collection_exists(collection):
            there = [each.name for each in client.get_collections().collections]
            raise no_such(f"Qdrant at {_where(client)}", "collection", collection, there)
        aliases = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
        self._name = collection = aliases.get(collection, collection)
        config = client.get_collection(collection).config.params.vectors
        named = config if isinstance(config, dict) else {"": config}
        if vector is None:
            vector = "" if "" in named else None
            if vector is None and len(named) == 1:
                vector = next(iter(named))
        if vector is None or vector not in named:
            raise StoreError(
                f"Qdrant collection {collection!r} has vectors named {name_some(list(named))}: "
                f"say which with vector=..., not {vector!r}"
            )
        self._vector, params = vector, named[vector]
        self.identity = f"Qdrant collection {collection!r} at {_where(client)}"
        self.uid = f"qdrant {_where(client)} {collection} {vector}"
        if vector:
            self.identity += f", vector {vector!r}"
        if getattr(params, "multivector_config", None) is not None:
            raise UnsupportedStoreError(f"{self.identity} holds several vectors a point")
        kind = getattr(params, "datatype", None)
        if kind is not None and str(getattr(kind, "value", kind)) != "float32":
            raise UnsupportedStoreError(
                f"{self.identity} keeps {kind} numbers; only float32 can be tuned and put back"
            )
        distance = getattr(params.distance, "value", params.distance)
        self.metric = checked_metric(distance, _METRICS, self.identity)
        self._dimension = int(params.size)
        if _local(client):
            self.tries = 4  # what is left then cannot be had: see above

    @classmethod
    def from_address(cls, where: str, collection: str, vector: str | None = None) -> QdrantStore:
        """`qdrant:FOLDER#COLLECTION` or `qdrant:http://HOST:PORT#COLLECTION`."""
        client = require("qdrant_client", "qdrant").QdrantClient
        if is_web(where):
            opened = client(url=where, api_key=os.environ.get("QDRANT_API_KEY"))
        else:
            # The client would make an empty database of any folder.
            opened = client(path=str(existing_path(where, "meta.json")))
        return cls(opened, collection, vector)

    @classmethod
    def from_langchain(cls, store: Any) -> QdrantStore:
        """LangChain's `QdrantVectorStore`."""
        return cls(store.client, store.collection_name, store.vector_name)

    @classmethod
    def from_llama_index(cls, store: Any) -> QdrantStore:
        """LlamaIndex's `QdrantVectorStore`."""
        return cls(store.client, store.collection_name)

    def sidecar(self) -> Sidecar:
        """A sibling collection without vectors, named after this one."""
        return QdrantSidecar(self, self._client, f"{self._name}.nudge", self._vector)

    def mark(self) -> str | None:
        """In the collection's metadata, where the server knows such."""
        config = self._client.get_collection(self._name).config
        return (getattr(config, "metadata", None) or {}).get(_MARK) or None

    def set_mark(self, mark: str | None) -> bool:
        """In the collection's metadata, where the server knows such."""
        self.with_retries(
            "leave a note",
            self._client.update_collection,
            self._name,
            metadata={_MARK: mark or ""},
        )
        return self.mark() == mark

    def canonical(self, name: str) -> str | None:
        """A whole number, or a UUID in lower case."""
        return whole_id(name, 0, (1 << 64) - 1) or uuid_id(name)

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return self._dimension

    @property
    def exact(self) -> bool:
        """Whether it is local; a server searches a graph once a segment is large."""
        return _local(self._client)

    def can_search_exactly(self) -> bool:
        """Yes."""
        return True

    def count(self) -> int:
        """Number of points."""
        return int(self.with_retries("count", self._client.count, self._name, exact=True).count)

    def ids(self) -> Iterator[str]:
        """Every id."""
        offset: Any = None
        while True:
            points, offset = self.with_retries(
                "list ids",
                self._client.scroll,
                self._name,
                limit=_PAGE,
                offset=offset,
                with_payload=False,
                with_vectors=False,
            )
            yield from (str(point.id) for point in points)
            if offset is None:
                return

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        found = self._client.retrieve(
            self._name,
            ids=list(map(_point, ids)),
            with_payload=False,
            with_vectors=[self._vector] if self._vector else True,
        )
        pairs = ((str(point.id), point.vector) for point in found)
        if self._vector:
            return [(name, of[self._vector]) for name, of in pairs if of and self._vector in of]
        return [(name, vector) for name, vector in pairs if vector is not None]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        from qdrant_client import models

        requests = [
            models.QueryRequest(
                query=vector,
                using=self._vector or None,
                limit=k,
                params=models.SearchParams(exact=True) if exact else None,
            )
            for vector in as_lists(vectors)
        ]
        found = self._client.query_batch_points(self._name, requests=requests)
        # Euclid is the distance itself, not its square.
        return [
            finite(
                (str(hit.id), -(hit.score**2) if self.metric == "l2" else hit.score)
                for hit in each.points
            )
            for each in found
        ]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:  # noqa: ARG002
        from qdrant_client import models

        while True:
            there = {name for name, _ in self._read(ids)}
            points = [
                models.PointVectors(
                    id=_point(name), vector={self._vector: vector} if self._vector else vector
                )
                for name, vector in zip(ids, as_lists(vectors), strict=True)
                if name in there
            ]
            if not points:
                return
            try:
                self._client.update_vectors(self._name, points=points, wait=True)
            except KeyError:  # local mode: a point was deleted since it was read
                if {name for name, _ in self._read(ids)} == there:
                    raise
                continue
            return

    def _transient(self) -> tuple[type[BaseException], ...]:
        import httpx
        from qdrant_client.http.exceptions import ResponseHandlingException

        return (httpx.TransportError, ResponseHandlingException)

    def _forbidden(self, error: BaseException) -> bool:
        return getattr(error, "status_code", None) in (401, 403)


class QdrantSidecar(Sidecar):
    """Records in the payload of a sibling collection, those of each named vector apart."""

    def __init__(self, store: QdrantStore, client: Any, name: str, vector: str) -> None:
        self._client, self._name, self._vector = client, name, vector
        super().__init__(store, f"Qdrant collection {name!r}")

    def _load(self, kind: str) -> Mapping[str, str]:
        from qdrant_client import models

        if not self._client.collection_exists(self._name):
            return {}
        wanted = {"kind": kind, "vector": self._vector}
        chosen = models.Filter(
            must=[
                models.FieldCondition(key=key, match=models.MatchValue(value=value))
                for key, value in wanted.items()
            ]
        )
        found: dict[str, str] = {}
        offset: Any = None
        while True:
            points, offset = self._client.scroll(
                self._name, scroll_filter=chosen, limit=_PAGE, offset=offset, with_payload=True
            )
            found |= {point.payload["key"]: point.payload["value"] for point in points}
            if offset is None:
                return found

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        from qdrant_client import models

        if not self._client.collection_exists(self._name):
            with contextlib.suppress(ValueError):  # made by somebody else meanwhile
                self._client.create_collection(self._name, vectors_config={})
        payloads = [
            {"kind": kind, "vector": self._vector, "key": key, "value": value}
            for key, value in records.items()
        ]
        points = [
            models.PointStruct(id=self._id(kind, each["key"]), vector={}, payload=each)
            for each in payloads
        ]
        self._client.upsert(self._name, points, wait=True)

    def _drop(self, kind: str, keys: list[str]) -> None:
        self._client.delete(self._name, [self._id(kind, key) for key in keys], wait=True)

    def _id(self, kind: str, key: str) -> str:
        return str(uuid.uuid5(_SPACE, f"{kind}:{self._vector}:{key}"))


def _point(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def _local(client: Any) -> bool:
    return type(client._client).__name__ == "QdrantLocal"


def _where(client: Any) -> str:
    inner = client._client
    if _local(client):
        place = str(inner.location)
        return f"memory ({id(inner)})" if place == ":memory:" else str(Path(place).resolve())
    return shown_place(str(getattr(inner, "rest_uri", "") or getattr(inner, "_rest_uri", "")))
