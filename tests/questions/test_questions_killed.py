"""Killed at any moment, the next run goes on: the same dataset, and nothing paid for twice."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_models import langchain_model, text_of
from openai_server import OpenAIServer

from nudge_integrations import RelevanceDataset, generate_questions
from nudge_integrations.questions.calls import Call
from nudge_integrations.questions.chat import as_chat

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
KILLS = 20


def start(server: OpenAIServer, checkpoint: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "asker.py"), server.url, str(checkpoint), str(out)]
    return subprocess.Popen(command, cwd=HERE)


def test_twenty_kills(tmp_path: Path) -> None:
    rng = random.Random(0)
    checkpoint, out = tmp_path / "kept.sqlite", tmp_path / "out"
    documents = {f"d{place:03d}": text_of(place) for place in range(400)}
    kept: set[str] = set()
    with OpenAIServer(delay=0.1) as server:
        for _ in range(KILLS):
            before = len(server.asks)
            kept_before = set(kept)
            child = start(server, checkpoint, out)
            # Importing takes as long as it takes: the clock starts with the first request.
            while len(server.asks) == before and child.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.12))
            child.send_signal(signal.SIGKILL)
            child.wait()
            while server.running:
                time.sleep(0.005)
            assert kept_before.isdisjoint(keys_of(server, before))
            kept = keys_in(checkpoint)
        before = len(server.asks)
        last = start(server, checkpoint, out)
        assert last.wait(timeout=120) == 0
        assert kept.isdisjoint(keys_of(server, before))
        answered = sum(server.served.values())

        plain = generate_questions(
            documents, langchain_model(server.url), checkpoint=False, show_progress=False
        )

    assert RelevanceDataset.from_beir(out) == plain.dataset
    # What was answered twice was in flight when its process was killed: at most 16 requests.
    assert answered <= 400 + KILLS * 16
    assert len(keys_in(checkpoint)) == 400


def keys_of(server: OpenAIServer, first: int) -> set[str]:
    """Keys of what was asked from some request on."""
    name = as_chat(langchain_model(server.url)).name
    return {
        Call("", ask.system, ask.user, {}, lambda _: None).key(name) for ask in server.asks[first:]
    }


def keys_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {key for (key,) in database.execute("SELECT request FROM answers")}
