"""The documents that no question can move: what they weigh, and the best of them, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.arrays import IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.topk import top_k

_TILE_ROWS = 512
_TILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Bystanders:
    """All documents but some, seen from some queries.

    Attributes:
        log_sums: Temperature -> shape `(q,)`, float32: log of the sum of `exp(score / tau)`; -inf
            where there are no documents.
        scores: Shape `(q, k)`, float32: the best scores, best first; -inf where there are fewer.
        rows: Shape `(q, k)`, int64: whose these are.
    """

    log_sums: dict[float, torch.Tensor]
    scores: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(
        cls,
        queries: torch.Tensor,
        documents: DocumentVectors,
        lengths: torch.Tensor,
        left_out: IntVector,
        *,
        temperatures: Sequence[float],
        k: int,
        show_progress: bool,
    ) -> Bystanders:
        """Pass over the documents once.

        Args:
            queries: Shape `(q, d)`, float32.
            documents: All documents.
            lengths: Shape `(n,)`: what multiplies their scores.
            left_out: Rows that are not looked at, ascending.
            temperatures: For the sums.
            k: How many of the best to keep.
            show_progress: Whether to draw a progress bar once the pass has taken a second.
        """
        count, device = len(queries), queries.device
        sums = {each: queries.new_full((count,), -torch.inf) for each in temperatures}
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
                for each, total in sums.items():
                    part = torch.logsumexp(scores / each, dim=1)
                    total[tile] = torch.logaddexp(total[tile], part)
                values, place = scores.topk(min(k, len(where)), dim=1)
                values = torch.cat([best[tile], values], dim=1)
                owners = torch.cat([rows[tile], where[place]], dim=1)
                best[tile], kept = values.topk(k, dim=1)
                rows[tile] = owners.gather(1, kept)
        bar.close()
        return cls(sums, best, rows)


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
            documents = np.concatenate(
                [self.others.rows[query].cpu().numpy(), self.moved[place.cpu().numpy()]], axis=1
            )
            both = np.concatenate(
                [self.others.scores[query].cpu().numpy(), values.cpu().numpy()], axis=1
            )
            # Equal scores go to the smaller row, as everywhere else.
            order = np.argsort(documents, axis=1, kind="stable")
            documents, both = (np.take_along_axis(x, order, axis=1) for x in (documents, both))
            best, found = top_k(both, self.k)
            ranked = self.judgments.grades_of(tile, np.take_along_axis(documents, best, axis=1))
            result[start : start + size, : best.shape[1]] = np.where(np.isfinite(found), ranked, 0)
        return result
