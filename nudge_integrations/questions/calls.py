"""Many requests to a language model: at once but not too many, again when they fail, never twice.

Requests run in threads through the model's blocking interface: it has no event loop to be bound
to, so the same model object can be used before, after and beside this in whatever loop.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import tenacity
from tqdm import tqdm

from nudge_integrations.common.files import text_hash
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError, NudgeError
from nudge_integrations.questions.chat import Chat, Reply, Schema
from nudge_integrations.questions.failures import can_pass, wait_asked_for
from nudge_integrations.questions.ledger import Entry, Ledger
from nudge_integrations.questions.report import Usage, tokens_of

_log = logging.getLogger(__name__)
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=60)


@dataclass(frozen=True)
class CallOptions:
    """How requests are made.

    Attributes:
        concurrency: Requests at once.
        requests_per_minute: At most so many; None for no limit but the server's own, whose
            `Retry-After` is always kept to.
        retries: How often a request is made again after too many requests, a time-out, a cut
            connection or an error of the server.
        max_cost: Stop before more than this is spent; needs `price_per_million`.
        price_per_million: Price of a million tokens, read and written, in any currency.
        checkpoint: Where answers are kept, so that none is paid for twice: True for the user's
            cache folder (not for a lambda or an inner function, which nothing names in the next
            run), a folder, a file ending in `.sqlite`; False for nowhere. The generated questions
            stand there as text.
        structured: Whether to ask for structured output; None: where the model says that it can.
        show_progress: Whether to draw a progress bar.
    """

    concurrency: int = 16
    requests_per_minute: float | None = None
    retries: int = 6
    max_cost: float | None = None
    price_per_million: tuple[float, float] | None = None
    checkpoint: bool | str | os.PathLike[str] | None = True
    structured: bool | None = None
    show_progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("retries", 0)):
            if getattr(self, name) < least:
                raise DataError(f"{name}={getattr(self, name)!r} must be {least} or more")
        for name in ("requests_per_minute", "max_cost"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise DataError(f"{name}={value!r} must be above 0, or None for no limit")
        if self.max_cost is not None and self.price_per_million is None:
            raise DataError(
                "max_cost needs price_per_million=(read, written): what a million tokens cost with "
                "this model"
            )


def call_options(arguments: Mapping[str, Any], others: Iterable[str]) -> CallOptions:
    """The options that some arguments make.

    Args:
        arguments: What was given.
        others: Arguments of the function that took them, which may have been meant.

    Raises:
        DataError: An argument that does not exist, or a value that cannot be used.
    """
    known = CallOptions.__dataclass_fields__
    for name in arguments:
        if name not in known:
            raise DataError(
                f"unknown argument {name!r}; besides those of generate_questions there are "
                f"{', '.join(known)}{did_you_mean(name, [*known, *others])}"
            )
    return CallOptions(**arguments)


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        name: What it is about, for messages.
        system: The rules.
        user: The task.
        schema: Of the structured output.
        read: Reads the answer; JSON. An empty result is asked for once more.
    """

    name: str
    system: str
    user: str
    schema: Schema
    read: Callable[[Reply], Any]

    def key(self, model: str) -> str:
        """What the answer is kept under: it changes with everything that shapes it."""
        parts = (model, self.system, self.user)
        return text_hash("\0".join(f"{len(part)}:{part}" for part in parts))


class Pacer:
    """Lets requests through at most so many a minute, and none while the server asked to wait."""

    def __init__(self, per_minute: float | None, stopped: threading.Event) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = stopped

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        self._stopped.wait(max(0.0, turn - time.monotonic()))

    def hold(self, seconds: float) -> None:
        """Nobody goes on for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def run_calls(
    chat: Chat,
    calls: Iterable[Call],
    ledger: Ledger,
    options: CallOptions,
    *,
    total: int,
    task: str,
    usage: Usage,
) -> dict[str, Any]:
    """Get the answer of every call, from the ledger where it is there.

    Args:
        chat: Whom to ask.
        calls: What; taken one by one, so that few are in memory.
        ledger: Where answers are kept as they come.
        options: How.
        total: Number of calls, for the progress bar.
        task: Its name there.
        usage: Counted into.

    Returns:
        Name -> result, in the order of `calls`, whatever came first. Calls that failed for good,
        or were not made for want of money, are not in it; `usage` tells them.

    Raises:
        NudgeError: Nothing can succeed (a wrong key or address), or the server is down. What was
            answered is kept.
    """
    found: dict[str, Any] = {}
    order: list[str] = []
    stopped = threading.Event()
    pacer = Pacer(options.requests_per_minute, stopped)
    bar = tqdm(total=total, desc=task, unit="document", delay=1, disable=not options.show_progress)
    pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="nudge-questions")
    running: dict[Future[Entry], Call] = {}

    def settle(some: Iterable[Future[Entry]]) -> None:
        for future in some:
            call = running.pop(future)
            bar.update()
            if future.exception() is None:
                entry = future.result()
                ledger.keep(call.key(chat.name), entry)
                usage.answered(entry)
                found[call.name] = entry.result
            else:
                usage.failed_for(call.name, future.exception())
        bar.set_postfix_str(usage.so_far(), refresh=False)

    began = time.monotonic()
    try:
        with bar:
            for call in _unanswered(chat, calls, ledger, usage, found, order, bar):
                while len(running) >= options.concurrency:
                    settle(wait(running, return_when=FIRST_COMPLETED).done)
                prompt = call.system + call.user
                # What stands in the ledger further on costs nothing and is still taken.
                if usage.stopped or usage.would_exceed(options.max_cost, len(running) + 1, prompt):
                    continue
                running[pool.submit(_answer, chat, call, options, pacer, stopped)] = call
            while running:
                settle(wait(running, return_when=FIRST_COMPLETED).done)
    finally:
        # Also on Ctrl-C: what has been answered is kept, what has not is not waited for.
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for future in [each for each in running if each.done() and not each.cancelled()]:
            if future.exception() is None:
                ledger.keep(running[future].key(chat.name), future.result())
        usage.seconds += time.monotonic() - began
    return {name: found[name] for name in order if name in found}


def _unanswered(
    chat: Chat,
    calls: Iterable[Call],
    ledger: Ledger,
    usage: Usage,
    found: dict[str, Any],
    order: list[str],
    bar: Any,
) -> Iterator[Call]:
    """Calls to make; the others are answered from the ledger."""
    for call in calls:
        order.append(call.name)
        entry = ledger.find(call.key(chat.name))
        if entry is None:
            yield call
        else:
            found[call.name] = entry.result
            usage.remembered += 1
            bar.update()


def _answer(
    chat: Chat, call: Call, options: CallOptions, pacer: Pacer, stopped: threading.Event
) -> Entry:
    """Ask until there is an answer. In a thread."""

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = None if error is None else wait_asked_for(error)
        _log.info("%s: %s; asking again", call.name, error)
        if asked is None:
            return _backoff(state)
        pacer.hold(asked)
        return asked

    def one() -> Reply:
        pacer.wait()
        if stopped.is_set():
            raise NudgeError("stopped")
        return chat.ask(call.system, call.user, call.schema)

    def nap(seconds: float) -> None:
        stopped.wait(seconds)

    asking = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(options.retries + 1),
        retry=tenacity.retry_if_exception(can_pass),
        wait=pause,
        sleep=nap,
        reraise=True,
    )
    tokens = [0, 0]
    told = True
    result: Any = None
    for _ in range(2):
        reply = asking(one)
        spent, exact = tokens_of(reply, call.system + call.user)
        tokens = [tokens[0] + spent[0], tokens[1] + spent[1]]
        told = told and exact
        result = call.read(reply)
        if result:
            break
    return Entry(result, (tokens[0], tokens[1]), told)
