"""Many requests to a language model: concurrent, retried when they fail, never made twice.

Requests run in threads through the model's blocking interface: it is not bound to an event loop,
so the same model object can be used before, after and beside this in any loop.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import tenacity
from tqdm import tqdm

from nudge_integrations.common.arrays import checked_count
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.options import read_options
from nudge_integrations.errors import DataError, NudgeError
from nudge_integrations.questions.chat import Chat, Reply, Schema, Shots, as_chat
from nudge_integrations.questions.failures import can_pass, told, wait_asked_for
from nudge_integrations.questions.ledger import Entry, Ledger, Usage, tokens_of

_log = logging.getLogger(__name__)
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=60)


@dataclass(frozen=True)
class CallOptions:
    """How requests are made.

    Attributes:
        concurrency: Most requests at the same time.
        requests_per_minute: Limit on the rate of requests; None for no limit but the server's own,
            whose `Retry-After` is always respected.
        retries: How often a request is repeated after rate limits, time-outs, cut connections and
            server errors.
        max_cost: Stop before more than this is spent; needs `price_per_million`.
        price_per_million: Price of a million tokens, read and written, in any currency.
        checkpoint: Where answers are kept, so that none is billed twice: True for the user's cache
            folder (not for a lambda or an inner function, which has no name in the next run), a
            folder, a file ending in `.sqlite`; False for nowhere. The generated questions are
            stored there as text.
        structured: Whether to ask for structured output; None: if the model says that it can.
        show_progress: Whether to draw a progress bar.
        ledger_tag: Tells models apart. Answers are kept under the model's name and address: pass
            another tag when another model is served under the same ones.
    """

    concurrency: int = 16
    requests_per_minute: float | None = None
    retries: int = 6
    max_cost: float | None = None
    price_per_million: tuple[float, float] | None = None
    checkpoint: bool | str | os.PathLike[str] | None = True
    structured: bool | None = None
    show_progress: bool = True
    ledger_tag: str = ""

    def __post_init__(self) -> None:
        checked_count(self.concurrency, "concurrency", 1)
        checked_count(self.retries, "retries", 0)
        for name in ("requests_per_minute", "max_cost"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise DataError(f"{name}={value!r} must be above 0, or None for no limit")
        if self.max_cost is not None and self.price_per_million is None:
            raise DataError(
                "max_cost needs price_per_million=(read, written): what a million tokens cost with "
                "this model"
            )


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        name: What it is about, for messages.
        system: The rules.
        user: The task.
        schema: Of the structured output.
        read: Reads the answer; JSON. An empty result is asked for once more.
        shots: Tasks with answers, for models without structured output.
    """

    name: str
    system: str
    user: str
    schema: Schema
    read: Callable[[Reply], Any]
    shots: Shots = ()

    def key(self, model: str) -> str:
        """What the answer is kept under: a hash of everything that shapes it."""
        parts = (model, self.system, self.user, *(text for shot in self.shots for text in shot))
        return text_hash("\0".join(f"{len(part)}:{part}" for part in parts))


class _Pacer:
    """Spaces requests out, and holds them all while the server asks to wait."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        self.stopped.wait(max(0.0, turn - time.monotonic()))
        if self.stopped.is_set():
            raise NudgeError("stopped")

    def hold(self, seconds: float) -> None:
        """Let nobody go on for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def call_options(given: Mapping[str, Any], function: Callable[..., Any]) -> CallOptions:
    """Options from the keyword arguments of a function.

    Raises:
        DataError: An argument that does not exist, or a value that cannot be used.
    """
    beside = [name for name in inspect.signature(function).parameters if name != "calls"]
    return read_options(CallOptions, given, beside=beside)


class Asking:
    """A language model that is asked through the ledger, while it is open.

    Args:
        llm: Whatever `as_chat` takes.
        options: How requests are made.
        beside: Another model that shares its ledger and its bill.
    """

    def __init__(self, llm: Any, options: CallOptions, beside: Asking | None = None) -> None:
        self._chat, self._options = as_chat(llm, options.structured), options
        self.name = self._chat.name
        self._model = f"{self.name}#{options.ledger_tag}" if options.ledger_tag else self.name
        self.usage: Usage = beside.usage if beside else Usage(options.price_per_million)
        self.usage.secrets += self._chat.secrets
        self._beside = beside

    def __enter__(self) -> Asking:
        # In memory by default if the model has no name in the next run.
        unnamed = self._options.checkpoint is True and not self._chat.lasting
        self._own = Ledger(None if unnamed else self._options.checkpoint)
        return self

    def __exit__(self, *error: object) -> None:
        self._own.__exit__(*error)

    @property
    def _ledger(self) -> Ledger:
        return self._beside._ledger if self._beside else self._own

    def run(self, calls: Iterable[Call], total: int, task: str) -> dict[str, Any]:
        """Get the answer of every call, from the ledger if it is there.

        Args:
            calls: The requests; taken one by one, so that few are in memory.
            total: Number of calls, for the progress bar.
            task: Its name there.

        Returns:
            Name -> result, in the order of `calls`, whatever came first. Calls that failed for
            good, or were not made for lack of money, are missing; `usage` names them.

        Raises:
            NudgeError: Nothing can succeed (a wrong key or address), or the server is down. What
                was answered is kept.
        """
        options, usage, ledger, model = self._options, self.usage, self._ledger, self._model
        found: dict[str, Any] = {}  # in the order of the calls
        lost = object()
        pacer = _Pacer(options.requests_per_minute)
        bar = tqdm(
            total=total, desc=task, unit="document", delay=1, disable=not options.show_progress
        )
        pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="nudge-questions")
        running: dict[Future[Entry], Call] = {}

        def settle() -> None:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                call = running.pop(future)
                bar.update()
                error = future.exception()
                if error is not None:
                    usage.failed_for(call.name, error)
                    continue
                entry = future.result()
                ledger.keep(call.key(model), entry)
                usage.answered(entry)
                found[call.name] = entry.result
            bar.set_postfix_str(usage.so_far(), refresh=False)

        began = time.monotonic()
        try:
            with bar:
                for call in calls:
                    entry = ledger.find(call.key(model))
                    found[call.name] = lost if entry is None else entry.result
                    if entry is not None:
                        usage.remembered += 1
                        bar.update()
                        continue
                    while len(running) >= options.concurrency:
                        settle()
                    prompt = call.system + call.user
                    # What the ledger holds of later calls costs nothing and is still taken.
                    if usage.stopped or usage.would_exceed(
                        options.max_cost, len(running) + 1, prompt
                    ):
                        continue
                    running[pool.submit(_answer, self._chat, call, options, pacer)] = call
                while running:
                    settle()
        finally:
            # Also on Ctrl-C: keep what has been answered, and do not wait for the rest.
            pacer.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for future in [each for each in running if each.done() and not each.cancelled()]:
                if future.exception() is None:
                    ledger.keep(running[future].key(model), future.result())
            usage.seconds += time.monotonic() - began
        return {name: result for name, result in found.items() if result is not lost}


def _answer(chat: Chat, call: Call, options: CallOptions, pacer: _Pacer) -> Entry:
    """Ask until there is an answer. In a thread."""

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = None if error is None else wait_asked_for(error)
        _log.info("%s: %s; asking again", call.name, told(error, chat.secrets))
        if asked is None:
            return _backoff(state)
        pacer.hold(asked)
        return asked

    def ask() -> Reply:
        pacer.wait()
        return chat.ask(call.system, call.user, call.schema, call.shots)

    asking = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(options.retries + 1),
        retry=tenacity.retry_if_exception(can_pass),
        wait=pause,
        sleep=tenacity.sleep_using_event(pacer.stopped),
        reraise=True,
    )
    read = written = 0
    exact = True
    for _ in range(2):
        reply = asking(ask)
        tokens, reported = tokens_of(reply, call.system + call.user)
        read, written, exact = read + tokens[0], written + tokens[1], exact and reported
        result = call.read(reply)
        if result:
            break
    return Entry(result, (read, written), exact, not reply.content.strip())
