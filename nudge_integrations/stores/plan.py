"""A plan for a live store: made without changing anything, applied, and taken back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nudge_integrations.errors import DataError, ReadOnlyStoreError, StoreError
from nudge_integrations.stores.entries import Entry, TrainingQuestion
from nudge_integrations.stores.exchange import Run
from nudge_integrations.stores.formats import FloatVector, same
from nudge_integrations.stores.report import Outcome, PlanReport
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore
from nudge_integrations.stores.undo import reverted

_LONGEST_PAUSE = 20.0  # seconds; well below the time after which the lock counts as abandoned


@dataclass(frozen=True)
class Row:
    """A document of a plan.

    Attributes:
        original: Where it stood at first.
        current: Where it stood when the plan was made.
        target: Where it shall stand.
    """

    original: FloatVector
    current: FloatVector
    target: FloatVector

    @property
    def to_write(self) -> bool:
        """Whether applying the plan writes it."""
        return not same(self.current, self.target)

    @property
    def moves(self) -> bool:
        """Whether it shall stand elsewhere than it did at first."""
        return not np.array_equal(self.target, self.original)


@dataclass(frozen=True, eq=False)
class Plan:
    """What tuning a store would do; `report` says it, `apply()` does it, `revert()` undoes it.

    Made by `tune`; nothing is changed before `apply()`.

    Attributes:
        report: What would move, how far, the expected gain, the cost.
    """

    report: PlanReport
    _store: LiveStore = field(repr=False)
    _sidecar: Sidecar = field(repr=False)
    _rows: Mapping[str, Row] = field(repr=False)
    _asked: Mapping[str, TrainingQuestion] = field(repr=False)
    _facts: Mapping[str, Any] = field(repr=False)
    _epochs: set[str | None] = field(repr=False)
    _show_progress: bool = field(default=True, repr=False)

    def apply(
        self,
        *,
        pause: float = 0.0,
        after_batch: Callable[[int, int], object] | None = None,
    ) -> Outcome:
        """Write the tuned vectors; each is read back and compared.

        The originals are in the sidecar before the first vector is written. Whenever the process
        is killed, every vector is either its original or its tuned self, and `recover` finishes
        the work or undoes it.

        Args:
            pause: Seconds to rest after each batch of at most 200 rows, 0 to 20, so that the
                store's users get their turn.
            after_batch: Called after each batch with how many rows are done, and of how many.

        Raises:
            DataError: A pause out of range.
            StoreBusyError: Another process is tuning the same collection.
            ReadOnlyStoreError: These credentials may not write; the message says how many rows
                are tuned.
            StoreError: The collection was tuned, recovered or reverted since the plan was made;
                or the store failed on the way: `recover` goes on from there.
        """
        if not 0 <= pause <= _LONGEST_PAUSE:
            raise DataError(f"pause must be 0 to {_LONGEST_PAUSE:.0f} seconds, got {pause!r}")
        if not any(row.to_write for row in self._rows.values()):
            return Outcome(self._store.identity, "apply: nothing to change", 0)
        sidecar = self._sidecar
        with Run.begin(self._store, sidecar, "apply") as run:
            before = run.facts
            if before.get("epoch") not in self._epochs:
                raise StoreError(
                    f"{self._store.identity} was tuned, recovered or reverted since this plan was "
                    "made: make the plan again"
                )
            entries = self._entries(run.entries)
            run.facts = {**self._facts, "token": before.get("token", secrets.token_hex(8))}
            self._epochs.add(run.enter("preparing"))
            known = {**run.entries, **entries}
            mine = {name: known[name] for name in self._rows if name in known}
            try:
                sidecar.put(entries)
                sidecar.put_questions(self._asked)
                sidecar.mark(run.facts["token"])
                self._epochs.add(run.enter("applying"))
                run.exchange(
                    mine, show_progress=self._show_progress, pause=pause, after_batch=after_batch
                )
            except ReadOnlyStoreError:
                self._undo_preparations(run, entries, before)
                raise
            sidecar.keep_questions(self._asked)
            # A row that was never ours is not remembered as if it were.
            left = {*run.changed, *run.gone, *run.unreadable}
            home = [name for name in run.written if not mine[name].moves]
            sidecar.forget([*(left - run.touched - set(run.entries)), *home])
            run.complain()
            self._epochs.add(run.enter("applied"))
            return run.outcome()

    def revert(self) -> Outcome:
        """Put the original bytes back, of this and of all earlier runs; see `revert`."""
        if not self._sidecar.facts():
            return Outcome(self._store.identity, "revert: nothing was changed", 0)
        return reverted(self._store, self._sidecar, self._show_progress)

    async def aapply(self, **options: Any) -> Outcome:
        """`apply` in a thread."""
        return await asyncio.to_thread(self.apply, **options)

    async def arevert(self) -> Outcome:
        """`revert` in a thread."""
        return await asyncio.to_thread(self.revert)

    def vectors(self) -> dict[str, FloatVector]:
        """Target vectors of the documents that would move, by id."""
        return {name: row.target for name, row in self._rows.items() if row.moves}

    def __str__(self) -> str:
        return str(self.report)

    def _entries(self, earlier: Mapping[str, Entry]) -> dict[str, Entry]:
        """Rows that will be tuned, and were not, or otherwise."""
        entries = {}
        for name, row in self._rows.items():
            entry = earlier.get(name)
            if entry is None:
                if row.to_write:
                    entries[name] = Entry(row.original, row.target)
            elif not (
                np.array_equal(entry.tuned, row.target)
                and np.array_equal(entry.original, row.original)
            ):
                entries[name] = entry.then(row.original, row.current, row.target)
        return entries

    def _undo_preparations(
        self, run: Run, entries: Mapping[str, Entry], before: Mapping[str, Any]
    ) -> None:
        """Forget a run that was refused before it wrote anything; read back, not assumed."""
        now, bad = self._store.look(run.touched)
        untouched = not bad and all(
            name in now and same(now[name], self._rows[name].current) for name in run.touched
        )
        if not untouched or run.written:
            return
        try:
            self._sidecar.put(run.entries)
            self._sidecar.forget(set(entries) - set(run.entries))
            self._sidecar.note(before)
        except StoreError:
            return  # The sidecar is refused, too: then nothing was kept there either.
        run.touched.clear()
