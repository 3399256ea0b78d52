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

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, name_some, unit_rows
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores.formats import Hits, checked_metric, finite, uuid_id, whole_id
from nudge_integrations.stores.places import existing_path, is_web, no_such, shown_place
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_METRICS: dict[str, Any] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2"}
_NUMBERS: dict[str, Any] = {"float32": np.float32, "float16": np.float16}
_PAGE = 1000
_MARK = "nudge_journal"
_SPACE = uuid.UUID("5c1f6f0e-6d3b-4f63-9a43-0d4f2b1c6a10")


class QdrantStore(LiveStore):
    """One vector of each point of a Qdrant collection; filters are `models.Filter`, or its JSON.

    Args:
        client: `qdrant_client.QdrantClient`.
        collection: Its name.
        vector: Name of the vector; None for the only one.
    """

    kind = "Qdrant"
    batch = 500
    dimension = 0
    exact = False

    def __init__(self, client: Any, collection: str, vector: str | None = None) -> None:
        self._client = client
        place, name = _where(client), collection
        if not client.collection_exists(name):
            there = [each.name for each in client.get_collections().collections]
            raise no_such(f"Qdrant at {place}", "collection", name, there)
        aliases = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
        self._name = name = aliases.get(name, name)
        config = client.get_collection(name).config.params.vectors
        named = config if isinstance(config, dict) else {"": config}
        if vector is None:
            vector = "" if "" in named or len(named) != 1 else next(iter(named))
        if vector not in named:
            raise StoreError(
                f"Qdrant collection {name!r} has vectors named {name_some(list(named))}: say which "
                f"with vector=..., not {vector or None!r}"
            )
        self._vector, params = vector, named[vector]
        self.identity = f"Qdrant collection {name!r} at {place}"
        self.uid = f"qdrant {place} {name} {vector}"
        if vector:
            self.identity += f", vector {vector!r}"
        if getattr(params, "multivector_config", None) is not None:
            raise UnsupportedStoreError(f"{self.identity} holds several vectors a point")
        kind = getattr(params, "datatype", None) or "float32"
        kind = str(getattr(kind, "value", kind))
        if kind not in _NUMBERS:
            raise UnsupportedStoreError(
                f"{self.identity} keeps {kind} numbers; only float32 and float16 can be tuned and "
                "put back"
            )
        # Local mode keeps float32, whatever the collection says.
        self.numbers = np.float32 if _local(client) else _NUMBERS[kind]
        distance = getattr(params.distance, "value", params.distance)
        self.metric = checked_metric(distance, _METRICS, self.identity)
        self.dimension = int(params.size)
        # A server searches a graph once a segment is large.
        self.exact = _local(client)
        if self.exact:
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
    def from_wrapper(cls, store: Any) -> QdrantStore:
        """The vector stores of LangChain and LlamaIndex."""
        return cls(store.client, store.collection_name, getattr(store, "vector_name", None))

    def stored(self, vectors: FloatMatrix) -> FloatMatrix:
        """Rounded to the collection's numbers; under cosine, at unit length."""
        half = self.numbers != np.float32
        return super().stored(unit_rows(vectors) if half and self.metric == "cosine" else vectors)

    def sidecar(self) -> Sidecar:
        """A sibling collection without vectors, named after this one."""
        return QdrantSidecar(self, self._client, f"{self._name}.nudge", self._vector)

    def mark(self) -> str | None:
        """In the collection's metadata, where the server knows such."""
        config = self._client.get_collection(self._name).config
        return (getattr(config, "metadata", None) or {}).get(_MARK) or None

    def set_mark(self, mark: str | None) -> bool:
        """In the collection's metadata, where the server knows such."""
        update, note = self._client.update_collection, {_MARK: mark or ""}
        self.with_retries("leave a note", update, self._name, metadata=note)
        return self.mark() == mark

    def canonical(self, name: str) -> str | None:
        """A whole number, or a UUID in lower case."""
        return whole_id(name, 0, (1 << 64) - 1) or uuid_id(name)

    def can_search_exactly(self) -> bool:
        """Yes."""
        return True

    def _as_filter(self, chosen: Any) -> Any:
        from qdrant_client import models

        try:
            if isinstance(chosen, str):
                return models.Filter.model_validate_json(chosen)
            return models.Filter.model_validate(chosen)
        except ValueError:
            raise DataError(
                f"filter= for {self.identity} must be a qdrant_client.models.Filter or its JSON, "
                f"got {chosen!r:.80}"
            ) from None

    def _only(self, ids: list[str]) -> Any:
        """The filter, and of its points only some."""
        from qdrant_client import models

        own = [models.HasIdCondition(has_id=list(map(_point, ids)))]
        return models.Filter(must=[*own, *([self.filter] if self.filter is not None else [])])

    def count(self) -> int:
        """Number of points."""
        given = {"count_filter": self.filter, "exact": True}
        return int(self.with_retries("count", self._client.count, self._name, **given).count)

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Id and payload of every point, page by page."""
        for point in _points(self, self._name, self.filter, with_payload=texts):
            yield str(point.id), point.payload or {}

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        wanted = [self._vector] if self._vector else True
        if self.filter is None:
            found = self._client.retrieve(
                self._name, ids=list(map(_point, ids)), with_payload=False, with_vectors=wanted
            )
        else:
            chosen = self._only(ids)
            found = _points(self, self._name, chosen, with_payload=False, with_vectors=wanted)
        for point in found:
            vector = (point.vector or {}).get(self._vector) if self._vector else point.vector
            if vector is not None:
                yield str(point.id), vector

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        from qdrant_client import models

        requests = [
            models.QueryRequest(
                query=vector,
                using=self._vector or None,
                filter=self.filter,
                limit=k,
                params=models.SearchParams(exact=True) if exact else None,
            )
            for vector in vectors.tolist()
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

        while there := {name for name, _ in self._read(ids)}:
            points = [
                models.PointVectors(
                    id=_point(name), vector={self._vector: vector} if self._vector else vector
                )
                for name, vector in zip(ids, vectors.tolist(), strict=True)
                if name in there
            ]
            try:
                self._client.update_vectors(self._name, points=points, wait=True)
                return
            except KeyError:  # local mode: a point was deleted since it was read
                if {name for name, _ in self._read(ids)} == there:
                    raise


class QdrantSidecar(Sidecar):
    """Records in the payload of a sibling collection, those of each named vector apart."""

    store: QdrantStore

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
        points = _points(self.store, self._name, chosen, with_payload=True)
        return {point.payload["key"]: point.payload["value"] for point in points}

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        from qdrant_client import models

        if not self._client.collection_exists(self._name):
            with contextlib.suppress(ValueError):  # made by somebody else meanwhile
                self._client.create_collection(self._name, vectors_config={})
        points = [
            models.PointStruct(
                id=self._id(kind, key),
                vector={},
                payload={"kind": kind, "vector": self._vector, "key": key, "value": value},
            )
            for key, value in records.items()
        ]
        self._client.upsert(self._name, points, wait=True)

    def _drop(self, kind: str, keys: list[str]) -> None:
        self._client.delete(self._name, [self._id(kind, key) for key in keys], wait=True)

    def _id(self, kind: str, key: str) -> str:
        return str(uuid.uuid5(_SPACE, f"{kind}:{self._vector}:{key}"))


def _points(
    store: QdrantStore, name: str, chosen: Any, with_vectors: Any = False, **given: Any
) -> Iterator[Any]:
    given |= {"scroll_filter": chosen, "limit": _PAGE, "with_vectors": with_vectors}
    offset: Any = None
    while True:
        scroll = store._client.scroll
        points, offset = store.with_retries("list points", scroll, name, offset=offset, **given)
        yield from points
        if offset is None:
            return


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
