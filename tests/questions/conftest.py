"""The local server, and the models of both frameworks that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike
from openai_server import OpenAIServer


def langchain_model(url: str, **options: Any) -> ChatOpenAI:
    # Its own retries off: ours are what is tested.
    return ChatOpenAI(
        model="scripted", base_url=url, api_key="none", max_retries=0, **{"timeout": 5, **options}
    )


def llama_index_model(url: str, **options: Any) -> OpenAILike:
    return OpenAILike(
        model="scripted",
        api_base=url,
        api_key="none",
        max_retries=0,
        is_chat_model=True,
        **{"timeout": 5, **options},
    )


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


def text_of(place: int) -> str:
    """A document of words that no other has."""
    letters = "abcdefghij"
    word = "".join(letters[int(digit)] for digit in f"{place:04d}")
    return " ".join(f"{word}{ending}" for ending in ("ing", "able", "ness", "ful", "less", "tion"))
