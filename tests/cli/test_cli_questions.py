"""`nudge questions`: documents in, a folder for `nudge fit` out, through a real endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_models import text_of
from openai_server import Ask, OpenAIServer, Say

from nudge_integrations import RelevanceDataset
from nudge_integrations.relevance import leaks


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [{"_id": f"d{place}", "title": "", "text": text_of(place)} for place in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def arguments(documents: Path, out: Path, server: OpenAIServer, *more: Any) -> tuple[Any, ...]:
    where = ("--documents", documents, "--out", out, "--endpoint", server.url)
    return ("questions", *where, "--llm", "scripted", "-q", *more)


def test_questions_are_written_split_and_ready_for_fit(
    nudge: Any, models: Any, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    out = tmp_path / "data"
    with OpenAIServer() as server:
        done = nudge(*arguments(documents, out, server, "--price", "1", "2"))
        again = nudge(*arguments(documents, tmp_path / "other", server))
        refused = nudge(*arguments(documents, out, server))

    assert done.code == 0, done.err
    assert "questions kept of 60 written for 20 of 20 documents" in done.out
    assert "cost" in done.out
    assert f"nudge fit --beir {out} --out tuned" in done.out
    train, test = (RelevanceDataset.from_beir(out, name) for name in ("train", "test"))
    assert not leaks(train, test)
    assert len(test) == pytest.approx(len(train) / 4, abs=1)
    assert len(server.asks) == 20  # the second run remembers
    assert "20 remembered" in again.out
    assert refused.code == 1
    assert "holds questions already" in refused.err
    assert nudge("fit", "--beir", out, "--out", tmp_path / "tuned", "-q").code == 0


def test_options_reach_the_model(
    nudge: Any, models: Any, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    examples = tmp_path / "examples.txt"
    examples.write_text("wo ist mein Paket\n\n", encoding="utf-8")
    options = ("--per-document", 1, "--kinds", "situation", "--examples", examples)
    with OpenAIServer() as server:
        done = nudge(
            *arguments(documents, tmp_path / "out", server, *options, "--max-documents", 5)
        )

    assert done.code == 0, done.err
    assert "without a key" in done.err
    assert len(server.asks) == 5
    assert "wo ist mein Paket" in server.asks[0].user
    assert "Write 1 question " in server.asks[0].user
    assert not (tmp_path / "out" / "qrels" / "test.tsv").exists()  # too few to take any out


def test_errors_say_what_to_do(
    nudge: Any, models: Any, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    out = tmp_path / "out"
    no_key = nudge("questions", "--documents", documents, "--out", out, "--llm", "x")
    assert no_key.code == 1
    assert "set OPENAI_API_KEY, or name a local server with --endpoint" in no_key.err

    def wrong(_: Ask) -> Say:
        return Say("wrong key", 401)

    with OpenAIServer(wrong) as server:
        done = nudge(*arguments(documents, out, server))
        limit = nudge(*arguments(documents, out, server, "--max-cost", "1"))
    assert (done.code, limit.code) == (1, 1)
    assert "check its key" in done.err
    assert "price_per_million" in limit.err
    assert not out.exists()
    missing = nudge("questions", "--documents", tmp_path / "no", "--out", out, "--llm", "x")
    assert missing.code == 1
    assert "cannot read" in missing.err
