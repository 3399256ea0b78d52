"""A plan for a live store: made without changing anything, applied, and taken back."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import ReadOnlyStoreError, StoreError
from nudge_integrations.stores.entries import Asked, Entry
from nudge_integrations.stores.exchange import Exchanged, Wanted, exchange
from nudge_integrations.stores.journal import Journal, journal_of
from nudge_integrations.stores.open import open_store
from nudge_integrations.stores.report import Outcome, PlanReport, Status
from nudge_integrations.stores.store import FloatVector, LiveStore, same

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, eq=False)
class Plan:
    """What tuning a store would do; `report` says it, `apply()` does it, `revert()` undoes it.

    Made by `tune`; nothing is changed before `apply()`.

    Attributes:
        report: What would move, how far, the expected gain, the cost.
    """

    report: PlanReport
    _store: LiveStore = field(repr=False)
    _journal: Journal = field(repr=False)
    _rows: Mapping[str, Row] = field(repr=False)
    _asked: Mapping[str, Asked] = field(repr=False)
    _facts: Mapping[str, Any] = field(repr=False)
    _show_progress: bool = field(default=True, repr=False)

    def apply(self) -> Outcome:
        """Write the tuned vectors, each checked by reading it back.

        The originals are in the journal before the first vector is exchanged. Killed at any
        moment, every vector is its original or its tuned self, and `recover` ends the work.

        Raises:
            StoreBusyError: Another process is tuning the same collection.
            ReadOnlyStoreError: These credentials may not write; nothing was changed.
            StoreError: The collection was tuned since the plan was made; or the store failed
                on the way: `recover`, or applying again, goes on from there.
        """
        if not any(_to_do(row) for row in self._rows.values()):
            return Outcome(self._store.identity, "apply: nothing to change", 0)
        with self._journal.locked():
            known = self._journal.facts()
            again = known.get("run") == self._facts["run"] and known.get("state") != "reverted"
            if known.get("revision", 0) != self._facts["revision"] - 1 and not again:
                raise StoreError(
                    f"{self._store.identity} was tuned or reverted since this plan was made: make "
                    "the plan again"
                )
            before = self._journal.state()
            facts = {**self._facts, "state": "applying"}
            self._journal.begin(_entries(self._rows), self._asked, facts)
            try:
                return _finish(self._store, self._journal, "apply", self._show_progress)
            except ReadOnlyStoreError:
                self._journal.restore(before)
                raise

    def revert(self) -> Outcome:
        """Put the original bytes back, of this and of all earlier runs; see `revert`."""
        if not self._journal.exists():
            return Outcome(self._store.identity, "revert: nothing was changed", 0)
        return _reverted(self._store, self._journal, self._show_progress)

    async def aapply(self) -> Outcome:
        """`apply` in a thread."""
        return await asyncio.to_thread(self.apply)

    async def arevert(self) -> Outcome:
        """`revert` in a thread."""
        return await asyncio.to_thread(self.revert)

    def vectors(self) -> dict[str, FloatVector]:
        """Where documents that would move shall stand, by id."""
        return {
            name: row.target
            for name, row in self._rows.items()
            if not np.array_equal(row.target, row.original)
        }

    def __str__(self) -> str:
        return str(self.report)


def revert(
    store: Any,
    *,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    **options: Any,
) -> Outcome:
    """Put the original vectors of a store back, byte for byte, in whatever process.

    Args:
        store: As `open_store` takes it.
        journal: Folder of the journals, if it is not the default one.
        show_progress: Whether to draw a progress bar.
        options: For `open_store`.

    Raises:
        StoreBusyError: Another process is tuning the same collection.
        StoreError: It was never tuned under this journal; or the store failed on the way: call
            again, to go on from there.
        CorruptFileError: The journal is damaged.
    """
    opened = open_store(store, **options)
    return _reverted(opened, journal_of(opened, journal), show_progress)


def recover(
    store: Any,
    *,
    undo: bool = False,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    **options: Any,
) -> Outcome:
    """End an `apply` or a `revert` that was interrupted.

    Args:
        store: As `open_store` takes it.
        undo: Put the originals back instead of completing an `apply`.
        journal: Folder of the journals, if it is not the default one.
        show_progress: Whether to draw a progress bar.
        options: For `open_store`.

    Raises:
        StoreBusyError: It is not interrupted: another process is at it.
        StoreError: The store failed on the way.
    """
    opened = open_store(store, **options)
    kept = journal_of(opened, journal)
    state = kept.facts().get("state")
    if state == "reverting" or undo:
        return _reverted(opened, kept, show_progress)
    if state != "applying":
        return Outcome(opened.identity, "recover: nothing was interrupted", 0)
    with kept.locked():
        return _finish(opened, kept, "recover", show_progress)


def status(store: Any, *, journal: str | os.PathLike[str] | None = None, **options: Any) -> Status:
    """Tell what is tuned in a store, and by which run.

    Args:
        store: As `open_store` takes it.
        journal: Folder of the journals, if it is not the default one.
        options: For `open_store`.
    """
    opened = open_store(store, **options)
    kept = journal_of(opened, journal)
    facts = kept.facts()
    entries = kept.entries()
    state = facts.get("state", "reverted")
    names = {"applied": "tuned", "reverted": "untuned"}
    return Status(
        opened.identity,
        "untuned" if not entries and state == "applied" else names.get(state, state),
        facts.get("method"),
        facts.get("step"),
        facts.get("when"),
        len(entries),
        len(kept.questions()),
        str(kept.path),
    )


def new_facts(earlier: Mapping[str, Any], method: str, step: float) -> dict[str, Any]:
    """What the journal keeps of a run."""
    return {
        "revision": earlier.get("revision", 0) + 1,
        "run": uuid.uuid4().hex,
        "method": method,
        "step": step,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _to_do(row: Row) -> bool:
    return not same(row.current, row.target)


def _entries(rows: Mapping[str, Row]) -> dict[str, Entry]:
    """Rows that are tuned or are to be."""
    return {
        name: Entry(row.original, row.target, row.current)
        for name, row in rows.items()
        if _to_do(row) or not np.array_equal(row.target, row.original)
    }


def _finish(store: LiveStore, journal: Journal, action: str, show_progress: bool) -> Outcome:
    """Bring every row of the journal to its tuned vector."""
    entries = journal.entries()

    def settled(done: Exchanged) -> None:
        stays = {
            name: Entry(entries[name].original, vector)
            for name, vector in done.written.items()
            if not np.array_equal(entries[name].tuned, entries[name].original)
        }
        gone = [name for name in done.written if name not in stays]
        journal.settle(stays, [*gone, *done.changed, *done.gone])

    done = exchange(
        store,
        {
            name: Wanted(
                entry.tuned,
                _known(entry),
                exact=np.array_equal(entry.tuned, entry.original),
            )
            for name, entry in entries.items()
        },
        settled,
        show_progress,
    )
    _check(store, done)
    journal.note({"state": "applied"})
    outcome = Outcome.of(store.identity, action, done)
    _log.info("%s", outcome)
    return outcome


def _reverted(store: LiveStore, journal: Journal, show_progress: bool) -> Outcome:
    if not journal.exists():
        raise StoreError(
            f"{store.identity} was never tuned, or its journal is elsewhere: none is at "
            f"{journal.path} (journal=..., or NUDGE_JOURNAL_DIR)"
        )
    with journal.locked():
        entries = journal.entries()
        facts = journal.facts()
        journal.note({"state": "reverting", "revision": facts.get("revision", 0) + 1})

        def settled(done: Exchanged) -> None:
            journal.settle({}, [*done.written, *done.changed, *done.gone])

        done = exchange(
            store,
            {
                name: Wanted(entry.original, _known(entry), exact=True)
                for name, entry in entries.items()
            },
            settled,
            show_progress,
        )
        _check(store, done)
        journal.forget_questions()
        journal.note({"state": "reverted"})
    outcome = Outcome.of(store.identity, "revert", done)
    _log.info("%s", outcome)
    return outcome


def _known(entry: Entry) -> tuple[FloatVector, ...]:
    between = () if entry.earlier is None else (entry.earlier,)
    return (entry.tuned, *between, entry.original)


def _check(store: LiveStore, done: Exchanged) -> None:
    if done.failed:
        raise StoreError(
            f"{store.identity} took {len(done.failed)} vectors and still holds the old ones "
            f"({name_some(done.failed)}): see what refuses them there, then recover"
        )
