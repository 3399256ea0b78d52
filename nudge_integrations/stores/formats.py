"""What all backends read alike: ids, metrics, scores, filters."""

from __future__ import annotations

import contextlib
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, name_some, unit_rows
from nudge_integrations.errors import UnsupportedStoreError

Metric = Literal["cosine", "dot", "l2"]
FloatVector = npt.NDArray[np.float32]
Hits = list[tuple[str, float]]
"""Ids and scores of what a query found, best first."""

METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "l2": "l2"}
_SAME = 1e-6  # of a vector's length: stores that normalise round the last digit
_WHOLE = re.compile(r"-?[0-9]{1,20}")


def same(one: FloatVector, other: FloatVector) -> bool:
    """Whether two vectors differ by no more than a store's rounding."""
    if one.shape != other.shape:
        return False
    size = float(np.linalg.norm(other.astype(np.float64)))
    return bool(np.abs(one - other).max(initial=0.0) <= _SAME * max(size, 1e-30))


def scores_of(metric: Metric, queries: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
    """Scores of the contract, shape `(queries, vectors)`, worked out here."""
    if metric == "cosine":
        queries, vectors = unit_rows(queries), unit_rows(vectors)
    scores: FloatMatrix = queries @ vectors.T
    if metric == "l2":
        squares = (queries * queries).sum(axis=1)[:, None] + (vectors * vectors).sum(axis=1)
        scores = 2 * scores - squares
    return scores


def similarity(metric: Metric, distance: float) -> float:
    """The score of the contract from a distance: `1 - cos`, `1 - q.x` or `|q - x|^2`."""
    return -distance if metric == "l2" else 1.0 - distance


def checked_metric(name: Any, known: Mapping[str, Metric], where: str) -> Metric:
    """The metric that a store's own name means.

    Raises:
        UnsupportedStoreError: It means none of the three.
    """
    if name not in known:
        raise UnsupportedStoreError(
            f"{where} ranks by {name!r}; vectors can be tuned for {name_some(list(known))}"
        )
    return known[name]


def whole_id(name: str, low: int, high: int) -> str | None:
    """The canonical form of an integer id from `low` to `high`; None for anything else."""
    if not _WHOLE.fullmatch(name) or not low <= int(name) <= high:
        return None
    return str(int(name))


def uuid_id(name: str) -> str | None:
    """The canonical form of a UUID in any spelling; None for anything else."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return None


def json_or(text: Any, otherwise: Any) -> Any:
    """What a text says as JSON; something else where it is no text, or no JSON."""
    with contextlib.suppress(ValueError, TypeError):
        return json.loads(text)
    return otherwise


def finite(hits: Iterable[tuple[str, float]]) -> Hits:
    """Hits with a finite score, best first."""
    kept = [(name, float(score)) for name, score in hits if math.isfinite(score)]
    return sorted(kept, key=lambda hit: -hit[1])
