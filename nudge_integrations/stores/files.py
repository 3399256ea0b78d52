"""A sidecar in a folder: for stores without room of their own, and for users who may not make any.

SQLite survives a killed process and a full disk, and a transaction counts whole or not at all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nudge_integrations.common.files import text_hash
from nudge_integrations.common.sqlite import Database
from nudge_integrations.errors import CorruptFileError, NudgeError, StoreError
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_log = logging.getLogger(__name__)
_ELSEWHERE = "free space, or choose another folder (journal=...)"
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
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME")
    try:
        home = Path(base) if base else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError("no home folder for journals; set NUDGE_JOURNAL_DIR") from error
    return home / "nudge-integrations" / "journals"


def sidecar_of(store: LiveStore, folder: str | os.PathLike[str] | None = None) -> Sidecar:
    """The sidecar of a collection: in its own database, or in the folder that was asked for.

    Raises:
        StoreError: The collection is tuned, and its originals are elsewhere.
    """
    kept: Sidecar | None = store.sidecar()
    if folder is not None or kept is None:
        if kept is not None and kept.entries():
            raise StoreError(
                f"{store.identity} is tuned and its originals are in {kept.where}: leave out "
                "journal="
            )
        # FAISS finds its file by the vectors in the index.
        make = getattr(store, "sidecar_in", lambda folder: FileSidecar(store, folder))
        kept = make(journal_folder(folder))
    mark = store.mark()
    if mark is not None and kept.facts().get("token") != mark.split(" ", 1)[0]:
        raise StoreError(
            f"{store.identity} is tuned, and its originals are in a journal that is not here "
            f"({mark}): pass journal= with that folder, on the machine that has it"
        )
    return kept


class _Journal(Database):
    def damaged(self, reason: str) -> CorruptFileError:
        return CorruptFileError(
            f"the journal {self.path} is damaged: {reason}. It holds the way back: restore it from "
            "a backup before you delete it"
        )


class FileSidecar(Sidecar):
    """One SQLite file for each collection.

    Args:
        store: The collection.
        folder: Where the file is; made when something is kept.
    """

    def __init__(self, store: LiveStore, folder: Path) -> None:
        self.path = folder / f"{text_hash(store.uid)[:24]}.sqlite3"
        super().__init__(store, str(self.path))

    def mark(self, token: str) -> None:
        """Note on the collection itself that its originals are in this file."""
        if self.store.mark() is None:
            with contextlib.suppress(StoreError):
                if self.store.set_mark(f"{token} {self.path}"):
                    return
            _log.warning(
                "%s cannot hold a note: on another machine it will look untuned; the originals "
                "are in %s",
                self.store.identity,
                self.where,
            )

    def _load(self, kind: str) -> Mapping[str, str]:
        if not self.path.exists():
            return {}
        with self._open() as database:
            return dict(database.execute("SELECT key, value FROM records WHERE kind = ?", (kind,)))

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        rows = ((kind, key, value) for key, value in records.items())
        with self._open() as database:
            database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)

    def _drop(self, kind: str, keys: list[str]) -> None:
        rows = ((kind, key) for key in keys)
        with self._open() as database:
            database.executemany("DELETE FROM records WHERE kind = ? AND key = ?", rows)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold the lock file; the operating system releases it if the process dies."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(self.path.with_suffix(".lock"), timeout=0, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error):
                raise self._busy() from error
            raise StoreError(f"cannot lock {self.path}: {error}; {_ELSEWHERE}") from error
        with contextlib.closing(lock):
            yield lambda: None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file in one transaction: all of what is done to it counts, or nothing."""
        try:
            with contextlib.closing(self._connect()) as database, database.transaction() as inside:
                yield inside
        except (StoreError, CorruptFileError):
            raise
        except NudgeError as error:
            raise StoreError(str(error)) from error

    def _connect(self) -> Database:
        return _Journal(self.path, _CREATE, 1, what="the journal", elsewhere=_ELSEWHERE)
