"""The hot loop in plain torch operations, on any device, in tiles of bounded memory.

Blocks of the corpus pass once, in the outer loop, so that they may come from a memory-mapped file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels.precision import ROUGH, rough_error, rough_pays
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.methods.paths import AdditionPath, Path
from nudge_integrations.methods.shortlist import Shortlist

PASSING = "Passing over the documents"
_TILE_ROWS = 512
_TILE_BYTES = 64 << 20
_ROUNDING = 1e-5  # float32 products of unit vectors are this exact, with room to spare
_GROUPS_PER_RANK = 8
_MATRICES = 8  # alive at once at the peak, of the size of a tile
_DENSE = 16  # where more than one in so many is left, the whole product is cheaper than each


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
    rough: bool | None = None,
    show_progress: bool = False,
) -> Shortlist:
    """Find, for each query, every document that can be in its top `k` at a step in 0 .. `last`.

    A document whose highest score on the whole way stays below the k-th highest of all lowest
    scores can never be in the top k. That floor rises while blocks pass; what fell below it in the
    end is dropped. Nothing of size queries x documents is ever held.

    Where the processor is much faster at bfloat16, a product in that precision sorts out the still
    documents first, with room for its worst error, and the few that are left are scored in
    float32: the result is the same.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`: every document where it stands; read once, block by block.
        judgments: What answers these queries.
        moved: Shape `(m,)`, ascending: rows of the documents that move.
        directions: Shape `(m, d)`, float32, scaled as the path wants them.
        path: How they move; None leaves them out, and ranks the still ones alone.
        last: The largest step that will be looked at.
        k: The deepest rank that will be looked at.
        device: Where the products are made.
        rough: Whether to sort out in bfloat16 first. Left out: where that is faster.
        show_progress: Whether to draw a progress bar once the pass has taken a second.
    """
    if rough is None:
        rough = rough_pays(device, len(queries) * len(corpus))
    pool = _Pool(tensor(queries, device), k, last, rough)
    documents = DocumentVectors.of(corpus)
    bar = tqdm(
        desc=PASSING, total=len(documents), unit="document", delay=1, disable=not show_progress
    )
    for start, some in documents.blocks():
        rows = tensor(some, device)
        first, behind = (int(at) for at in np.searchsorted(moved, [start, start + len(rows)]))
        part = slice(first, behind)
        block = _Block(
            rows,
            start,
            torch.from_numpy(moved[part] - start).to(device),
            tensor(directions[part], device),
            first,
            path.part(part) if path else None,
            rough,
        )
        for tile in _tiles(len(queries), len(rows)):
            pool.add(tile, block)
        bar.update(len(rows))
    bar.close()
    return pool.shortlist(judgments, path)


def _tiles(n_queries: int, n_rows: int) -> Iterator[slice]:
    size = max(16, min(_TILE_ROWS, _TILE_BYTES // (4 * _MATRICES * n_rows)))
    for start in range(0, n_queries, size):
        yield slice(start, start + size)


@dataclass
class _Block:
    """Some rows of the corpus, and those among them that move."""

    rows: torch.Tensor
    start: int
    moved: torch.Tensor
    directions: torch.Tensor
    first: int
    path: Path | None
    rough: bool

    def __post_init__(self) -> None:
        self.narrow = self.rows.to(ROUGH) if self.rough else self.rows
        self.narrow_directions = self.directions.to(ROUGH) if self.rough else self.directions
        lengths = [each.norm(dim=1) for each in (self.rows, self.directions) if self.rough]
        self.longest = torch.cat(lengths).max() if lengths else self.rows.new_zeros(())


class _Pool:
    """Documents in the running so far, and the floor below which a document is out."""

    def __init__(self, queries: torch.Tensor, k: int, last: float, rough: bool) -> None:
        self.queries = queries
        self.k = k
        self.last = last
        self.rough = rough
        self.narrow = queries.to(ROUGH) if rough else queries
        self.reach = queries.norm(dim=1)
        self.floors = queries.new_full((len(queries), k), -torch.inf)
        self.found: list[tuple[torch.Tensor, ...]] = []

    def add(self, tile: slice, block: _Block) -> None:
        """Score one block of documents for one tile of queries, and keep what is in the running."""
        scores = self.narrow[tile] @ block.narrow.T
        slack = rough_error(self.reach[tile], block.longest) * self.rough
        highest = None
        if len(block.moved):
            if block.path is not None:
                wider = slack * block.path.error_growth(self.last)
                base = scores[:, block.moved].float()
                along = (self.narrow[tile] @ block.narrow_directions.T).float()
                lowest, highest = block.path.rough_bounds(base, along, self.last)
                self._raise(tile, lowest, wider)
            scores[:, block.moved] = -torch.inf
        self._raise(tile, scores, slack)
        floor = self._floor(tile)
        self._keep_still(tile, block, scores, floor - slack)
        if highest is not None:
            self._keep_moved(tile, block, base, along, highest, floor, wider)

    def _raise(self, tile: slice, lowest: torch.Tensor, slack: torch.Tensor) -> None:
        """Raise the floors by scores that some documents never fall below.

        The best of each of some groups of documents will do: a floor a little too low is safe.
        """
        groups = _GROUPS_PER_RANK * self.k
        width = lowest.shape[1] // groups
        if width > 1:
            lowest = lowest[:, : groups * width].view(len(lowest), groups, width).amax(dim=2)
        best = lowest.topk(min(self.k, lowest.shape[1]), dim=1).values.float() - slack[:, None]
        both = torch.cat([self.floors[tile], best], dim=1)
        self.floors[tile] = both.topk(self.k, dim=1).values

    def _floor(self, tile: slice) -> torch.Tensor:
        floor = self.floors[tile][:, -1]
        return floor - _ROUNDING * torch.clamp(floor.abs(), min=1.0)

    def _keep_still(
        self, tile: slice, block: _Block, scores: torch.Tensor, floor: torch.Tensor
    ) -> None:
        query, place = torch.nonzero(scores >= _below(floor, scores.dtype)[:, None], as_tuple=True)
        if self.rough:
            exact = _products(self.queries[tile], block.rows, query, place)
        else:
            exact = scores[query, place]
        nowhere = torch.full_like(place, -1)
        self._keep(tile, query, block.start + place, nowhere, exact, exact.new_zeros(()), exact)

    def _keep_moved(
        self,
        tile: slice,
        block: _Block,
        base: torch.Tensor,
        along: torch.Tensor,
        highest: torch.Tensor,
        floor: torch.Tensor,
        slack: torch.Tensor,
    ) -> None:
        query, place = torch.nonzero(highest >= (floor - slack)[:, None], as_tuple=True)
        scores = base[query, place], along[query, place]
        path: Path = block.path if block.path is not None else AdditionPath(len(block.moved))

        def kept(slack: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
            highest = path.highest(*scores, self.last, place.cpu().numpy())
            return highest, torch.nonzero(highest >= floor[query] - slack)[:, 0]

        if self.rough:
            near = kept(slack[query])[1]
            query, place = query[near], place[near]
            if len(query) * _DENSE < base.numel():
                queries = self.queries[tile]
                scores = (
                    _products(queries, block.rows, query, block.moved[place]),
                    _products(queries, block.directions, query, place),
                )
            else:
                base = self.queries[tile] @ block.rows[block.moved].T
                along = self.queries[tile] @ block.directions.T
                scores = base[query, place], along[query, place]
        best, near = kept(0.0)
        query, place = query[near], place[near]
        documents = block.start + block.moved[place]
        self._keep(
            *(tile, query, documents, place + block.first),
            *(scores[0][near], scores[1][near], best[near]),
        )

    def _keep(
        self,
        tile: slice,
        query: torch.Tensor,
        documents: torch.Tensor,
        positions: torch.Tensor,
        base: torch.Tensor,
        along: torch.Tensor,
        highest: torch.Tensor,
    ) -> None:
        if len(query):
            owner = query + tile.start
            columns = (owner, documents, positions, base, along.expand_as(base), highest)
            self.found.append(columns)

    def shortlist(self, judgments: Judgments, path: Path | None) -> Shortlist:
        """What is still in the running now that the floors are final, sorted by query and row."""
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
            AdditionPath(0) if path is None else path,
        )


def _products(
    left: torch.Tensor, right: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Some entries of `left @ right.T`, each for itself."""
    return torch.einsum("ij,ij->i", left[rows], right[columns])


def _below(floor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The floor in the type of the scores, rounded down if at all.

    It stays finite: -inf marks the moved documents, and none of these must come in as a still one.
    """
    if dtype != floor.dtype:
        floor = (floor - floor.abs() * torch.finfo(dtype).eps).to(dtype)
    return floor.nan_to_num(nan=-torch.inf).clamp(min=torch.finfo(dtype).min)
