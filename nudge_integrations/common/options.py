"""Keyword arguments read into a dataclass of options, with a hint for every misspelt one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError

Options = TypeVar("Options")


def read_options(
    cls: type[Options],
    given: Mapping[str, Any],
    *,
    names: Iterable[str] | None = None,
    beside: Iterable[str] = (),
    hint: Callable[[str], str] = lambda _: "",
) -> Options:
    """Make options from keyword arguments.

    Args:
        cls: A dataclass whose fields are the options.
        given: The keyword arguments.
        names: The fields that may be given here; None for all of them.
        beside: Other arguments of the caller, which a misspelt name may have meant.
        hint: Explains an unknown name; `""` falls back to the known name that is most similar.

    Raises:
        DataError: An argument that does not exist; the message lists those that do.
    """
    every = [each.name for each in fields(cls)]  # type: ignore[arg-type]
    accepted = every if names is None else list(names)
    unknown = sorted(set(given) - set(accepted))
    if unknown:
        known = [*beside, *accepted]
        raise DataError(
            f"unknown argument {name_some(unknown)}; there are {', '.join(known)}"
            + "".join(hint(name) or did_you_mean(name, known) for name in unknown)
        )
    return cls(**given)
