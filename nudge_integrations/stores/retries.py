"""Calls of a store's client: tried again after transient errors, explained without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from nudge_integrations.errors import NudgeError, ReadOnlyStoreError, StoreError
from nudge_integrations.stores.places import hidden

ATTEMPTS = 5
FIRST_WAIT = 0.2  # seconds; doubled from try to try, up to
LONGEST_WAIT = 10.0
# What the clients' errors are called after which the same call may succeed; none is imported.
_TRANSIENT = {
    *("ConnectionError", "TimeoutError", "TransportError"),
    *("RateLimitError", "ResponseHandlingException", "MilvusUnavailableException"),
}

T = TypeVar("T")


class Retrying:
    """Whatever is reached through a client that may fail.

    Attributes:
        identity: What messages call it; holds no secret.
        secrets: Values that must never appear in a message.
    """

    identity: str
    secrets: tuple[str, ...] = ()

    def _transient(self) -> tuple[type[BaseException], ...]:
        """Further errors of the store's client after which the same call may succeed."""
        return ()

    def _forbidden(self, error: BaseException) -> bool:
        """Whether an error says that this user may not write."""
        text = f"{type(error).__name__} {error}".lower()
        return getattr(error, "status_code", None) in (401, 403) or any(
            sign in text for sign in ("authorizationerror", "readonly", "permission deny")
        )

    def with_retries(self, doing: str, call: Callable[..., T], *given: Any, **named: Any) -> T:
        """Call with retries; raise `StoreError` if the error persists.

        Raises:
            ReadOnlyStoreError: This user may not do it.
            StoreError: Any other error of the store.
        """

        def transient(error: BaseException) -> bool:
            names = {kind.__name__ for kind in type(error).__mro__}
            return bool(names & _TRANSIENT) or isinstance(error, self._transient())

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(transient),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(FIRST_WAIT, LONGEST_WAIT),
            reraise=True,
        )
        try:
            return retrying(call, *given, **named)
        except NudgeError:
            raise
        except Exception as error:
            shown = hidden(error, self.secrets)
            if self._forbidden(error):
                raise ReadOnlyStoreError(
                    f"{self.identity} does not let this user {doing}: {shown}"
                ) from None
            tries = f" {ATTEMPTS} times" if transient(error) else ""
            raise StoreError(
                f"{self.identity} failed{tries} to {doing}: {type(error).__name__}: {shown}"
            ) from None
