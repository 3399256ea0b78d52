"""Keeping passwords out of messages, journals and logs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_IN_URL = re.compile(r"(\w[\w+.-]*://)[^/\s@]*@")
_NAMED = re.compile(
    r"(?i)\b(password|passwd|pwd|token|api[-_ ]?key|secret|authorization)(\s*[=:]\s*)"
    r"(?:bearer\s+)?('[^']*'|\"[^\"]*\"|[^\s,;&)]+)"
)


def hidden(text: object) -> str:
    """The text without user names and passwords in addresses, and without named secrets."""
    shown = _IN_URL.sub(r"\1***@", str(text))
    return _NAMED.sub(r"\1\2***", shown)


def place_of(url: str) -> str:
    """Host, port and path of an address, without user, password and parameters."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{host}{port}{parts.path}"
