"""What only PostgreSQL has: transactions, poolers, many spellings of one database, many drivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from backends import Fixed, LangChainPostgres, LlamaIndexPostgres, Postgres
from pooler import Pooler
from psycopg import sql
from test_plan import opened, planned
from test_small_inputs import assert_originals
from world import world

from nudge_integrations.errors import DataError, StoreBusyError, StoreError, UnsupportedStoreError
from nudge_integrations.stores import open_store, revert, status
from nudge_integrations.stores.backends.postgres_sidecar import PostgresSidecar, libpq
from nudge_integrations.stores.files import sidecar_of

Make = Callable[..., Postgres]


def folder_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["host"])


def in_database(make: Make, name: str) -> Postgres:
    """A table `docs` in a database of its own."""
    backend = make(Postgres)
    with backend.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    backend.url = backend.url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(backend.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    backend.table = "docs"
    return backend


class TestOneTransaction:
    """A vector and what is kept of it change together."""

    def transactions(self, backend: Postgres) -> list[tuple[str, str, str, bool]]:
        """Row, the transaction that wrote it, the one that wrote its original, whether noted."""
        with backend.connect() as connection:
            return connection.execute(
                f"SELECT id, t.xmin::text, o.xmin::text, written IS NOT NULL FROM {backend._quoted}"
                " t JOIN nudge_originals o ON o.key = t.id AND o.kind = 'row' "
                f"AND o.collection = '{backend._quoted}'::regclass"
            ).fetchall()

    def test_rows_and_originals_are_written_by_the_same_transactions(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 10)
        backend = make(Postgres)
        held, data, store = opened(backend)
        before = store.read(data.ids)
        plan = planned(backend, held, data)
        plan.apply()
        rows = self.transactions(backend)
        assert len(rows) == plan.report.moved
        assert all(vector == kept and noted for _, vector, kept, noted in rows)
        assert len({vector for _, vector, *_ in rows}) > 2

        with monkeypatch.context() as patch:  # killed before anything is forgotten
            patch.setattr(PostgresSidecar, "forget", lambda *_: (_ for _ in ()).throw(SystemExit))
            with pytest.raises(SystemExit):
                revert(held, **backend.options)
        back = [row for row in self.transactions(backend) if row[1] not in {r[1] for r in rows}]
        assert back
        assert all(vector == kept for _, vector, kept, _ in back)
        revert(held, **backend.options)
        assert_originals(store, before)

    def test_a_vector_whose_original_is_not_kept_does_not_change(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = make(Postgres)
        held, data, store = opened(backend)
        before = store.read(data.ids)
        plan = planned(backend, held, data)
        lost = next(iter(plan.vectors()))
        put = PostgresSidecar.put

        def put_and_lose(self: PostgresSidecar, entries: Any) -> None:
            put(self, entries)
            self.forget([lost])

        monkeypatch.setattr(PostgresSidecar, "put", put_and_lose)
        with pytest.raises(StoreError, match=lost):
            plan.apply()
        np.testing.assert_array_equal(store.read([lost])[lost], before[lost])

    def test_a_vector_stays_where_its_note_is_refused(self, make: Make) -> None:
        backend = make(Postgres)
        held, data, store = opened(backend)
        before = store.read(data.ids)
        plan = planned(backend, held, data)
        name = f"refuse_{uuid.uuid4().hex}"
        with backend.connect() as connection:
            sidecar_of(store).forget(["none"])
            connection.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN IF NEW.written IS NOT NULL AND NEW.collection = '{backend._quoted}'"
                "::regclass THEN RAISE EXCEPTION 'not today'; END IF; RETURN NEW; END $$"
            )
            sidecar_of(store).note({"state": "reverted"})
            connection.execute(
                f"CREATE TRIGGER {name} BEFORE UPDATE ON nudge_originals FOR EACH ROW "
                f"EXECUTE FUNCTION {name}()"
            )
            try:
                plan._epochs.add(None)
                with pytest.raises(StoreError, match="not today"):
                    plan.apply()
            finally:
                connection.execute(f"DROP TRIGGER {name} ON nudge_originals")
        assert_originals(store, before)


class TestManyNames:
    """Two databases are never taken for one, nor one for two."""

    @pytest.mark.parametrize("way", ["PGDATABASE", "service"])
    def test_one_address_that_leads_to_two_databases(
        self, way: str, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first, second = in_database(make, "first"), in_database(make, "second")
        folder = folder_of(first.url)
        services = tmp_path / "services.conf"
        services.write_text(
            "".join(
                f"[{name}]\nhost={folder}\nuser=postgres\ndbname={name}\n"
                for name in ("first", "second")
            )
        )
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        monkeypatch.setenv("PGHOST", folder)
        monkeypatch.setenv("PGUSER", "postgres")

        def address(name: str) -> str:
            if way == "service":
                return f"postgresql:///?service={name}#docs"
            monkeypatch.setenv("PGDATABASE", name)
            return "postgresql:///#docs"

        originals = {}
        for name, backend in (("first", first), ("second", second)):
            _, data, store = opened(backend)
            originals[name] = store.read(data.ids)
            assert status(address(name), metric="cosine").state == "untuned"
            planned(backend, address(name), data).apply()
        for name in originals:
            assert f"in database {name}" in str(status(address(name), metric="cosine"))
            revert(address(name), metric="cosine")
            assert_originals(open_store(address(name), metric="cosine"), originals[name])

    def test_another_machine_and_another_spelling_see_the_same(
        self, make: Make, tmp_path: Path
    ) -> None:
        backend = make(Postgres)
        backend.table = f"docs_{uuid.uuid4().hex[:8]}"
        held, data, store = opened(backend)
        before = store.read(data.ids)
        plan = planned(backend, held, data)
        plan.apply()
        pooler = Pooler(folder_of(backend.url))
        program = (
            "import json, sys; from nudge_integrations.stores import open_store, revert, status\n"
            "one, other = (f'postgresql://postgres@{host}:{sys.argv[1]}/postgres#{sys.argv[2]}'"
            " for host in ('localhost', '127.0.0.1'))\n"
            "print(json.dumps([status(one).state, open_store(other).uid, revert(other).written]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(pooler.port), backend.table],
            env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "x")},
            capture_output=True,
            text=True,
            check=True,
        )
        pooler.close()
        assert json.loads(done.stdout) == ["tuned", store.uid, plan.report.moved]
        assert_originals(store, before)

    def test_the_lock_is_one_by_every_spelling(self, make: Make) -> None:
        backend = make(Postgres)
        _, _, store = opened(backend)
        pooler = Pooler(folder_of(backend.url))
        address = f"postgresql://postgres@127.0.0.1:{pooler.port}/postgres#{backend.table}"
        other = sidecar_of(open_store(address))
        with sidecar_of(store).lock(), pytest.raises(StoreBusyError), other.lock():
            pass
        with other.lock() as renew:
            renew()
        pooler.close()


def test_a_transaction_pooler_may_stand_between(make: Make) -> None:
    backend = make(Postgres)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    pooler = Pooler(folder_of(backend.url))
    address = f"postgresql://postgres@localhost:{pooler.port}/postgres#{backend.table}"
    plan = planned(backend, address, data)
    plan.apply()
    assert len(list(open_store(address).ids())) == len(data.ids)
    assert status(held, **backend.options).tuned == plan.report.moved
    revert(address, **backend.options)
    pooler.close()
    assert_originals(store, before)
    assert len(set(pooler.used)) > 2


class TestDrivers:
    """Whatever driver the application's store uses, the same table is found."""

    def test_langchain_with_asyncpg(self, make: Make) -> None:
        from langchain_postgres import PGEngine, PGVectorStore

        backend = make(LangChainPostgres)
        _, data, store = opened(backend)
        before = store.read(data.ids)
        url = backend.url.replace("postgresql://", "postgresql+asyncpg://")
        engine = PGEngine.from_connection_string(url + "&prepared_statement_cache_size=0")
        held = PGVectorStore.create_sync(engine, Fixed(0), backend.table)
        planned(backend, held, data).apply()
        assert revert(held).written > 20
        assert_originals(store, before)

    def test_llama_index_with_engines(self, make: Make) -> None:
        import sqlalchemy
        from llama_index.vector_stores.postgres import PGVectorStore
        from sqlalchemy.ext.asyncio import create_async_engine

        backend = make(LlamaIndexPostgres)
        _, data, store = opened(backend)
        before = store.read(data.ids)
        held = PGVectorStore(
            table_name=backend.table,
            embed_dim=backend.dimension,
            engine=sqlalchemy.create_engine(backend.url.replace("sql://", "sql+psycopg2://")),
            async_engine=create_async_engine(backend.url.replace("sql://", "sql+asyncpg://")),
        )
        planned(backend, held, data).apply()
        assert revert(held).written > 20
        assert_originals(store, before)

    def test_a_password_that_sqlalchemy_masked_is_asked_for(self) -> None:
        import sqlalchemy
        from llama_index.vector_stores.postgres import PGVectorStore

        url = sqlalchemy.engine.make_url("postgresql+psycopg2://me:secret@127.0.0.1:1/db")
        held = PGVectorStore(connection_string=url, async_connection_string=url, embed_dim=3)
        with pytest.raises(DataError, match=r"render_as_string\(hide_password=False\)"):
            open_store(held)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("asyncpg://me:p%40ss@h/db?ssl=verify-full&timeout=3", {"sslmode": "verify-full"}),
            ("asyncpg://me:p%40ss@h/db?ssl=true", {"sslmode": "require"}),
            ("psycopg2://me:p%40ss@h/db?sslmode=prefer&options=-csearch_path%3Da", None),
            ("psycopg://me:p%40ss@/db?host=h:5432&host=i:5433", {"host": "h,i"}),
        ],
    )
    def test_addresses_of_sqlalchemy(self, url: str, expected: dict[str, str] | None) -> None:
        found = psycopg.conninfo.conninfo_to_dict(libpq(f"postgresql+{url}"))
        expected = expected or {"sslmode": "prefer", "options": "-csearch_path=a"}
        assert (found["password"], found["dbname"]) == ("p@ss", "db")
        assert {name: found[name] for name in expected} == expected


def test_signs_in_names_are_only_signs(make: Make) -> None:
    backend = make(Postgres)
    data = world()
    backend.table, columns = 'a%s "{b}" %', ["i%d {}", "v%(k)s\"{}'"]
    table, first, second = map(sql.Identifier, (backend.table.replace("%", "%"), *columns))
    with backend.connect() as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        connection.execute(
            sql.SQL("CREATE TABLE {} ({} text, {} vector(24))").format(table, first, second)
        )
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
            for name, vector in zip(data.ids, data.vectors, strict=True):
                copy.write_row((name, str(vector.tolist())))
        connection.execute(
            sql.SQL("CREATE INDEX ON {} USING hnsw ({} vector_l2_ops)").format(table, second)
        )
    address = f"{backend.url}#{backend.table}"
    backend.options = {"id_column": columns[0], "vector_column": columns[1]}
    store = open_store(address, **backend.options)
    assert (store.metric, store.exact) == ("l2", False)
    before = store.read(data.ids)
    assert planned(backend, address, data).apply().written > 20
    revert(address, **backend.options)
    assert_originals(store, before)


@pytest.mark.parametrize("precision", ["vector", "halfvec"])
def test_an_index_on_an_expression_is_the_one_that_searches(precision: str, make: Make) -> None:
    backend = make(Postgres)
    _, data, _ = opened(backend)
    index = f"by_expression_{uuid.uuid4().hex[:8]}"
    with backend.connect() as connection:
        connection.execute(f"ALTER TABLE {backend._quoted} ALTER embedding TYPE vector")
        connection.execute(
            f"CREATE INDEX {index} ON {backend._quoted} USING hnsw "
            f"((embedding::{precision}(24)) {precision}_ip_ops)"
        )
    store: Any = open_store(f"{backend.url}#{backend.table}")
    assert (store.metric, store.exact, store.dimension) == ("dot", False, 24)
    asked = np.stack(list(data.queries.values())[:5])
    store._rows("SET enable_seqscan = off")
    found = store.search(asked, 10)
    store._rows("SELECT pg_stat_force_next_flush()")
    with backend.connect() as connection:
        (scans,) = connection.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", [index]
        ).fetchone()
    assert scans == 5
    exactly = store.search(asked, 10, exact=True)
    shared = sum(
        len({*dict(one)} & {*dict(other)}) for one, other in zip(found, exactly, strict=True)
    )
    assert shared > 45
    for hits in found:
        for name, score in hits:
            row = asked[found.index(hits)] @ data.vectors[data.ids.index(name)]
            assert score == pytest.approx(row, abs=1e-5)


class TestSharedTable:
    """LangChain's older PGVector keeps all collections in one table."""

    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        yield postgres_url
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP TABLE langchain_pg_embedding, langchain_pg_collection")

    def fill(self, url: str, name: str) -> tuple[Any, Any]:
        from langchain_postgres import PGVector

        data = world(lambda row: f"{name}-{row}", seed=len(name))
        driver = url.replace("postgresql://", "postgresql+psycopg://")
        held = PGVector(Fixed(24), connection=driver, collection_name=name)
        held.add_embeddings(data.ids, data.vectors.tolist(), ids=data.ids)
        return held, data

    def test_each_is_tuned_and_put_back_alone(self, url: str, make: Make) -> None:
        backend = make(Postgres)
        backend.options = {}
        one, ones = self.fill(url, "first")
        alone = f"{url}#langchain_pg_embedding"
        assert open_store(alone).uid == open_store(one).uid
        two, twos = self.fill(url, "the second")
        address = f"{url}#langchain_pg_embedding/the second"
        stores = open_store(one), open_store(address)
        assert [store.count() for store in stores] == [240, 240]
        before = stores[0].read(ones.ids), stores[1].read(twos.ids)
        assert not stores[0].read(twos.ids)
        planned(backend, one, ones).apply()
        assert (status(one).state, status(two).state) == ("tuned", "untuned")
        assert_originals(stores[1], before[1])
        planned(backend, address, twos).apply()
        revert(one)
        assert_originals(stores[0], before[0])
        assert status(two).state == "tuned"
        revert(two)
        assert_originals(stores[1], before[1])

    def test_none_is_chosen_by_chance(self, url: str) -> None:
        self.fill(url, "first"), self.fill(url, "the second")
        with pytest.raises(UnsupportedStoreError, match=r"2 collections.*'first', 'the second'"):
            open_store(f"{url}#langchain_pg_embedding")
        with pytest.raises(StoreError, match=r"no collection 'frist'.*did you mean 'first'"):
            open_store(f"{url}#public.langchain_pg_embedding/frist")
