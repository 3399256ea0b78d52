"""PostgreSQL with pgvector: any table with an id and a vector column.

Vectors are replaced by one statement a batch that compares what is there with what was read, so a
row that somebody wrote meanwhile is left alone. Values are parameters and names are quoted, always.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.backends.postgres_sidecar import (
    PostgresSidecar,
    libpq,
    literal,
    parsed,
)
from nudge_integrations.stores.formats import (
    Hits,
    Metric,
    checked_metric,
    finite,
    uuid_id,
    whole_id,
)
from nudge_integrations.stores.places import hidden
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_OPERATORS: dict[str, str] = {"cosine": "<=>", "dot": "<#>", "l2": "<->"}
_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "l2": "l2"}
_STRATEGIES: dict[str, Metric] = {
    "COSINE_DISTANCE": "cosine",
    "INNER_PRODUCT": "dot",
    "EUCLIDEAN": "l2",
}
_CLASSES: dict[str, Metric] = {
    "vector_cosine_ops": "cosine",
    "vector_ip_ops": "dot",
    "vector_l2_ops": "l2",
}
_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_PAGE = 5000
_PROBES = "20"
_COLUMN = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_PLACE = """
SELECT c.oid, d.oid, current_database(), c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_database d
WHERE n.nspname = %s AND c.relname = %s AND d.datname = current_database()
"""
# The column itself, or an expression of it such as (embedding::vector(3)).
_INDEXES = """
SELECT m.amname, o.opcname
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
JOIN pg_opclass o ON o.oid = i.indclass[0]
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = %s
WHERE i.indrelid = %s AND (i.indkey[0] = a.attnum OR (i.indkey[0] = 0 AND EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = i.indexrelid AND d.refobjid = i.indrelid
  AND d.refobjsubid = a.attnum)))
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
        self._vector = vector_column
        info = parsed(psycopg, url)
        self.secrets = tuple(str(info[k]) for k in ("password", "sslpassword") if info.get(k))
        where = ", ".join(f"{k} {info[k]}" for k in ("host", "port", "dbname") if info.get(k))
        self.identity = f"PostgreSQL table {schema}.{table}" + (f" at {where}" if where else "")
        self._names = {
            name: sql.Identifier(*(each.replace("%", "%%") for each in parts))
            for name, parts in (
                ("table", (schema, table)),
                ("id", (id_column,)),
                ("vector", (vector_column,)),
                ("sidecar", (schema, "nudge_originals")),
            )
        }
        found = self.with_retries("look for the table", self._rows, _PLACE, (schema, table))
        if not found:
            raise StoreError(f"{self.identity}: there is no such table, or it may not be read")
        self.oid, database, name, _ = found[0]
        self.uid = f"postgresql {self._system()}/{database}/{self.oid}/{vector_column}"
        self.identity = f"PostgreSQL table {schema}.{table} in database {name}" + (
            f" at {where}" if where else ""
        )
        self._id_type = "text"
        self._dimension = self._checked_columns(id_column, vector_column)
        self.metric = self._metric(metric)

    @classmethod
    def from_address(
        cls,
        where: str,
        collection: str,
        id_column: str = "id",
        vector_column: str = "embedding",
        metric: Metric | None = None,
        schema: str = "public",
    ) -> PostgresStore:
        """`postgresql://USER@HOST/DATABASE#TABLE`, or `#SCHEMA.TABLE`."""
        named, _, table = collection.rpartition(".")
        return cls(where, table, id_column, vector_column, named or schema, metric)

    @classmethod
    def from_langchain(cls, store: Any) -> PostgresStore:
        """LangChain's `PGVectorStore`."""
        inner = store._PGVectorStore__vs
        strategy = str(getattr(inner.distance_strategy, "name", inner.distance_strategy))
        return cls(
            libpq(inner.engine.url),
            inner.table_name,
            inner.id_column,
            inner.embedding_column,
            inner.schema_name,
            _STRATEGIES.get(strategy),
        )

    @classmethod
    def from_llama_index(cls, store: Any) -> PostgresStore:
        """LlamaIndex's `PGVectorStore`."""
        engine = getattr(store, "_engine", None)
        url = engine.url if engine is not None else store.connection_string
        table = f"data_{store.table_name}"
        return cls(libpq(url), table, "node_id", "embedding", store.schema_name, "cosine")

    def _system(self) -> str:
        try:
            return str(self._rows("SELECT system_identifier FROM pg_control_system()", ())[0][0])
        except self._psycopg.Error:  # a managed service that does not let its users ask
            return "server"

    def _checked_columns(self, id_column: str, vector_column: str) -> int:
        found = dict(self._rows(_COLUMN, (self.oid,)))
        for column in (id_column, vector_column):
            if column not in found:
                raise StoreError(f"{self.identity} has no column {column!r}, only {list(found)}")
        if found[id_column] in (*_BITS, "uuid"):
            self._id_type = found[id_column]
        kind = str(found[vector_column]).rpartition(".")[2]
        if not re.match(r"vector\b", kind):
            raise UnsupportedStoreError(
                f"{self.identity} is of type {kind}; only pgvector's `vector` can be tuned and put "
                "back to the last bit"
            )
        if id_column == "id" and "collection_id" in found and "cmetadata" in found:
            self._one_collection()
        if "(" in kind:
            return int(kind.split("(")[1].rstrip(")"))
        rows = self._rows(
            self._sql(
                "SELECT vector_dims({vector}) AS d FROM (SELECT {vector} FROM {table} "
                "WHERE {vector} IS NOT NULL LIMIT 1000) AS some "
                "GROUP BY d ORDER BY count(*) DESC LIMIT 1"
            ),
            (),
        )
        if not rows:
            raise StoreError(f"{self.identity} is empty: add documents first")
        return int(rows[0][0])

    def _one_collection(self) -> None:
        """Refuse the table that LangChain's older `PGVector` shares between collections."""
        rows = self._rows(self._sql("SELECT count(DISTINCT collection_id) FROM {table}"), ())
        if int(rows[0][0]) > 1:
            raise UnsupportedStoreError(
                f"{self.identity} holds {rows[0][0]} collections in one table, so their documents "
                "would be tuned against each other: give each collection a table of its own "
                "(langchain_postgres.PGVectorStore does)"
            )

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
        return self._rows(_INDEXES, (self._vector, self.oid))

    def sidecar(self) -> Sidecar:
        """A table in the same schema, whose rows belong to this table's oid."""
        return PostgresSidecar(self)

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

    def canonical(self, name: str) -> str | None:
        """As the type of the id column spells it."""
        if self._id_type in _BITS:
            limit = 1 << _BITS[self._id_type]
            return whole_id(name, -limit, limit - 1)
        if self._id_type == "uuid":
            return uuid_id(name)
        return None if "\0" in name else name

    def count(self) -> int:
        """Number of rows with a vector."""
        count = self._sql("SELECT count(*) FROM {table} WHERE {vector} IS NOT NULL")
        return int(self.with_retries("count", self._rows, count, ())[0][0])

    def ids(self) -> Iterator[str]:
        """Every id, by a cursor of the server."""
        query = self._sql("SELECT {id}::text FROM {table} WHERE {vector} IS NOT NULL")
        with self._connect() as connection, connection.cursor("ids") as cursor:
            cursor.itersize = _PAGE
            for (name,) in cursor.execute(query, ()):
                yield name

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:  # noqa: ARG002
        """Id and all columns of every row."""
        query = "SELECT {id}::text, to_jsonb(t) FROM {table} t WHERE {vector} IS NOT NULL"
        yield from self._rows(self._sql(query), ())

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        query = self._sql(
            "SELECT {id}::text, {vector} FROM {table} "
            "WHERE {id} = ANY(%s::text[]::{type}[]) AND {vector} IS NOT NULL"
        )
        return self._rows(query, (ids,))

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

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        query = self._sql(
            "UPDATE {table} AS t SET {vector} = v.new::vector "
            "FROM unnest(%s::text[]::{type}[], %s::text[], %s::text[]) AS v(id, new, old) "
            "WHERE t.{id} = v.id AND vector_dims(t.{vector}) = %s AND t.{vector} = v.old::vector"
        )
        new, old = ([literal(row) for row in each] for each in (vectors, expected))
        self._rows(query, (ids, new, old, self._dimension))

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
        return sql.SQL(text).format(**self._names, type=sql.SQL(self._id_type), **more)

    def _rows(self, query: Any, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._connected() as connection:
            cursor = connection.execute(query, values, binary=True)
            return cursor.fetchall() if cursor.description else []

    def _connect(self, **given: Any) -> Any:
        try:
            # Poolers hand one session to many clients: nothing may be prepared in it.
            return self._psycopg.connect(self._url, prepare_threshold=None, **given)
        except self._psycopg.Error as error:
            shown = hidden(error, self.secrets)
            raise StoreError(f"{self.identity} cannot be reached: {shown}") from None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """One connection for all; a broken one is replaced."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(autocommit=True)
            register = require("pgvector.psycopg", "postgres").register_vector
            try:
                register(self._connection)
            except self._psycopg.ProgrammingError:
                raise StoreError(
                    f"{self.identity}: this database has no pgvector (CREATE EXTENSION vector)"
                ) from None
        yield self._connection
