"""What went wrong when a language model was called, and whether asking again can help.

Clients wrap errors in their own classes, so what counts is what they carry: an HTTP status, the
response's headers, the class of a cause.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_HOPELESS = frozenset({401, 402, 403, 404, 405, 407})
_LONGEST_WAIT = 600.0


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there is none."""
    for each in _chain(error):
        for holder in (each, getattr(each, "response", None)):
            status = getattr(holder, "status_code", None)
            if isinstance(status, int) and status >= 400:  # 200: its body was bad
                return status
    return None


def can_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: too many requests, time-outs, cut connections."""
    status = status_of(error)
    if status is not None:
        return status in _AGAIN
    # A body that is no JSON was cut on the way.
    return any(
        isinstance(each, (OSError, TimeoutError, json.JSONDecodeError)) or _is_transport(type(each))
        for each in _chain(error)
    )


def is_hopeless(error: BaseException) -> bool:
    """Whether no request will succeed: a wrong key, address, or model name."""
    return status_of(error) in _HOPELESS


def wait_asked_for(error: BaseException) -> float | None:
    """Seconds that the server asked to wait (`Retry-After`), at most ten minutes."""
    for each in _chain(error):
        headers = getattr(getattr(each, "response", None), "headers", None)
        if isinstance(headers, Mapping):
            found = _seconds(headers)
            if found is not None:
                return min(max(found, 0.0), _LONGEST_WAIT)
    return None


def _seconds(headers: Mapping[str, Any]) -> float | None:
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    if "retry-after-ms" in given:
        return _number(given["retry-after-ms"], 1000)
    text = given.get("retry-after")
    if text is None:
        return None
    seconds = _number(text, 1)
    if seconds is not None:
        return seconds
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _number(text: str, divisor: float) -> float | None:
    try:
        return float(text) / divisor
    except ValueError:
        return None


def _is_transport(kind: type) -> bool:
    """Time-outs and cut connections of httpx, requests, openai, anthropic and others by name."""
    names = {base.__name__ for base in kind.__mro__}
    return any(
        name.endswith(("ConnectionError", "Timeout", "TimeoutError", "TransportError"))
        or name in ("TimeoutException", "RemoteProtocolError", "ReadError", "IncompleteRead")
        for name in names
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
