"""What is known about a tuned collection: originals, facts, questions, and who is at work.

A sidecar lives in the collection's own database, so that every process that can open the
collection sees the same. It holds small text records by kind and key; a backend stores, lists and
deletes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from nudge_integrations.errors import CorruptFileError, StoreBusyError
from nudge_integrations.stores.entries import (
    Entry,
    TrainingQuestion,
    facts_record,
    question_record,
    read_facts,
    read_question,
    read_row,
    row_record,
)

if TYPE_CHECKING:
    from nudge_integrations.stores.store import LiveStore

LEASE_SECONDS = 60.0
WATCH_SECONDS = 5.0
_SETTLE_SECONDS, _PATIENCE = 0.05, 10.0
T = TypeVar("T")


class Sidecar(ABC):
    """The records of one collection.

    Args:
        store: The collection.
        where: What messages call the place of the records.
    """

    kinds: ClassVar[tuple[str, ...]] = ("row", "question", "facts")

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
        return dict(sorted(self._parsed("row", read_row).items()))

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
        return self._parsed("facts", read_facts).get("facts", {})

    def note(self, facts: Mapping[str, Any]) -> None:
        """Replace the facts, all at once."""
        self._put("facts", {"facts": facts_record(facts)})

    def questions(self) -> dict[str, TrainingQuestion]:
        """Questions behind the vectors, by the hash of their text."""
        return self._parsed("question", read_question)

    def put_questions(self, asked: Mapping[str, TrainingQuestion]) -> None:
        """Keep questions beside those that are there."""
        self._put("question", {key: question_record(key, each) for key, each in asked.items()})

    def keep_questions(self, keys: Collection[str]) -> None:
        """Drop all questions but these."""
        self._delete("question", list(set(self._all("question")) - set(keys)))

    def dump(self) -> dict[str, Mapping[str, str]]:
        """All that is kept, kind -> key -> record."""
        return {kind: self._all(kind) for kind in self.kinds}

    def restore(self, records: Mapping[str, Mapping[str, str]]) -> None:
        """Put back what `dump` gave; the facts last, which make it count."""
        for kind in self.kinds:
            self._put(kind, records.get(kind, {}))

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

    def _parsed(self, kind: str, parse: Callable[[str, str], T]) -> dict[str, T]:
        records, found, key = self._all(kind), {}, ""
        try:
            for key, value in records.items():
                found[key] = parse(key, value)
        except ValueError:
            raise CorruptFileError(
                f"the journal in {self.where} is damaged at {key!r}: it holds the way back; "
                "restore it from a backup before you delete it"
            ) from None
        return found

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
