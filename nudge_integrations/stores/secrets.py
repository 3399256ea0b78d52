"""Keep passwords, tokens and keys out of messages, journals and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

# Up to the last @ before a space: a raw password may hold "/", "#" or "@" itself.
_IN_URL = re.compile(r"([a-zA-Z][\w+.-]*://)[^\s'\"]*@")
_NAMED = re.compile(
    r"(?i)([\w-]*(?:password|passwd|passphrase|pwd|token|api[-_ ]?key|access[-_ ]?key|secret"
    r"|credential|authorization)[\w-]*['\"]?\s*[=:]\s*)"
    r"(?:(?:bearer|basic)\s+)?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&)}\]]+)"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{4,}")


def hidden(text: object, secrets: Iterable[str] = ()) -> str:
    """The text without user names and passwords in addresses, and without named secrets.

    Args:
        text: Often the error of a driver.
        secrets: Values known to be secret, hidden wherever they occur.
    """
    shown = str(text)
    for secret in secrets:
        for spelling in {secret, quote(secret, safe=""), unquote(secret)} - {""}:
            shown = shown.replace(spelling, "***")
    shown = _IN_URL.sub(r"\1***@", shown)
    return _SCHEME.sub(r"\1 ***", _NAMED.sub(r"\1***", shown))
