"""PostgreSQL with pgvector: any table with an id column and a `vector` or `halfvec` column.

A batch is written by one statement. It changes a row only if the row still holds what was read and
its original is in the sidecar, and notes there when it did. Values are parameters, names quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores.backends.postgres_sidecar import Connected, PostgresSidecar, libpq
from nudge_integrations.stores.formats import (
    METRICS,
    Hits,
    Metric,
    checked_metric,
    finite,
    uuid_id,
    whole_id,
)
from nudge_integrations.stores.places import no_such
from nudge_integrations.stores.sidecar import Sidecar

# The operator of each metric, and its score from what the operator gives.
_OPERATORS = {"cosine": ("<=>", "1 - far"), "dot": ("<#>", "-far"), "l2": ("<->", "-far * far")}
# As they occur in names of operator classes and of LangChain's strategies.
_CALLED: dict[str, Metric] = {"cos": "cosine", "ip": "dot", "inner": "dot", "l2": "l2", "eu": "l2"}
_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_SHARED = "langchain_pg_embedding"
_PLACE = """SELECT c.oid, d.oid, datname FROM pg_class c, pg_namespace n, pg_database d
WHERE n.oid = relnamespace AND nspname = %s AND relname = %s AND datname = current_database()"""
_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped"""
# On the column itself, or on an expression of it such as (embedding::halfvec(3072)).
_INDEXES = """SELECT opcname, pg_get_indexdef(i.indexrelid, 1, false) FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
JOIN pg_opclass o ON o.oid = indclass[0] JOIN pg_attribute a ON attrelid = indrelid
WHERE attname = %s AND indrelid = %s AND indisvalid AND amname IN ('hnsw', 'ivfflat')
AND opcname ~ '^(vector|halfvec)_(cosine|ip|l2)_ops$' AND (indkey[0] = attnum OR EXISTS (
  SELECT FROM pg_depend WHERE indkey[0] = 0 AND objid = indexrelid AND refobjid = indrelid
  AND refobjsubid = attnum))"""
_COLLECTIONS = """SELECT name, uuid::text FROM langchain_pg_collection
WHERE uuid IN (SELECT collection_id FROM {table})"""
_ROWS = "(SELECT * FROM {table} WHERE {vector} IS NOT NULL AND {filter}) AS stored"
_COMMONEST = """SELECT mode() WITHIN GROUP (ORDER BY size)
FROM (SELECT vector_dims({vector}) AS size FROM {rows} LIMIT 1000) AS sizes"""
# An HNSW scan ends after ef_search rows, however many are asked for, unless it is iterative, as
# from pgvector 0.8 on. Settings are known only once a vector made the server load pgvector.
_DEEPER = """SELECT set_config(name, value, true) FROM (VALUES ('hnsw.ef_search', %s),
  ('ivfflat.probes', '20'), ('hnsw.iterative_scan', 'strict_order')) AS given (name, value)
WHERE vector_dims('[1]'::vector) = 1 AND current_setting(name, true) IS NOT NULL"""
# No index serves the order by a sum.
_NEAREST = """SELECT id, {score} FROM (
  SELECT {id}::text AS id, 0 + ({vector}::vector {operator} %(vector)b) AS far FROM {rows}
  ORDER BY {order} LIMIT %(k)s) AS nearest"""
# Rows that somebody else changed are left alone; vectors of other sizes cannot be compared.
_UPDATE = """WITH given AS (SELECT given.* FROM
  unnest(%(ids)s::text[]::{type}[], %(new)b::vector[], %(old)b::vector[])
  AS given (nudge_id, nudge_new, nudge_old) {kept}),
changed AS (UPDATE {table} SET {vector} = nudge_new::{kind} FROM given
  WHERE {table}.{id} = nudge_id AND {filter} AND CASE vector_dims({table}.{vector})
  WHEN %(size)s THEN {table}.{vector} = nudge_old::{kind} ELSE false END
  RETURNING nudge_id::text AS name) {noted}"""
# Keys are given twice: a table that has just been filled has no statistics to plan a join with.
_KEPT = """JOIN {sidecar} AS kept ON kept.key = nudge_id::text AND kept.key = ANY(%(ids)s)
  AND collection = %(collection)s AND field = %(field)s AND kept.kind = 'row' FOR UPDATE OF kept"""
_NOTED = """UPDATE {sidecar} SET written = now() FROM changed WHERE key = name AND kind = 'row'
AND key = ANY(%(ids)s) AND collection = %(collection)s AND field = %(field)s"""


class PostgresStore(Connected):
    """A table of PostgreSQL with a pgvector column; filters are conditions in SQL.

    Args:
        url: `postgresql://user:password@host:port/database`, or any libpq connection string.
        table: Its name as it is, if `schema` is given; else `TABLE` or `SCHEMA.TABLE`. One of the
            collections that share LangChain's table may be named after it:
            `langchain_pg_embedding/COLLECTION`.
        id_column: Holds the ids, of any type; unique.
        vector_column: Holds the vectors, of type `vector` or `halfvec`.
        metric: How the application searches. Left out: that of the vector index, else `"cosine"`.
        schema: Of the table; else `public`.
        collection: Which of the collections that share LangChain's table `langchain_pg_embedding`.

    Raises:
        DataError: The address cannot be parsed.
        StoreError: The database cannot be reached, or has no such table, column or collection.
        UnsupportedStoreError: The column is of another type; or several collections share the
            table, and none is chosen.
    """

    kind = "PostgreSQL"
    dimension = 0
    exact = True

    def __init__(
        self,
        url: str,
        table: str,
        id_column: str = "id",
        vector_column: str = "embedding",
        metric: Metric | None = None,
        schema: str | None = None,
        collection: str | None = None,
    ) -> None:
        if schema is None:
            path, shared, name = table.partition(f"{_SHARED}/")
            schema, _, table = (path + shared.rstrip("/")).rpartition(".")
            schema, collection = schema or "public", collection or name or None
        super().__init__(url)
        self.identity = f"PostgreSQL table {schema}.{table} at {self._place}"
        self._all = "true"

        def quoted(*parts: str) -> Any:
            return self._psycopg.sql.Identifier(*(part.replace("%", "%%") for part in parts))

        self._parts = {
            "table": quoted(schema, table),
            "id": quoted(id_column),
            "vector": quoted(vector_column),
            "sidecar": quoted(schema, "nudge_originals"),
        }
        found = self.with_retries("look for the table", self._rows, _PLACE, (schema, table))
        if not found:
            raise StoreError(f"{self.identity}: there is no such table, or it may not be read")
        (oid, database, name), field = found[0], vector_column
        self.identity = f"PostgreSQL table {schema}.{table} in database {name} at {self._place}"
        self._check_columns(oid, id_column, vector_column)
        if table == _SHARED:
            field += self._choose(collection)
        self.key = {"collection": oid, "field": field}
        self.uid = f"postgresql {self._system()}/{database}/{oid}/{field}"
        self.dimension = self.dimension or self._rows(self._sql(_COMMONEST))[0][0]
        if self.dimension is None:
            raise StoreError(f"{self.identity} is empty: add documents first")
        self.metric, self._order = self._served(metric, oid, vector_column)
        self.exact = self._order is None

    @classmethod
    def from_langchain(cls, store: Any) -> PostgresStore:
        """LangChain's `PGVectorStore`, or its older `PGVector`."""
        inner = getattr(store, "_PGVectorStore__vs", None)
        strategy = store._distance_strategy if inner is None else inner.distance_strategy
        called = getattr(strategy, "name", strategy).lower()
        metric = next((each for sign, each in _CALLED.items() if sign in called), None)
        if inner is None:
            url = libpq((store._engine or store._async_engine).url)
            return cls(url, _SHARED, metric=metric, collection=store.collection_name)
        names = (inner.table_name, inner.id_column, inner.embedding_column)
        return cls(libpq(inner.engine.url), *names, metric, inner.schema_name)

    @classmethod
    def from_llama_index(cls, store: Any) -> PostgresStore:
        """LlamaIndex's `PGVectorStore`."""
        url = store._engine.url if store._engine is not None else store.connection_string
        table = f"data_{store.table_name}"
        return cls(libpq(url), table, "node_id", "embedding", "cosine", store.schema_name)

    def _system(self) -> str:
        try:
            return str(self._rows("SELECT system_identifier FROM pg_control_system()")[0][0])
        except self._psycopg.Error:  # a managed service that does not let its users ask
            return "server"

    def _check_columns(self, oid: int, id_column: str, vector_column: str) -> None:
        found = dict(self._rows(_COLUMNS, (oid,)))
        for column in (id_column, vector_column):
            if column not in found:
                raise StoreError(f"{self.identity} has no column {column!r}, only {list(found)}")
        kind = re.fullmatch(r"(?:.*\.)?(vector|halfvec)(?:\((\d+)\))?", found[vector_column])
        if kind is None:
            raise UnsupportedStoreError(
                f"{self.identity}: column {vector_column!r} is of type {found[vector_column]}; "
                "only pgvector's vector and halfvec can be tuned and put back bit for bit"
            )
        self._type = found[id_column] if found[id_column] in (*_BITS, "uuid") else "text"
        self._kind, self.dimension = kind[1], int(kind[2] or 0)
        self.numbers = np.float16 if self._kind == "halfvec" else np.float32

    def _choose(self, collection: str | None) -> str:
        """Keep to one of the collections that share LangChain's table; what its field is called."""
        found = dict(self._rows(self._sql(_COLLECTIONS)))
        if collection is None and len(found) != 1:
            raise UnsupportedStoreError(
                f"{self.identity} is shared by {len(found)} collections "
                f"({name_some(sorted(found))}), whose documents would be tuned against each "
                f"other: open one of them, by its PGVector or as #{_SHARED}/COLLECTION"
            )
        name = next(iter(found)) if collection is None else collection
        if name not in found:
            raise no_such(self.identity, "collection", name, list(found))
        self.identity += f", collection {name}"
        self._all = f"collection_id = '{found[name]}'"
        return f"/{found[name]}"

    def _served(self, given: Metric | None, oid: int, column: str) -> tuple[Metric, str | None]:
        """The metric, and the order by which an index serves it."""
        found: dict[Metric, str] = {}
        for name, expression in self._rows(_INDEXES, (column, oid)):
            kind, called, _ = name.split("_")
            metric = _CALLED[called[:3]]
            operand = f"{_OPERATORS[metric][0]} %(vector)b::{kind}"
            found[metric] = f"{expression.replace('%', '%%')} {operand}"
        if given is None and len(found) > 1:
            raise StoreError(f"{self.identity} has indexes by {sorted(found)}: give metric=")
        used = checked_metric(given or next(iter(found), "cosine"), METRICS, self.identity)
        return used, found.get(used)

    def _as_filter(self, chosen: Any) -> str:
        try:
            text, values = (chosen, None) if isinstance(chosen, str) else chosen
            condition = self._psycopg.ClientCursor(self._live()).mogrify(text, values)
            both = f"{self._all} AND ({condition.replace('%', '%%')})"
            self._rows(self._sql("SELECT FROM {table} WHERE {filter} LIMIT 0", filter=both))
        except (self._psycopg.ProgrammingError, TypeError, ValueError) as error:
            raise DataError(
                f"filter= of {self.identity} must be a condition in SQL, or a condition with %s "
                f"and its values, such as ('tenant = %s', ['a']): {error}"
            ) from None
        return both

    def sidecar(self) -> Sidecar:
        """A table in the same schema, whose rows belong to this table's oid."""
        return PostgresSidecar(self)

    def can_search_exactly(self) -> bool:
        """Yes."""
        return True

    def canonical(self, name: str) -> str | None:
        """As the type of the id column spells it."""
        if self._type in _BITS:
            limit = 1 << _BITS[self._type]
            return whole_id(name, -limit, limit - 1)
        return uuid_id(name) if self._type == "uuid" else None if "\0" in name else name

    def count(self) -> int:
        """Number of rows with a vector."""
        query = self._sql("SELECT count(*) FROM {rows}")
        return int(self.with_retries("count", self._rows, query)[0][0])

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Id and all columns of every row, by a cursor of the server."""
        columns = "to_jsonb(stored)" if texts else "NULL"
        query = self._sql("SELECT {id}::text, " + columns + " FROM {rows}")
        with self._connect() as connection, connection.transaction():
            yield from connection.cursor("rows").execute(query, ())

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        read = "SELECT {id}::text, {vector}::vector FROM {rows} "
        return self._rows(self._sql(read + "WHERE {id} = ANY(%s::text[]::{type}[])"), (ids,))

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        operator, score = _OPERATORS[self.metric]
        order = "far" if exact or self._order is None else self._order
        query = self._sql(_NEAREST, operator=operator, score=score, order=order)
        with self._lock, self._live().transaction():
            self._rows(_DEEPER, (str(max(200, min(1000, 4 * k))),))
            found = (self._rows(query, {"vector": vector, "k": k}) for vector in vectors)
            return [finite(rows) for rows in found]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        values = {"ids": ids, "new": list(vectors), "old": list(expected), "size": self.dimension}
        kept, noted = (_KEPT, _NOTED) if self.journaled.is_set() else ("", "SELECT")
        query = _UPDATE.replace("{kept}", kept).replace("{noted}", noted)
        self._rows(self._sql(query), {**values, **self.key})

    def _sql(self, text: str, **more: str) -> Any:
        """A query of quoted names and of parts that this module, or the user's filter, wrote."""
        sql = self._psycopg.sql.SQL
        plain = {"type": self._type, "kind": self._kind, "filter": self.filter or self._all, **more}
        parts = {**self._parts, **{name: sql(each) for name, each in plain.items()}}
        return sql(text.replace("{rows}", _ROWS)).format(**parts)
