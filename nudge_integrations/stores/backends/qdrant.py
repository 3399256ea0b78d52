"""Qdrant: local, a server, a cluster.

Traps: ids are whole numbers or UUIDs; vectors may have names; a point that is gone cannot be
updated, so its batch is written without it. A cosine collection normalises what is written: a
server passes over vectors that are of length 1 already, local mode does it again, on every load
too, so that there a vector is put back but for its last digit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.checks import no_such
from nudge_integrations.stores.secrets import place_of
from nudge_integrations.stores.store import (
    Hits,
    LiveStore,
    as_lists,
    checked_metric,
    finite,
)

_METRICS: dict[str, Any] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2"}
_PAGE = 1000


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
        self._client, self._name = client, collection
        if not client.collection_exists(collection):
            there = [each.name for each in client.get_collections().collections]
            raise no_such(f"Qdrant at {_where(client)}", "collection", collection, there)
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
        where = _where(client)
        self.identity = f"Qdrant collection {collection!r} at {where}"
        if vector:
            self.identity += f", vector {vector!r}"
        self.lives_on = where != "memory"
        self.owner = client
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
        return int(self._calmly("count", self._client.count, self._name, exact=True).count)

    def ids(self) -> Iterator[str]:
        """Every id."""
        offset: Any = None
        while True:
            points, offset = self._calmly(
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
            ids=[known for known in map(_point, ids) if known is not None],
            with_payload=False,
            with_vectors=[self._vector] if self._vector else True,
        )
        asked = {str(known): name for name in ids if (known := _point(name)) is not None}
        pairs = ((asked[str(point.id)], point.vector) for point in found)
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

    def _write(
        self,
        ids: list[str],
        vectors: FloatMatrix,
        expected: FloatMatrix | None,  # noqa: ARG002
    ) -> None:
        from qdrant_client import models

        there = {name for name, _ in self._read(ids)}
        points = [
            models.PointVectors(id=point, vector={self._vector: vector} if self._vector else vector)
            for name, vector in zip(ids, as_lists(vectors), strict=True)
            if name in there and (point := _point(name)) is not None
        ]
        if points:
            self._client.update_vectors(self._name, points=points, wait=True)

    def _transient(self) -> tuple[type[BaseException], ...]:
        import httpx
        from qdrant_client.http.exceptions import ResponseHandlingException

        return (httpx.TransportError, ResponseHandlingException)

    def _forbidden(self, error: BaseException) -> bool:
        return getattr(error, "status_code", None) in (401, 403)


def _point(name: str) -> int | str | None:
    """The id of a point; None for what cannot be one, so is not there."""
    if name.isascii() and name.isdigit():
        number = int(name)
        return number if number < 1 << 64 else None
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return None


def _local(client: Any) -> bool:
    return type(client._client).__name__ == "QdrantLocal"


def _where(client: Any) -> str:
    inner = client._client
    if _local(client):
        return "memory" if str(inner.location) == ":memory:" else str(inner.location)
    return place_of(str(getattr(inner, "rest_uri", "") or getattr(inner, "_rest_uri", "")))
