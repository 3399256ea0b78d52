"""Random histories of a tuned collection, checked against a plain dictionary of what users wrote.

Whatever happens (runs, kills, recoveries, reverts, other writers, deletes, backups), a row holds
what its user wrote last, or a tuned vector whose original is kept; and after a revert it holds
what its user wrote, to the last bit, or it is named as not restored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from backends import Backend

from nudge_integrations.errors import StoreError
from nudge_integrations.stores import open_store, recover, revert, status
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.formats import same
from nudge_integrations.stores.plan import Plan, Row
from nudge_integrations.stores.snapshot import read_rows
from nudge_integrations.stores.store import LiveStore

D, COUNT = 6, 8


class Killed(BaseException):
    """Stands for a process that ends between two calls of the database."""


class History:
    """One collection, and what its users know of it."""

    def __init__(self, backend: Backend, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.backend = backend
        self.names = [backend.as_id(f"doc-{row}") for row in range(COUNT)]
        vectors = self.vectors(COUNT)
        self.held = backend.fill(self.names, vectors)
        self.first = dict(zip(self.names, self.read().values(), strict=True))
        self.users: dict[str, np.ndarray] = dict(self.first)
        """What the user of each row wrote last, as the store keeps it."""
        self.backup: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None = None
        self.plans: list[Plan] = []
        self.tuned_in_backup: set[str] = set()
        self.runs_since_backup = 0
        self.lost = 0
        self.rounded: set[str] = set()

    def open(self) -> LiveStore:
        """The collection as another process would open it."""
        return open_store(self.held, **self.backend.options)

    def vectors(self, count: int) -> np.ndarray:
        vectors = self.rng.normal(size=(count, D))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def read(self) -> dict[str, np.ndarray]:
        return self.open().read(self.names)

    def plan(self, rows: list[int]) -> None:
        """As `tune` plans, with random targets instead of a fit."""
        store = self.open()
        sidecar = sidecar_of(store)
        epoch, entries = sidecar.facts().get("epoch"), sidecar.entries()
        chosen = [self.names[row] for row in rows]
        found, _, _ = read_rows(store, [*chosen, *entries], entries)
        targets = dict(zip(chosen, self.vectors(len(chosen)), strict=True))
        planned = {
            name: Row(original, current, targets.get(name, original))
            for name, (original, current) in found.items()
        }
        facts = {"method": "n", "step": 0.5, "when": "today"}
        self.plans.append(Plan(None, store, sidecar, planned, {}, facts, {epoch}, False))  # type: ignore[arg-type]

    def apply(self, kill_at: int | None) -> None:
        if not self.plans:
            return
        plan = self.plans.pop(0)
        self.runs_since_backup += 1
        with contextlib.suppress(StoreError, Killed), self.killed(plan._store, kill_at):
            plan.apply()

    def recover(self, undo: bool, kill_at: int | None) -> None:
        store = self.open()
        if not undo or sidecar_of(store).facts():
            with contextlib.suppress(Killed), self.killed(store, kill_at):
                recover(store, undo=undo, show_progress=False)

    def revert(self, kill_at: int | None) -> None:
        store = self.open()
        if not sidecar_of(store).facts():
            return
        with contextlib.suppress(Killed), self.killed(store, kill_at):
            revert(store, show_progress=False)
            self.check_reverted()

    def write(self, row: int) -> None:
        """A user writes a row; it is new if it was deleted."""
        name = self.names[row]
        self.backend.put([name], self.vectors(1))
        self.users[name] = self.read()[name]

    def delete(self, row: int) -> None:
        if self.names[row] in self.read():
            self.backend.delete([self.names[row]])
            self.users.pop(self.names[row])

    def save(self) -> None:
        self.backup = (self.read(), dict(self.users))
        self.tuned_in_backup = set(sidecar_of(self.open()).entries())
        self.runs_since_backup = 0

    def restore(self) -> None:
        """Everything is deleted, and comes back from a backup."""
        # Only the last few runs' vectors are recognised in a backup; and an original that was put
        # back in its place is forgotten, so a backup of the table from before that is refused here
        # (a backup of the whole database would bring the original, too).
        kept = set(sidecar_of(self.open()).entries())
        if self.backup is None or self.runs_since_backup > 3 or not self.backup[0]:
            return
        if not self.tuned_in_backup <= kept:
            return
        there = list(self.read())
        if there:
            self.backend.delete(there)
        rows, users = self.backup
        self.backend.put(list(rows), np.stack(list(rows.values())))
        now = self.read()
        self.rounded = {name for name in rows if not np.array_equal(now[name], rows[name])}
        # What was no tuned vector counts as the store keeps it this time: it may round.
        self.users = {
            name: now[name] if np.array_equal(rows[name], vector) else vector
            for name, vector in users.items()
        }

    @contextlib.contextmanager
    def killed(self, store: LiveStore, at: int | None) -> Iterator[None]:
        """End the work before its call number `at` of the database."""
        if at is None:
            yield
            return
        calls = {"left": at}
        sidecar = type(sidecar_of(store))
        real = {(owner, name): getattr(owner, name) for owner, name in _CALLS(type(store), sidecar)}

        def counted(call: Any) -> Any:
            def run(*given: Any) -> Any:
                calls["left"] -= 1
                if calls["left"] < 0:
                    raise Killed
                return call(*given)

            return run

        try:
            for (owner, name), call in real.items():
                setattr(owner, name, counted(call))
            yield
        finally:
            for (owner, name), call in real.items():
                setattr(owner, name, call)
            self.let_go()

    def let_go(self) -> None:
        """What the operating system does when a process dies."""
        sidecar = sidecar_of(self.open())
        if sidecar._load("lease"):
            sidecar._drop("lease", ["lease"])

    def check_reverted(self) -> None:
        named = set(status(self.held, **self.backend.options).left)
        now = self.read()
        assert set(now) == set(self.users), "rows came or went"
        for name, vector in self.users.items():
            # The last digit of what a backup brought back may be that of the first original.
            equal = same if name in self.rounded else np.array_equal
            if name not in named and not equal(now[name], vector):
                self.lost += 1
        assert not self.lost, f"{self.lost} originals were lost"

    def finish(self) -> None:
        """Whatever happened: recover, revert, and every original is there."""
        self.recover(undo=False, kill_at=None)
        self.revert(None)
        self.check_reverted()


def _CALLS(store: type, sidecar: type) -> list[tuple[type, str]]:  # noqa: N802
    return [(store, "_write"), (sidecar, "_save"), (sidecar, "_drop")]


def random_history(backend: Backend, seed: int, steps: int = 12) -> History:
    """A history with a random order of everything that can happen."""
    history = History(backend, seed)
    rng = np.random.default_rng([seed, 1])

    def kill() -> int | None:
        return int(rng.integers(0, 8)) if rng.random() < 0.4 else None

    for _ in range(steps):
        row = int(rng.integers(0, COUNT))
        match rng.choice(
            ["plan", "apply", "recover", "revert", "write", "delete", "back"],
            p=[0.25, 0.25, 0.1, 0.1, 0.12, 0.08, 0.1],
        ):
            case "plan":
                history.plan(sorted(rng.choice(COUNT, 4, replace=False).tolist()))
            case "apply":
                history.apply(kill())
            case "recover":
                history.recover(bool(rng.random() < 0.4), kill())
            case "revert":
                history.revert(kill())
            case "write":
                history.write(row)
            case "delete":
                history.delete(row)
            case "back":
                history.save() if rng.random() < 0.5 else history.restore()
    history.finish()
    return history
