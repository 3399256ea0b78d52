"""Which model made these vectors: a name to read, a digest to look up by, a probe to compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.errors import CorruptFileError

PROBE_TEXT = (
    "Which of these 3 vectors is yours? A model answers the same question with the same point, "
    "today and after a restart."
)
"""The document that every model embeds once, so that two models can be compared."""

_SAME_MODEL_COSINE = 0.999
_SAVED_DIGITS = 7


@dataclass(frozen=True, eq=False)
class ModelFingerprint:
    """What identifies an embedding model.

    Args:
        name: For people, such as `"sentence-transformers/all-MiniLM-L6-v2"`.
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
        """Whether both are one model, as far as vectors show.

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
