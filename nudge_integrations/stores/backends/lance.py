"""LanceDB tables.

Traps: rows come back in any order; adding an id again makes a second row, so vectors are exchanged
by merging the id and vector columns alone into rows that match; ids stand in SQL and are quoted.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores.formats import (
    METRICS,
    Hits,
    Metric,
    checked_metric,
    finite,
    similarity,
    whole_id,
)
from nudge_integrations.stores.places import existing_path, no_such, shown_place
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_PAGE = 4096
_PROBES, _REFINE, _BEAM = 50, 3, 1000


class LanceStore(LiveStore):
    """A LanceDB table; filters are SQL conditions on its columns.

    Args:
        table: `lancedb.table.Table`.
        id_column: Holds the ids; strings or whole numbers.
        vector_column: Holds the vectors, of float32 or float16.
        metric: How the application searches; LanceDB itself takes l2 where nothing is said. Left
            out: that of the vector index, else `"l2"`.
    """

    kind = "LanceDB"
    dimension = 0

    def __init__(
        self,
        table: Any,
        id_column: str = "id",
        vector_column: str = "vector",
        metric: Metric | None = None,
    ) -> None:
        import pyarrow as pa

        self._table, self._id, self._vector = table, id_column, vector_column
        place = str(getattr(table, "uri", None) or table.name)
        place = shown_place(place) if "://" in place else str(Path(place).resolve())
        self.identity = f"LanceDB table {place}"
        self.uid = f"lancedb {place} {vector_column}"
        if vector_column != "vector":
            self.identity += f", column {vector_column!r}"
        schema = table.schema
        for column in (id_column, vector_column):
            if column not in schema.names:
                raise StoreError(f"{self.identity} has no column {column!r}, only {schema.names}")
        kind = schema.field(vector_column).type
        numbers = {pa.float32(): np.float32, pa.float16(): np.float16}
        if not pa.types.is_fixed_size_list(kind) or kind.value_type not in numbers:
            raise UnsupportedStoreError(
                f"{self.identity}: column {vector_column!r} is {kind}; only lists of float32 or "
                "float16 of one length can be tuned"
            )
        self.numbers, self.dimension = numbers[kind.value_type], int(kind.list_size)
        self._types = schema.field(id_column).type, kind
        self._whole = pa.types.is_integer(self._types[0])
        self.metric = self._metric(metric)
        self._writing = threading.Lock()

    @classmethod
    def from_address(
        cls,
        where: str,
        collection: str,
        id_column: str = "id",
        vector_column: str = "vector",
        metric: Metric | None = None,
    ) -> LanceStore:
        """`lancedb:FOLDER#TABLE`."""
        lancedb = require("lancedb", "lancedb")
        database = lancedb.connect(where if "://" in where else str(existing_path(where)))
        try:
            table = database.open_table(collection)
        except (ValueError, FileNotFoundError):
            tables = list(database.list_tables().tables)
            shown = f"LanceDB at {shown_place(where)}"
            raise no_such(shown, "table", collection, tables) from None
        return cls(table, id_column, vector_column, metric)

    @classmethod
    def from_llama_index(cls, store: Any, metric: Metric | None = None) -> LanceStore:
        """LlamaIndex's `LanceDBVectorStore`."""
        return cls(store.table, "id", store.vector_column_name, metric)

    def sidecar(self) -> Sidecar:
        """A sibling table, named after this one."""
        return LanceSidecar(self, self._table)

    def canonical(self, name: str) -> str | None:
        """Text, or a whole number that the column can hold."""
        if not self._whole:
            return name
        bits, signed = self._types[0].bit_width, not str(self._types[0]).startswith("u")
        low = -(1 << (bits - 1)) if signed else 0
        return whole_id(name, low, (1 << (bits - signed)) - 1)

    def _metric(self, given: Metric | None) -> Metric:
        index = self._index()
        stats = None if index is None else self._table.index_stats(index.name)
        name = getattr(stats, "distance_type", None)
        found = checked_metric(str(name).lower(), METRICS, self.identity) if name else None
        if given is None:
            return found or "l2"
        wanted = checked_metric(given, METRICS, self.identity)
        if found not in (None, wanted):
            raise StoreError(
                f"{self.identity} has an index by {found!r}, so metric={given!r} would rank "
                "otherwise than the application does"
            )
        return wanted

    def _index(self) -> Any:
        """The index of the vector column; None if it has none."""
        found = (each for each in self._table.list_indices() if self._vector in each.columns)
        return next(found, None)

    @property
    def exact(self) -> bool:
        """Whether the vector column has no index."""
        return self._index() is None

    def can_search_exactly(self) -> bool:
        """Yes."""
        return True

    def _as_filter(self, chosen: Any) -> str:
        if not isinstance(chosen, str):
            raise DataError(f"filter= for {self.identity} must be SQL text, got {chosen!r:.80}")
        self.with_retries("filter", self._table.count_rows, chosen)
        return f"({chosen})"

    def count(self) -> int:
        """Number of rows."""
        return int(self.with_retries("count", self._table.count_rows, self.filter))

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Id and all columns but the vector of every row, page by page."""
        columns = [each for each in self._table.schema.names if each != self._vector]
        query = self._table.search().select(columns if texts else [self._id])
        for batch in (query.where(self.filter) if self.filter else query).to_batches(_PAGE):
            yield from ((str(row[self._id]), row) for row in batch.to_pylist())

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        # An open table does not see what other processes wrote since.
        self._table.checkout_latest()
        known = ids if self._whole else [_quoted(name) for name in ids]
        wanted = f"{_quoted(self._id, '`')} IN ({', '.join(known)})"
        found = (
            self._table.search()
            .where(f"{wanted} AND {self.filter}" if self.filter else wanted)
            .select([self._id, self._vector])
            .limit(None)
            .to_arrow()
        )
        parts = [
            chunk.flatten().to_numpy(zero_copy_only=False)
            for chunk in found.column(self._vector).chunks
        ]
        flat = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        names = map(str, found.column(self._id).to_pylist())
        return zip(names, flat.astype(np.float32).reshape(-1, self.dimension), strict=True)

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        query = (
            self._table.search(vectors, vector_column_name=self._vector)
            .distance_type(self.metric)
            .select([self._id, "_distance"])
            .limit(k)
        )
        if self.filter:
            query = query.where(self.filter, prefilter=True)
        if exact:
            query = query.bypass_vector_index()
        elif (index := self._index()) is not None:
            # Compressed vectors give rough distances: those found are compared by their own. A
            # graph is looked through by its beam, which is cheap beside reading more vectors.
            graph = "HNSW" in str(index.index_type).upper()
            query = query.nprobes(_PROBES).refine_factor(1 if graph else _REFINE)
            query = query.ef(max(_BEAM, 4 * k)) if graph else query
        found = query.to_arrow()
        owners = np.zeros(len(found), np.int64)
        if "query_index" in found.column_names:
            owners = found.column("query_index").to_numpy()
        hits: list[Hits] = [[] for _ in vectors]
        names, far = found.column(self._id).to_pylist(), found.column("_distance").to_pylist()
        for owner, name, distance in zip(owners.tolist(), names, far, strict=True):
            if distance is not None:
                hits[owner].append((str(name), similarity(self.metric, distance)))
        return [finite(each) for each in hits]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:  # noqa: ARG002
        import pyarrow as pa

        names = pa.array([int(name) for name in ids] if self._whole else ids)
        flat = pa.array(vectors.astype(self.numbers).ravel())
        lists = pa.FixedSizeListArray.from_arrays(flat, self.dimension)
        columns = {self._id: names.cast(self._types[0]), self._vector: lists}
        with self._writing:
            self._table.merge_insert(self._id).when_matched_update_all().execute(pa.table(columns))


class LanceSidecar(Sidecar):
    """Records in a sibling table. Before the first of them, the table's version gets a tag."""

    def __init__(self, store: LanceStore, table: Any) -> None:
        self._of, self._name = table, f"{table.name}.nudge"
        self._field = store._vector
        super().__init__(store, f"LanceDB table {self._name!r}")

    def _open(self, create: bool = False) -> Any:
        """The sibling; None if there is none."""
        import pyarrow as pa

        database = self._of._conn
        try:
            return database.open_table(self._name)
        except (ValueError, FileNotFoundError):
            if not create:
                return None
        with contextlib.suppress(Exception):  # a convenience that old releases do not have
            self._of.tags.create("before-nudge", self._of.version)
        columns = [pa.field(name, pa.large_string()) for name in ("id", "kind", "key", "value")]
        return database.create_table(self._name, schema=pa.schema(columns), exist_ok=True)

    def _load(self, kind: str) -> Mapping[str, str]:
        table = self._open()
        if table is None:
            return {}
        chosen = f"kind = {_quoted(f'{self._field}/{kind}')}"
        found = table.search().where(chosen).select(["key", "value"]).limit(None).to_arrow()
        return dict(
            zip(*(found.column(each).to_pylist() for each in ("key", "value")), strict=True)
        )

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        import pyarrow as pa

        field = f"{self._field}/{kind}"
        rows = [
            {"id": f"{field}:{key}", "kind": field, "key": key, "value": value}
            for key, value in records.items()
        ]
        sibling = self._open(create=True)
        merge = sibling.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(pa.Table.from_pylist(rows, schema=sibling.schema))

    def _drop(self, kind: str, keys: list[str]) -> None:
        table = self._open()
        if table is not None and keys:
            ids = ", ".join(_quoted(f"{self._field}/{kind}:{key}") for key in keys)
            table.delete(f"id IN ({ids})")


def _quoted(text: str, mark: str = "'") -> str:
    return mark + text.replace(mark, mark + mark) + mark
