"""Originals in a table beside the tuned one, and how addresses of PostgreSQL are read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.stores.sidecar import Sidecar

_LOCK = 0x6E756467  # "nudg", so that no other program's advisory locks get in the way


class PostgresSidecar(Sidecar):
    """Rows of a table in the schema of the tuned one.

    They belong to the table as `regclass`: a renamed table keeps them, and so does one that comes
    back from `pg_dump` under another oid.
    """

    store: Any

    def __init__(self, store: Any) -> None:
        super().__init__(store, "table nudge_originals of the same schema")

    def _run(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.store._rows(self.store._sql(text), values)
        return rows

    def _load(self, kind: str) -> Mapping[str, str]:
        try:
            return dict(
                self._run(
                    "SELECT key, value FROM {sidecar} WHERE collection = %s AND field = %s "
                    "AND kind = %s",
                    *self._mine(kind),
                )
            )
        except self.store._psycopg.errors.UndefinedTable:
            return {}

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        query = (
            "INSERT INTO {sidecar} SELECT %s, %s, %s, * FROM unnest(%s::text[], %s::text[]) "
            "ON CONFLICT (collection, field, kind, key) DO UPDATE SET value = excluded.value"
        )
        values = (*self._mine(kind), list(records), list(records.values()))
        try:
            self._run(query, *values)
        except self.store._psycopg.errors.UndefinedTable:
            self._run(
                "CREATE TABLE IF NOT EXISTS {sidecar} (collection regclass, field text, "
                "kind text, key text, value text NOT NULL, "
                "PRIMARY KEY (collection, field, kind, key))"
            )
            # Vectors hardly compress, and trying takes longer than writing them.
            self._run("ALTER TABLE {sidecar} ALTER COLUMN value SET STORAGE EXTERNAL")
            self._run(query, *values)

    def _drop(self, kind: str, keys: list[str]) -> None:
        self._run(
            "DELETE FROM {sidecar} WHERE collection = %s AND field = %s AND kind = %s "
            "AND key = ANY(%s)",
            *self._mine(kind),
            keys,
        )

    def _mine(self, kind: str) -> tuple[Any, ...]:
        return self.store.oid, self.store._vector, kind

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold an advisory lock on the table's oid; the server releases it with the connection.

        The lock belongs to a transaction, since poolers share sessions, in a connection of its
        own. An idle transaction without a snapshot holds up nobody.
        """
        store, signed = self.store, self.store.oid - (1 << 32 if self.store.oid >> 31 else 0)
        connection = store.with_retries("connect", store._connect)
        try:
            query = "SELECT pg_try_advisory_xact_lock(%s, %s)"
            if not connection.execute(query, (_LOCK, signed)).fetchone()[0]:
                raise self._busy()

            def renew() -> None:
                try:
                    connection.execute("SELECT 1")
                except store._psycopg.Error:
                    raise StoreError(
                        f"{store.identity}: the connection with the lock was lost"
                    ) from None

            yield renew
        finally:
            connection.close()


def parsed(psycopg: Any, url: str) -> dict[str, Any]:
    """A connection string as libpq reads it, also where the database's name is one itself."""
    try:
        info: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
        if "://" in str(info.get("dbname", "")) or "=" in str(info.get("dbname", "")):
            info = {**info, **psycopg.conninfo.conninfo_to_dict(info["dbname"])}
    except psycopg.Error:
        raise DataError(
            "this is no address that PostgreSQL's libpq can parse (it is not shown, since it may "
            "hold a password): give postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ # and "
            "spaces in the password as %2F %40 %23 %20"
        ) from None
    parts = [str(info.get(name, "")) for name in ("host", "dbname")]
    if any("@" in part for part in parts) or re.search(r"[^0-9,]", str(info.get("port", ""))):
        raise DataError(
            "this address of PostgreSQL has an @ in its host or database, or no number for its "
            "port (it is not shown, since it may hold a password): is there an @ before the host? "
            "Write / @ # and spaces in a password as %2F %40 %23 %20"
        )
    return info


def libpq(url: Any) -> str:
    """A URL of SQLAlchemy, or its text, without the driver and the driver's own parameters."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    known = {"sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "options", "service"}
    query = {name: value for name, value in parsed.query.items() if name in known}
    if parsed.query.get("ssl") not in (None, "False", "false", "disable"):
        query.setdefault("sslmode", "require")
    plain = parsed.set(drivername="postgresql", query=query)
    return str(plain.render_as_string(hide_password=False))


def literal(vector: Any) -> str:
    """Text that pgvector reads back to the same float32."""
    return "[" + ",".join(map(repr, vector.astype("float32").tolist())) + "]"
