"""Async twins of methods that compute: the framework's own would block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def in_thread(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A method that runs the method `name` in a thread."""

    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args, **kwargs)

    twin.__doc__ = f"`{name}`, in a thread."
    return twin
