"""The documents that matter to some questions: their answers, and the nearest to each.

One pass over the corpus finds them, block by block, so the corpus may be memory-mapped. All other
documents are too far from every question to be ranked, whatever moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector, norms, unit_rows
from nudge_integrations.common.topk import top_k
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.flow import Ground
from nudge_integrations.methods.inputs import QuerySet, Similarity
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import tensor

_MOST_NEAREST, _FEWEST_NEAREST, _PAIRS = 60, 30, 100_000
_TILE_ROWS = 512
_TILE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Pool:
    """Some questions and what can be ranked for them.

    Attributes:
        ground: The questions and documents.
        rows: Shape `(m,)`, int64, ascending: which rows of the corpus the documents are.
        neighbours: Shape `(q, any)`, float32: scores of stationary documents outside the corpus.
        depth: How deep rankings go.
    """

    ground: Ground
    rows: IntVector
    neighbours: FloatMatrix
    depth: int

    @classmethod
    def of(
        cls,
        documents: DocumentVectors,
        questions: QuerySet,
        similarity: Similarity,
        *,
        depth: int,
        nearest: int = _MOST_NEAREST,
        device: torch.device,
        show_progress: bool,
    ) -> Pool:
        """Pass over the documents once.

        Args:
            documents: All documents, as unit rows.
            questions: All questions, those that only choose included.
            similarity: Under `"dot"` longer documents score higher, as in the store.
            depth: How deep rankings go.
            nearest: How many of the nearest documents of each question to take in, at most.
            device: Where products are made.
            show_progress: Whether long work draws a progress bar.
        """
        judgments = questions.judgments.unique()
        lengths, scale = np.ones(len(documents), np.float32), np.float32(1)
        if similarity == "dot":
            # Only their ratios rank; temperatures are meant for scores of cosine's size.
            scale = documents.lengths[np.unique(judgments.documents)].mean()
            lengths = documents.lengths / scale
        queries = tensor(unit_rows(questions.queries), device)
        count = len(questions.queries)
        nearest = min(nearest, max(_FEWEST_NEAREST, depth, _PAIRS // max(1, count)), len(documents))
        near = _nearest(queries, documents, lengths, nearest, show_progress)
        rows = np.union1d(judgments.documents, near)
        neighbours = np.zeros((count, 0), np.float32)
        if questions.neighbours is not None:
            neighbours = questions.neighbours
            if similarity == "dot":
                neighbours = neighbours / (norms(questions.queries)[:, None] * scale)
            neighbours = -np.sort(-neighbours, axis=1)[:, :depth]
        compact = Judgments(
            judgments.indptr,
            np.searchsorted(rows, judgments.documents),
            judgments.grades,
            len(rows),
        )
        ground = Ground(
            queries,
            tensor(documents.take(rows), device),
            torch.from_numpy(lengths[rows]).to(device),
            compact,
            np.searchsorted(rows, near),
        )
        return cls(ground, rows, neighbours, depth)

    def grades(self, asked: IntVector, vectors: torch.Tensor) -> np.ndarray:
        """Grades of the top `depth` of some questions, best first, 0 for none.

        Equal scores go to the smaller row, and to a document of the pool first.

        Args:
            asked: Which questions.
            vectors: Shape `(m, d)`: where the documents are.
        """
        ground = self.ground
        result = np.zeros((len(asked), self.depth), np.float32)
        columns = (vectors * ground.lengths[:, None]).T
        size = max(16, _TILE_BYTES // (12 * max(1, len(vectors))))
        for start in range(0, len(asked), size):
            tile = asked[start : start + size]
            scores = (ground.queries[torch.from_numpy(tile).to(columns.device)] @ columns).cpu()
            both = np.concatenate([scores.numpy(), self.neighbours[tile]], axis=1)
            best, found = top_k(both, self.depth)
            judged = np.isfinite(found) & (best < len(self.rows))
            grades = ground.judgments.grades_of(tile, np.where(judged, best, 0))
            result[start : start + size, : best.shape[1]] = np.where(judged, grades, 0)
        return result


def _nearest(
    queries: torch.Tensor,
    documents: DocumentVectors,
    lengths: np.ndarray,
    k: int,
    show_progress: bool,
) -> IntVector:
    """Rows of the `k` nearest documents of each query, best first, shape `(q, k)`."""
    count, device = len(queries), queries.device
    best = queries.new_full((count, k), -torch.inf)
    rows = torch.zeros((count, k), dtype=torch.int64, device=device)
    bar = tqdm(
        desc="Passing over the documents",
        total=len(documents),
        unit="document",
        delay=1,
        disable=not show_progress,
    )
    for start, block in documents.blocks():
        stop = start + len(block)
        vectors = tensor(block, device) * torch.from_numpy(lengths[start:stop]).to(device)[:, None]
        size = max(16, min(_TILE_ROWS, _TILE_BYTES // (12 * len(block))))
        for low in range(0, count, size):
            tile = slice(low, low + size)
            values, place = (queries[tile] @ vectors.T).topk(min(k, len(block)), dim=1)
            values = torch.cat([best[tile], values], dim=1)
            owners = torch.cat([rows[tile], place + start], dim=1)
            best[tile], kept = values.topk(k, dim=1)
            rows[tile] = owners.gather(1, kept)
        bar.update(len(block))
    bar.close()
    return rows.cpu().numpy()
