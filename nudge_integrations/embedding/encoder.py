"""The interface of every embedding model, and the fingerprint that identifies one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, name_some
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import CorruptFileError, DataError

Kind = Literal["query", "document"]
PLURAL: dict[Kind, str] = {"query": "queries", "document": "documents"}

_SAME_MODEL_COSINE = 0.999
_SAVED_DIGITS = 7


@dataclass(frozen=True, eq=False)
class ModelFingerprint:
    """What identifies an embedding model.

    Args:
        name: Display name, such as `"sentence-transformers/all-MiniLM-L6-v2"`.
        digest: Hash of what the model is made of (weights, or the settings of an API model); None
            where nothing identifies it. Equal digests may share cached vectors.
        probe: The model's document vector of `PROBE_TEXT`, float32, shape `(dimension,)`.
    """

    name: str
    digest: str | None
    probe: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        probe = np.array(self.probe, dtype=np.float32)
        probe.setflags(write=False)
        object.__setattr__(self, "probe", probe)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelFingerprint):
            return NotImplemented
        return (self.name, self.digest) == (other.name, other.digest) and np.array_equal(
            self.probe, other.probe
        )

    def __hash__(self) -> int:
        return hash((self.name, self.digest, self.probe.tobytes()))

    @property
    def dimension(self) -> int:
        """Number of dimensions of the model's vectors."""
        return int(self.probe.shape[0])

    def matches(self, other: ModelFingerprint) -> bool:
        """Whether both are the same model, judging by their vectors.

        The probes decide, not the digests: the same weights in half precision, or behind an API
        that jitters, still match (cosine of at least 0.999); a model of the same name that was
        trained further does not.
        """
        if self.dimension != other.dimension:
            return False
        mine, theirs = self.probe.astype(np.float64), other.probe.astype(np.float64)
        lengths = math.sqrt(float(mine @ mine) * float(theirs @ theirs))
        return lengths > 0 and float(mine @ theirs) / lengths >= _SAME_MODEL_COSINE

    def to_dict(self) -> dict[str, Any]:
        """JSON-simple form; the probe keeps 7 significant digits."""
        probe = [float(f"{value:.{_SAVED_DIGITS}g}") for value in self.probe.tolist()]
        return {"name": self.name, "digest": self.digest, "probe": probe}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ModelFingerprint:
        """Read what `to_dict` wrote.

        Raises:
            CorruptFileError: A field is missing or is not what `to_dict` writes.
        """
        try:
            name, digest = saved["name"], saved["digest"]
            probe = np.asarray(saved["probe"], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(
                f"a saved model fingerprint is incomplete or edited ({error!r}); save it again"
            ) from error
        usable = isinstance(name, str) and (digest is None or isinstance(digest, str))
        if not usable or probe.ndim != 1 or not probe.size or not np.isfinite(probe).all():
            raise CorruptFileError(
                "a saved model fingerprint was edited: it needs a name, a digest or null, and a "
                "probe of finite numbers; save it again"
            )
        return cls(name, digest, probe)


class Encoder(ABC):
    """Turns texts into vectors; subclass it for a model that `as_encoder` does not know.

    `Embedder` calls it with lists of at most `batch_size` texts, none of them empty, and checks
    what it returns, so a subclass has nothing to check.
    """

    batch_size: int = 32
    """Texts per call. Results are cached after every call."""

    workers: int = 1
    """Concurrent calls, in threads."""

    digest_is_exact: bool = False
    """Whether `digest` covers the weights and all else that shapes vectors.

    Otherwise `Embedder.fingerprint` compares a query vector too with the one in the cache.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The model's display name."""

    @property
    def digest(self) -> str | None:
        """Key for caching vectors on disk; None disables caching."""
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


def checked_texts(kind: Kind, texts: Sequence[str], ids: Sequence[str] | None) -> list[str]:
    """Check texts and return their names.

    Raises:
        DataError: No texts, or one that is empty or no valid text; it is named.
    """
    if isinstance(texts, str):
        raise DataError(f"a single text goes in as a list: [{texts[:40]!r}]")
    if not len(texts):
        raise DataError(f"there are no {PLURAL[kind]} to embed; give at least one")
    if ids is not None and len(ids) != len(texts):
        raise DataError(f"{len(ids)} ids for {len(texts)} {PLURAL[kind]}; give each text one id")
    names = list(ids) if ids is not None else list(map(str, range(len(texts))))
    empty = []
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str):
            raise DataError(f"the {kind} {name!r} is no text but a {type(text).__name__}")
        if not text.strip():
            empty.append(name)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the {kind} {name!r} has half a surrogate pair at character {error.start}, which "
                'no model can read; replace it: text.encode("utf-8", "replace").decode()'
            ) from error
    if empty:
        raise DataError(
            f"the text of {PLURAL[kind]} {name_some(empty)} is empty; leave them out, since an "
            "empty text has no meaningful vector"
        )
    return names


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
    """Convert rows to arrays; name one that is no vector or has a different length than most."""
    rows = []
    for name, vector in zip(ids, vectors, strict=True):
        try:
            row = np.asarray(vector)
        except (TypeError, ValueError):  # such as lists of several lengths
            row = np.asarray(str(vector))
        if row.ndim != 1 or row.dtype.kind not in "fiu":
            raise DataError(
                f"{what}: {name!r} got no vector of numbers, but {str(vector)[:40]!r}; embed it "
                "again or leave it out"
            )
        rows.append(row)
    usual = Counter(map(len, rows)).most_common(1)[0][0]
    for name, row in zip(ids, rows, strict=True):
        if len(row) != usual:
            raise DataError(
                f"{what}: {name!r} got {len(row)} dimensions, others {usual}; embed all texts "
                "with one model and one setting of its dimensions"
            )
    return rows
