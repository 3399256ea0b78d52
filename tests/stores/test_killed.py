"""Killed at any moment, no vector is anything but its original or its tuned self."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from killing import STORES, OnDisk, make_plan, matrix, open_again

from nudge_integrations.stores import recover, revert, status
from nudge_integrations.stores.backends.chroma import ChromaStore
from nudge_integrations.stores.backends.milvus import MilvusStore
from nudge_integrations.stores.backends.qdrant import QdrantStore
from nudge_integrations.stores.store import LiveStore

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
KILLS = int(os.environ.get("NUDGE_KILLS", "3"))
"""Moments a store; `make slow` takes 10."""
SECONDS = float(os.environ.get("NUDGE_ACTORS_SECONDS", "20"))
"""How long the random processes work; `make slow` takes 10."""


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Chroma server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).parent / "chroma"
    folder = tmp_path_factory.mktemp("chroma-server")
    server = subprocess.Popen(
        [command, "run", "--path", str(folder), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    import httpx

    for _ in range(200):
        try:
            httpx.get(f"{url}/api/v2/heartbeat").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    else:
        pytest.fail("the Chroma server did not start", pytrace=False)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture(params=sorted(STORES))
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    served = {"postgres": "postgres_url", "chroma-server": "chroma_url"}
    url = request.getfixturevalue(served[request.param]) if request.param in served else ""
    made = STORES[request.param](tmp_path_factory.mktemp(f"k-{request.param}"), url)
    made.fill()
    return made


def started(backend: OnDisk, kind: str, what: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [
            *(sys.executable, HERE / "applier.py", kind),
            *(str(backend.folder), what, backend.url),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    line = process.stdout.readline()
    assert line.strip() == "ready", process.stderr.read() if process.stderr else line
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def close(store: LiveStore) -> None:
    """Let another process open what only one may have open, and forget what it may change."""
    if isinstance(store, ChromaStore):
        from chromadb.api.shared_system_client import SharedSystemClient

        SharedSystemClient.clear_system_cache()
    if isinstance(store, QdrantStore):
        store._client.close()
    if isinstance(store, MilvusStore):
        from milvus_lite.server_manager import server_manager_instance

        store._client.close()
        server_manager_instance.release_all()


def test_killed_at_any_moment(backend: OnDisk, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["backend"]
    data = backend.data()
    store = open_again(backend)
    original = matrix(store, data.ids)
    close(store)
    plan = make_plan(backend)
    close(plan._store)
    targets = plan.vectors()
    assert len(targets) > 100
    tuned = original.copy()
    for row, name in enumerate(data.ids):
        tuned[row] = targets.get(name, tuned[row])

    rng = random.Random(kind)
    spent = measure_run(backend, kind)
    seen = set()
    for moment in range(KILLS):
        what = "plan" if moment % 3 != 2 else "revert"
        if what == "revert":
            make_and_apply(backend)
        process = started(backend, kind, what)
        time.sleep(rng.random() * 1.1 * spent)
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = open_again(backend)
        now = matrix(store, data.ids)
        is_original = np.isclose(now, original, rtol=0, atol=2e-6).all(axis=1)
        is_tuned = np.isclose(now, tuned, rtol=0, atol=2e-6).all(axis=1)
        assert (is_original | is_tuned).all(), "a vector is torn"
        seen.add((what, bool((~is_original).any()), bool((~is_tuned).any())))
        undo = moment % 2 == 1
        if moment % 4 >= 2 and status(store).state in ("preparing", "applying", "reverting"):
            # Whoever mends it may be killed, too.
            close(store)
            process = started(backend, kind, "recover")
            time.sleep(rng.random() * 1.1 * spent)
            process.send_signal(signal.SIGKILL)
            process.wait()
            store = open_again(backend)
        if status(store).state in ("preparing", "applying", "reverting"):
            recover(store, undo=undo, show_progress=False)
            after = matrix(store, data.ids)
            all_original = np.isclose(after, original, rtol=0, atol=2e-6).all()
            all_tuned = np.isclose(after, tuned, rtol=0, atol=2e-6).all()
            assert all_original or (all_tuned and what == "plan" and not undo)
        if status(store).state != "untuned":
            revert(store, show_progress=False)
        restored = matrix(store, data.ids)
        np.testing.assert_array_equal(restored, original)
        close(store)


def measure_run(backend: OnDisk, kind: str) -> float:
    """Seconds that one undisturbed apply takes; what it did is taken back."""
    process = started(backend, kind, "plan")
    begun = time.perf_counter()
    assert process.wait() == 0, process.stderr.read() if process.stderr else ""
    spent = time.perf_counter() - begun
    store = open_again(backend)
    revert(store, show_progress=False)
    close(store)
    return spent


def make_and_apply(backend: OnDisk) -> None:
    plan = make_plan(backend)
    plan.apply()
    close(plan._store)


@pytest.mark.parametrize("backend", ["chroma-server", "lancedb", "postgres"], indirect=True)
def test_four_processes_at_random_lose_nothing(
    backend: OnDisk, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["backend"]
    store = open_again(backend)
    ids = backend.data().ids
    original = matrix(store, ids)
    rng = random.Random(7)
    until = time.monotonic() + SECONDS

    def actor(seed: int) -> subprocess.Popen[bytes]:
        given = (kind, str(backend.folder), backend.url, str(seed), str(until - time.monotonic()))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, HERE / "actor.py", *given], env=environment)

    actors = [actor(seed) for seed in range(4)]
    seed = 4
    while time.monotonic() < until:
        time.sleep(rng.uniform(2, 4))
        # One is killed in the middle of whatever it does, and another takes its place.
        place = rng.randrange(4)
        actors[place].kill()
        actors[place].wait()
        actors[place] = actor(seed)
        seed += 1
    for each in actors:
        each.wait()
        assert each.returncode in (0, -signal.SIGKILL)
    store = open_again(backend)
    recover(store, show_progress=False)
    if status(store).state != "untuned":
        revert(store, show_progress=False)
    np.testing.assert_array_equal(matrix(store, ids), original)
    assert status(store).state == "untuned"
