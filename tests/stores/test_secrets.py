"""Passwords, tokens and keys stay out of every message."""

from __future__ import annotations

from typing import Any

import pytest

from nudge_integrations.errors import NudgeError
from nudge_integrations.stores import open_store
from nudge_integrations.stores.open import shown_address
from nudge_integrations.stores.places import hidden

SECRET = "hunter2secret"
ADDRESSES = {
    "a raw slash": f"postgresql://me:pa/{SECRET}@127.0.0.1:1/db#docs",
    "a raw space": f"postgresql://me:pa {SECRET}@127.0.0.1:1/db#docs",
    "a raw @": f"postgresql://me:pa@{SECRET}@127.0.0.1:1/db#docs",
    "a raw #": f"postgresql://me:pa#{SECRET}@127.0.0.1:1/db#docs",
    "a raw # and no table": f"postgresql://me:pa#{SECRET}@127.0.0.1:1/db",
    "no @": f"postgresql://me:{SECRET}127.0.0.1/db#docs",
    "a parameter misspelt": f"postgresql://me@127.0.0.1:1/db?passwrod={SECRET}#docs",
    "a parameter": f"postgresql://me@127.0.0.1:1/db?password={SECRET}#docs",
    "an address in dbname": f"postgresql:///postgresql%3A%2F%2Fme%3A{SECRET}%40127.0.0.1:1%2Fd#docs",
    "broken keywords": f"postgresql:host=127.0.0.1 password='{SECRET} port=1#docs",
    "chroma": f"chroma:http://me:{SECRET}@127.0.0.1:1#docs",
    "qdrant": f"qdrant:http://me:{SECRET}@127.0.0.1:1#docs",
    "milvus": f"milvus:http://me:{SECRET}@127.0.0.1:1#docs",
    "a kind misspelt": f"postgersql://me:{SECRET}@127.0.0.1/db#docs",
    "percent-encoded": "postgresql://me:hunter2%73ecret@127.0.0.1:1/db#docs",
}


@pytest.mark.parametrize("case", [case for case in ADDRESSES if case != "milvus"])
def test_no_error_about_an_address_shows_a_password(case: str) -> None:
    with pytest.raises(NudgeError) as raised:
        open_store(ADDRESSES[case])
    text = "".join(map(str, _chain(raised.value)))
    assert SECRET not in text
    assert "hunter2" not in text


@pytest.mark.parametrize("case", ADDRESSES)
def test_no_shown_address_holds_a_password(case: str) -> None:
    assert SECRET not in shown_address(ADDRESSES[case])


TEXTS = [
    f"PGPASSWORD={SECRET}",
    f"export OPENAI_API_KEY='{SECRET}' failed",
    f"https://host/path?access_token={SECRET}&x=1",
    f"aws_secret_access_key={SECRET}",
    f"{{'aws_secret_access_key': '{SECRET}', 'region': 'eu'}}",
    f'{{"password": "{SECRET} with spaces"}}',
    f"Authorization: Basic {SECRET}==",
    f"sent Basic {SECRET}==",
    f"Bearer {SECRET}",
    f"s3://AKIA:{SECRET}@bucket/table",
    f"could not connect to postgresql://me:a/b@{SECRET}@host/db",
    f"invalid api-key: {SECRET}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_named_secrets_are_hidden(text: str) -> None:
    assert SECRET not in hidden(text)


def test_known_values_are_hidden_wherever_they_stand() -> None:
    assert "a b/c" not in hidden("it was a b/c, or a%20b%2Fc", ["a b/c"])
    assert "a%20b%2Fc" not in hidden("it was a b/c, or a%20b%2Fc", ["a b/c"])


@pytest.mark.parametrize("text", ["no such table docs", "the tokenizer has 5 tokens", "at 5:30"])
def test_other_text_stays(text: str) -> None:
    assert hidden(text) == text


class TestOpeners:
    def test_llama_index_with_an_engine_or_a_url_object(self, postgres_url: str) -> None:
        import sqlalchemy
        from llama_index.vector_stores.postgres import PGVectorStore

        plain = postgres_url.replace("postgresql://", "postgresql+psycopg2://")
        asynchronous = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
        url = sqlalchemy.engine.make_url(plain)
        for given in (url, plain):
            store = PGVectorStore(
                connection_string=given,
                async_connection_string=asynchronous,
                table_name="opened",
                embed_dim=3,
            )
            store._initialize()
            assert open_store(store).dimension == 3


def _chain(error: BaseException | None) -> list[Any]:
    found: list[Any] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found
