"""Faults of the line and of the model: nothing lost, nothing twice, always the same order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from chat_models import langchain_model, text_of
from openai_server import Ask, OpenAIServer, Say

from nudge_integrations import generate_questions
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import NudgeError
from nudge_integrations.questions.failures import (
    can_pass,
    is_hopeless,
    status_of,
    wait_asked_for,
)

QUIET = {"show_progress": False}
DOCUMENTS = {f"d{place:03d}": text_of(place) for place in range(500)}
FAULTS: list[Callable[[Ask], Say]] = [
    lambda _: Say("slow down", 429, {"Retry-After": "0.05"}),
    lambda _: Say("slow down", 429, {"retry-after-ms": "20"}),
    lambda _: Say("sorry", 500),
    lambda _: Say("overloaded", 503),
    lambda _: Say("late", delay=0.8),  # above the client's time-out
    lambda _: Say("cut", cut=True),
    lambda _: Say("half a body", broken=True),
    lambda _: Say(""),
    lambda _: Say("I'm sorry, but I cannot assist with that."),
    lambda _: Say('{"questions": [}'),
    lambda ask: Say("1) Wie ist {0}?\n2) Was ist {0}?\n3) Warum {0}?".format(ask.document[:5])),
    lambda ask: Say(json.dumps({"questions": [{"question": f"{ask.document[:5]}?"}]}), delay=0.2),
]


def fault_of(ask: Ask) -> Say | None:
    """A fifth of the documents meet a fault the first time that they are asked about."""
    number = int(text_hash(ask.document)[:8], 16)
    if ask.tries or number % 5:
        return None
    return FAULTS[number // 5 % len(FAULTS)](ask)


def test_500_documents_with_a_fifth_of_faults(make_llm: Callable[..., Any]) -> None:
    with OpenAIServer(fault_of) as server:
        llm = make_llm(server.url, timeout=0.5)
        found = generate_questions(DOCUMENTS, llm, **QUIET)
        again = generate_questions(DOCUMENTS, llm, checkpoint=False, **QUIET)

    faulty = {ask.document for ask in server.asks if fault_of_first(ask)}
    assert 70 < len(faulty) < 130
    data, report = found.dataset, found.report
    assert not report.usage.failed
    assert report.asked == 500
    assert {name for each in data.qrels.values() for name in each} == set(DOCUMENTS)
    first = [data.answers(name)[0] for name in data.queries]
    assert first == sorted(first)
    assert again.report.usage.asked == 500


def fault_of_first(ask: Ask) -> bool:
    return ask.tries == 0 and fault_of(ask) is not None


def test_the_order_is_that_of_the_documents_whatever_came_first() -> None:
    def late(ask: Ask) -> Say:
        number = int(text_hash(ask.document)[:8], 16)
        text = json.dumps({"questions": [f"What about {ask.document.split()[0]}?"]})
        return Say(text, delay=number % 7 * 0.01)

    some = dict(list(DOCUMENTS.items())[:60])
    with OpenAIServer(late) as server:
        found = generate_questions(some, langchain_model(server.url), **QUIET)

    answers = [found.dataset.answers(name) for name in found.dataset.queries]
    assert answers == [(name,) for name in some]


def test_retry_after_holds_everybody_back() -> None:
    when: list[float] = []

    def script(ask: Ask) -> Say | None:
        when.append(time.monotonic())
        return Say("slow down", 429, {"Retry-After": "1"}) if ask.number == 0 else None

    some = dict(list(DOCUMENTS.items())[:10])
    with OpenAIServer(script) as server:
        llm = langchain_model(server.url)
        found = generate_questions(some, llm, concurrency=1, **QUIET)

    assert len(found.dataset) == 30
    assert when[1] - when[0] >= 0.95


def test_requests_per_minute_are_kept_to() -> None:
    some = dict(list(DOCUMENTS.items())[:6])
    with OpenAIServer() as server:
        began = time.monotonic()
        generate_questions(
            some, langchain_model(server.url), requests_per_minute=600, concurrency=6, **QUIET
        )
        assert time.monotonic() - began >= 0.45  # five gaps of a tenth of a second


def test_concurrency_is_kept_to() -> None:
    some = dict(list(DOCUMENTS.items())[:20])
    with OpenAIServer(delay=0.02) as server:
        generate_questions(some, langchain_model(server.url), concurrency=3, **QUIET)
    assert server.most_running == 3


def test_what_failed_for_good_is_told_and_asked_again_next_time() -> None:
    broken = {"on": True}
    bad = text_of(7)

    def script(ask: Ask) -> Say | None:
        return Say("content filter", 400) if broken["on"] and ask.document == bad else None

    some = dict(list(DOCUMENTS.items())[:20])
    with OpenAIServer(script) as server:
        llm = langchain_model(server.url)
        found = generate_questions(some, llm, **QUIET)
        broken["on"] = False
        again = generate_questions(some, llm, **QUIET)

    assert list(found.report.usage.failed) == ["d007"]
    assert "content filter" in found.report.usage.failed["d007"]
    assert "1 requests failed for good (d007" in str(found)
    assert len(found.dataset) == 57
    assert len(again.dataset) == 60
    assert again.report.usage.asked == 1


def test_a_server_that_is_down_ends_the_run_and_keeps_what_was_answered() -> None:
    with OpenAIServer() as server:
        llm = langchain_model(server.url)
        generate_questions(dict(list(DOCUMENTS.items())[:30]), llm, **QUIET)
    with pytest.raises(NudgeError, match=r"20 requests in a row failed.*the same call goes on"):
        generate_questions(DOCUMENTS, llm, retries=0, **QUIET)
    with OpenAIServer(port=server.server_address[1]) as server:
        found = generate_questions(DOCUMENTS, llm, **QUIET)
    assert found.report.usage.remembered == 30
    assert len(found.dataset) == 1500


def error_with(status: int, headers: dict[str, str] | None = None) -> Exception:
    request = httpx.Request("POST", "http://x")
    return httpx.HTTPStatusError(
        "no", request=request, response=httpx.Response(status, headers=headers)
    )


@pytest.mark.parametrize(
    ("error", "again", "hopeless"),
    [
        (error_with(429), True, False),
        (error_with(500), True, False),
        (error_with(529), True, False),
        (error_with(400), False, False),
        (error_with(401), False, True),
        (error_with(404), False, True),
        (TimeoutError(), True, False),
        (ConnectionResetError(), True, False),
        (httpx.ReadTimeout("slow"), True, False),
        (httpx.RemoteProtocolError("cut"), True, False),
        (json.JSONDecodeError("no JSON", "", 0), True, False),
        (ValueError("no"), False, False),
    ],
)
def test_what_may_pass_and_what_will_not(error: Exception, again: bool, hopeless: bool) -> None:
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = error

    assert can_pass(wrapped) == again
    assert is_hopeless(wrapped) == hopeless
    assert status_of(wrapped) == status_of(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "100000"}, 600.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_the_server_asked_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked_for(error_with(429, headers)) == seconds
