"""One SQLite file: open it, check its layout, write in transactions, explain its errors.

SQLite is in the standard library, survives a killed process and a power cut, and lets several
processes write at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from nudge_integrations.errors import CorruptFileError, NudgeError

_BUSY_SECONDS = 60.0


class Database:
    """An open SQLite file; `connection` runs statements, `transaction()` groups writes.

    Args:
        path: The file, created if needed; None for an in-memory database.
        schema: One `CREATE TABLE IF NOT EXISTS` statement.
        version: Version of the layout.
        what: Contents of the file in error messages, such as `"vectors"`.
        elsewhere: Remedy in error messages if the file cannot be written.
        log: Use write-ahead logging, which makes single commits cheap but does not work on
            network file systems.

    A new file is readable by its owner only.

    Raises:
        NudgeError: The file cannot be written to.
        CorruptFileError: It is damaged, no database, or of another layout.
    """

    def __init__(
        self,
        path: Path | None,
        schema: str,
        version: int,
        *,
        what: str,
        elsewhere: str,
        log: bool = False,
    ) -> None:
        self.path = path
        self._what, self._elsewhere = what, elsewhere
        with self.explained():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            # Without an isolation level nothing begins a transaction behind our back.
            self.connection = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None
            )
        try:
            if log:
                with self.explained():
                    self.connection.execute("PRAGMA journal_mode=WAL")
                    self.connection.execute("PRAGMA synchronous=NORMAL")
            # Beginning to write finds a file that is read-only before any work is done.
            with self.transaction() as connection:
                self._lay_out(connection, schema, version)
        except BaseException:
            self.connection.close()
            raise

    def _lay_out(self, connection: sqlite3.Connection, schema: str, version: int) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, version):
            raise CorruptFileError(
                f"{self.path} has layout version {found}; this release of nudge-integrations "
                f"reads version {version}: delete it, or {self._elsewhere}"
            )
        connection.execute(schema)
        connection.execute(f"PRAGMA user_version = {version}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything in the block, or nothing if it raises."""
        with self.explained():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Convert SQLite's errors into ones that name the file and the remedy."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NudgeError(
                f"cannot keep {self._what} in {self.path}: {reason}; {self._elsewhere}"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> CorruptFileError:
        """The error for damaged content."""
        return CorruptFileError(
            f"the file of {self._what} {self.path} is damaged ({reason}): delete it; its "
            f"{self._what} are then made again"
        )

    def close(self) -> None:
        """Close the file."""
        self.connection.close()
