"""Language models of both frameworks that talk to `openai_server`, and documents to ask about."""

from __future__ import annotations

from typing import Any

from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike


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


def text_of(place: int) -> str:
    """A document of words that no other has."""
    letters = "abcdefghij"
    word = "".join(letters[int(digit)] for digit in f"{place:04d}")
    return " ".join(f"{word}{ending}" for ending in ("ing", "able", "ness", "ful", "less", "tion"))
