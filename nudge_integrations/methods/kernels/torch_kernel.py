"""The hot loop in plain torch operations, on any device, in tiles of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nudge_integrations.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.methods.paths import Path
from nudge_integrations.methods.shortlist import Shortlist

_BLOCK_ROWS = 8192
_TILE_BYTES = 256 << 20
_ROUNDING = 1e-5  # float32 products of unit vectors are this exact, with room to spare


def shortlist(
    queries: FloatMatrix,
    corpus: FloatMatrix,
    judgments: Judgments,
    moved: IntVector,
    directions: FloatMatrix,
    path: Path,
    *,
    last: float,
    k: int,
    device: torch.device,
) -> Shortlist:
    """Find, for each query, every document that can be in its top `k` at a step in 0 .. `last`.

    A document whose highest score on the whole way stays below the k-th highest of all lowest
    scores can never be in the top k. Nothing of size queries x documents is ever held.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`, float32: every document where it stands.
        judgments: What answers these queries.
        moved: Shape `(m,)`: rows of the documents that move.
        directions: Shape `(m, d)`, float32, scaled as the path wants them.
        path: How they move.
        last: The largest step that will be looked at.
        k: The deepest rank that will be looked at.
        device: Where the products are made.
    """
    vectors = tensor(corpus, device)
    targets = tensor(directions, device)
    parts = [
        _tile(
            tensor(queries[rows], device),
            vectors,
            judgments.select(np.arange(rows.start, min(rows.stop, len(queries)))).unique(),
            moved,
            targets,
            path,
            last,
            k,
        )
        for rows in _tiles(len(queries), len(moved))
    ]
    counts = np.concatenate([part[0] for part in parts])
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    documents, positions, base, along = (
        np.concatenate([part[column] for part in parts]) for column in range(1, 5)
    )
    return Shortlist(indptr, documents, positions, base, along, judgments, path)


def _tiles(n_queries: int, n_moved: int) -> Iterator[slice]:
    # Seven matrices of tile x moved are alive at the peak, beside a block of scores.
    size = max(16, min(1024, _TILE_BYTES // (4 * (7 * n_moved + 2 * _BLOCK_ROWS))))
    for start in range(0, n_queries, size):
        yield slice(start, start + size)


def _tile(
    queries: torch.Tensor,
    corpus: torch.Tensor,
    judgments: Judgments,
    moved: IntVector,
    directions: torch.Tensor,
    path: Path,
    last: float,
    k: int,
) -> tuple[npt.NDArray[Any], ...]:
    """One tile of queries: entries a query, documents, positions, base, along."""
    base, still = _pass(queries, corpus, judgments, moved, k)
    along = queries @ directions.T
    lowest, highest = path.bounds(base, along, last)
    floors = torch.cat([still.best, lowest.topk(min(k, lowest.shape[1]), dim=1).values], dim=1)
    floor = floors.topk(min(k, floors.shape[1]), dim=1).values[:, -1]
    floor = floor - _ROUNDING * torch.clamp(floor.abs(), min=1.0)
    query, position = torch.nonzero(highest >= floor[:, None], as_tuple=True)
    owner, rows, scores = still.entries(floor)
    moved_rows = torch.from_numpy(moved).to(queries.device)
    columns = [
        torch.cat([query, owner]),
        torch.cat([moved_rows[position], rows]),
        torch.cat([position, torch.full_like(owner, -1)]),
        torch.cat([base[query, position], scores]).double(),
        torch.cat([along[query, position], torch.zeros_like(scores)]).double(),
    ]
    owners, documents, *rest = (column.cpu().numpy() for column in columns)
    # A judged still document can stand twice: among the best, and for itself.
    _, order = np.unique(owners * np.int64(len(corpus)) + documents, return_index=True)
    counts = np.bincount(owners[order], minlength=len(queries)).astype(np.int64)
    return counts, documents[order], *(column[order] for column in rest)


@dataclass
class _Still:
    """Still documents of a tile: the best of each query, and the judged ones.

    The judged ones are kept beside the best so that, among equal scores, no order of the corpus
    decides whether an answer is in the running.
    """

    best: torch.Tensor
    rows: torch.Tensor
    judged_query: torch.Tensor
    judged_row: torch.Tensor
    judged_score: torch.Tensor

    def entries(self, floor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query, row and score of each that reaches the floor of its query, shape `(q,)`."""
        query, place = torch.nonzero(
            (self.best >= floor[:, None]) & torch.isfinite(self.best), as_tuple=True
        )
        high = self.judged_score >= floor[self.judged_query]
        high &= torch.isfinite(self.judged_score)
        return (
            torch.cat([query, self.judged_query[high]]),
            torch.cat([self.rows[query, place], self.judged_row[high]]),
            torch.cat([self.best[query, place], self.judged_score[high]]),
        )


def _pass(
    queries: torch.Tensor, corpus: torch.Tensor, judgments: Judgments, moved: IntVector, k: int
) -> tuple[torch.Tensor, _Still]:
    """One pass over the corpus: scores of the moved documents, and the best of the still ones."""
    device = queries.device
    by_row = np.argsort(judgments.documents, kind="stable")
    judged = judgments.documents[by_row]
    still = _Still(
        queries.new_full((len(queries), 0), -torch.inf),
        torch.zeros((len(queries), 0), dtype=torch.int64, device=device),
        torch.from_numpy(judgments.query_of_entry[by_row]).to(device),
        torch.from_numpy(judged).to(device),
        queries.new_full((len(judged),), -torch.inf),
    )
    base = queries.new_empty((len(queries), len(moved)))
    for start in range(0, len(corpus), _BLOCK_ROWS):
        block = queries @ corpus[start : start + _BLOCK_ROWS].T
        end = start + block.shape[1]
        first, behind = np.searchsorted(moved, [start, end])
        if behind > first:
            inside = torch.from_numpy(moved[first:behind] - start).to(device)
            base[:, first:behind] = block[:, inside]
            block[:, inside] = -torch.inf
        first, behind = np.searchsorted(judged, [start, end])
        here = slice(int(first), int(behind))
        still.judged_score[here] = block[still.judged_query[here], still.judged_row[here] - start]
        best = block.topk(min(k, block.shape[1]), dim=1)
        still.best = torch.cat([still.best, best.values], dim=1)
        still.rows = torch.cat([still.rows, best.indices + start], dim=1)
        if still.best.shape[1] > k:
            still.best, place = still.best.topk(k, dim=1)
            still.rows = still.rows.gather(1, place)
    return base, still
