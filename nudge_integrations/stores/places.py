"""Where stores are: addresses as messages show them, and files that must be there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import StoreError


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
