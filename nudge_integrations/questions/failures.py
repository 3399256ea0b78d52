"""What went wrong when a language model was called, and whether asking again can help.

Clients wrap errors in their own classes, so what counts is what they carry: an HTTP status, the
response's headers, the class of a cause.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nudge_integrations.common.text import safe

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_HOPELESS = frozenset({401, 402, 403, 404, 405, 407})
_LONGEST_WAIT = 600.0
_THROTTLED = re.compile("throttl|toomanyrequests|unavailable|notready", re.IGNORECASE)
_GRPC = {"RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|AIza|AKIA|eyJ)[-_]?[A-Za-z0-9_.\-]{8,}"
    r"|(?<=Bearer )\S+|(?<=Basic )\S+"
    r"|(?i:(?<=key)|(?<=token)|(?<=secret)|(?<=password))[\"']?\s*[:=]\s*[\"']?[^\s\"',;}]{6,}"
)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error, wherever a client keeps it; None if there is none."""
    for each in _chain(error):
        for holder in (each, getattr(each, "response", None)):
            for status in _statuses(holder):
                if status is not None and 400 <= status < 600:  # 200: its body was bad
                    return status
    return None


def _statuses(holder: Any) -> Iterator[int | None]:
    if isinstance(holder, Mapping):  # boto3, for Bedrock
        found = (holder.get("ResponseMetadata") or {}).get("HTTPStatusCode")
        throttled = _THROTTLED.search(str((holder.get("Error") or {}).get("Code", "")))
        yield 429 if throttled else _whole(found)
        return
    # httpx and requests; aiohttp; Google's clients, whose code may be a status of gRPC.
    for name in ("status_code", "http_status", "status", "code"):
        value = getattr(holder, name, None)
        yield _GRPC.get(getattr(value, "name", "")) or _whole(value)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


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
        found = _seconds(headers) if isinstance(headers, Mapping) else None
        if found is not None:
            return min(max(found, 0.0), _LONGEST_WAIT)
    return None


def _seconds(headers: Mapping[str, Any]) -> float | None:
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        with contextlib.suppress(ValueError):
            return float(given.get(name, "")) / divisor
    with contextlib.suppress(ValueError):
        return (
            email.utils.parsedate_to_datetime(given.get("retry-after", "")).timestamp()
            - time.time()
        )
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


def told(error: BaseException | None, secrets: Iterable[str] = ()) -> str:
    """An error on one line, without what could be a key or does not belong on a terminal."""
    text = " ".join(safe(f"{type(error).__name__}: {error}").split())
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _SECRET.sub("***", text)
    return text if len(text) <= 300 else f"{text[:300]}…"
