"""Undo, finish or describe a tuning, in any process that can open the collection."""

from __future__ import annotations

import logging
import os
from typing import Any

from nudge_integrations.stores.exchange import Exchanged, Goal, exchange
from nudge_integrations.stores.open import open_store
from nudge_integrations.stores.report import Outcome, Status
from nudge_integrations.stores.runs import (
    abandoned,
    complain,
    enter,
    explained,
    moves,
    reverted,
    sidecar_of,
)

_log = logging.getLogger(__name__)
_INTERRUPTED = ("preparing", "applying", "reverting")


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
    return reverted(opened, sidecar_of(opened, journal), show_progress, forget)


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
    if state not in _INTERRUPTED:
        return Outcome(opened.identity, "recover: nothing was interrupted", 0)
    done = Exchanged()
    with sidecar.lock() as renew, explained(sidecar, done):
        facts, entries = sidecar.facts(), sidecar.entries()
        if facts.get("state") == "preparing":
            return abandoned(opened, sidecar, entries, facts)
        enter(sidecar, facts, "applying")
        exchange(opened, Goal(entries, back=False), done, renew, show_progress=show_progress)
        sidecar.forget(name for name in done.written if not moves(entries[name]))
        complain(opened, done)
        enter(sidecar, facts, "applied")
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
