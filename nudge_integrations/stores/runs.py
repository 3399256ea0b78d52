"""What planning, applying and undoing share: one run's facts, marks and errors."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import ReadOnlyStoreError, StoreError
from nudge_integrations.stores.exchange import Exchanged, Goal, exchange
from nudge_integrations.stores.files import FileSidecar, journal_folder
from nudge_integrations.stores.report import Outcome
from nudge_integrations.stores.sidecar import Entry, Sidecar
from nudge_integrations.stores.store import FloatVector, LiveStore

_log = logging.getLogger(__name__)
_INTERRUPTED = ("preparing", "applying", "reverting")


def sidecar_of(store: LiveStore, folder: str | os.PathLike[str] | None = None) -> Sidecar:
    """The sidecar of a collection: in its own database, or in the folder that was asked for.

    Raises:
        StoreError: The collection is tuned, and its originals are elsewhere.
    """
    own = store.sidecar()
    if folder is not None or own is None:
        kept: Sidecar = in_folder(store, journal_folder(folder))
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


def in_folder(store: LiveStore, folder: Path) -> Sidecar:
    """The sidecar in a folder."""
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


def moves(entry: Entry) -> bool:
    """Whether the row's tuned vector is another than its original."""
    return not equal(entry.tuned, entry.original)


def equal(one: FloatVector, other: FloatVector) -> bool:
    """Whether two vectors are the same, byte for byte."""
    return np.array_equal(one, other)


def enter(sidecar: Sidecar, facts: Mapping[str, Any], state: str) -> str:
    """Note a state under a new epoch: plans that were read from another one are stale."""
    epoch = secrets.token_hex(8)
    sidecar.note({**facts, "state": state, "epoch": epoch})
    return epoch


def mark(store: LiveStore, sidecar: Sidecar, token: str) -> None:
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


def reverted(
    store: LiveStore, sidecar: Sidecar, show_progress: bool, forget: bool = False
) -> Outcome:
    """Put every original back that is still in its place, and report on each of them."""
    if not sidecar.facts() and not sidecar.entries():
        raise StoreError(
            f"{store.identity} was never tuned, or with a journal that is elsewhere: nothing is "
            f"kept in {sidecar.where} (see journal=)"
        )
    done = Exchanged()
    with sidecar.lock() as renew, explained(sidecar, done):
        facts, entries = sidecar.facts(), sidecar.entries()
        if entries:
            enter(sidecar, facts, "reverting")
        exchange(
            store,
            Goal(entries, back=True),
            done,
            renew,
            settled=sidecar.forget,
            show_progress=show_progress,
        )
        complain(store, done)
        sidecar.keep_questions(())
        if forget:
            sidecar.forget([*done.changed, *done.gone, *done.unreadable])
        if (len(done.written) == len(entries) or forget) and store.mark() is not None:
            store.set_mark(None)
        enter(sidecar, facts, "reverted")
    outcome = Outcome.of(store.identity, "revert", done)
    _log.info("%s", outcome)
    return outcome


def abandoned(
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
    enter(sidecar, facts, "applied" if kept else "reverted")
    return Outcome(store.identity, "recover: the run had not written anything yet", 0)


@contextlib.contextmanager
def explained(sidecar: Sidecar, done: Exchanged) -> Iterator[None]:
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


def complain(store: LiveStore, done: Exchanged) -> None:
    """Log what could not be exchanged."""
    if done.failed:
        raise StoreError(
            f"{store.identity} accepted {len(done.failed)} vectors but still holds the old ones "
            f"({name_some(done.failed)}): find out what refuses them"
        )
