"""Connections to PostgreSQL, how its addresses are read, and originals beside the tuned table."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.stores.places import hidden
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_LOCK = 0x6E756467 << 32  # "nudg", so that no other program's advisory locks get in the way
_CREATE = """CREATE TABLE IF NOT EXISTS {sidecar} (collection regclass, field text, kind text,
key text, value text NOT NULL, written timestamptz, PRIMARY KEY (collection, field, kind, key))"""
_SAVE = """INSERT INTO {sidecar} SELECT %(collection)s, %(field)s, %(kind)s, *
FROM unnest(%(keys)b::text[], %(values)b::text[])
ON CONFLICT (collection, field, kind, key) DO UPDATE SET value = excluded.value"""
_MINE = " WHERE collection = %(collection)s AND field = %(field)s AND kind = %(kind)s"


class Connected(LiveStore):
    """A store at a PostgreSQL server.

    Attributes:
        journaled: Set while rows are written whose originals are in a `PostgresSidecar`.
    """

    def __init__(self, url: str) -> None:
        self._psycopg, self._url = require("psycopg", "postgres"), url
        self._lock, self.journaled = threading.RLock(), threading.Event()
        self._connection: Any = None
        info = parsed(self._psycopg, url)
        self.secrets = tuple(str(info[k]) for k in ("password", "sslpassword") if info.get(k))
        place = (f"{k} {info[k]}" for k in ("host", "port", "dbname") if info.get(k))
        self._place = ", ".join(place) or "the default address"

    def _transient(self) -> tuple[type[BaseException], ...]:
        return (self._psycopg.OperationalError,)

    def _forbidden(self, error: BaseException) -> bool:
        return type(error).__name__ in ("InsufficientPrivilege", "ReadOnlySqlTransaction")

    def _live(self) -> Any:
        """One connection for all; a broken one is replaced."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _rows(self, query: Any, values: Any = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            cursor = self._live().execute(query, values, binary=True)
            return cursor.fetchall() if cursor.description else []

    def _connect(self) -> Any:
        register = require("pgvector.psycopg", "postgres").register_vector
        try:
            # Poolers hand one session to many clients: nothing may be prepared in it.
            made = self._psycopg.connect(self._url, autocommit=True, prepare_threshold=None)
            register(made)
        except self._psycopg.Error as error:
            raise StoreError(
                f"{self.identity} cannot be reached, or has no pgvector (CREATE EXTENSION vector): "
                f"{hidden(error, self.secrets)}"
            ) from None
        return made


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

    def _run(self, text: str, **values: Any) -> Any:
        return self.store._rows(self.store._sql(text), {**values, **self.store.key})

    def _load(self, kind: str) -> Mapping[str, str]:
        try:
            return dict(self._run("SELECT key, value FROM {sidecar}" + _MINE, kind=kind))
        except self.store._psycopg.errors.UndefinedTable:
            return {}

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        given = {"kind": kind, "keys": list(records), "values": list(records.values())}
        try:
            self._run(_SAVE, **given)
        except self.store._psycopg.errors.UndefinedTable:
            self._run(_CREATE)
            self._run(_SAVE, **given)

    def _drop(self, kind: str, keys: list[str]) -> None:
        query = "DELETE FROM {sidecar}" + _MINE + " AND key = ANY(%(keys)s)"
        self._run(query, kind=kind, keys=keys)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold an advisory lock on the table's oid; the server releases it with the connection.

        The lock belongs to a transaction, since poolers share sessions, in a connection of its
        own. An idle transaction without a snapshot holds up nobody.
        """
        store = self.store
        with contextlib.closing(store.with_retries("connect", store._connect)) as connection:
            connection.execute("BEGIN")
            query = "SELECT pg_try_advisory_xact_lock(%s)"
            if not connection.execute(query, (_LOCK | store.key["collection"],)).fetchone()[0]:
                raise self._busy()

            def renew() -> None:
                try:
                    connection.execute("SELECT 1")
                except store._psycopg.Error:
                    raise StoreError(f"{store.identity}: the lock's connection broke") from None

            store.journaled.set()
            try:
                yield renew
            finally:
                store.journaled.clear()


def parsed(psycopg: Any, url: str) -> dict[str, Any]:
    """A connection string as libpq reads it, also where the database's name is one itself.

    Raises:
        DataError: It cannot be parsed, or a sign in the password ended the password too early.
    """
    info, places = None, "unknown"
    with contextlib.suppress(psycopg.Error):
        info = psycopg.conninfo.conninfo_to_dict(url)
        if re.search("://|=", str(info.get("dbname", ""))):
            info |= psycopg.conninfo.conninfo_to_dict(info["dbname"])
        places = "\n".join(str(info.get(name, "")) for name in ("host", "port", "dbname"))
    if info is None or not re.fullmatch(r"[^@]*\n[0-9,]*\n[^@]*", places):
        raise DataError(
            "libpq cannot read this address of PostgreSQL, or finds an @ in its host or database, "
            "or no number for its port (it is not shown, since it may hold a password): give "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ # and spaces in the password "
            "as %2F %40 %23 %20"
        )
    return dict(info)


def libpq(url: Any) -> str:
    """What libpq calls a URL of SQLAlchemy, or its text; the driver's own parameters are left out.

    Raises:
        DataError: The password was replaced by asterisks when the URL was made a text.
    """
    psycopg = require("psycopg", "postgres")
    from sqlalchemy.engine import make_url

    masked = isinstance(url, str)
    url = make_url(url).set(drivername="postgresql+psycopg")
    if masked and url.password == "***":
        raise DataError(
            "the store was given a SQLAlchemy URL as text without its password: give it "
            "url.render_as_string(hide_password=False)"
        )
    named = url.get_dialect()().create_connect_args(url)[1]
    secure = str(named.get("ssl", "disable")).lower()  # as asyncpg calls it
    if secure not in ("disable", "false"):
        named.setdefault("sslmode", "require" if secure == "true" else secure)
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return str(psycopg.conninfo.make_conninfo(**{k: v for k, v in named.items() if k in known}))
