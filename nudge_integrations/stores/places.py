"""Where stores are, as messages may show it (without secrets), and files that must be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import StoreError

# Up to the last @ before a space: a raw password may hold "/", "#" or "@" itself.
_IN_URL = re.compile(r"([a-zA-Z][\w+.-]*://)[^\s'\"]*@")
_NAMED = re.compile(
    r"(?i)([\w-]*(?:password|passwd|passphrase|pwd|token|api[-_ ]?key|access[-_ ]?key|secret"
    r"|credential|authorization)[\w-]*['\"]?\s*[=:]\s*)"
    r"(?:(?:bearer|basic)\s+)?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&)}\]]+)"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{4,}")


def is_web(where: str) -> bool:
    """Whether a place is a server's address."""
    return where.startswith(("http://", "https://"))


def shown_place(where: str) -> str:
    """A path as it is, or scheme, host, port and path of an address, built from parsed parts."""
    if "://" not in where:
        return where
    try:
        parts = urlsplit(where)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an address that cannot be parsed"
    # A password with a raw "/" in it, or an address inside the address.
    if any(sign in unquote(parts.path) for sign in ("@", "://")):
        return "an address that cannot be parsed"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def existing_path(where: str, sign: str = "") -> Path:
    """A store's file or folder, which must exist, and hold the file that is the sign of one.

    Raises:
        StoreError: It does not.
    """
    path = Path(where).expanduser()
    if not path.exists():
        whence = "" if path.is_absolute() else f", which is taken from {Path.cwd()}"
        raise StoreError(
            f"{path} does not exist: a store to tune must be there already; check the path{whence}"
        )
    if sign and not (path / sign).is_file():
        raise StoreError(f"{path} is no database: {path / sign} does not exist; check the path")
    return path.resolve()


def no_such(where: str, what: str, name: str, there: Sequence[str]) -> StoreError:
    """The error about a collection that a database does not have."""
    if not there:
        return StoreError(f"{where} has no {what} {name!r}: it is empty; check the place")
    return StoreError(
        f"{where} has no {what} {name!r}: it has {name_some(sorted(there))}"
        f"{did_you_mean(name, there)}"
    )


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
