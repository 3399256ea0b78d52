"""Text for error messages, and text that is safe to display."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable

_SHOWN = 60
# Characters that steer how text is displayed, or hide it: bidi controls, tags, no-break marks.
# Joiners stay: Persian, Indic scripts and emoji need them.
_HIDDEN = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all of Unicode's Cc but tab and line feed


def described(value: object) -> str:
    """Describe a wrong value: its type, and the value itself if it is short.

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
    """End of a message about an unknown name: the closest known name, if any is close.

    >>> did_you_mean("gama", ["seed", "gamma"]), did_you_mean("x", ["seed", "gamma"])
    ("; did you mean 'gamma'?", '')
    """
    near = difflib.get_close_matches(str(wrong), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def safe(text: str) -> str:
    """`text` without control characters, hidden characters and lone surrogates.

    Fit for a prompt, a file and a terminal; tabs and line feeds stay.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub(" ", _HIDDEN.sub("", text).replace("\r\n", "\n"))
