"""Methods by name."""

from __future__ import annotations

from typing import Any

from nudge_integrations.errors import DataError
from nudge_integrations.methods.base import Method
from nudge_integrations.methods.nudge_c import NudgeC
from nudge_integrations.methods.paper import NudgeM, NudgeN

_METHODS: dict[str, type[Method]] = {"c": NudgeC, "n": NudgeN, "m": NudgeM}


def get_method(method: str | Method, **arguments: Any) -> Method:
    """The method called `method`, or `method` itself where it is one already.

    Args:
        method: `"c"` or `"nudge-c"`, `"n"` or `"nudge-n"`, `"m"` or `"nudge-m"`, or an instance.
        arguments: For the method's constructor, if it is given by name.

    Raises:
        DataError: There is no such method.
    """
    if isinstance(method, Method):
        return method
    kind = _METHODS.get(str(method).lower().removeprefix("nudge-"))
    if kind is None:
        raise DataError(
            f"unknown method {method!r}: use 'c' (NUDGE-C), 'n' (NUDGE-N), 'm' (NUDGE-M, inner "
            "product only) or an instance of NudgeC, NudgeN or NudgeM"
            + (f", such as {method.__name__}()" if isinstance(method, type) else "")
        )
    return kind(**arguments)
