"""How a language model is asked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError


@dataclass(frozen=True)
class CallOptions:
    """How requests are made.

    Attributes:
        concurrency: Requests at once.
        requests_per_minute: At most so many; None for no limit but the server's own, whose
            `Retry-After` is always kept to.
        retries: How often a request is made again after too many requests, a time-out, a cut
            connection or an error of the server.
        max_cost: Stop before more than this is spent; needs `price_per_million`.
        price_per_million: Price of a million tokens, read and written, in any currency.
        checkpoint: Where answers are kept, so that none is paid for twice: True for the user's
            cache folder (not for a lambda or an inner function, which nothing names in the next
            run), a folder, a file ending in `.sqlite`; False for nowhere. The generated questions
            stand there as text.
        structured: Whether to ask for structured output; None: where the model says that it can.
        show_progress: Whether to draw a progress bar.
    """

    concurrency: int = 16
    requests_per_minute: float | None = None
    retries: int = 6
    max_cost: float | None = None
    price_per_million: tuple[float, float] | None = None
    checkpoint: bool | str | os.PathLike[str] | None = True
    structured: bool | None = None
    show_progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("retries", 0)):
            if getattr(self, name) < least:
                raise DataError(f"{name}={getattr(self, name)!r} must be {least} or more")
        for name in ("requests_per_minute", "max_cost"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise DataError(f"{name}={value!r} must be above 0, or None for no limit")
        if self.max_cost is not None and self.price_per_million is None:
            raise DataError(
                "max_cost needs price_per_million=(read, written): what a million tokens cost with "
                "this model"
            )


class CallArguments(TypedDict, total=False):
    """The fields of `CallOptions`, for those who hand them on."""

    concurrency: int
    requests_per_minute: float | None
    retries: int
    max_cost: float | None
    price_per_million: tuple[float, float] | None
    checkpoint: bool | str | os.PathLike[str] | None
    structured: bool | None
    show_progress: bool


def call_options(arguments: CallArguments, others: Iterable[str]) -> CallOptions:
    """The options that some arguments make.

    Args:
        arguments: What was given.
        others: Arguments of the function that took them, which may have been meant.

    Raises:
        DataError: An argument that does not exist, or a value that cannot be used.
    """
    known = CallOptions.__dataclass_fields__
    for name in arguments:
        if name not in known:
            raise DataError(
                f"unknown argument {name!r}; besides those of generate_questions there are "
                f"{', '.join(known)}{did_you_mean(name, [*known, *others])}"
            )
    return CallOptions(**arguments)
