"""The documents that no question can move, as far as they matter: the nearest to each question.

One pass over the documents finds them, or the search of the store that holds them. What is farther
off than the nearest hundred neither ranks nor weighs (benchmarks/README.md: what was tried).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.common.topk import top_k
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import tensor

NEAREST = 100
_TILE_ROWS = 512
_TILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Bystanders:
    """All documents but some, seen from some queries.

    Attributes:
        scores: Shape `(q, k)`, float32: the best scores, best first; -inf where there are fewer.
        rows: Shape `(q, k)`, int64: whose these are; the number of documents for one that is
            known by its score only.
    """

    scores: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(
        cls,
        queries: torch.Tensor,
        documents: DocumentVectors,
        lengths: torch.Tensor,
        left_out: IntVector,
        beside: torch.Tensor | None = None,
        *,
        k: int,
        show_progress: bool,
    ) -> Bystanders:
        """Pass over the documents once.

        Args:
            queries: Shape `(q, d)`, float32.
            documents: All documents.
            lengths: Shape `(n,)`: what multiplies their scores.
            left_out: Rows that are not looked at, ascending.
            beside: Shape `(q, any)`: scores of documents that are not among `documents`.
            k: How many of the best to keep.
            show_progress: Whether to draw a progress bar once the pass has taken a second.
        """
        count, device = len(queries), queries.device
        best = queries.new_full((count, k), -torch.inf)
        rows = torch.full((count, k), len(documents), dtype=torch.int64, device=device)
        if beside is not None and beside.shape[1]:
            known = beside.topk(min(k, beside.shape[1]), dim=1).values
            best[:, : known.shape[1]] = known
        bar = tqdm(
            desc="Passing over the documents",
            total=len(documents),
            unit="document",
            delay=1,
            disable=not show_progress,
        )
        for start, block in documents.blocks():
            stays = np.ones(len(block), bool)
            first, behind = np.searchsorted(left_out, [start, start + len(block)])
            stays[left_out[first:behind] - start] = False
            where = torch.from_numpy(np.flatnonzero(stays) + start).to(device)
            bar.update(len(block))
            if len(where) == 0:
                continue
            vectors = tensor(block[stays], device) * lengths[where][:, None]
            size = max(16, min(_TILE_ROWS, _TILE_BYTES // (12 * len(where))))
            for low in range(0, count, size):
                tile = slice(low, low + size)
                scores = queries[tile] @ vectors.T
                values, place = scores.topk(min(k, len(where)), dim=1)
                values = torch.cat([best[tile], values], dim=1)
                owners = torch.cat([rows[tile], where[place]], dim=1)
                best[tile], kept = values.topk(k, dim=1)
                rows[tile] = owners.gather(1, kept)
        bar.close()
        return cls(best, rows)

    def log_sum(self, temperature: float) -> torch.Tensor:
        """Log of the sum of `exp(score / temperature)`, shape `(q,)`; -inf where there are none."""
        return torch.logsumexp(self.scores / temperature, dim=1)


@dataclass(frozen=True)
class Ranking:
    """Ranks the bystanders and the documents that moved, for some queries.

    Attributes:
        queries: Shape `(q, d)`, float32.
        others: What does not move.
        moved: Shape `(m,)`, int64, ascending: rows of those that do.
        lengths: Shape `(m,)`: what multiplies their scores.
        judgments: Of these queries over all documents, each named once a query.
        k: How deep.
    """

    queries: torch.Tensor
    others: Bystanders
    moved: IntVector
    lengths: torch.Tensor
    judgments: Judgments
    k: int

    def grades(self, asked: IntVector, vectors: torch.Tensor) -> np.ndarray:
        """Grades of the top `k` of some queries, shape `(len(asked), k)`, best first; 0 for none.

        Args:
            asked: Which queries.
            vectors: Shape `(m, d)`: where the moved documents are.
        """
        result = np.zeros((len(asked), self.k), np.float32)
        columns = (vectors * self.lengths[:, None]).T
        size = max(16, _TILE_BYTES // (12 * max(1, len(vectors))))
        for start in range(0, len(asked), size):
            tile = asked[start : start + size]
            query = torch.from_numpy(tile).to(self.queries.device)
            scores = self.queries[query] @ columns
            values, place = scores.topk(min(self.k, scores.shape[1]), dim=1)
            rows, still = (
                each[query, : self.k].cpu().numpy()
                for each in (self.others.rows, self.others.scores)
            )
            documents = np.concatenate([rows, self.moved[place.cpu().numpy()]], axis=1)
            both = np.concatenate([still, values.cpu().numpy()], axis=1)
            # Equal scores go to the smaller row, as everywhere else.
            order = np.argsort(documents, axis=1, kind="stable")
            documents, both = (np.take_along_axis(x, order, axis=1) for x in (documents, both))
            best, found = top_k(both, self.k)
            first = np.take_along_axis(documents, best, axis=1)
            judged = np.isfinite(found) & (first < self.judgments.n_documents)
            ranked = self.judgments.grades_of(tile, np.where(judged, first, 0))
            result[start : start + size, : best.shape[1]] = np.where(judged, ranked, 0)
        return result
