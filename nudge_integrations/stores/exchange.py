"""Replace vectors in a live store, safely: only where it holds what it is believed to hold."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import ReadOnlyStoreError, StoreError
from nudge_integrations.stores.entries import Entry
from nudge_integrations.stores.formats import FloatVector, same
from nudge_integrations.stores.report import Outcome
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_log = logging.getLogger(__name__)
_BATCH = 200
"""Rows between reading and writing: what somebody else writes in between may be lost where a store
cannot compare, so few."""
_ROUNDS = 3
INTERRUPTED = ("preparing", "applying", "reverting")


class Run:
    """One apply, revert or recovery under the collection's lock, and what became of each row.

    Attributes:
        facts: What is known of the last run.
        entries: Rows whose originals are kept.
        written: Rows that were read back with their target, as the store keeps it.
        changed: Left alone: somebody put another vector there.
        gone: Not in the store, or not visible to this user; not brought back.
        failed: The store accepted the vector but still holds the old one.
        rounded: Written, but the store rounds, so the last bit differs.
        unreadable: Left alone: the row holds no usable vector; with the reason.
        touched: Rows of which a write was tried.
    """

    def __init__(
        self, store: LiveStore, sidecar: Sidecar, action: str, renew: Callable[[], None]
    ) -> None:
        self.store, self.sidecar, self.action, self._renew = store, sidecar, action, renew
        self.facts, self.entries = sidecar.facts(), sidecar.entries()
        self.written: dict[str, FloatVector] = {}
        self.changed: list[str] = []
        self.gone: list[str] = []
        self.failed: list[str] = []
        self.rounded: list[str] = []
        self.unreadable: dict[str, str] = {}
        self.touched: set[str] = set()

    @classmethod
    @contextlib.contextmanager
    def begin(cls, store: LiveStore, sidecar: Sidecar, action: str) -> Iterator[Run]:
        """Hold the collection's lock; an error says how many rows are tuned by then.

        Raises:
            StoreBusyError: Another process holds it.
        """
        with sidecar.lock() as renew:
            run = cls(store, sidecar, action, renew)
            try:
                if store.filter is not None and run.facts.get("state") in INTERRUPTED:
                    raise StoreError(
                        f"an earlier run on {store.identity} was interrupted, maybe in rows that "
                        "the filter does not let through: call recover() first"
                    )
                yield run
            except StoreError as error:
                raise type(error)(f"{error}; {run._so_far(error)}") from None
        _log.info("%s", run.outcome())

    def enter(self, state: str) -> str:
        """Note a state under a new epoch: plans that were read from another one are stale."""
        epoch = secrets.token_hex(8)
        self.sidecar.note({**self.facts, "state": state, "epoch": epoch})
        return epoch

    def exchange(
        self,
        entries: Mapping[str, Entry],
        *,
        back: bool = False,
        show_progress: bool,
        pause: float = 0.0,
        after_batch: Callable[[int, int], object] | None = None,
    ) -> None:
        """Move rows to their goal batch by batch; each is read, compared, written, and read back.

        Args:
            entries: Which rows.
            back: Whether they go to their originals, which are then forgotten, or to `tuned`.
            show_progress: Whether to draw a progress bar.
            pause: Seconds to rest after each batch.
            after_batch: Told how many rows are done, and of how many.
        """
        names, size = list(entries), min(_BATCH, self.store.batch)
        with tqdm(
            total=len(names), desc="Writing", unit="vector", delay=1, disable=not show_progress
        ) as bar:
            for start in range(0, len(names), size):
                part = names[start : start + size]
                self._renew()
                self._batch(part, entries, back)
                if back:
                    self.sidecar.forget([name for name in part if name in self.written])
                bar.update(len(part))
                if after_batch is not None:
                    after_batch(start + len(part), len(names))
                if pause and start + size < len(names):
                    time.sleep(pause)

    def complain(self) -> None:
        """Refuse to go on where the store refused rows silently."""
        if self.failed:
            raise StoreError(
                f"{self.store.identity} accepted {len(self.failed)} vectors but still holds the "
                f"old ones ({name_some(self.failed)}): find out what refuses them"
            )

    def outcome(self) -> Outcome:
        """What became of the rows."""
        return Outcome(
            self.store.identity,
            self.action,
            len(self.written),
            tuple(self.changed),
            tuple(self.gone),
            tuple(self.rounded),
            dict(self.unreadable),
        )

    def _so_far(self, error: StoreError) -> str:
        if self.touched:
            return (
                f"{len(self.written):,} rows were written and read back before that, and the "
                f"originals are kept in {self.sidecar.where}: recover() or revert() goes on from "
                "here"
            )
        if not isinstance(error, ReadOnlyStoreError):
            return "nothing was changed"
        return (
            "nothing was changed. Give credentials that may update vectors and create a table or "
            "collection beside this one, or pass journal=FOLDER to keep the originals there"
        )

    def _batch(self, names: list[str], entries: Mapping[str, Entry], back: bool) -> None:
        left, tried = names, set[str]()
        for attempt in range(_ROUNDS + 1):
            now, bad = self.store.look(left)
            self.unreadable |= bad
            targets: dict[str, FloatVector] = {}
            for name in left:
                if name not in bad:
                    self._judge(name, entries[name], back, now, tried, targets)
            left = list(targets)
            if not left or attempt == _ROUNDS:
                break
            self.touched.update(left)
            for write, exact in ((self.store.write, False), (self.store.write_exactly, True)):
                rows = [name for name in left if _exact(entries[name], back) == exact]
                if rows:
                    held = np.stack([now[name] for name in rows])
                    write(rows, np.stack([targets[name] for name in rows]), held)
            tried.update(left)
        self.failed += left

    def _judge(
        self,
        name: str,
        entry: Entry,
        back: bool,
        now: Mapping[str, FloatVector],
        tried: set[str],
        targets: dict[str, FloatVector],
    ) -> None:
        """Record what became of a row, or add what must be written to `targets`."""
        if name not in now:
            self.gone.append(name)
            return
        held = now[name]
        target = entry.goal(held, back)
        if target is None:
            self.changed.append(name)
        elif np.array_equal(held, target):
            self.written[name] = held
        elif same(held, target) and (name in tried or not _exact(entry, back)):
            self.written[name] = held
            if _exact(entry, back):
                self.rounded.append(name)
        else:
            targets[name] = target


def _exact(entry: Entry, back: bool) -> bool:
    """Whether every bit counts: originals come back as they were."""
    return back or not entry.moves
