"""State that belongs to somebody else's object and ends with it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_kept: dict[tuple[int, str], Any] = {}


def tied(owner: Any, name: str, make: Callable[[], T]) -> T:
    """What `make` gave the first time for this very object, whether it can be hashed or not."""
    key = (id(owner), name)
    if key not in _kept:
        _kept[key] = make()
        weakref.finalize(owner, _kept.pop, key, None)
    found: T = _kept[key]
    return found
