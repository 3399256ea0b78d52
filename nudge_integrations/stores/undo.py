"""Undo, finish or describe a tuning, in any process that can open the collection."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from nudge_integrations.errors import StoreError
from nudge_integrations.stores.entries import Entry, TrainingQuestion
from nudge_integrations.stores.exchange import INTERRUPTED, Run
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.open import open_store
from nudge_integrations.stores.report import Outcome, Status
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore


def revert(
    store: Any,
    *,
    filter: Any = None,
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
        filter: Revert only the rows that it lets through, such as those of one tenant; in the
            store's own form, as for `tune`.
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
    return reverted(opened.within(filter), sidecar_of(opened, journal), show_progress, forget)


def reverted(
    store: LiveStore, sidecar: Sidecar, show_progress: bool, forget: bool = False
) -> Outcome:
    """Put every original back that is still in its place, and report on each of them."""
    if not sidecar.facts() and not sidecar.entries():
        raise StoreError(
            f"{store.identity} was never tuned, or with a journal that is elsewhere: nothing is "
            f"kept in {sidecar.where} (see journal=)"
        )
    with Run.begin(store, sidecar, "revert") as run:
        entries, asked = run.entries, dict[str, TrainingQuestion]()
        whole = store.filter is None
        if not whole:
            asked = outside(store, sidecar.questions())
            found, bad = store.look(entries)
            entries = {name: entries[name] for name in entries if name in found or name in bad}
        if entries:
            # Rows outside the filter stay tuned, whenever this is interrupted.
            run.enter("reverting" if whole else "applied")
        run.exchange(entries, back=True, show_progress=show_progress)
        run.complain()
        sidecar.put_questions(asked)
        sidecar.keep_questions(asked)
        if forget:
            sidecar.forget([*run.changed, *run.gone, *run.unreadable])
        if not sidecar.entries() and store.mark() is not None:
            store.set_mark(None)
        run.enter("reverted" if whole or not sidecar.entries() else "applied")
        return run.outcome()


def outside(store: LiveStore, asked: dict[str, TrainingQuestion]) -> dict[str, TrainingQuestion]:
    """What of some questions is answered by rows that a filter does not let through."""
    if store.filter is None:
        return {}
    found, bad = store.look({name for each in asked.values() for name in each.answers})
    inside = {*found, *bad}
    left = {key: each.without(inside) for key, each in asked.items()}
    return {key: each for key, each in left.items() if each.answers}


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
        return reverted(opened, sidecar, show_progress)
    if state not in INTERRUPTED:
        return Outcome(opened.identity, "recover: nothing was interrupted", 0)
    with Run.begin(opened, sidecar, "recover") as run:
        if run.facts.get("state") == "preparing":
            return _abandoned(run)
        run.enter("applying")
        run.exchange(run.entries, show_progress=show_progress)
        sidecar.forget(name for name in run.written if not run.entries[name].moves)
        run.complain()
        run.enter("applied")
        return run.outcome()


def _abandoned(run: Run) -> Outcome:
    """End a run that stopped before it wrote anything."""
    now, _ = run.store.look(run.entries)
    kept: dict[str, Entry] = {}
    for name, entry in run.entries.items():
        held = now.get(name)
        original = None if held is None else entry.original_of(held)
        if held is None or original is None:
            kept[name] = entry
        elif not np.array_equal(held, original):
            kept[name] = entry.then(original, held, held)
    run.sidecar.put(kept)
    run.sidecar.forget(set(run.entries) - set(kept))
    run.enter("applied" if kept else "reverted")
    run.action = "recover: the run had not written anything yet"
    return run.outcome()


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
    if state not in INTERRUPTED:
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
