"""Originals in a table beside the tuned one, and how addresses of PostgreSQL are read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.stores.sidecar import Sidecar

_LOCK = 0x6E756467  # "nudg", so that no other program's advisory locks get in the way
_CREATE = """CREATE TABLE IF NOT EXISTS {sidecar} (collection regclass, field text, kind text,
key text, value text NOT NULL, written timestamptz, PRIMARY KEY (collection, field, kind, key))"""
# Vectors hardly compress, and trying takes longer than writing them.
_STORAGE = "ALTER TABLE {sidecar} ALTER COLUMN value SET STORAGE EXTERNAL"
_SAVE = """INSERT INTO {sidecar} SELECT %(collection)s, %(field)s, %(kind)s, *
FROM unnest(%(keys)s::text[], %(values)s::text[])
ON CONFLICT (collection, field, kind, key) DO UPDATE SET value = excluded.value"""
_MINE = "WHERE collection = %(collection)s AND field = %(field)s AND kind = "
KEPT = """JOIN {sidecar} AS kept ON kept.key = nudge_id::text
WHERE kept.collection = %(collection)s AND kept.field = %(field)s AND kept.kind = 'row'
FOR UPDATE OF kept"""
"""Joins to `given` the originals of its rows, and locks them."""
NOTED = "UPDATE {sidecar} SET written = now() FROM changed " + _MINE + "'row' AND key = nudge_id"
"""Notes beside the originals when their rows were written."""


class PostgresSidecar(Sidecar):
    """Rows of a table in the schema of the tuned one.

    They belong to the table as `regclass`: a renamed table keeps them, and so does one that comes
    back from `pg_dump` under another oid.

    Originals are saved before a run writes, so that it can be finished or undone. While the lock
    is held, the statement that changes a vector also locks its original and sets `written` there:
    both or neither are committed, and no row changes whose original is not kept.
    """

    store: Any

    def __init__(self, store: Any) -> None:
        super().__init__(store, "table nudge_originals of the same schema")

    def _run(self, text: str, **values: Any) -> list[tuple[Any, ...]]:
        values |= self.store.key
        rows: list[tuple[Any, ...]] = self.store._rows(self.store._sql(text), values)
        return rows

    def _load(self, kind: str) -> Mapping[str, str]:
        try:
            query = "SELECT key, value FROM {sidecar} " + _MINE + "%(kind)s"
            return dict(self._run(query, kind=kind))
        except self.store._psycopg.errors.UndefinedTable:
            return {}

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        given = {"kind": kind, "keys": list(records), "values": list(records.values())}
        try:
            self._run(_SAVE, **given)
        except self.store._psycopg.errors.UndefinedTable:
            self._run(_CREATE)
            self._run(_STORAGE)
            self._run(_SAVE, **given)

    def _drop(self, kind: str, keys: list[str]) -> None:
        query = "DELETE FROM {sidecar} " + _MINE + "%(kind)s AND key = ANY(%(keys)s)"
        self._run(query, kind=kind, keys=keys)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold an advisory lock on the table's oid; the server releases it with the connection.

        The lock belongs to a transaction, since poolers share sessions, in a connection of its
        own. An idle transaction without a snapshot holds up nobody.
        """
        store, oid = self.store, self.store.key["collection"]
        connection = store.with_retries("connect", store._connect)
        try:
            query = "SELECT pg_try_advisory_xact_lock(%s, %s)"
            signed = oid - (1 << 32 if oid >> 31 else 0)
            if not connection.execute(query, (_LOCK, signed)).fetchone()[0]:
                raise self._busy()

            def renew() -> None:
                try:
                    connection.execute("SELECT 1")
                except store._psycopg.Error:
                    lost = f"{store.identity}: the connection with the lock was lost"
                    raise StoreError(lost) from None

            store.journaled = True
            yield renew
        finally:
            store.journaled = False
            connection.close()


def parsed(psycopg: Any, url: str) -> dict[str, Any]:
    """A connection string as libpq reads it, also where the database's name is one itself."""
    remedy = (
        "(it is not shown, since it may hold a password): give "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ # and spaces in the password as "
        "%2F %40 %23 %20"
    )
    try:
        info: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
        if re.search("://|=", str(info.get("dbname", ""))):
            info |= psycopg.conninfo.conninfo_to_dict(info["dbname"])
    except psycopg.Error:
        raise DataError(f"this is no address that PostgreSQL's libpq can parse {remedy}") from None
    parts = f"{info.get('host', '')} {info.get('dbname', '')}"
    if "@" in parts or re.search(r"[^0-9,]", str(info.get("port", ""))):
        raise DataError(
            "this address of PostgreSQL has an @ in its host or database, or no number for its "
            f"port {remedy}"
        )
    return info


def libpq(url: Any) -> str:
    """What libpq calls a URL of SQLAlchemy, or its text; the driver's own parameters are left out.

    Raises:
        DataError: The password was replaced by asterisks when the URL was made a text.
    """
    psycopg = require("psycopg", "postgres")
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
    from sqlalchemy.engine import make_url

    url = make_url(url)
    if url.password == "***":
        raise DataError(
            "the store was given a SQLAlchemy URL as text without its password: give it "
            "url.render_as_string(hide_password=False)"
        )
    named = PGDialect_psycopg().create_connect_args(url)[1]
    secure = str(named.get("ssl", "disable")).lower()  # as asyncpg calls it
    if secure not in ("disable", "false"):
        named.setdefault("sslmode", "require" if secure == "true" else secure)
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return str(psycopg.conninfo.make_conninfo(**{k: v for k, v in named.items() if k in known}))
