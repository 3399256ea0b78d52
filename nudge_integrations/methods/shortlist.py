"""The few documents of each query that can reach its top k at any step.

Everything that depends on the step (every metric, every grid, every fold) is worked out on these
alone: usually some tens of documents a query, whatever the size of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nudge_integrations.arrays import IntVector
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.paths import Float64, Path
from nudge_integrations.topk import top_k

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
        query = np.repeat(np.arange(self.n_queries, dtype=np.int64), np.diff(self.indptr))
        wanted = query * width + self.documents
        grades = np.zeros(len(wanted), np.float32)
        if len(known):
            place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            found = known[place] == wanted
            grades[found] = judged.grades[place[found]]
        return grades

    @cached_property
    def _padded(self) -> list[tuple[IntVector, IntVector]]:
        """Blocks of queries with about as many entries each: their rows, and entries (-1: none).

        Entries stand with the highest grade first, so that a tie in score goes to the relevant
        document: then the order of documents in the corpus can change nothing.
        """
        counts = np.diff(self.indptr)
        query = np.repeat(np.arange(self.n_queries, dtype=np.int64), counts)
        by_grade = np.lexsort((-self.grades, query))
        blocks = []
        for rows in _even_blocks(counts):
            width = int(counts[rows].max(initial=0))
            places = self.indptr[rows][:, None] + np.arange(max(width, 1))[None, :]
            inside = places < self.indptr[rows + 1][:, None]
            entries = np.full(places.shape, -1, np.int64)
            entries[inside] = by_grade[places[inside]]
            blocks.append((rows, entries))
        return blocks

    def ranked_grades(self, step: float | Float64, k: int) -> npt.NDArray[np.float32]:
        """Grades of the top `k` documents of each query at a step, best first.

        Args:
            step: One step for all queries, or one a query, shape `(q,)`.
            k: Number of ranks; at most the `k` that the shortlist was made for.

        Returns:
            Shape `(q, k)`, float32; 0 for a document that is not judged, and for ranks beyond
            the number of documents.
        """
        scores = self._scores(step)
        result = np.zeros((self.n_queries, k), np.float32)
        for rows, entries in self._padded:
            block = np.where(entries >= 0, scores[entries], -np.inf)
            best, values = top_k(block, k)
            picked = np.take_along_axis(entries, best, axis=1)
            result[rows, : picked.shape[1]] = np.where(
                np.isfinite(values), self.grades[picked], 0.0
            )
        return result

    def _scores(self, step: float | Float64) -> Float64:
        scores = self.base.copy()
        moving = np.flatnonzero(self.positions >= 0)
        if isinstance(step, np.ndarray):
            query = np.repeat(np.arange(self.n_queries), np.diff(self.indptr))[moving]
            for value in np.unique(step):
                self._move(scores, moving[step[query] == value], float(value))
        else:
            self._move(scores, moving, float(step))
        return scores

    def _move(self, scores: Float64, entries: IntVector, step: float) -> None:
        positions = self.positions[entries]
        a, b = self.path.coefficients(step)  # once a document: it stands in many shortlists
        scores[entries] = a[positions] * self.base[entries] + b[positions] * self.along[entries]


def _even_blocks(counts: IntVector) -> Iterator[IntVector]:
    """Rows in blocks of similar count, so that padding wastes little, each of bounded size."""
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, _CELLS // max(1, int(counts[order[start]])))
        yield order[start : start + size]
        start += size
