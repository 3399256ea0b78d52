"""The one interface behind which every embedding model stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, name_some
from nudge_integrations.embedding.fingerprint import PROBE_TEXT, ModelFingerprint
from nudge_integrations.errors import DataError


class Encoder(ABC):
    """Turns texts into vectors; subclass it for a model that `as_encoder` does not know.

    `Embedder` calls it with lists of at most `batch_size` texts, none of them empty, and checks
    what it returns, so a subclass has nothing to check.
    """

    batch_size: int = 32
    """How many texts one call takes. Whatever a finished call returned is cached."""

    workers: int = 1
    """How many calls may run at once, in threads."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def digest(self) -> str | None:
        """Key under which vectors may be cached on disk; None means that they may not be."""
        return None

    @abstractmethod
    def encode_queries(self, texts: list[str]) -> Any:
        """Vectors of `texts` as queries: real numbers of shape `(len(texts), dimension)`."""

    @abstractmethod
    def encode_documents(self, texts: list[str]) -> Any:
        """Vectors of `texts` as documents: real numbers of shape `(len(texts), dimension)`."""

    @cached_property
    def fingerprint(self) -> ModelFingerprint:
        """What identifies the model; embeds one short document the first time.

        Raises:
            DataError: The model's vector cannot be used (NaN, zeros, no vector).
        """
        vectors = self.encode_documents([PROBE_TEXT])
        matrix = checked_vectors(vectors, ["the probe text"], f"vectors from {self.name!r}")
        return ModelFingerprint(self.name, self.digest, matrix[0])


def checked_vectors(vectors: Any, ids: Sequence[str], what: str) -> FloatMatrix:
    """Check one call's vectors and return them as a float32 matrix.

    Args:
        vectors: What the model returned.
        ids: Names of the texts that it was given, for error messages.
        what: What the vectors are, for error messages; should name the model.

    Returns:
        Matrix of shape `(len(ids), dimension)`.

    Raises:
        DataError: Too few or too many vectors, vectors of several lengths, not numbers, NaN,
            infinity, or all zeros. The text is named.
    """
    if not hasattr(vectors, "__len__"):
        raise DataError(f"{what}: the model returned a {type(vectors).__name__}, not vectors")
    if len(vectors) != len(ids):
        raise DataError(
            f"{what}: {len(vectors)} came back for {len(ids)} texts ({name_some(ids)}); "
            "an embedding model must return one vector a text, in their order"
        )
    if not isinstance(vectors, np.ndarray):
        vectors = _rows_of_one_length(vectors, ids, what)
    return as_matrix(vectors, what, ids=ids)


def _rows_of_one_length(vectors: Any, ids: Sequence[str], what: str) -> list[npt.NDArray[Any]]:
    """Rows as arrays, after naming one that is no vector or has another length than most."""
    rows = []
    for name, vector in zip(ids, vectors, strict=True):
        try:
            row = np.asarray(vector)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: {name!r} got no vector; numpy says: {error}") from error
        if row.ndim != 1 or row.dtype.kind not in "fiu":
            raise DataError(
                f"{what}: {name!r} got no vector of numbers, but {str(vector)[:40]!r}; embed it "
                "again or leave it out"
            )
        rows.append(row)
    lengths = [row.size for row in rows]
    usual = max(set(lengths), key=lengths.count)
    for name, length in zip(ids, lengths, strict=True):
        if length != usual:
            raise DataError(
                f"{what}: {name!r} got {length} dimensions, others {usual}; "
                "embed all texts with one model and one setting of its dimensions"
            )
    return rows
