"""What goes wrong around a store: time-outs, resets, half a batch, a full disk, other writers."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend, Chroma, Lance, LangChainChroma, Postgres
from test_plan import opened, planned

from nudge_integrations.errors import CorruptFileError, StoreError
from nudge_integrations.stores import open_store, recover, retries, revert, status
from nudge_integrations.stores.files import FileSidecar
from nudge_integrations.stores.formats import same


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.002)


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError])
def test_transient_errors_are_ridden_out(
    make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    calls = {"n": 0}

    def flaky(name: str) -> Any:
        real = getattr(type(store), name)

        def call(self: Any, *given: Any) -> Any:
            calls["n"] += 1
            if calls["n"] % 3:
                raise error("try again")
            return real(self, *given)

        return call

    for name in ("_read", "_search", "_write"):
        monkeypatch.setattr(type(store), name, flaky(name))
    plan = planned(backend, held, data)
    assert plan.apply().written == plan.report.moved > 20
    assert plan.revert().written == plan.report.moved
    assert calls["n"] > 12


def test_a_lost_answer_of_a_write_that_happened_changes_nothing(
    make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    plan = planned(backend, held, data)
    real, first = type(store)._write, []

    def write(self: Any, *given: Any) -> None:
        real(self, *given)
        if not first:
            first.append(1)
            raise ConnectionResetError("after the fact")

    monkeypatch.setattr(type(store), "_write", write)
    assert plan.apply().written == plan.report.moved


def test_a_store_that_goes_away_is_recovered_or_undone(
    make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Lance)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 10)
    for undo in (False, True):
        plan = planned(backend, held, data)
        real, calls = type(store)._write, []

        def write(self: Any, *given: Any, real: Any = real, calls: list[int] = calls) -> None:
            calls.append(1)
            if len(calls) > 2:
                raise TimeoutError("gone")
            real(self, *given)

        with monkeypatch.context() as patch:
            patch.setattr(type(store), "_write", write)
            with pytest.raises(StoreError, match="failed 5 times to write vectors: TimeoutError"):
                plan.apply()
        assert status(held, **backend.options).state == "applying"
        assert "interrupted" in str(status(held, **backend.options))
        recover(held, undo=undo, show_progress=False, **backend.options)
        told = status(held, **backend.options)
        assert (told.state, told.tuned > 0) == (("untuned", False) if undo else ("tuned", True))
        if not undo:
            assert revert(held, **backend.options).written == plan.report.moved
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])
    assert "nothing was interrupted" in recover(held, **backend.options).action


def test_a_plan_made_after_an_interruption_starts_from_the_originals(
    make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    whole = planned(backend, held, data).vectors()
    monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 5)
    part = planned(backend, held, data, dataset=data.part(0, 60), gamma=0.6)
    real, calls = type(store)._write, []

    def write(self: Any, *given: Any) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise PermissionError("not any more")
        real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_write", write)
        with pytest.raises(StoreError):
            part.apply()
    again = planned(backend, held, data)
    again.apply()
    after = store.read(data.ids)
    for name in data.ids:
        np.testing.assert_allclose(after[name], whole.get(name, before[name]), atol=5e-5)
    again.revert()
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])


def test_a_store_that_takes_half_a_batch_is_noticed(
    make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    plan = planned(backend, held, data)
    real = type(store)._write

    def half(self: Any, ids: list[str], vectors: Any, expected: Any) -> None:
        keep = max(1, len(ids) // 2)
        real(self, ids[:keep], vectors[:keep], expected[:keep])

    monkeypatch.setattr(type(store), "_write", half)
    monkeypatch.setattr("nudge_integrations.stores.exchange._ROUNDS", 20)
    assert plan.apply().written == plan.report.moved
    monkeypatch.setattr(type(store), "_write", lambda *_: None)
    with pytest.raises(StoreError, match="still holds the old ones"):
        plan.revert()
    assert status(held).state == "reverting"
    monkeypatch.setattr(type(store), "_write", real)
    assert recover(held).written == plan.report.moved


def test_a_full_disk_for_the_journal_stops_before_the_first_vector(
    make: Callable[..., Backend], journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data, journal=journals)
    real = FileSidecar._connect

    def tiny(self: FileSidecar) -> Any:
        database = real(self)
        database.connection.execute(
            "PRAGMA max_page_count = 6"
        )  # SQLite then says that the disk is full
        return database

    with monkeypatch.context() as patch:
        patch.setattr(FileSidecar, "_connect", tiny)
        with pytest.raises(StoreError, match=r"full.*free space.*nothing was changed"):
            plan.apply()
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])
    assert plan.apply().written == plan.report.moved


def test_a_damaged_journal_is_named_and_nothing_is_written(
    make: Callable[..., Backend], journals: Path
) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    planned(backend, held, data, journal=journals).apply()
    path = next(journals.glob("*.sqlite3"))
    whole = path.read_bytes()
    tuned = store.read(data.ids)
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE records SET value = replace(value, 'A', 'B') WHERE kind = 'row' "
            "AND key = (SELECT max(key) FROM records WHERE kind = 'row')"
        )
    with pytest.raises(CorruptFileError, match="damaged at 'doc-"):
        revert(held, journal=journals)
    path.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
    with pytest.raises((CorruptFileError, StoreError), match="journal"):
        revert(held, journal=journals)
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, tuned[name])
    path.write_bytes(whole)
    assert revert(held, journal=journals).written > 20


@pytest.mark.parametrize("used", [LangChainChroma, Lance, Postgres])
def test_readers_never_see_an_error_and_other_writers_lose_nothing(
    used: type[Backend], make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(used)
    held, data, store = opened(backend)
    plan = planned(backend, held, data, reach=0)  # others stay where they are
    moved = list(plan.vectors())
    monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 3)
    errors: list[BaseException] = []
    over = threading.Event()
    asked = next(iter(data.queries.values()))
    fresh = {name: -data.vectors[data.ids.index(name)] for name in moved[::4]}
    still = [name for name in data.ids if name not in moved]

    def forever(work: Callable[[], Any]) -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:
            errors.append(error)

    reader = open_store(held, **backend.options)

    def read() -> None:
        assert len(backend.found(asked, 5) or reader.search(asked[None], 5)[0]) == 5

    def write() -> None:
        # Rows put anew by somebody: tuned ones and others.
        for name in list(fresh)[:2]:
            backend.put([name], fresh[name][None])
        backend.put(still[:2], data.vectors[:2])
        time.sleep(0.005)

    threads = [threading.Thread(target=forever, args=(work,)) for work in (read, read, write)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    outcome = plan.apply()
    over.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert outcome.written + len(outcome.changed) == len(moved)
    after = store.read(data.ids)
    for name in list(fresh)[:2]:
        assert same(after[name], fresh[name])
    for name, vector in zip(still[:2], data.vectors[:2], strict=True):
        assert same(after[name], vector)
