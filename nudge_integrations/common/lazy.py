"""Load optional dependencies; an error for a missing one names the pip command."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from nudge_integrations.errors import MissingExtraError


def require(module: str, extra: str, instead: str = "") -> ModuleType:
    """Import `module`, or say which extra of this package brings it.

    Args:
        module: Dotted name of the module to import.
        extra: Extra of this package that installs it, such as `"plot"`.
        instead: What else the caller could do, for the message.

    Raises:
        MissingExtraError: `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there but lacks something of its own must say so itself.
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'nudge-integrations[{extra}]'{instead}"
        ) from error


def lazy_names(
    package: str, module_of: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names load when they are used.

    Args:
        package: The package's `__name__`.
        module_of: For each public name, the module below the package that holds it.
    """

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        vars(importlib.import_module(package))[name] = value
        return value

    return load, lambda: sorted(module_of)
