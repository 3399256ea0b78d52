"""Milvus: Milvus Lite, a server, a cluster.

Traps: an upsert puts back a row that is gone, so rows are written only where they are found; a
partial one keeps the other fields; strings have a largest length; ids stand in filters.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores.formats import Hits, Metric, checked_metric, finite, whole_id
from nudge_integrations.stores.places import existing_path, is_web, no_such, shown_place
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "l2"}
_MARK, _SIDECAR = "nudge_journal", "nudge_sidecar"
_LONGEST = 16_000  # characters of at most four bytes
_PAGE, _WINDOW = 500, 2000
_EXACT = ("FLAT", "AUTOINDEX_FLAT")


class MilvusStore(LiveStore):
    """A Milvus collection; filters are Milvus expressions.

    Args:
        client: `pymilvus.MilvusClient`.
        collection: Its name.
        vector_field: Holds the vectors; left out: the only one of float32.
    """

    kind = "Milvus"
    batch = 500
    dimension = 0
    exact = False

    def __init__(self, client: Any, collection: str, vector_field: str | None = None) -> None:
        self._client, place = client, _where(client)
        if not client.has_collection(collection):
            there = client.list_collections()
            raise no_such(f"Milvus at {place}", "collection", collection, there)
        described = client.describe_collection(collection)
        # An alias, resolved.
        self._name = collection = described["collection_name"]
        self._fields = described["fields"]
        sizes = {
            each["name"]: int(each["params"]["dim"])
            for each in self._fields
            if _type(each) == "FLOAT_VECTOR"
        }
        if vector_field is None and len(sizes) == 1:
            vector_field = next(iter(sizes))
        if vector_field not in sizes:
            raise StoreError(
                f"Milvus collection {collection!r} has float32 vectors in "
                f"{name_some(list(sizes)) or 'no field'}: say which with vector_field=..., not "
                f"{vector_field!r}"
            )
        self._vector = str(vector_field)
        self.dimension = sizes[self._vector]
        key = next(each for each in self._fields if each.get("is_primary"))
        self._id, self._whole = key["name"], _type(key) == "INT64"
        self._dynamic = bool(described.get("enable_dynamic_field"))
        self.identity = f"Milvus collection {collection!r} at {place}, field {self._vector}"
        database = getattr(getattr(client, "_config", None), "db_name", "") or ""
        number = described.get("collection_id") or collection
        self.uid = f"milvus {place} {database} {number} {self._vector}"
        index = self._index()
        self.metric = checked_metric(index.get("metric_type"), _METRICS, self.identity)
        self.exact = index.get("index_type") in _EXACT
        # A process that opens Milvus Lite anew finds its collections released: not to be searched.
        self.with_retries("load", client.load_collection, collection)
        if any(each.get("auto_id") for each in self._fields):
            raise UnsupportedStoreError(
                f"{self.identity} numbers its rows itself (auto_id), so a vector cannot be "
                "exchanged under its id; make the collection with ids of your own"
            )

    @classmethod
    def from_address(
        cls, where: str, collection: str, vector_field: str | None = None
    ) -> MilvusStore:
        """`milvus:FILE#COLLECTION` or `milvus:http://HOST:PORT#COLLECTION`."""
        client = require("pymilvus", "milvus").MilvusClient
        if is_web(where):
            opened = client(where, token=os.environ.get("MILVUS_TOKEN", ""))
        else:
            opened = client(str(existing_path(where)))
        return cls(opened, collection, vector_field)

    @classmethod
    def from_langchain(cls, store: Any) -> MilvusStore:
        """LangChain's `Milvus`."""
        field = store._vector_field
        return cls(store.client, store.collection_name, field if isinstance(field, str) else None)

    def sidecar(self) -> Sidecar:
        """A sibling collection whose name stands in a property of this one."""
        return MilvusSidecar(self)

    def noted(self, name: str) -> str | None:
        """A property of the collection, which survives a new name."""
        describe = self._client.describe_collection
        found = self.with_retries("read its properties", describe, self._name)
        return (found.get("properties") or {}).get(name) or None

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the collection."""
        alter = self._client.alter_collection_properties
        self.with_retries("leave a note", alter, self._name, properties={name: value})

    def mark(self) -> str | None:
        """In a property."""
        return self.noted(_MARK)

    def set_mark(self, mark: str | None) -> bool:
        """In a property."""
        self.set_property(_MARK, mark or "")
        return True

    def canonical(self, name: str) -> str | None:
        """Text, or a whole number of 64 bits."""
        return whole_id(name, -(1 << 63), (1 << 63) - 1) if self._whole else name

    def _index(self) -> dict[str, Any]:
        names = self._client.list_indexes(self._name, field_name=self._vector)
        if not names:
            raise StoreError(f"{self.identity} has no index on {self._vector!r}, so no metric")
        found: dict[str, Any] = self._client.describe_index(self._name, names[0])
        return found

    def _as_filter(self, chosen: Any) -> str:
        if not isinstance(chosen, str):
            raise DataError(f"filter= for {self.identity} must be text, got {chosen!r:.80}")
        self.with_retries("filter", self._client.query, self._name, filter=chosen, limit=1)
        return f"({chosen})"

    def count(self) -> int:
        """Number of rows."""
        wanted = {"filter": self.filter or "", "output_fields": ["count(*)"]}
        found = self.with_retries("count", self._client.query, self._name, **wanted)
        return int(found[0]["count(*)"])

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Id and all fields but the vector of every row, page by page."""
        fields = [self._id]
        if texts:
            fields += [*self._rest(), *(["*"] if self._dynamic else [])]
        for row in _pages(self._client, self._name, self.filter or "", fields):
            row.pop(self._vector, None)
            yield str(row[self._id]), row

    def _rest(self) -> list[str]:
        """Fields that are neither the id nor a vector."""
        return [
            each["name"]
            for each in self._fields
            if not (each.get("is_primary") or each.get("is_function_output"))
            and "VECTOR" not in _type(each)
        ]

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        return [(str(row[self._id]), row[self._vector]) for row in self._rows(ids, [self._vector])]

    def _rows(self, ids: Iterable[str], fields: list[str]) -> Any:
        # Not get(ids=...), which puts a backslash into its filter as it is.
        wanted = f"{self._id} in [{', '.join(_literal(self._key(name)) for name in ids)}]"
        return self._client.query(
            self._name,
            filter=f"{wanted} and {self.filter}" if self.filter else wanted,
            output_fields=[self._id, *fields],
        )

    def _key(self, name: str) -> Any:
        return int(name) if self._whole else name

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        found = self._client.search(
            self._name,
            data=vectors.tolist(),
            anns_field=self._vector,
            filter=self.filter or "",
            limit=k,
            output_fields=[self._id],
        )
        # COSINE and IP are scores already; L2 is the squared distance.
        sign = -1.0 if self.metric == "l2" else 1.0
        return [
            finite((str(hit[self._id]), sign * hit["distance"]) for hit in each) for each in found
        ]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:  # noqa: ARG002
        rest = self._rest()
        before = {str(row[self._id]): row for row in self._rows(ids, rest)}
        rows = [
            {self._id: self._key(name), self._vector: vector}
            for name, vector in zip(ids, vectors.tolist(), strict=True)
            if name in before
        ]
        if not rows:
            return
        self._client.upsert(self._name, rows, partial_update=True)
        # A row that was deleted in between came back without its other fields.
        ghosts = [
            row[self._id]
            for row in (self._rows(before, rest) if rest else ())
            if all(row.get(name) is None for name in rest)
            and any(before[str(row[self._id])].get(name) is not None for name in rest)
        ]
        if ghosts:
            self._client.delete(self._name, ids=ghosts)


class MilvusSidecar(Sidecar):
    """Records in a sibling collection; long ones in parts, since strings have a largest length."""

    store: MilvusStore

    def __init__(self, store: MilvusStore) -> None:
        self._client = store._client
        super().__init__(store, "a sibling collection of the same Milvus database")

    def _name(self) -> str | None:
        name = self.store.noted(_SIDECAR)
        if name is None or not self._client.has_collection(name):
            return None
        self.where = f"Milvus collection {name!r}"
        return name

    def _create(self) -> str:
        from pymilvus import DataType

        name = f"nudge_{secrets.token_hex(8)}"
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=65_535)
        for field in ("kind", "key", "value"):
            schema.add_field(field, DataType.VARCHAR, max_length=65_535)
        schema.add_field("part", DataType.INT64)
        # Milvus insists on a vector; it is never searched.
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        self._client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )
        self.store.set_property(_SIDECAR, name)
        return name

    def _load(self, kind: str) -> Mapping[str, str]:
        parts: dict[str, dict[int, str]] = {}
        for row in self._rows(f"kind == {_literal(kind)}", ["key", "part", "value"]):
            parts.setdefault(row["key"], {})[row["part"]] = row["value"]
        return {key: "".join(each[part] for part in sorted(each)) for key, each in parts.items()}

    def _rows(self, chosen: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        name = self._name()
        if name is not None:
            self._client.load_collection(name)
            yield from _pages(self._client, name, chosen, fields)

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        name = self._name() or self._create()
        rows = [
            {"id": f"{kind}:{key}:{part}", "kind": kind, "key": key, "part": part}
            | {"value": value[start : start + _LONGEST], "vector": [0.0, 1.0]}
            for key, value in records.items()
            for part, start in enumerate(range(0, max(1, len(value)), _LONGEST))
        ]
        longer = set(self._parts(kind, records)) - {row["id"] for row in rows}
        self._client.upsert(name, rows)
        if longer:
            self._client.delete(name, ids=sorted(longer))

    def _drop(self, kind: str, keys: list[str]) -> None:
        gone = self._parts(kind, keys)
        if gone:
            self._client.delete(self._name(), ids=gone)

    def _parts(self, kind: str, keys: Iterable[str]) -> list[str]:
        listed = ", ".join(map(_literal, keys))
        chosen = f"kind == {_literal(kind)} and key in [{listed}]"
        return [row["id"] for row in self._rows(chosen, ["id"])]


def _pages(client: Any, name: str, chosen: str, fields: list[str]) -> Iterator[dict[str, Any]]:
    given = {"filter": chosen, "output_fields": fields}
    # An iterator takes several calls, and most of what is kept of a tuning is short.
    page = client.query(name, limit=_WINDOW, **given)
    if len(page) < _WINDOW:
        yield from page
        return
    with contextlib.closing(client.query_iterator(name, batch_size=_PAGE, **given)) as pages:
        while page := pages.next():
            yield from page


def _literal(key: str | int) -> str:
    return json.dumps(key, ensure_ascii=False)


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
    return shown_place(uri) if "://" in uri else uri
