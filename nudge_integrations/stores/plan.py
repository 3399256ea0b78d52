"""A plan for a live store: made without changing anything, applied, and taken back."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nudge_integrations.errors import ReadOnlyStoreError, StoreError
from nudge_integrations.stores.exchange import Exchanged, Goal, exchange
from nudge_integrations.stores.report import Outcome, PlanReport
from nudge_integrations.stores.runs import complain, enter, equal, explained, mark, moves, reverted
from nudge_integrations.stores.sidecar import Entry, Sidecar, TrainingQuestion
from nudge_integrations.stores.store import FloatVector, LiveStore, same

_log = logging.getLogger(__name__)
_INTERRUPTED = ("preparing", "applying", "reverting")


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

    def apply(self) -> Outcome:
        """Write the tuned vectors; each is read back and compared.

        The originals are in the sidecar before the first vector is written. Whenever the process
        is killed, every vector is either its original or its tuned self, and `recover` finishes
        the work or undoes it.

        Raises:
            StoreBusyError: Another process is tuning the same collection.
            ReadOnlyStoreError: These credentials may not write; the message says how many rows
                are tuned.
            StoreError: The collection was tuned, recovered or reverted since the plan was made;
                or the store failed on the way: `recover` goes on from there.
        """
        if not any(row.to_write for row in self._rows.values()):
            return Outcome(self._store.identity, "apply: nothing to change", 0)
        store, sidecar, done = self._store, self._sidecar, Exchanged()
        with sidecar.lock() as renew:
            before = sidecar.facts()
            if before.get("epoch") not in self._epochs:
                raise StoreError(
                    f"{store.identity} was tuned, recovered or reverted since this plan was made: "
                    "make the plan again"
                )
            earlier = sidecar.entries()
            entries = self._entries(earlier)
            facts = {**self._facts, "token": before.get("token", secrets.token_hex(8))}
            with explained(sidecar, done):
                self._enter(facts, "preparing")
                try:
                    sidecar.put(entries)
                    sidecar.put_questions(self._asked)
                    mark(store, sidecar, facts["token"])
                    self._enter(facts, "applying")
                    mine = {**earlier, **entries}
                    mine = {name: mine[name] for name in self._rows if name in mine}
                    goal = Goal(mine, back=False)
                    exchange(store, goal, done, renew, show_progress=self._show_progress)
                except ReadOnlyStoreError:
                    self._undo_preparations(earlier, entries, before, done)
                    raise
                sidecar.keep_questions(self._asked)
                # A row that was never ours is not remembered as if it were.
                never = {*done.changed, *done.gone, *done.unreadable} - done.touched - set(earlier)
                home = [name for name in done.written if not moves(goal.entries[name])]
                sidecar.forget([*never, *home])
                complain(store, done)
                self._enter(facts, "applied")
        outcome = Outcome.of(store.identity, "apply", done)
        _log.info("%s", outcome)
        return outcome

    def revert(self) -> Outcome:
        """Put the original bytes back, of this and of all earlier runs; see `revert`."""
        if not self._sidecar.facts():
            return Outcome(self._store.identity, "revert: nothing was changed", 0)
        return reverted(self._store, self._sidecar, self._show_progress)

    async def aapply(self) -> Outcome:
        """`apply` in a thread."""
        return await asyncio.to_thread(self.apply)

    async def arevert(self) -> Outcome:
        """`revert` in a thread."""
        return await asyncio.to_thread(self.revert)

    def vectors(self) -> dict[str, FloatVector]:
        """Target vectors of the documents that would move, by id."""
        return {
            name: row.target
            for name, row in self._rows.items()
            if not np.array_equal(row.target, row.original)
        }

    def __str__(self) -> str:
        return str(self.report)

    def _enter(self, facts: Mapping[str, Any], state: str) -> None:
        """Note a new state; the plan may go on from the states that it made itself."""
        self._epochs.add(enter(self._sidecar, facts, state))

    def _entries(self, earlier: Mapping[str, Entry]) -> dict[str, Entry]:
        """Rows that are tuned or will be."""
        entries = {}
        for name, row in self._rows.items():
            if name in earlier:
                entry = earlier[name]
                if not (equal(entry.tuned, row.target) and equal(entry.original, row.original)):
                    entries[name] = entry.then(row.original, row.current, row.target)
            elif row.to_write:
                entries[name] = Entry(row.original, row.target)
        return entries

    def _undo_preparations(
        self,
        earlier: Mapping[str, Entry],
        entries: Mapping[str, Entry],
        before: Mapping[str, Any],
        done: Exchanged,
    ) -> None:
        """Forget a run that was refused before it wrote anything; read back, not assumed."""
        now, bad = self._store.look(done.touched)
        untouched = not bad and all(
            name in now and same(now[name], self._rows[name].current) for name in done.touched
        )
        if not (untouched and not done.written):
            return
        try:
            self._sidecar.put(earlier)
            self._sidecar.forget(set(entries) - set(earlier))
            self._sidecar.note(before)
        except StoreError:
            return  # The sidecar is refused, too: then nothing was kept there either.
        done.touched.clear()
