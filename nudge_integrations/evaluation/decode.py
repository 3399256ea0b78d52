"""Reading frozen dataclasses back from what JSON gave, refusing anything of another shape."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nudge_integrations.errors import CorruptFileError

T = TypeVar("T")


def decode(cls: type[T], content: Any, what: str) -> T:
    """Build the dataclass `cls` from a mapping of its fields.

    Fields may be str, int, float, None, dataclasses, tuples and unions of these. A field with a
    default may be missing.

    Args:
        cls: A dataclass.
        content: What JSON gave.
        what: Name of the thing, for error messages.

    Raises:
        CorruptFileError: A field is missing, unknown, or of another type; it is named.
    """
    if not isinstance(content, Mapping):
        raise CorruptFileError(f"{what} must be a mapping, not {type(content).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [name for name in content if name not in fields]
    if unknown:
        raise CorruptFileError(f"{what} has an unknown field {unknown[0]!r}")
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    missing = [name for name in needed if name not in content]
    if missing:
        raise CorruptFileError(f"{what} lacks {missing[0]!r}")
    hints = get_type_hints(cls)
    return cls(
        **{name: _value(hints[name], each, f"{what}: {name}") for name, each in content.items()}
    )


def _value(wanted: Any, value: Any, what: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return decode(wanted, value, what)  # type: ignore[arg-type]
    if get_origin(wanted) in (Union, types.UnionType):
        return None if value is None else _value(get_args(wanted)[0], value, what)
    if get_origin(wanted) is tuple:
        return _tuple(get_args(wanted), value, what)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise CorruptFileError(f"{what} must be finite, not {value!r}")
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise CorruptFileError(f"{what} must be {wanted.__name__}, not {value!r:.60}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise CorruptFileError(f"{what} must be a list, not {value!r:.60}")
    kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    if len(kinds) != len(value):
        raise CorruptFileError(f"{what} must have {len(kinds)} entries, not {len(value)}")
    return tuple(
        _value(kind, each, f"{what}[{place}]")
        for place, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )
