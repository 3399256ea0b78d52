"""PostgreSQL with pgvector: any table with an id and a vector column.

Exchanging is one statement a batch that compares what is there with what was read, so a row that
somebody wrote meanwhile is left alone. Values are parameters and names are quoted, always.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.store import (
    Hits,
    LiveStore,
    Metric,
    checked_metric,
    finite,
    is_whole,
)

_OPERATORS: dict[str, str] = {"cosine": "<=>", "dot": "<#>", "l2": "<->"}
_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "l2": "l2"}
_CLASSES: dict[str, Metric] = {
    "vector_cosine_ops": "cosine",
    "vector_ip_ops": "dot",
    "vector_l2_ops": "l2",
}
_PAGE = 5000
_PROBES = "20"
_COLUMN = """
SELECT format_type(a.atttypid, a.atttypmod), a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_INDEXES = """
SELECT m.amname, o.opcname
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
JOIN pg_opclass o ON o.oid = i.indclass[0]
WHERE n.nspname = %s AND c.relname = %s AND a.attname = %s
"""
_GRAPHS = ("hnsw", "ivfflat")


class PostgresStore(LiveStore):
    """A table of PostgreSQL with a pgvector column.

    Args:
        url: `postgresql://user:password@host:port/database`, or any libpq connection string.
        table: Its name, as it is.
        id_column: Holds the ids, of any type; unique.
        vector_column: Holds the vectors, of type `vector`.
        schema: Of the table.
        metric: How the application searches. Left out: that of the vector index, else `"cosine"`.
    """

    kind = "PostgreSQL"

    def __init__(
        self,
        url: str,
        table: str,
        id_column: str = "id",
        vector_column: str = "embedding",
        schema: str = "public",
        metric: Metric | None = None,
    ) -> None:
        psycopg = require("psycopg", "postgres")
        sql = psycopg.sql
        self._psycopg, self._url = psycopg, url
        self._lock = threading.RLock()
        self._connection: Any = None
        self._place = (schema, table)
        self._vector = vector_column
        info = psycopg.conninfo.conninfo_to_dict(url)
        where = f"{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"
        self.identity = f"PostgreSQL table {schema}.{table} at {where}, column {vector_column}"
        self._names = {
            "table": sql.Identifier(schema, table),
            "id": sql.Identifier(id_column),
            "vector": sql.Identifier(vector_column),
        }
        self._dimension = self._checked_columns(id_column, vector_column)
        self.metric = self._metric(metric)

    def _checked_columns(self, id_column: str, vector_column: str) -> int:
        found = {name: kind for kind, name in self._rows(_COLUMN, self._place)}
        if not found:
            raise StoreError(f"{self.identity}: there is no such table, or it may not be read")
        for column in (id_column, vector_column):
            if column not in found:
                raise StoreError(f"{self.identity} has no column {column!r}, only {list(found)}")
        kind = str(found[vector_column])
        if not kind.startswith("vector"):
            raise UnsupportedStoreError(
                f"{self.identity} is of type {kind}; only pgvector's `vector` can be tuned and put "
                "back to the last bit"
            )
        if "(" in kind:
            return int(kind.split("(")[1].rstrip(")"))
        rows = self._rows(self._sql("SELECT vector_dims({vector}) FROM {table} LIMIT 1"), ())
        if not rows:
            raise StoreError(f"{self.identity} is empty: add documents first")
        return int(rows[0][0])

    def _metric(self, given: Metric | None) -> Metric:
        found = {
            _CLASSES[name]
            for method, name in self._indexes()
            if method in _GRAPHS and name in _CLASSES
        }
        if given is None:
            if len(found) > 1:
                raise StoreError(f"{self.identity} has indexes by {sorted(found)}: give metric=")
            return next(iter(found), "cosine")
        return checked_metric(given, _METRICS, self.identity)

    def _indexes(self) -> list[tuple[str, str]]:
        return self._rows(_INDEXES, (*self._place, self._vector))

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return self._dimension

    @property
    def exact(self) -> bool:
        """Whether the column has no approximate index."""
        return not any(method in _GRAPHS for method, _ in self._indexes())

    def can_search_exactly(self) -> bool:
        """Yes."""
        return True

    def count(self) -> int:
        """Number of rows with a vector."""
        count = self._sql("SELECT count(*) FROM {table} WHERE {vector} IS NOT NULL")
        return int(self._calmly("count", self._rows, count, ())[0][0])

    def ids(self) -> Iterator[str]:
        """Every id, by a cursor of the server."""
        query = self._sql("SELECT {id}::text FROM {table} WHERE {vector} IS NOT NULL")
        with self._psycopg.connect(self._url) as connection, connection.cursor("ids") as cursor:
            cursor.itersize = _PAGE
            for (name,) in cursor.execute(query):
                yield name

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        query = self._sql(
            "SELECT {id}::text, {vector} FROM {table} "
            "WHERE {id} = ANY(%s::text[]::{type}[]) AND {vector} IS NOT NULL"
        )
        return self._rows(query, (self._fitting(ids),))

    def _fitting(self, ids: list[str]) -> list[str]:
        """Those ids that can be of the column's type at all."""
        if self._id_type in ("smallint", "integer", "bigint"):
            return [name for name in ids if is_whole(name)]
        if self._id_type == "uuid":
            return [name for name in ids if _is_uuid(name)]
        return [name for name in ids if "\0" not in name]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        query = self._sql(
            "SELECT {id}::text, {vector} {operator} %s AS far FROM {table} "
            "WHERE {vector} IS NOT NULL ORDER BY far LIMIT %s",
            operator=self._psycopg.sql.SQL(_OPERATORS[self.metric]),
        )
        hits = []
        with self._lock, self._connected() as connection, connection.transaction():
            if exact:
                connection.execute("SET LOCAL enable_indexscan = off")
            elif not self.exact:
                # An HNSW scan stops after ef_search rows, however many are asked for.
                deep = str(max(200, min(1000, 4 * k)))
                connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", (deep,))
                connection.execute("SELECT set_config('ivfflat.probes', %s, true)", (_PROBES,))
            for vector in vectors:
                rows = connection.execute(query, (vector, k), binary=True).fetchall()
                hits.append(finite((name, self._score(far)) for name, far in rows))
        return hits

    def _score(self, far: float) -> float:
        if self.metric == "cosine":
            return 1.0 - far
        # <#> is minus the product, <-> the distance itself
        return -far if self.metric == "dot" else -far * far

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix | None) -> None:
        compared = "" if expected is None else " AND t.{vector} = v.old::vector"
        query = self._sql(
            "UPDATE {table} AS t SET {vector} = v.new::vector "
            "FROM unnest(%s::text[]::{type}[], %s::text[], %s::text[]) AS v(id, new, old) "
            "WHERE t.{id} = v.id" + compared
        )
        fitting = set(self._fitting(ids))
        rows = [row for row, name in enumerate(ids) if name in fitting]
        texts = [
            [_literal(each[row]) for row in rows]
            for each in (vectors, expected)
            if each is not None
        ]
        self._rows(query, ([ids[row] for row in rows], texts[0], texts[-1]))

    def _transient(self) -> tuple[type[BaseException], ...]:
        errors = self._psycopg.errors
        return (
            self._psycopg.OperationalError,
            errors.SerializationFailure,
            errors.DeadlockDetected,
            errors.LockNotAvailable,
        )

    def _forbidden(self, error: BaseException) -> bool:
        errors = self._psycopg.errors
        return isinstance(error, (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction))

    def _sql(self, text: str, **more: Any) -> Any:
        sql = self._psycopg.sql
        if "{type}" in text:
            more["type"] = sql.SQL(self._id_type)
        return sql.SQL(text).format(**self._names, **more)

    @property
    def _id_type(self) -> str:
        if not hasattr(self, "_id_kind"):
            kinds = {name: kind for kind, name in self._rows(_COLUMN, self._place)}
            kind = str(kinds[self._names["id"]._obj[0]])
            known = ("smallint", "integer", "bigint", "uuid")
            self._id_kind = kind if kind in known else "text"
        return self._id_kind

    def _rows(self, query: Any, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._connected() as connection:
            cursor = connection.execute(query, values, binary=True)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """One connection for all; a broken one is made anew."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = self._psycopg.connect(self._url, autocommit=True)
            except self._psycopg.OperationalError as error:
                from nudge_integrations.stores.secrets import hidden

                raise StoreError(f"{self.identity} cannot be reached: {hidden(error)}") from None
            register = require("pgvector.psycopg", "postgres").register_vector
            try:
                register(self._connection)
            except self._psycopg.ProgrammingError:
                raise StoreError(
                    f"{self.identity}: this database has no pgvector (CREATE EXTENSION vector)"
                ) from None
        yield self._connection


def _literal(vector: Any) -> str:
    """Text that pgvector reads back to the same float32."""
    return "[" + ",".join(map(repr, vector.astype("float32").tolist())) + "]"


def _is_uuid(name: str) -> bool:
    import uuid

    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
