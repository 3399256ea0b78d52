"""Milvus: Milvus Lite, a server, a cluster.

Traps: an upsert puts back a row that is gone, so rows are written only where they are found; a
partial one keeps the other fields; strings have a largest length; ids stand in filters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.checks import no_such
from nudge_integrations.stores.secrets import place_of
from nudge_integrations.stores.store import (
    Hits,
    LiveStore,
    Metric,
    as_lists,
    checked_metric,
    finite,
    is_whole,
)

_METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "l2"}
_EXACT = ("FLAT", "AUTOINDEX_FLAT")


class MilvusStore(LiveStore):
    """A Milvus collection.

    Args:
        client: `pymilvus.MilvusClient`.
        collection: Its name.
        vector_field: Holds the vectors; left out: the only one of float32.
    """

    kind = "Milvus"
    batch = 500

    def __init__(self, client: Any, collection: str, vector_field: str | None = None) -> None:
        self._client, self._name = client, collection
        if not client.has_collection(collection):
            there = client.list_collections()
            raise no_such(f"Milvus at {_where(client)}", "collection", collection, there)
        fields = client.describe_collection(collection)["fields"]
        vectors = [each for each in fields if _type(each) == "FLOAT_VECTOR"]
        names = [each["name"] for each in vectors]
        if vector_field is None and len(names) == 1:
            vector_field = names[0]
        if vector_field not in names:
            raise StoreError(
                f"Milvus collection {collection!r} has float32 vectors in {name_some(names)}: say "
                f"which with vector_field=..., not {vector_field!r}"
            )
        self._vector = str(vector_field)
        key = next(each for each in fields if each.get("is_primary"))
        self._id, self._whole = key["name"], _type(key) == "INT64"
        self._dimension = int(vectors[names.index(self._vector)]["params"]["dim"])
        where = _where(client)
        self.identity = f"Milvus collection {collection!r} at {where}, field {self._vector}"
        index = self._index()
        self.metric = checked_metric(index.get("metric_type"), _METRICS, self.identity)
        self._exact = index.get("index_type") in _EXACT
        # A process that opens Milvus Lite anew finds its collections released: not to be searched.
        self._calmly("load", client.load_collection, collection)
        if any(each.get("auto_id") for each in fields):
            raise UnsupportedStoreError(
                f"{self.identity} numbers its rows itself (auto_id), so a vector cannot be "
                "exchanged under its id; make the collection with ids of your own"
            )

    def _index(self) -> dict[str, Any]:
        names = self._client.list_indexes(self._name, field_name=self._vector)
        if not names:
            raise StoreError(f"{self.identity} has no index on {self._vector!r}, so no metric")
        found: dict[str, Any] = self._client.describe_index(self._name, names[0])
        return found

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return self._dimension

    @property
    def exact(self) -> bool:
        """Whether the index is a flat one."""
        return self._exact

    def count(self) -> int:
        """Number of rows."""
        found = self._calmly(
            "count", self._client.query, self._name, filter="", output_fields=["count(*)"]
        )
        return int(found[0]["count(*)"])

    def ids(self) -> Iterator[str]:
        """Every id."""
        pages = self._client.query_iterator(
            self._name, batch_size=self.batch, output_fields=[self._id]
        )
        try:
            while page := pages.next():
                yield from (str(row[self._id]) for row in page)
        finally:
            pages.close()

    def _key(self, name: str) -> Any:
        if not self._whole:
            return name
        return int(name) if is_whole(name) else None

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        keys = [key for key in map(self._key, ids) if key is not None]
        if not keys:
            return []
        # Not get(ids=...), which puts a backslash into its filter as it is.
        found = self._client.query(
            self._name,
            filter=f"{self._id} in [{', '.join(map(_literal, keys))}]",
            output_fields=[self._id, self._vector],
        )
        return [(str(row[self._id]), row[self._vector]) for row in found]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        found = self._client.search(
            self._name,
            data=as_lists(vectors),
            anns_field=self._vector,
            limit=k,
            output_fields=[self._id],
        )
        # COSINE and IP are scores already; L2 is the squared distance.
        sign = -1.0 if self.metric == "l2" else 1.0
        return [
            finite((str(hit[self._id]), sign * hit["distance"]) for hit in each) for each in found
        ]

    def _write(
        self,
        ids: list[str],
        vectors: FloatMatrix,
        expected: FloatMatrix | None,  # noqa: ARG002
    ) -> None:
        there = {name for name, _ in self._read(ids)}
        rows = [
            {self._id: self._key(name), self._vector: vector}
            for name, vector in zip(ids, as_lists(vectors), strict=True)
            if name in there
        ]
        if rows:
            self._client.upsert(self._name, rows, partial_update=True)

    def _transient(self) -> tuple[type[BaseException], ...]:
        from pymilvus.exceptions import MilvusUnavailableException

        return (MilvusUnavailableException,)

    def _forbidden(self, error: BaseException) -> bool:
        return "permission deny" in str(error).lower()


def _literal(key: str | int) -> str:
    if isinstance(key, int):
        return str(key)
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _type(field: dict[str, Any]) -> str:
    kind = field["type"]
    return str(getattr(kind, "name", kind))


def _where(client: Any) -> str:
    """The file of a Milvus Lite, whose port is another one in every process; else the address."""
    uri = str(getattr(getattr(client, "_config", None), "uri", ""))
    lite = sys.modules.get("milvus_lite.server_manager")
    manager = getattr(lite, "server_manager_instance", None)
    for path, (*_, port) in dict(getattr(manager, "_servers", {})).items():
        if uri.endswith(f":{port}"):
            return str(path)
    return place_of(uri) if "://" in uri else uri
