"""One pass over the corpus that finds the documents in the running for each query.

The corpus is read once, block by block, so that it may come from a memory-mapped file.
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.paths import AdditionPath, Path
from nudge_integrations.methods.shortlist import Shortlist
from nudge_integrations.methods.tensors import tensor

_TILE_ROWS = 512
_TILE_BYTES = 64 << 20
_ROUNDING = 1e-5  # float32 products of unit vectors are this exact, with room to spare
_GROUPS_PER_RANK = 8
_MATRICES = 8  # alive at once at the peak, of the size of a tile


def shortlist(
    queries: FloatMatrix,
    corpus: FloatMatrix | DocumentVectors,
    judgments: Judgments,
    moved: IntVector,
    directions: FloatMatrix,
    path: Path | None,
    *,
    last: float,
    k: int,
    device: torch.device,
    show_progress: bool = False,
) -> Shortlist:
    """Find, for each query, every document that can be in its top `k` at a step in 0 .. `last`.

    A document whose highest score along its path is below the k-th highest of all lowest scores
    can never be in the top k. That floor rises from block to block. Nothing of size queries x
    documents is ever held.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`: every document at its start.
        judgments: Relevance judgments of these queries.
        moved: Shape `(m,)`, ascending: rows of the documents that move.
        directions: Shape `(m, d)`, float32, scaled as the path expects.
        path: How they move; None ranks the other documents alone.
        last: The largest step that will be looked at.
        k: The deepest rank that will be looked at.
        device: Where the products are computed.
        show_progress: Whether to draw a progress bar once the pass has taken a second.
    """
    running = _Running(tensor(queries, device), k, last)
    documents = DocumentVectors.of(corpus)
    bar = tqdm(
        desc="Passing over the documents",
        **{"total": len(documents), "unit": "document", "delay": 1, "disable": not show_progress},
    )
    for start, rows in documents.blocks():
        first, behind = (int(at) for at in np.searchsorted(moved, [start, start + len(rows)]))
        numbers = np.arange(start, start + len(rows))
        inside = moved[first:behind] - start
        if path is None:
            numbers, rows_left = np.delete(numbers, inside), np.delete(rows, inside, axis=0)
            running.add(numbers, tensor(rows_left, device), inside[:0], first, directions, None)
        else:
            running.add(numbers, tensor(rows, device), inside, first, directions, path)
        bar.update(len(rows))
    bar.close()
    return running.shortlist(judgments, path or AdditionPath(0))


class _Running:
    """Documents in the running so far, and the floor below which a document is out."""

    def __init__(self, queries: torch.Tensor, k: int, last: float) -> None:
        self.queries, self.k, self.last = queries, k, last
        self.floors = queries.new_full((len(queries), k), -torch.inf)
        self.found: list[tuple[torch.Tensor, ...]] = []

    def add(
        self,
        numbers: IntVector,
        rows: torch.Tensor,
        inside: IntVector,
        first: int,
        directions: FloatMatrix,
        path: Path | None,
    ) -> None:
        """Score a block of documents, and keep those in the running.

        Args:
            numbers: Rows of these documents in the corpus.
            rows: Their vectors.
            inside: Positions in the block of those that move.
            first: Position of the first of these among all moved documents.
            directions: Of all moved documents.
            path: Of all moved documents.
        """
        device = rows.device
        part = slice(first, first + len(inside))
        targets, moving = tensor(directions[part], device), tensor(inside, device)
        own = path.part(part) if path is not None and len(inside) else None
        place_of = torch.full((len(numbers),), -1, device=device)
        place_of[moving] = torch.arange(len(inside), device=device)
        rows_of = tensor(numbers, device)
        size = max(16, min(_TILE_ROWS, _TILE_BYTES // (4 * _MATRICES * max(1, len(rows)))))
        for start in range(0, len(self.queries), size):
            tile = slice(start, start + size)
            scores = self.queries[tile] @ rows.T
            if own is None:
                self._raise(tile, scores)
                floor = self._floor(tile)
                query, column = torch.nonzero(scores >= floor[:, None], as_tuple=True)
                base = highest = scores[query, column]
                along, place = torch.zeros_like(base), place_of[column]
            else:
                bases, alongs = scores[:, moving], self.queries[tile] @ targets.T
                lowest, bound = own.rough_bounds(bases, alongs, self.last)
                scores[:, moving] = lowest
                self._raise(tile, scores)
                floor = self._floor(tile)
                scores[:, moving] = bound
                query, column = torch.nonzero(scores >= floor[:, None], as_tuple=True)
                base, place = scores[query, column], place_of[column]
                along, highest = torch.zeros_like(base), base.clone()
                moves = place >= 0
                at = query[moves], place[moves]
                base[moves], along[moves] = bases[at], alongs[at]
                highest[moves] = own.highest(
                    bases[at], alongs[at], self.last, place[moves].cpu().numpy()
                )
            near = highest >= floor[query]
            place = torch.where(place >= 0, place + first, place)
            columns = query + start, rows_of[column], place, base, along, highest
            self.found.append(tuple(each[near] for each in columns))

    def _raise(self, tile: slice, lowest: torch.Tensor) -> None:
        """Raise the floors by scores that some documents never fall below.

        The best of each of some groups of documents is enough: a floor a little too low is safe.
        """
        groups = _GROUPS_PER_RANK * self.k
        width = lowest.shape[1] // groups
        if width > 1:
            lowest = lowest[:, : groups * width].view(len(lowest), groups, width).amax(dim=2)
        best = lowest.topk(min(self.k, lowest.shape[1]), dim=1).values
        both = torch.cat([self.floors[tile], best], dim=1)
        self.floors[tile] = both.topk(self.k, dim=1).values

    def _floor(self, tile: slice) -> torch.Tensor:
        floor = self.floors[tile][:, -1]
        return floor - _ROUNDING * torch.clamp(floor.abs(), min=1.0)

    def shortlist(self, judgments: Judgments, path: Path) -> Shortlist:
        """What is in the running now that the floors are final, sorted by query and row."""
        floor = self._floor(slice(0, len(self.queries)))
        kept = []
        for columns in self.found:
            alive = columns[-1] >= floor[columns[0]]
            kept.append([column[alive].cpu().numpy() for column in columns[:-1]])
        self.found.clear()
        nothing = [np.zeros(0, np.int64)] * 3 + [np.zeros(0, np.float32)] * 2
        owner, documents, positions, base, along = (
            np.concatenate(parts) for parts in zip(nothing, *kept, strict=True)
        )
        order = np.lexsort((documents, owner))
        counts = np.bincount(owner, minlength=len(self.queries))
        return Shortlist(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
            documents[order],
            positions[order],
            base[order].astype(np.float64),
            along[order].astype(np.float64),
            judgments,
            path,
        )
