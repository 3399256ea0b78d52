"""A plan for a live store: made without changing anything, applied, and taken back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import ReadOnlyStoreError, StoreError
from nudge_integrations.stores.exchange import Exchanged, Goal, exchange
from nudge_integrations.stores.files import FileSidecar, journal_folder
from nudge_integrations.stores.open import open_store
from nudge_integrations.stores.report import Outcome, PlanReport, Status
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
            with _explained(sidecar, done):
                self._enter(facts, "preparing")
                try:
                    sidecar.put(entries)
                    sidecar.put_questions(self._asked)
                    _mark(store, sidecar, facts["token"])
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
                home = [name for name in done.written if not _moves(goal.entries[name])]
                sidecar.forget([*never, *home])
                _complain(store, done)
                self._enter(facts, "applied")
        outcome = Outcome.of(store.identity, "apply", done)
        _log.info("%s", outcome)
        return outcome

    def revert(self) -> Outcome:
        """Put the original bytes back, of this and of all earlier runs; see `revert`."""
        if not self._sidecar.facts():
            return Outcome(self._store.identity, "revert: nothing was changed", 0)
        return _reverted(self._store, self._sidecar, self._show_progress)

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
        self._epochs.add(_enter(self._sidecar, facts, state))

    def _entries(self, earlier: Mapping[str, Entry]) -> dict[str, Entry]:
        """Rows that are tuned or will be."""
        entries = {}
        for name, row in self._rows.items():
            if name in earlier:
                entry = earlier[name]
                if not (_equal(entry.tuned, row.target) and _equal(entry.original, row.original)):
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


def revert(
    store: Any,
    *,
    forget: bool = False,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    **options: Any,
) -> Outcome:
    """Put the original vectors of a store back, byte for byte, in whatever process.

    Rows that cannot be restored now (gone, not visible, replaced by somebody else) stay in the
    sidecar; `status` lists them, and another `revert` restores them when they are back.

    Args:
        store: As `open_store` takes it.
        forget: Give up the originals of rows that cannot be restored now.
        journal: Folder of the journal, if the collection was tuned with `journal=`.
        show_progress: Whether to draw a progress bar.
        options: For `open_store`.

    Raises:
        StoreBusyError: Another process is tuning the same collection.
        StoreError: It was never tuned; or the store failed on the way: call again, to go on from
            there.
        CorruptFileError: The sidecar is damaged.
    """
    opened = open_store(store, **options)
    return _reverted(opened, sidecar_of(opened, journal), show_progress, forget)


def recover(
    store: Any,
    *,
    undo: bool = False,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    **options: Any,
) -> Outcome:
    """Finish an `apply` or a `revert` that was interrupted.

    Args:
        store: As `open_store` takes it.
        undo: Put the originals back instead of completing an `apply`.
        journal: Folder of the journal, if the collection was tuned with `journal=`.
        show_progress: Whether to draw a progress bar.
        options: For `open_store`.

    Raises:
        StoreBusyError: It is not interrupted: another process is at work.
        StoreError: The store failed on the way.
    """
    opened = open_store(store, **options)
    sidecar = sidecar_of(opened, journal)
    state = sidecar.facts().get("state")
    if state == "reverting" or undo:
        return _reverted(opened, sidecar, show_progress)
    if state not in _INTERRUPTED:
        return Outcome(opened.identity, "recover: nothing was interrupted", 0)
    done = Exchanged()
    with sidecar.lock() as renew, _explained(sidecar, done):
        facts, entries = sidecar.facts(), sidecar.entries()
        if facts.get("state") == "preparing":
            return _abandoned(opened, sidecar, entries, facts)
        _enter(sidecar, facts, "applying")
        exchange(opened, Goal(entries, back=False), done, renew, show_progress=show_progress)
        sidecar.forget(name for name in done.written if not _moves(entries[name]))
        _complain(opened, done)
        _enter(sidecar, facts, "applied")
    outcome = Outcome.of(opened.identity, "recover", done)
    _log.info("%s", outcome)
    return outcome


def status(store: Any, *, journal: str | os.PathLike[str] | None = None, **options: Any) -> Status:
    """Tell what is tuned in a store, and by which run.

    Args:
        store: As `open_store` takes it.
        journal: Folder of the journal, if the collection was tuned with `journal=`.
        options: For `open_store`.
    """
    opened = open_store(store, **options)
    sidecar = sidecar_of(opened, journal)
    facts, entries = sidecar.facts(), sidecar.entries()
    state = facts.get("state", "applied")
    if state not in _INTERRUPTED:
        state = "untuned" if not entries else "left" if state == "reverted" else "tuned"
    return Status(
        opened.identity,
        state,
        facts.get("method"),
        facts.get("step"),
        facts.get("when"),
        len(entries),
        len(sidecar.questions()),
        sidecar.where,
        tuple(entries) if state == "left" else (),
    )


def sidecar_of(store: LiveStore, folder: str | os.PathLike[str] | None = None) -> Sidecar:
    """The sidecar of a collection: in its own database, or in the folder that was asked for.

    Raises:
        StoreError: The collection is tuned, and its originals are elsewhere.
    """
    own = store.sidecar()
    if folder is not None or own is None:
        kept: Sidecar = _in_folder(store, journal_folder(folder))
        if own is not None and own.entries():
            raise StoreError(
                f"{store.identity} is tuned and its originals are in {own.where}: leave out "
                "journal="
            )
    else:
        kept = own
    mark = store.mark()
    if mark is not None and kept.facts().get("token") != mark.split(" ", 1)[0]:
        raise StoreError(
            f"{store.identity} is tuned, and its originals are in a journal that is not here "
            f"({mark}): pass journal= with that folder, on the machine that has it"
        )
    return kept


def _in_folder(store: LiveStore, folder: Path) -> Sidecar:
    # FAISS finds its file by the vectors in the index.
    make = getattr(store, "sidecar_in", None)
    return FileSidecar(store, folder) if make is None else make(folder)


def new_facts(method: str, step: float) -> dict[str, Any]:
    """What the sidecar keeps of a run."""
    return {
        "method": method,
        "step": step,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _moves(entry: Entry) -> bool:
    """Whether the row's tuned vector is another than its original."""
    return not _equal(entry.tuned, entry.original)


def _equal(one: FloatVector, other: FloatVector) -> bool:
    return np.array_equal(one, other)


def _enter(sidecar: Sidecar, facts: Mapping[str, Any], state: str) -> str:
    """Note a state under a new epoch: plans that were read from another one are stale."""
    epoch = secrets.token_hex(8)
    sidecar.note({**facts, "state": state, "epoch": epoch})
    return epoch


def _mark(store: LiveStore, sidecar: Sidecar, token: str) -> None:
    """Note on the collection itself that its originals are in somebody's folder."""
    if isinstance(sidecar, FileSidecar) and store.mark() is None:
        try:
            marked = store.set_mark(f"{token} {sidecar.path}")
        except StoreError:
            marked = False
        if not marked:
            _log.warning(
                "%s cannot hold a note: on another machine it will look untuned; the originals "
                "are in %s",
                store.identity,
                sidecar.where,
            )


def _reverted(
    store: LiveStore, sidecar: Sidecar, show_progress: bool, forget: bool = False
) -> Outcome:
    if not sidecar.facts() and not sidecar.entries():
        raise StoreError(
            f"{store.identity} was never tuned, or with a journal that is elsewhere: nothing is "
            f"kept in {sidecar.where} (see journal=)"
        )
    done = Exchanged()
    with sidecar.lock() as renew, _explained(sidecar, done):
        facts, entries = sidecar.facts(), sidecar.entries()
        if entries:
            _enter(sidecar, facts, "reverting")
        exchange(
            store,
            Goal(entries, back=True),
            done,
            renew,
            settled=sidecar.forget,
            show_progress=show_progress,
        )
        _complain(store, done)
        sidecar.keep_questions(())
        if forget:
            sidecar.forget([*done.changed, *done.gone, *done.unreadable])
        if (len(done.written) == len(entries) or forget) and store.mark() is not None:
            store.set_mark(None)
        _enter(sidecar, facts, "reverted")
    outcome = Outcome.of(store.identity, "revert", done)
    _log.info("%s", outcome)
    return outcome


def _abandoned(
    store: LiveStore, sidecar: Sidecar, entries: Mapping[str, Entry], facts: Mapping[str, Any]
) -> Outcome:
    """End a run that stopped before it wrote anything."""
    now, _ = store.look(entries)
    kept = {}
    for name, entry in entries.items():
        held = now.get(name)
        original = None if held is None else entry.original_of(held)
        if held is None or original is None:
            kept[name] = entry
        elif not np.array_equal(held, original):
            kept[name] = entry.then(original, held, held)
    sidecar.put(kept)
    sidecar.forget(set(entries) - set(kept))
    _enter(sidecar, facts, "applied" if kept else "reverted")
    return Outcome(store.identity, "recover: the run had not written anything yet", 0)


@contextlib.contextmanager
def _explained(sidecar: Sidecar, done: Exchanged) -> Iterator[None]:
    """Say how many rows are tuned if a run is refused or fails on the way."""
    try:
        yield
    except StoreError as error:
        text = (
            f"{len(done.written):,} rows were written and read back before that, and the "
            f"originals are kept in {sidecar.where}: recover() or revert() goes on from here"
        )
        if not done.touched:
            text = "nothing was changed"
            if isinstance(error, ReadOnlyStoreError):
                text += (
                    ". Give credentials that may update vectors and create a table or collection "
                    "beside this one, or pass journal=FOLDER to keep the originals there"
                )
        raise type(error)(f"{error}; {text}") from None


def _complain(store: LiveStore, done: Exchanged) -> None:
    if done.failed:
        raise StoreError(
            f"{store.identity} accepted {len(done.failed)} vectors but still holds the old ones "
            f"({name_some(done.failed)}): find out what refuses them"
        )
