"""Every error that this package raises on purpose.

All of them derive from `NudgeError` (a `ValueError`), except `MissingExtraError`, which is an
`ImportError`. Each message names the offending thing and says what to do about it.
"""

from __future__ import annotations


class NudgeError(ValueError):
    """Base class: something about the input or the saved state is wrong."""


class DataError(NudgeError):
    """Queries, documents, judgments or vectors that cannot be used as they are."""


class LeakError(DataError):
    """The same question stands in two splits that must not share one."""


class MetricMismatchError(NudgeError):
    """Vectors and similarity do not fit, such as NUDGE-M's vectors under cosine."""


class ModelMismatchError(NudgeError):
    """Tuned vectors meet an embedding model that did not produce their originals."""


class CorruptFileError(NudgeError):
    """A saved file is missing, truncated, edited, or of another version."""


class StoreError(NudgeError):
    """A live store that cannot be opened, or that did not do what it was asked to."""


class UnsupportedStoreError(StoreError):
    """A kind of store, or a setting of one, in which tuning would be wrong or is not known."""


class ReadOnlyStoreError(StoreError):
    """The store lets us read but not write; nothing was written."""


class StoreBusyError(StoreError):
    """Another process is tuning the same collection right now."""


class NotFinetunedError(NudgeError):
    """A result was asked for before `finetune()` ran."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message holds the pip command."""
