"""Replace vectors in a live store, safely: only where it holds what it is believed to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from nudge_integrations.stores.sidecar import Entry
from nudge_integrations.stores.store import FloatVector, LiveStore, same

_BATCH = 200
"""Rows between reading and writing: what somebody else writes in between may be lost where a store
cannot compare, so few."""
_ROUNDS = 3


@dataclass
class Exchanged:
    """What became of the rows.

    Attributes:
        written: Rows that were read back with their target, as the store keeps it.
        changed: Left alone: somebody put another vector there.
        gone: Not in the store, or not visible to this user; not brought back.
        failed: The store accepted the vector but still holds the old one.
        rounded: Written, but the store rounds, so the last bit differs.
        unreadable: Left alone: the row holds no usable vector; with the reason.
        touched: Rows of which a write was tried.
    """

    written: dict[str, FloatVector] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Goal:
    """Where rows shall go: to their tuned vectors, or back to their originals."""

    entries: Mapping[str, Entry]
    back: bool

    def target(self, name: str, now: FloatVector) -> FloatVector | None:
        """What the row shall hold; None if it holds somebody else's vector."""
        entry = self.entries[name]
        original = entry.original_of(now)
        if original is None or self.back:
            return original
        # A vector from before somebody replaced the row came back: it is theirs again.
        return entry.tuned if np.array_equal(original, entry.original) else None

    def exact(self, name: str) -> bool:
        """Whether every bit counts: originals come back as they were."""
        entry = self.entries[name]
        return self.back or np.array_equal(entry.tuned, entry.original)


def exchange(
    store: LiveStore,
    goal: Goal,
    done: Exchanged,
    renew: Callable[[], None],
    *,
    settled: Callable[[list[str]], None] = lambda _: None,
    show_progress: bool,
) -> None:
    """Move rows to their goal batch by batch; each is read, compared, written, and read back.

    Args:
        store: Where.
        goal: Which rows, and what to put there.
        done: Filled on the way, so that it tells what happened before an error, too.
        renew: Called before every batch: renews the lock or raises.
        settled: Told the rows of every batch once they were read back.
        show_progress: Whether to draw a progress bar.
    """
    names = list(goal.entries)
    size = min(_BATCH, store.batch)
    with tqdm(
        total=len(names), desc="Writing", unit="vector", delay=1, disable=not show_progress
    ) as bar:
        for start in range(0, len(names), size):
            part = names[start : start + size]
            renew()
            _batch(store, part, goal, done)
            settled([name for name in part if name in done.written])
            bar.update(len(part))


def _batch(store: LiveStore, names: list[str], goal: Goal, done: Exchanged) -> None:
    left = names
    tried: set[str] = set()
    for attempt in range(_ROUNDS + 1):
        now, bad = store.look(left)
        done.unreadable |= bad
        targets = _to_write([name for name in left if name not in bad], now, goal, done, tried)
        if not targets:
            return
        left = list(targets)
        if attempt == _ROUNDS:
            break
        done.touched.update(left)
        for exact in (False, True):
            rows = [name for name in left if goal.exact(name) == exact]
            if rows:
                write = store.write_exactly if exact else store.write
                held = np.stack([now[name] for name in rows])
                write(rows, np.stack([targets[name] for name in rows]), held)
        tried.update(left)
    done.failed += left


def _to_write(
    names: list[str],
    now: Mapping[str, FloatVector],
    goal: Goal,
    done: Exchanged,
    tried: set[str],
) -> dict[str, FloatVector]:
    """Targets of rows that must be written; all others are recorded in `done`."""
    targets: dict[str, FloatVector] = {}
    for name in names:
        if name not in now:
            done.gone.append(name)
            continue
        target = goal.target(name, now[name])
        if target is None:
            done.changed.append(name)
        elif np.array_equal(now[name], target):
            done.written[name] = now[name]
        elif same(now[name], target) and (not goal.exact(name) or name in tried):
            done.written[name] = now[name]
            if goal.exact(name):
                done.rounded.append(name)
        else:
            targets[name] = target
    return targets
