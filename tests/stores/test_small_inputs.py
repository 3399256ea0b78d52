"""Small inputs that once lost an original, or told something that was not so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import (
    OWN,
    Backend,
    Chroma,
    Faiss,
    Lance,
    LangChainMemory,
    LlamaIndexMemory,
    LlamaIndexPostgres,
    Milvus,
    NudgeLangChain,
    NudgeLlamaIndex,
    Postgres,
    Qdrant,
    QdrantOnDisk,
)
from test_plan import opened, planned
from world import World

from nudge_integrations.errors import DataError, ReadOnlyStoreError, StoreBusyError, StoreError
from nudge_integrations.stores import open_store, recover, revert, sidecar, status
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.store import LiveStore

Make = Callable[..., Backend]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 10)


def assert_originals(store: LiveStore, before: dict[str, np.ndarray], *missing: str) -> None:
    now = store.read(before)
    assert set(before) - set(now) == set(missing)
    for name, vector in now.items():
        np.testing.assert_array_equal(vector, before[name])


def stopped_after(store: LiveStore, batches: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Patch a store so that it takes so many batches and then ends the process, as it were."""
    real, calls = type(store)._write, []

    def write(self: Any, *given: Any) -> None:
        calls.append(1)
        if len(calls) > batches:
            raise KeyboardInterrupt
        real(self, *given)

    patch = pytest.MonkeyPatch()
    patch.setattr(type(store), "_write", write)
    return patch


def test_a_server_that_turns_read_only_on_the_way_keeps_the_originals(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data)
    real, calls = type(store)._write, []

    def write(self: Any, *given: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            self._rows("SET default_transaction_read_only = on", ())
        real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_write", write)
        with pytest.raises(ReadOnlyStoreError, match=r"20 rows were written") as refused:
            plan.apply()
    assert "nothing was changed" not in str(refused.value)
    assert status(held, **backend.options).tuned > 20
    assert revert(held, **backend.options).written > 20
    assert_originals(store, before)


def test_a_plan_from_before_a_recovery_is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(LangChainMemory)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    first = planned(backend, held, data, gamma=0.3)
    patch = stopped_after(store, 1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        first.apply()
    patch.undo()
    second = planned(backend, held, data, gamma=0.6)
    recover(held, show_progress=False)
    with pytest.raises(StoreError, match="make the plan again"):
        second.apply()
    revert(held)
    assert_originals(store, before)
    with pytest.raises(StoreError, match="make the plan again"):
        first.apply()


def test_rows_that_are_away_during_a_revert_come_back_with_a_later_one(make: Make) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data)
    plan.apply()
    backup = store.read(data.ids)
    backend.delete(data.ids)
    done = revert(held, **backend.options)
    assert len(done.gone) == plan.report.moved
    told = status(held, **backend.options)
    assert (told.state, set(told.left)) == ("left", set(done.gone))
    assert "reverted but for" in str(told)
    backend.put(list(backup), np.stack(list(backup.values())))
    assert revert(held, **backend.options).written == plan.report.moved
    assert_originals(store, before)
    assert status(held, **backend.options).state == "untuned"


def test_originals_of_rows_that_never_come_back_can_be_given_up(make: Make) -> None:
    backend = make(Chroma)
    held, data, _ = opened(backend)
    plan = planned(backend, held, data)
    plan.apply()
    gone = list(plan.vectors())[:3]
    backend.delete(gone)
    assert set(revert(held).gone) == set(gone)
    assert status(held).left == tuple(sorted(gone))
    revert(held, forget=True)
    assert status(held).state == "untuned"


def test_an_id_of_two_rows_is_restored_in_both_or_named(make: Make) -> None:
    import psycopg

    backend = make(LlamaIndexPostgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    twice, torn = data.answers["q0"][0], data.answers["q1"][0]
    table = f"data_{backend.table}"
    copy = f"INSERT INTO {table} (text, metadata_, node_id, embedding) SELECT text, metadata_, "
    with psycopg.connect(backend.url, autocommit=True) as connection:
        connection.execute(copy + f"node_id, embedding FROM {table} WHERE node_id = %s", [twice])
        negated = copy + f"node_id, -1 * embedding FROM {table} WHERE node_id = %s"
        negated = negated.replace("-1 * embedding", "l2_normalize(embedding + embedding)")
        connection.execute(
            f"INSERT INTO {table} (text, metadata_, node_id, embedding) "
            f"SELECT text, metadata_, %s, embedding FROM {table} WHERE node_id = %s",
            [torn, data.ids[-1]],
        )
    plan = planned(backend, held, data)
    assert "several rows" in plan.report.unreadable[torn]
    plan.apply()
    with psycopg.connect(backend.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {table} SET text = text || '.' WHERE node_id = %s", [twice])
    revert(held)
    with psycopg.connect(backend.url) as connection:
        from pgvector.psycopg import register_vector

        register_vector(connection)
        rows = connection.execute(
            f"SELECT embedding FROM {table} WHERE node_id = %s", [twice]
        ).fetchall()
    assert len(rows) == 2
    for (vector,) in rows:
        np.testing.assert_array_equal(np.asarray(vector, np.float32), before[twice])


def test_a_row_deleted_between_reading_and_writing_stays_deleted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for used in (Milvus, Qdrant, NudgeLangChain):
        backend = make(used)
        held, data, store = opened(backend)
        plan = planned(backend, held, data)
        name = next(iter(plan.vectors()))
        real = type(store)._read
        state = {"reads": 0}

        def read(
            self: Any,
            ids: list[str],
            real: Any = real,
            state: Any = state,
            name: str = name,
            backend: Backend = backend,
        ) -> Any:
            found = list(real(self, ids))
            if name in ids:
                state["reads"] += 1
                if state["reads"] == 1:
                    backend.delete([name])
            return found

        with monkeypatch.context() as patch:
            patch.setattr(type(store), "_read", read)
            outcome = plan.apply()
        assert outcome.gone == (name,), used.name
        assert name not in store.read(data.ids)
        assert name not in backend.rest()


def test_milvus_deletes_a_row_again_that_its_upsert_brought_back(make: Make) -> None:
    backend = make(Milvus)
    _held, data, store = opened(backend)
    name = data.ids[0]
    vector = store.read([name])[name][None]
    real = store._client.upsert

    def upsert(*given: Any, **named: Any) -> Any:
        backend.client.delete(backend.collection, ids=[name])
        return real(*given, **named)

    store._client.upsert = upsert
    try:
        store.write([name], -vector, vector)
    except StoreError:
        pass  # Milvus Lite refuses a partial row, which is just as well.
    finally:
        store._client.upsert = real
    assert name not in store.read([name])


def test_one_bad_row_stops_only_itself(make: Make) -> None:
    backend = make(LangChainMemory)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data)
    plan.apply()
    nan, short, *others = plan.vectors()
    held.store[nan]["vector"] = [float("nan")] * 24
    held.store[short]["vector"] = [1.0, 2.0]
    done = revert(held)
    assert set(done.unreadable) == {nan, short}
    assert "NaN" in done.unreadable[nan]
    assert "2 dimensions instead of 24" in done.unreadable[short]
    assert_originals(store, {name: before[name] for name in others})
    assert set(status(held).left) == {nan, short}


@pytest.mark.parametrize("reach", [0, None], ids=["some rows tuned", "all rows tuned"])
def test_faiss_rows_that_moved_up_are_found_by_their_vectors(
    make: Make, reach: float | None
) -> None:
    backend = make(Faiss)
    held, data, _ = opened(backend)
    numbers = [str(row) for row in range(len(data.ids))]
    store = open_store(held)
    before = store.read(numbers)
    judged = World(
        numbers,
        data.vectors,
        data.queries,
        {name: [str(data.ids.index(each[0]))] for name, each in data.answers.items()},
    )
    backend.options = {}
    plan = planned(backend, held, judged, reach=reach)
    plan.apply()
    held.remove_ids(np.array([3]))
    assert status(held).tuned == plan.report.moved
    done = revert(held)
    assert not done.changed
    tuned_away = "3" in plan.vectors()
    assert done.written == plan.report.moved - tuned_away
    now = np.stack(list(open_store(held).read(numbers).values()))
    np.testing.assert_array_equal(now, np.stack([before[n] for n in numbers if n != "3"]))


def test_a_faiss_index_that_was_saved_and_loaded_is_known_by_its_vectors(
    make: Make, tmp_path: Path
) -> None:
    import faiss

    backend = make(Faiss)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    planned(backend, held, data).apply()
    faiss.write_index(held, str(tmp_path / "index"))
    again = faiss.read_index(str(tmp_path / "index"))
    assert status(again, **backend.options).state == "tuned"
    revert(again, **backend.options)
    assert_originals(open_store(again, **backend.options), before)


@pytest.mark.parametrize("used", [LangChainMemory, LlamaIndexMemory])
def test_a_store_that_was_saved_and_loaded_is_still_tuned(
    used: type[Backend], make: Make, tmp_path: Path
) -> None:
    backend = make(used)
    held, data, _ = opened(backend)
    exact = exact_lists(held)
    planned(backend, held, data, dataset=data.part(0, 60)).apply()
    file = str(tmp_path / "store.json")
    if used is LangChainMemory:
        held.dump(file)
        again = type(held).load(file, held.embedding)
    else:
        held.persist(file)
        again = type(held).from_persist_path(file)
    told = status(again)
    assert (told.state, told.questions) == ("tuned", 60)
    second = planned(backend, again, data, dataset=data.part(60, 110))
    assert second.report.earlier_questions > 30
    second.apply()
    revert(again)
    assert exact_lists(again) == exact
    assert status(again).state == "untuned"


@pytest.mark.parametrize("used", [NudgeLangChain, NudgeLlamaIndex])
def test_a_store_of_this_package_that_was_saved_and_loaded_is_still_tuned(
    used: type[Backend], make: Make, tmp_path: Path
) -> None:
    backend = make(used)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    planned(backend, held, data).apply()
    if used is NudgeLangChain:
        held.save(tmp_path / "saved")
        again = type(held).load(tmp_path / "saved", held.embeddings)
    else:
        held.persist(str(tmp_path / "saved.json"))
        again = type(held).from_persist_path(str(tmp_path / "saved.json"))
    assert status(again).state == "tuned"
    revert(again)
    assert_originals(open_store(again), before)


def exact_lists(store: Any) -> dict[str, list[float]]:
    if hasattr(store, "data"):
        return dict(store.data.embedding_dict)
    return {name: row["vector"] for name, row in store.store.items()}


def test_a_forked_child_that_exits_takes_nothing_along(make: Make) -> None:
    backend = make(LangChainMemory)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    planned(backend, held, data).apply()
    code = os.fork()
    if not code:
        os._exit(0)
    os.waitpid(code, 0)
    assert revert(held).written > 30
    assert_originals(store, before)


def test_vectors_too_long_for_float32_are_named(make: Make) -> None:
    backend = make(LangChainMemory)
    held, data, _ = opened(backend)
    name = data.answers["q0"][0]
    held.store[name]["vector"] = [3e38] * 24
    with pytest.raises(DataError, match=f"'{name}'.*too long for float32"):
        planned(backend, held, data)


def test_the_same_collection_by_another_name_is_known_to_be_tuned(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qdrant_client import models

    backend = make(Chroma)
    held, data, _ = opened(backend)
    planned(backend, held, data).apply()
    held.modify(name="renamed")
    place = backend.folder / "chroma"
    assert status(f"chroma:{place}#renamed").state == "tuned"
    monkeypatch.chdir(backend.folder)
    assert status("chroma:chroma#renamed").state == "tuned"

    qdrant = make(Qdrant)
    client, data, _ = opened(qdrant)
    planned(qdrant, client, data).apply()
    create = models.CreateAlias(collection_name="docs", alias_name="live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    assert status(client, collection="live").state == "tuned"

    milvus = make(Milvus)
    client, data, _store = opened(milvus)
    planned(milvus, client, data).apply()
    client.rename_collection(milvus.collection, "renamed")
    milvus.collection = "renamed"
    assert status(client, collection="renamed").state == "tuned"


def test_a_renamed_table_and_a_restored_dump_keep_their_originals(make: Make) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    planned(backend, held, data).apply()
    with backend.connect() as connection:
        connection.execute(f'ALTER TABLE {backend._quoted} RENAME TO "per%cent"')
    address = f"{backend.url}#per%cent"
    assert status(address, metric="cosine").state == "tuned"
    revert(address, metric="cosine")
    assert_originals(open_store(address, metric="cosine"), before)


def test_another_machine_sees_what_is_tuned_and_reverts_it(make: Make, tmp_path: Path) -> None:
    backend = make(Lance)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data)
    plan.apply()
    program = (
        "import json, sys; from nudge_integrations.stores import revert, status\n"
        "print(json.dumps([status(sys.argv[1]).state, revert(sys.argv[1]).written]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "lancedb:lance#docs"],
        cwd=backend.folder,
        env={**os.environ, "HOME": str(tmp_path / "other"), "XDG_DATA_HOME": str(tmp_path / "x")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == ["tuned", plan.report.moved]
    assert_originals(open_store(backend.database.open_table("docs"), metric="cosine"), before)


@pytest.mark.parametrize("used", [Lance, Chroma, QdrantOnDisk])
@pytest.mark.parametrize("inside", [True, False], ids=["sidecar", "journal"])
def test_a_copied_folder_is_another_collection(
    used: type[Backend], inside: bool, make: Make, tmp_path: Path
) -> None:
    backend = make(used)
    held, data, store = opened(backend, documents=80, asked=60)
    before = store.read(data.ids)
    journal = {} if inside else {"journal": tmp_path / "mine"}
    planned(backend, held, data, **journal).apply()
    folder = {Lance: "lance", Chroma: "chroma", QdrantOnDisk: "qdrant"}[used]
    shutil.copytree(backend.folder / folder, tmp_path / "copy")
    revert(held, **journal, **backend.options)
    assert status(held, **journal, **backend.options).state == "untuned"
    kind = "lancedb" if used is Lance else folder
    again = open_store(f"{kind}:{tmp_path / 'copy'}#{getattr(held, 'name', 'docs')}")
    assert again.uid != store.uid
    if inside:
        assert status(again).state == "tuned"
        revert(again)
        for name, vector in again.read(data.ids).items():
            np.testing.assert_allclose(vector, before[name], rtol=0, atol=backend.rounding)
    elif used is not Lance:  # whose tables hold no note
        for given in ({}, journal):
            with pytest.raises(StoreError, match="a journal that is not here"):
                status(again, **given)


@pytest.mark.parametrize("used", [Chroma, Qdrant, Milvus])
def test_with_a_journal_in_a_folder_a_second_machine_refuses(
    used: type[Backend], make: Make, tmp_path: Path
) -> None:
    backend = make(used)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    mine = tmp_path / "mine"
    planned(backend, held, data, journal=mine).apply()
    assert status(held, journal=mine, **backend.options).state == "tuned"
    for folder in (None, tmp_path / "theirs"):
        for act in (
            lambda f=folder: planned(backend, held, data, journal=f),
            lambda f=folder: revert(held, journal=f, **backend.options),
            lambda f=folder: status(held, journal=f, **backend.options),
        ):
            with pytest.raises(StoreError, match="a journal that is not here"):
                act()
    revert(held, journal=mine, **backend.options)
    for name, vector in store.read(data.ids).items():
        np.testing.assert_allclose(vector, before[name], rtol=0, atol=backend.rounding)
    assert status(held, **backend.options).state == "untuned"


class TestLease:
    def test_a_dead_process_lets_go_and_a_live_one_does_not(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sidecar, "WATCH_SECONDS", 0.2)
        backend = make(Chroma)
        held, _, store = opened(backend)
        kept = sidecar_of(store)
        with kept.lock(), pytest.raises(StoreBusyError), sidecar_of(open_store(held)).lock():
            pass
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        lease = {"owner": "x", "host": sidecar._host(), "pid": dead.pid, "beat": "1"}
        kept._save("lease", {"lease": json.dumps({**lease, "until": time.time() + 50})})
        with kept.lock() as renew:
            renew()
        assert kept._lease() == {}

    def test_the_lock_of_another_machine_is_taken_once_it_is_silent(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sidecar, "WATCH_SECONDS", 0.2)
        backend = make(Chroma)
        _, _, store = opened(backend)
        kept = sidecar_of(store)
        far = {"owner": "x", "host": "elsewhere", "pid": 1, "beat": "1"}
        kept._save("lease", {"lease": json.dumps({**far, "until": time.time() + 50})})
        with pytest.raises(StoreBusyError, match="right now"), kept.lock():
            pass
        kept._save("lease", {"lease": json.dumps({**far, "until": time.time() - 1})})
        with kept.lock() as renew:
            # The other one comes back after too long a silence: it, or we, must stop.
            kept._save("lease", {"lease": json.dumps({**far, "until": time.time() + 50})})
            with pytest.raises(StoreBusyError):
                renew()


def test_rows_hidden_from_this_user_stay_in_the_journal(make: Make) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data)
    plan.apply()
    hidden = next(iter(plan.vectors()))
    url = backend.url.replace("postgres:@", "partial:@")
    quoted = backend._quoted
    with backend.connect() as connection:
        connection.execute("DROP OWNED BY partial CASCADE" if _role(connection) else "SELECT 1")
        connection.execute("CREATE ROLE partial LOGIN" if not _role(connection) else "SELECT 1")
        connection.execute(f"GRANT SELECT, UPDATE ON {quoted} TO partial")
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON nudge_originals TO partial")
        connection.execute(f"ALTER TABLE {quoted} ENABLE ROW LEVEL SECURITY")
        connection.execute(f"CREATE POLICY partly ON {quoted} USING (id <> '{hidden}')")
    done = revert(f"{url}#{backend.table}", **backend.options)
    assert done.gone == (hidden,)
    assert status(held, **backend.options).left == (hidden,)
    assert revert(held, **backend.options).written == 1
    assert_originals(store, before)


def _role(connection: Any) -> bool:
    return bool(connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'partial'").fetchone())


def test_ids_have_one_form(make: Make) -> None:
    backend = make(QdrantOnDisk)
    held, data, store = opened(backend)
    name = data.ids[0]
    for spelling in (name.upper(), "{" + name + "}", name.replace("-", ""), f"urn:uuid:{name}"):
        assert list(store.read([spelling])) == [name]
    assert store.canonical("007") == "7"
    assert store.canonical("-1") is None
    assert store.canonical(str(1 << 64)) is None
    spelled = {
        "queries": data.dataset().queries,
        "qrels": {q: {each[0].upper(): 1} for q, each in data.answers.items()},
    }
    plain = planned(backend, held, data)
    again = planned(backend, held, data, dataset=spelled)
    assert set(again.vectors()) == set(plain.vectors())


def test_memory_stores_keep_their_notes_out_of_the_documents(make: Make) -> None:
    backend = make(LangChainMemory)
    held, data, _ = opened(backend)
    planned(backend, held, data).apply()
    found = held.get_by_ids(data.ids[:5])
    assert all(OWN not in document.metadata for document in found)
    revert(held)
    assert not any(OWN in row for row in held.store.values())
