"""A sidecar in a folder: for stores without room of their own, and for users who may not make any.

SQLite survives a killed process and a full disk, and a transaction counts whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import CorruptFileError, StoreError
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_BUSY_SECONDS = 30.0
_CREATE = (
    "CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, key TEXT NOT NULL, "
    "value TEXT NOT NULL, PRIMARY KEY (kind, key))"
)


def journal_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder given, or `NUDGE_JOURNAL_DIR`, or one in the user's data folder.

    Originals are not a cache: the default is not a folder that a clean-up deletes.
    """
    chosen = folder or os.environ.get("NUDGE_JOURNAL_DIR")
    if chosen:
        return Path(chosen).expanduser()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME"
    base = os.environ.get(variable)
    try:
        home = Path(base) if base else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError("no home folder for journals; set NUDGE_JOURNAL_DIR") from error
    return home / "nudge-integrations" / "journals"


class FileSidecar(Sidecar):
    """One SQLite file for each collection.

    Args:
        store: The collection.
        folder: Where the file is; made when something is kept.
    """

    def __init__(self, store: LiveStore, folder: Path) -> None:
        self.path = folder / f"{text_hash(store.uid)[:24]}.sqlite3"
        super().__init__(store, str(self.path))

    def _load(self, kind: str) -> Mapping[str, str]:
        if not self.path.exists():
            return {}
        with self._open() as database:
            return dict(database.execute("SELECT key, value FROM records WHERE kind = ?", (kind,)))

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        with self._open() as database:
            database.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                ((kind, key, value) for key, value in records.items()),
            )

    def _drop(self, kind: str, keys: list[str]) -> None:
        with self._open() as database:
            database.executemany(
                "DELETE FROM records WHERE kind = ? AND key = ?", ((kind, key) for key in keys)
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold the lock file; the operating system releases it if the process dies."""
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(self.path.with_suffix(".lock"), timeout=0, isolation_level=None)
        with contextlib.closing(lock):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise self._busy() from error
                with self._explained():
                    raise
            yield lambda: None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file in one transaction: all of what is done to it counts, or nothing."""
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as database:
                database.execute("BEGIN IMMEDIATE")
                with database:
                    database.execute(_CREATE)
                    yield database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the journal {self.path} cannot be used: {error}; free space, or choose another "
                "folder (journal=...)"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CorruptFileError(
                f"the journal {self.path} is damaged: {error}. It holds the way back: restore it "
                "from a backup before you delete it"
            ) from error
