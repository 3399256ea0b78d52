"""How error messages name what they are about."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable

_SHOWN = 60


def described(value: object) -> str:
    """A value that should have been something else: its type, and what it is where that is short.

    >>> described("gpt-4o-mini"), described([1, 2]), described(dict)
    ("the str 'gpt-4o-mini'", 'a list', 'the class dict')
    """
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if value is None:
        return "None"
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return f"the {type(value).__name__} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
    return f"a {type(value).__name__}"


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one nearest to it, if one is near.

    >>> did_you_mean("gama", ["seed", "gamma"]), did_you_mean("x", ["seed", "gamma"])
    ("; did you mean 'gamma'?", '')
    """
    near = difflib.get_close_matches(str(wrong), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
