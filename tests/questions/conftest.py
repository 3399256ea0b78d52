"""The local server, and where answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_models import langchain_model, llama_index_model, text_of
from openai_server import OpenAIServer


@pytest.fixture(params=[langchain_model, llama_index_model], ids=["langchain", "llama_index"])
def make_llm(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NUDGE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def documents() -> dict[str, str]:
    return {f"d{place:03d}": text_of(place) for place in range(40)}
