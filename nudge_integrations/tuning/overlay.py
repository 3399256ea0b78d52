"""Re-rank another store's results by tuned vectors, without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, unit_rows
from nudge_integrations.errors import DataError
from nudge_integrations.tuning.tuned import TunedVectors

Floats = npt.NDArray[np.float64]
Scale = Callable[[Floats], Floats]

# Inverts the usual kinds of score to the cosine (or inner product) behind them.
_SCALES: tuple[Scale, ...] = (
    lambda score: score,
    lambda score: 2 * score - 1,
    lambda score: 1 - score,  # cosine distance
    lambda score: -score,  # negative inner product
    lambda score: 1 - score / 2,  # squared Euclidean distance of unit vectors
    lambda score: 1 - score**2 / 2,  # Euclidean distance of unit vectors
    lambda score: 1 + np.log(score),  # exp(-cosine distance)
    lambda score: 1 + np.log(score) / 2,  # exp(-squared Euclidean distance)
)
_TOLERANCE = 0.01


@dataclass
class Overlay:
    """Re-ranks candidates by what their vectors would be after tuning.

    Attributes:
        tuned: What a run produced.
        similarity_of: Turns the store's scores into cosines (or inner products); None to find
            out from the first moved document, whose true similarity is known.
        queries: How many queries were re-ranked.
        inexact: For how many of them a document outside the window may have belonged in front.
    """

    tuned: TunedVectors
    similarity_of: Scale | None = None
    queries: int = field(default=0, init=False)
    inexact: int = field(default=0, init=False)

    def rank(
        self, query: Any, texts: Sequence[str], scores: Sequence[float], k: int, *, whole: bool
    ) -> list[tuple[int, float]]:
        """Find the `k` best candidates.

        Args:
            query: The query's vector, shape `(d,)`.
            texts: Text of each candidate as it is embedded, in the order the store found them.
            scores: The store's score of each, of whatever kind.
            k: How many to keep.
            whole: Whether the candidates are all there is, so that none can be missing.

        Returns:
            Position among the candidates and similarity, best first.

        Raises:
            DataError: A query of another dimension, or scores of no known kind.
        """
        self.queries += 1
        width = self.tuned.vectors.shape[1]
        asked = as_matrix([query], "the query vector", dimension=width)
        rows = [self.tuned.row_of(text) for text in texts]
        moved = [place for place, row in enumerate(rows) if row is not None]
        known = [row for row in rows if row is not None]
        found = np.asarray(scores, np.float64)
        if moved and self.similarity_of is None:
            self.similarity_of = _scale_of(
                found[moved], self._similarity(asked, self.tuned.originals[known])
            )
        if self.similarity_of is None:
            # Nothing moved among the candidates, and nothing tells yet what the scores mean.
            self.inexact += not whole and len(self.tuned) > 0
            return list(enumerate(found.tolist()))[:k]
        similarity = self.similarity_of(found)
        floor = similarity.min(initial=np.inf)
        everywhere = self._similarity(asked, self.tuned.vectors)
        similarity[moved] = everywhere[known]
        order = np.argsort(-similarity, kind="stable")[:k]
        if not whole and len(order):
            last = similarity[order[-1]]
            outside = np.delete(everywhere, known)
            self.inexact += bool(last < floor or outside.max(initial=-np.inf) > last)
        return [(int(place), float(similarity[place])) for place in order]

    def _similarity(self, query: FloatMatrix, vectors: FloatMatrix) -> Floats:
        if self.tuned.metric == "cosine":
            query, vectors = unit_rows(query), unit_rows(vectors)
        similarity: Floats = (vectors @ query[0]).astype(np.float64)
        return similarity


def _scale_of(scores: Floats, similarities: Floats) -> Scale:
    """Find the kind of score that gives these similarities."""
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = [np.abs(scale(scores) - similarities).max() for scale in _SCALES]
    best = int(np.argmin(np.nan_to_num(errors, nan=np.inf)))
    if not errors[best] <= _TOLERANCE:
        raise DataError(
            f"the store's scores fit no known measure: it gave {scores[0]:.4g} to a document "
            f"whose similarity is {similarities[0]:.4g}; pass similarity_of=, a function from the "
            "store's scores to similarities, and make sure that it holds the original vectors"
        )
    return _SCALES[best]
