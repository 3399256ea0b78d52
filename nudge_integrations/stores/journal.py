"""What a live store held before it was tuned: written down before the first vector is exchanged.

One SQLite file a collection. SQLite survives a killed process and a full disk, and one statement
commits whole or not at all; vectors are bytes (little-endian float32) with a checksum, so nothing
is ever pickled. A row's original stays the first vector that was found, however often the
collection is tuned, until it is reverted or somebody else puts another vector there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nudge_integrations.common.files import text_hash, write_atomically
from nudge_integrations.errors import CorruptFileError, StoreBusyError, StoreError
from nudge_integrations.stores.entries import (
    Asked,
    Entry,
    bytes_of,
    digest_of,
    row_of,
    vector_of,
)
from nudge_integrations.stores.store import LiveStore
from nudge_integrations.stores.tied import tied

_LAYOUT = 1
_LOOKUP = 500
_BUSY_SECONDS = 30.0
_CREATE = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, original BLOB NOT NULL, "
    "tuned BLOB NOT NULL, earlier BLOB, digest BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS questions "
    "(text BLOB PRIMARY KEY, vector BLOB NOT NULL, answers TEXT NOT NULL)",
)


def journal_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where journals are: the folder given, or `NUDGE_JOURNAL_DIR`, or the user's data folder.

    Originals are not a cache: the default is not one that a clean-up deletes.
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


def journal_of(store: LiveStore, folder: str | os.PathLike[str] | None = None) -> Journal:
    """The journal of a collection; a store that lives in this process alone has it there too."""
    if not store.lives_on and folder is None:
        kept = tied(
            store.owner, "journal", lambda: tempfile.TemporaryDirectory(prefix="nudge-journal-")
        )
        return Journal(Path(kept.name), store.identity)
    return Journal(journal_folder(folder), store.identity)


class Journal:
    """The journal of one collection.

    Args:
        folder: Where its file is; made when the first vector is written down.
        identity: Of the collection.

    Raises:
        CorruptFileError: The file is there and is no journal, or not this collection's.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.identity = identity
        self.path = folder / f"{text_hash(identity)[:24]}.sqlite3"

    def exists(self) -> bool:
        """Whether anything was ever written down."""
        # A process killed before its first commit leaves an empty file.
        return self.path.exists() and self.path.stat().st_size > 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else tunes the collection meanwhile; a killed process lets go by itself.

        Raises:
            StoreBusyError: Somebody does.
        """
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(lock_name(self.path), timeout=0, isolation_level=None)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise StoreBusyError(
                    f"{self.identity} is being tuned by another process right now (lock "
                    f"{lock_name(self.path)}): wait for it to end"
                ) from error
            yield
        finally:
            lock.close()

    def facts(self) -> dict[str, Any]:
        """What is known of the last run: `state`, `method`, `when`, ...; empty for none."""
        if not self.exists():
            return {}
        with self._open() as database:
            found = database.execute("SELECT name, value FROM facts").fetchall()
        return {name: json.loads(value) for name, value in found if name != "layout"}

    def entries(self, ids: Sequence[str] | None = None) -> dict[str, Entry]:
        """Rows that were tuned: all of them, or those of these ids.

        Raises:
            CorruptFileError: A row does not fit its checksum.
        """
        if not self.exists():
            return {}
        select = "SELECT id, original, tuned, earlier, digest FROM vectors"
        with self._open() as database:
            if ids is None:
                rows = database.execute(f"{select} ORDER BY id").fetchall()
            else:
                rows = []
                for start in range(0, len(ids), _LOOKUP):
                    part = list(ids[start : start + _LOOKUP])
                    marks = ",".join("?" * len(part))
                    rows += database.execute(f"{select} WHERE id IN ({marks})", part).fetchall()
        return {row[0]: self._entry(row) for row in rows}

    def questions(self) -> dict[str, Asked]:
        """Questions behind the vectors, by the hash of their text."""
        if not self.exists():
            return {}
        with self._open() as database:
            rows = database.execute("SELECT text, vector, answers FROM questions").fetchall()
        return {
            text.hex(): Asked(vector_of(vector), json.loads(answers))
            for text, vector, answers in rows
        }

    def begin(
        self, entries: Mapping[str, Entry], asked: Mapping[str, Asked], facts: Mapping[str, Any]
    ) -> None:
        """Write down everything that is tuned or will be, at once, before anything is exchanged.

        Args:
            entries: Every row that does not hold its original, or will not.
            asked: The questions behind the vectors.
            facts: About the run.

        Raises:
            StoreError: The disk is full or cannot be written to; the journal is as it was.
        """
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(create=True) as database:
            database.execute("DELETE FROM vectors")
            database.executemany(
                "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
                ((name, *row_of(name, entry)) for name, entry in entries.items()),
            )
            database.execute("DELETE FROM questions")
            database.executemany(
                "INSERT INTO questions VALUES (?, ?, ?)",
                (
                    (bytes.fromhex(name), bytes_of(each.vector), json.dumps(dict(each.answers)))
                    for name, each in asked.items()
                ),
            )
            self._put(database, facts)

    def settle(self, entries: Mapping[str, Entry], gone: Sequence[str]) -> None:
        """Rows that now hold what they should, as read back; and rows to forget."""
        with self._open() as database:
            database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?)",
                ((name, *row_of(name, entry)) for name, entry in entries.items()),
            )
            database.executemany("DELETE FROM vectors WHERE id = ?", ((name,) for name in gone))

    def state(self) -> bytes | None:
        """The whole journal, for `restore`; None where there is none."""
        return self.path.read_bytes() if self.exists() else None

    def restore(self, state: bytes | None) -> None:
        """Make the journal what it was: for a run that turned out to have changed nothing."""
        if state is None:
            self.path.unlink(missing_ok=True)
        else:
            write_atomically(self.path, state)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Put facts about the run."""
        with self._open() as database:
            self._put(database, facts)

    def forget_questions(self) -> None:
        """Drop the questions: no vector depends on them any more."""
        with self._open() as database:
            database.execute("DELETE FROM questions")

    def _put(self, database: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
        database.executemany(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)",
            ((name, json.dumps(value)) for name, value in facts.items()),
        )

    @contextlib.contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """The database in one transaction: all of what is done to it counts, or nothing."""
        with self._explained(), contextlib.closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                if create:
                    self._create(database)
                self._check(database)
                yield database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)

    def _create(self, database: sqlite3.Connection) -> None:
        for statement in _CREATE:
            database.execute(statement)
        database.executemany(
            "INSERT OR IGNORE INTO facts VALUES (?, ?)",
            (("layout", json.dumps(_LAYOUT)), ("identity", json.dumps(self.identity))),
        )

    def _check(self, database: sqlite3.Connection) -> None:
        facts = dict(
            database.execute(
                "SELECT name, value FROM facts WHERE name IN ('layout', 'identity')"
            ).fetchall()
        )
        if facts != {"layout": json.dumps(_LAYOUT), "identity": json.dumps(self.identity)}:
            raise CorruptFileError(
                f"the journal {self.path} is of another version or of another collection"
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the journal {self.path} cannot be used: {error}. Nothing that depends on it was "
                "changed in the store; free space, or choose another folder (NUDGE_JOURNAL_DIR)"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CorruptFileError(
                f"the journal {self.path} is damaged: {error}. It holds the way back: restore it "
                "from a backup before you delete it"
            ) from error

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        name, original, tuned, earlier, digest = row
        if digest_of(name, original, tuned, earlier) != digest:
            raise CorruptFileError(
                f"the journal {self.path} is damaged at {name!r}: restore it from a backup"
            )
        return Entry(
            vector_of(original), vector_of(tuned), None if earlier is None else vector_of(earlier)
        )


def lock_name(path: Path) -> Path:
    """The file that says that a collection is being tuned."""
    return path.with_suffix(".lock")
