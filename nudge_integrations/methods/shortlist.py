"""The few documents of each query that can reach its top k at any step.

Everything that depends on the step (every metric, every grid, every fold) is worked out on these
alone: usually some tens of documents a query, whatever the size of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.common.topk import top_k
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.paths import Float64, Path

_CELLS = 1 << 21  # of one padded block: 16 MB in float64


@dataclass(frozen=True)
class Shortlist:
    """Documents in the running, query by query (CSR), with the two products of their scores.

    Attributes:
        indptr: Shape `(q + 1,)`: query `i` owns entries `indptr[i]:indptr[i + 1]`.
        documents: Row of the document in the corpus.
        positions: Its position among the moved documents, -1 for a still one.
        base: Score of the document where it stands, float64.
        along: Score of its direction, float64 (0 for still ones).
        judgments: What is relevant to these queries.
        path: How the moved documents move.
    """

    indptr: IntVector
    documents: IntVector
    positions: IntVector
    base: Float64
    along: Float64
    judgments: Judgments
    path: Path

    def with_others(self, scores: npt.NDArray[np.float32], k: int) -> Shortlist:
        """The same with still documents of which only scores are known, and that answer nothing.

        Args:
            scores: Shape `(q, any)`, best first or not; -inf for none.
            k: The deepest rank that will be looked at.
        """
        best = -np.sort(-scores, axis=1)[:, :k]
        query, _ = np.nonzero(np.isfinite(best))
        values = best[np.isfinite(best)]
        owners = np.concatenate([self._owners, query])
        order = np.argsort(owners, kind="stable")

        def both(mine: npt.NDArray[Any], value: Any) -> npt.NDArray[Any]:
            others = np.broadcast_to(np.asarray(value, mine.dtype), values.shape)
            return np.concatenate([mine, others])[order]

        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=self.n_queries))]),
            documents=both(self.documents, self.judgments.n_documents),
            positions=both(self.positions, -1),
            base=both(self.base, values),
            along=both(self.along, 0),
        )

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.indptr) - 1

    @cached_property
    def grades(self) -> npt.NDArray[np.float32]:
        """Grade of each entry, 0 where the document is not judged for the query."""
        judged = self.judgments.unique()
        width = np.int64(max(judged.n_documents, int(self.documents.max(initial=0)) + 1))
        known = judged.query_of_entry * width + judged.documents
        wanted = self._owners * width + self.documents
        grades = np.zeros(len(wanted), np.float32)
        if len(known):
            place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            found = known[place] == wanted
            grades[found] = judged.grades[place[found]]
        return grades

    @cached_property
    def _owners(self) -> IntVector:
        return np.repeat(np.arange(self.n_queries, dtype=np.int64), np.diff(self.indptr))

    @cached_property
    def _by_grade(self) -> IntVector:
        """Entries query by query, the highest grade first.

        So a tie in score goes to the relevant document, and not by the order of the corpus.
        """
        return np.lexsort((-self.grades, self._owners))

    def ranked_grades(self, step: float | Float64, k: int) -> npt.NDArray[np.float32]:
        """Grades of the top `k` documents of each query at a step, best first.

        Args:
            step: One step for all queries, or one a query, shape `(q,)`.
            k: Number of ranks; at most the `k` that the shortlist was made for.

        Returns:
            Shape `(q, k)`, float32; 0 for a document that is not judged, and for ranks beyond
            the number of documents.
        """
        return self._grades_of(self._top(self._scores(step), self._by_grade, k))

    def ranked_grades_along(self, steps: Float64, k: int) -> Iterator[npt.NDArray[np.float32]]:
        """`ranked_grades` at each of several steps, sooner where they are close together.

        What was in the top k at the step before sets a floor: only what reaches the worst of
        their scores now can be in the top k.
        """
        top: IntVector | None = None
        for step in steps:
            scores, running = self._scores(float(step)), self._by_grade
            if top is not None:
                floor = np.where(top >= 0, scores[top], -np.inf).min(axis=1)
                running = running[(scores >= floor[self._owners])[running]]
            top = self._top(scores, running, k)
            yield self._grades_of(top)

    def _grades_of(self, entries: IntVector) -> npt.NDArray[np.float32]:
        if not len(self.grades):
            return np.zeros(entries.shape, np.float32)
        return np.where(entries >= 0, self.grades[entries], np.float32(0))

    def _top(self, scores: Float64, running: IntVector, k: int) -> IntVector:
        """The top `k` among some entries (in query order) of each query; -1 where there is none."""
        counts = np.bincount(self._owners[running], minlength=self.n_queries)
        starts = np.cumsum(counts) - counts
        result = np.full((self.n_queries, k), -1, np.int64)
        for rows in _even_blocks(counts):
            places = starts[rows][:, None] + np.arange(counts[rows].max())[None, :]
            inside = places < (starts + counts)[rows][:, None]
            entries = np.full(places.shape, -1, np.int64)
            entries[inside] = running[places[inside]]
            best, values = top_k(np.where(inside, scores[entries], -np.inf), k)
            picked = np.take_along_axis(entries, best, axis=1)
            result[rows, : picked.shape[1]] = np.where(np.isfinite(values), picked, -1)
        return result

    def _scores(self, step: float | Float64) -> Float64:
        scores = self.base.copy()
        moving = np.flatnonzero(self.positions >= 0)
        if isinstance(step, np.ndarray):
            of_entry = step[self._owners[moving]]
            for value in np.unique(step):
                self._move(scores, moving[of_entry == value], float(value))
        else:
            self._move(scores, moving, float(step))
        return scores

    def _move(self, scores: Float64, entries: IntVector, step: float) -> None:
        positions = self.positions[entries]
        a, b = self.path.coefficients(step)  # once a document: it stands in many shortlists
        scores[entries] = a[positions] * self.base[entries] + b[positions] * self.along[entries]


def _even_blocks(counts: IntVector) -> Iterator[IntVector]:
    """Rows in blocks of similar count, so that padding wastes little, each of bounded size.

    Rows without any entry are left out.
    """
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    start = 0
    while start < len(order):
        size = max(1, _CELLS // max(1, int(counts[order[start]])))
        yield order[start : start + size]
        start += size
