"""Putting other vectors into a live store, safely: only where it holds what it is believed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from nudge_integrations.stores.store import FloatVector, LiveStore, same

_BATCH = 200
"""Rows between reading and writing back: what somebody else writes in between may be lost where a
store cannot compare, so few."""
_ROUNDS = 3


@dataclass(frozen=True)
class Wanted:
    """A vector to put into a row.

    Attributes:
        target: What it shall hold.
        known: What it may hold now; whatever else is there is somebody else's.
        exact: Whether to the last bit.
    """

    target: FloatVector
    known: tuple[FloatVector, ...]
    exact: bool = False


@dataclass
class Exchanged:
    """What became of the rows.

    Attributes:
        written: Rows that now hold the target, as the store keeps it.
        changed: Left alone: somebody put another vector there.
        gone: Not in the store any more; not brought back.
        failed: The store took the vector, and still holds the old one.
        rounded: Written, but the store rounds, and the last bit could not be had.
    """

    written: dict[str, FloatVector] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)

    def add(self, other: Exchanged) -> None:
        """Count another batch in."""
        self.written |= other.written
        for name in ("changed", "gone", "failed", "rounded"):
            getattr(self, name).extend(getattr(other, name))


def exchange(
    store: LiveStore,
    wanted: Mapping[str, Wanted],
    settled: Callable[[Exchanged], None],
    show_progress: bool = False,
) -> Exchanged:
    """Exchange vectors batch by batch; each is read, compared, written, and read back.

    Args:
        store: Where.
        wanted: Id -> what to put there.
        settled: Told after every batch.
        show_progress: Whether to draw a progress bar.
    """
    result = Exchanged()
    names = list(wanted)
    size = min(_BATCH, store.batch)
    bar = tqdm(
        total=len(names),
        desc="Exchanging vectors",
        unit="vector",
        delay=1,
        disable=not show_progress,
    )
    with bar:
        for start in range(0, len(names), size):
            part = names[start : start + size]
            done = _batch(store, {name: wanted[name] for name in part})
            settled(done)
            result.add(done)
            bar.update(len(part))
    return result


def _batch(store: LiveStore, wanted: Mapping[str, Wanted]) -> Exchanged:
    done = Exchanged()
    left = list(wanted)
    for _ in range(_ROUNDS):
        now = store.read(left)
        to_write = _sort(now, left, wanted, done)
        if not to_write:
            return done
        for exact in (False, True):
            rows = [name for name in to_write if wanted[name].exact == exact]
            if rows:
                targets = np.stack([wanted[name].target for name in rows])
                before = np.stack([now[name] for name in rows])
                write = store.write_exactly if exact else store.write
                write(rows, targets, before)
        left = _verified(store.read(to_write), to_write, wanted, done)
        if not left:
            return done
    done.failed += left
    return done


def _sort(
    now: Mapping[str, FloatVector],
    names: list[str],
    wanted: Mapping[str, Wanted],
    done: Exchanged,
) -> list[str]:
    """Rows to write; the others are booked."""
    to_write = []
    for name in names:
        if name not in now:
            done.gone.append(name)
        elif _arrived(now[name], wanted[name]):
            done.written[name] = now[name]
        elif any(same(now[name], known) for known in wanted[name].known):
            to_write.append(name)
        else:
            done.changed.append(name)
    return to_write


def _verified(
    after: Mapping[str, FloatVector],
    names: list[str],
    wanted: Mapping[str, Wanted],
    done: Exchanged,
) -> list[str]:
    """Rows that still hold what they did."""
    left = []
    for name in names:
        if name not in after:
            done.gone.append(name)
        elif same(after[name], wanted[name].target):
            done.written[name] = after[name]
            if wanted[name].exact and not _arrived(after[name], wanted[name]):
                done.rounded.append(name)
        elif any(same(after[name], known) for known in wanted[name].known):
            left.append(name)
        else:
            done.changed.append(name)
    return left


def _arrived(vector: FloatVector, wanted: Wanted) -> bool:
    if wanted.exact:
        return np.array_equal(vector, wanted.target)
    return same(vector, wanted.target)
