"""An on-disk cache of vectors: no text is embedded twice, and an interrupted run continues.

One SQLite file per folder. A row is the vector's bytes (little-endian float32), so nothing is ever
pickled. The rollback journal is kept, since write-ahead logging does not work on network file
systems, where home folders often are.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.sqlite import Database
from nudge_integrations.errors import NudgeError

FILE_NAME = "vectors.sqlite3"

_ELSEWHERE = (
    "choose a folder that can be written (cache=PATH, or NUDGE_CACHE_DIR), or pass cache=False"
)
_LAYOUT_VERSION = 1
# A commit waits for the disk, tens of milliseconds on a slow one, so calls of a fast model share
# commits. A killed run loses at most this much work.
_COMMIT_SECONDS = 0.25
# SQLite long allowed 999 variables per statement.
_LOOKUP_BLOCK = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    model BLOB NOT NULL, kind TEXT NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (model, kind, text)
)
"""


def cache_folder(cache: bool | str | os.PathLike[str] | None) -> Path | None:
    """Folder of the cache: the one given, the default one for True, None for False or None.

    The default is the environment's `NUDGE_CACHE_DIR`, or else `nudge-integrations` in
    `XDG_CACHE_HOME` (`~/.cache`; `LOCALAPPDATA` on Windows).
    """
    if cache is None or cache is False:
        return None
    if cache is not True:
        return Path(cache).expanduser()
    chosen = os.environ.get("NUDGE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    base = os.environ.get(variable)
    try:
        return (Path(base) if base else Path.home() / ".cache") / "nudge-integrations"
    except RuntimeError as error:
        raise NudgeError(
            "no home folder for cached vectors; set NUDGE_CACHE_DIR, or pass cache=False"
        ) from error


class VectorCache:
    """The cached vectors of one model: a context manager around one open database.

    Deleting the file is always safe; vectors are then made again.

    Args:
        folder: Where the database file is; made if need be.
        model: Digest of the model.

    Raises:
        NudgeError: The folder cannot be written to.
        CorruptFileError: The file is no database of this layout.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.path = folder / FILE_NAME
        self._model = bytes.fromhex(text_hash(model))
        self._pending: list[tuple[bytes, str, bytes, bytes]] = []
        self._last_commit = -_COMMIT_SECONDS
        self._database = Database(
            self.path, _SCHEMA, _LAYOUT_VERSION, what="vectors", elsewhere=_ELSEWHERE
        )

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # What stopped the work is worth more than what then stopped the last commit.
            with contextlib.suppress(NudgeError) if kind else contextlib.nullcontext():
                self.commit()
        finally:
            self._database.close()

    def read(self, kind: str, hashes: Sequence[str]) -> Iterator[tuple[IntVector, FloatMatrix]]:
        """Look up texts by their hashes.

        Args:
            kind: What the texts were embedded as, such as `"query"`.
            hashes: `files.text_hash` of each text, without repeats.

        Yields:
            Positions in `hashes` of texts that are there, and their vectors, a block at a time.

        Raises:
            CorruptFileError: The file is damaged.
        """
        self.commit()
        for start in range(0, len(hashes), _LOOKUP_BLOCK):
            block = [bytes.fromhex(name) for name in hashes[start : start + _LOOKUP_BLOCK]]
            position = {name: start + offset for offset, name in enumerate(block)}
            marks = ",".join("?" * len(block))
            with self._database.explained():
                rows = self._database.connection.execute(
                    "SELECT text, vector FROM vectors "
                    f"WHERE model = ? AND kind = ? AND text IN ({marks})",
                    (self._model, kind, *block),
                ).fetchall()
            if rows:
                positions = np.array([position[text] for text, _ in rows], dtype=np.int64)
                yield positions, self._matrix([vector for _, vector in rows])

    def _matrix(self, blobs: list[bytes]) -> FloatMatrix:
        lengths = {len(blob) for blob in blobs}
        length = lengths.pop()
        if lengths or length == 0 or length % 4:
            raise self._database.damaged("vectors of several lengths stand under one model")
        matrix = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)
        if not np.isfinite(matrix).all():
            raise self._database.damaged("a vector holds NaN or infinity")
        return matrix.astype(np.float32, copy=False)

    def write(self, kind: str, hashes: Sequence[str], vectors: FloatMatrix) -> None:
        """Store vectors, and commit them unless the last commit was a moment ago.

        What is committed is there even if the process is killed next.

        Args:
            kind: What the texts were embedded as, such as `"query"`.
            hashes: `files.text_hash` of each text.
            vectors: Their vectors, shape `(len(hashes), dimension)`.

        Raises:
            NudgeError: The disk is full, or another process holds the file for a minute.
        """
        self._pending += [
            (self._model, kind, bytes.fromhex(name), vector.astype("<f4").tobytes())
            for name, vector in zip(hashes, vectors, strict=True)
        ]
        if time.monotonic() - self._last_commit >= _COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Put on disk whatever is not there yet; raises what `write` raises."""
        if not self._pending:
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", self._pending
            )
        self._pending = []
        self._last_commit = time.monotonic()
