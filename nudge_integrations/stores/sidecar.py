"""What is known about a tuned collection: originals, facts, questions, and who is at work.

A sidecar lives in the collection's own database, so that every process that can open the
collection sees the same. It holds small text records by kind and key; a backend stores, lists and
deletes them. Vectors are base64 of little-endian float32 with a checksum: nothing is pickled.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.errors import CorruptFileError, StoreBusyError
from nudge_integrations.stores.store import FloatVector, same

if TYPE_CHECKING:
    from nudge_integrations.stores.store import LiveStore

LEASE_SECONDS = 60.0
WATCH_SECONDS = 5.0
_SETTLE_SECONDS, _PATIENCE = 0.05, 10.0
_RECENT = 4
"""Tuned vectors of earlier runs that are still recognised, for rows that come from a backup."""


@dataclass(frozen=True)
class Entry:
    """A row that is tuned, or is about to be.

    Attributes:
        original: What to put back if the row holds `tuned`.
        tuned: What it holds, or will.
        known: Other vectors that this package left in the row, each with its original. More than
            one original is known if somebody replaced the row's vector between two runs.
    """

    original: FloatVector
    tuned: FloatVector
    known: tuple[tuple[FloatVector, FloatVector], ...] = ()

    def original_of(self, vector: FloatVector) -> FloatVector | None:
        """What to put back where the row holds `vector`; None if somebody else put it there."""
        pairs = ((self.tuned, self.original), *self.known)
        originals = [original for _, original in pairs]
        for held, original in (*pairs, *zip(originals, originals, strict=True)):
            if same(vector, held):
                return original
        return None

    def goal(self, held: FloatVector, back: bool) -> FloatVector | None:
        """Where a row that holds a vector shall go; None if the vector is somebody else's."""
        original = self.original_of(held)
        if original is None or back:
            return original
        # A vector from before somebody replaced the row came back: it is theirs again.
        return self.tuned if np.array_equal(original, self.original) else None

    @property
    def moves(self) -> bool:
        """Whether the tuned vector is another than the original."""
        return not np.array_equal(self.tuned, self.original)

    def then(self, original: FloatVector, current: FloatVector, tuned: FloatVector) -> Entry:
        """The entry of a further run that found the row at `current`."""
        kept: list[tuple[FloatVector, FloatVector]] = []
        recent = 0
        for held, back in ((current, original), (self.tuned, self.original), *self.known):
            again = np.array_equal(back, original)
            if any(np.array_equal(held, k) and np.array_equal(back, b) for k, b in kept):
                continue
            if again and (np.array_equal(held, original) or recent == _RECENT):
                continue
            recent += again
            kept.append((held, back))
        return Entry(original, tuned, tuple(kept))


@dataclass(frozen=True)
class TrainingQuestion:
    """A question that shaped the tuned vectors; its text is not kept.

    Attributes:
        vector: Its embedding.
        answers: Document id -> grade.
    """

    vector: FloatVector
    answers: Mapping[str, int]

    def without(self, ids: Collection[str]) -> TrainingQuestion:
        """The same, but for some answers."""
        answers = {name: grade for name, grade in self.answers.items() if name not in ids}
        return TrainingQuestion(self.vector, answers)

    def plus(self, answers: Mapping[str, int]) -> TrainingQuestion:
        """The same with further answers."""
        return TrainingQuestion(self.vector, {**answers, **self.answers})


class Sidecar(ABC):
    """The records of one collection.

    Args:
        store: The collection.
        where: What messages call the place of the records.
    """

    def __init__(self, store: LiveStore, where: str) -> None:
        self.store, self.where = store, where

    @abstractmethod
    def _load(self, kind: str) -> Mapping[str, str]:
        """Every record of a kind by key; empty if there are none."""

    @abstractmethod
    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        """Put records, in the place of those with the same keys; makes room if need be."""

    @abstractmethod
    def _drop(self, kind: str, keys: list[str]) -> None:
        """Delete records; keys that are not there are ignored."""

    def entries(self) -> dict[str, Entry]:
        """Rows whose originals are kept, by id.

        Raises:
            CorruptFileError: A record does not match its checksum.
        """
        found = {}
        for name, value in sorted(self._all("row").items()):
            original, tuned, *more = map(_decoded, self._unsealed(name, value).split(","))
            found[name] = Entry(original, tuned, tuple(zip(more[::2], more[1::2], strict=True)))
        return found

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Keep the originals of rows, durably, before the first of them is written.

        Raises:
            ReadOnlyStoreError: This user may not create the sidecar, or not write to it.
            StoreError: The database did not answer, or its disk is full.
        """
        self._put("row", {name: row_record(name, each) for name, each in entries.items()})

    def forget(self, ids: Iterable[str]) -> None:
        """Drop originals: of rows that were read back with their original in place."""
        self._delete("row", list(ids))

    def facts(self) -> dict[str, Any]:
        """What is known of the last run: `state`, `epoch`, `method`, ...; empty for none."""
        found = self._all("facts").get("facts")
        facts: dict[str, Any] = json.loads(self._unsealed("facts", found)) if found else {}
        return facts

    def note(self, facts: Mapping[str, Any]) -> None:
        """Replace the facts, all at once."""
        self._put("facts", {"facts": facts_record(facts)})

    def questions(self) -> dict[str, TrainingQuestion]:
        """Questions behind the vectors, by the hash of their text."""
        found = {}
        for key, value in self._all("question").items():
            vector, _, answers = self._unsealed(key, value).partition(",")
            found[key] = TrainingQuestion(_decoded(vector), json.loads(answers))
        return found

    def put_questions(self, asked: Mapping[str, TrainingQuestion]) -> None:
        """Keep questions beside those that are there."""
        self._put("question", {key: _question_record(key, each) for key, each in asked.items()})

    def keep_questions(self, keys: Collection[str]) -> None:
        """Drop all questions but these."""
        self._delete("question", list(set(self._all("question")) - set(keys)))

    def mark(self, token: str) -> None:  # noqa: B027
        """Note on the collection where its originals are, if others would not find them."""

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold the collection's lock; a process that died lets go of it.

        Yields:
            A function to call before every batch: renews the lock, or raises `StoreBusyError` if
            somebody else took it after this process had been silent for too long.

        Raises:
            StoreBusyError: Another process holds it.
        """
        mine = secrets.token_hex(8)
        self._wait_for(self._lease())
        begun = time.monotonic()
        self._take(mine)
        # Whoever wrote last holds the lock. Others that saw it free, too, need time to write; and
        # if this process was slow, one that went ahead needs time to notice that it lost it.
        slow = _PATIENCE * (time.monotonic() - begun)
        time.sleep(min(max(_SETTLE_SECONDS, slow), WATCH_SECONDS))

        def renew() -> None:
            if self._lease().get("owner") != mine:
                raise self._busy()
            self._take(mine)

        renew()
        try:
            yield renew
        finally:
            if self._lease().get("owner") == mine:
                self._delete("lease", ["lease"])

    def _lease(self) -> dict[str, Any]:
        found = self._all("lease").get("lease")
        lease: dict[str, Any] = json.loads(found) if found else {}
        return lease

    def _take(self, owner: str) -> None:
        lease = {
            "owner": owner,
            "host": _host(),
            "pid": os.getpid(),
            "until": time.time() + LEASE_SECONDS,
            "beat": secrets.token_hex(4),
        }
        self._put("lease", {"lease": json.dumps(lease)})

    def _wait_for(self, lease: Mapping[str, Any]) -> None:
        """Return if nobody holds the lock, or its holder is dead."""
        if not lease or (lease["host"] == _host() and not _alive(lease["pid"])):
            return
        if lease["until"] > time.time():
            raise self._busy()
        # Clocks differ between machines: a holder that is alive renews while we watch.
        time.sleep(WATCH_SECONDS)
        if self._lease() not in ({}, lease):
            raise self._busy()

    def _busy(self) -> StoreBusyError:
        return StoreBusyError(
            f"{self.store.identity} is being tuned by another process right now (lock in "
            f"{self.where}): wait for it to finish"
        )

    def _all(self, kind: str) -> Mapping[str, str]:
        return self.store.with_retries("read what is kept of the tuning", self._load, kind)

    def _put(self, kind: str, records: Mapping[str, str]) -> None:
        for part in self._batches(list(records)):
            some = {name: records[name] for name in part}
            self.store.with_retries("keep the originals", self._save, kind, some)

    def _delete(self, kind: str, keys: list[str]) -> None:
        for part in self._batches(keys):
            self.store.with_retries("drop what was kept of the tuning", self._drop, kind, part)

    def _batches(self, keys: list[str]) -> list[list[str]]:
        size = self.store.batch
        return [keys[start : start + size] for start in range(0, len(keys), size)]

    def _unsealed(self, key: str, value: str) -> str:
        digest, _, content = value.partition(":")
        if digest != _digest(key, content):
            raise CorruptFileError(
                f"the journal in {self.where} is damaged at {key!r}: it holds the way back; "
                "restore it from a backup before you delete it"
            )
        return content


def row_record(name: str, entry: Entry) -> str:
    """An entry as text."""
    parts = [entry.original, entry.tuned, *(part for pair in entry.known for part in pair)]
    return _sealed(name, ",".join(map(_encoded, parts)))


def facts_record(facts: Mapping[str, Any]) -> str:
    """Facts as text."""
    return _sealed("facts", json.dumps(dict(facts)))


def _question_record(key: str, asked: TrainingQuestion) -> str:
    return _sealed(key, f"{_encoded(asked.vector)},{json.dumps(dict(asked.answers))}")


def _sealed(key: str, content: str) -> str:
    return f"{_digest(key, content)}:{content}"


def _digest(key: str, content: str) -> str:
    return hashlib.sha256(
        f"{len(key)}:{key}:{content}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _encoded(vector: FloatVector) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def _decoded(text: str) -> FloatVector:
    vector: FloatVector = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return vector


def _host() -> str:
    """This machine, or this container: process numbers mean nothing elsewhere."""
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()} {space}".strip()


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 is no harmless question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
