"""NUDGE-M's step by an exact sweep: the point that most (query, answer) pairs agree on.

For a pair, the document wins on an interval of steps, because every score is a line in the step
(arXiv 2409.02343, section 3.2). Sort the ends of all intervals, sweep, take the most covered
point; among equally covered points the smallest.
"""

from __future__ import annotations

import numpy as np
import torch

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.search import shortlist
from nudge_integrations.methods.shortlist import Shortlist
from nudge_integrations.methods.tensors import tensor

_EPSILON = 1e-8  # nudge-ft's guard against a division by zero, kept so that steps agree with it
_CELLS = 1 << 22  # of one tile: 16 MB in float32
_BLOCK_ROWS = 1024  # a tile of so many columns stays in the processor's cache


def winning_intervals(
    queries: FloatMatrix,
    corpus: FloatMatrix | DocumentVectors,
    judgments: Judgments,
    moved: IntVector,
    directions: FloatMatrix,
    device: torch.device,
    starts: FloatMatrix | None = None,
) -> tuple[Float64, Float64]:
    """Steps at which an answer beats every other document, for each (query, answer) pair.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`.
        judgments: What answers these queries.
        moved: Shape `(m,)`, ascending: rows of the moved documents.
        directions: Shape `(m, d)`: their directions.
        device: Where the products are made.
        starts: Shape `(m, d)`: the moved documents where they stand, if they are at hand.

    Returns:
        Lower and upper ends of the non-empty intervals, within 0 .. 1e8.
    """
    documents = DocumentVectors.of(corpus)
    sources = tensor(documents.take(moved) if starts is None else starts, device)
    targets = tensor(directions, device)
    still = shortlist(
        queries, documents, judgments, moved, directions, None, last=0.0, k=1, device=device
    )
    best_still = np.full(len(queries), -np.inf)
    asked = np.flatnonzero(np.diff(still.indptr))
    if len(asked):
        best_still[asked] = np.maximum.reduceat(still.base, still.indptr[asked])
    own_still = _scores_of(judgments, still)
    lows, highs = [np.zeros(0)], [np.zeros(0)]
    size = max(1, _CELLS // max(1, len(moved)))
    for start in range(0, len(queries), size):
        tile = slice(start, min(start + size, len(queries)))
        pairs = slice(int(judgments.indptr[tile.start]), int(judgments.indptr[tile.stop]))
        asking = tensor(queries[tile], device)
        low, high = _intervals(
            asking @ sources.T,
            asking @ targets.T,
            tensor(judgments.query_of_entry[pairs] - tile.start, device),
            judgments.documents[pairs],
            moved,
            tensor(best_still[tile].astype(np.float32), device),
            tensor(own_still[pairs].astype(np.float32), device),
        )
        alive = high >= low
        lows.append(low[alive].double().cpu().numpy())
        highs.append(high[alive].double().cpu().numpy())
    return np.concatenate(lows), np.concatenate(highs)


def _scores_of(judgments: Judgments, found: Shortlist) -> Float64:
    """Score of each pair's document in a shortlist; -inf where it is not in the running."""
    width = np.int64(judgments.n_documents)
    owner = np.repeat(np.arange(found.n_queries, dtype=np.int64), np.diff(found.indptr))
    known = owner * width + found.documents
    wanted = judgments.query_of_entry * width + judgments.documents
    scores = np.full(len(wanted), -np.inf)
    if len(known):
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        there = known[place] == wanted
        scores[there] = found.base[place[there]]
    return scores


def _intervals(
    base: torch.Tensor,
    along: torch.Tensor,
    owner: torch.Tensor,
    answers: IntVector,
    moved: IntVector,
    best_still: torch.Tensor,
    own_still: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ends of the interval of each pair; the lower above the upper where it never wins."""
    own_score, own_slope = own_still, torch.zeros_like(own_still)
    if len(moved):
        spot = np.minimum(np.searchsorted(moved, answers), len(moved) - 1)
        moves = torch.from_numpy(moved[spot] == answers).to(base.device)
        at = torch.from_numpy(spot).to(base.device)
        # Out of the same product as its rivals, so that equals compare as equal.
        own_score = torch.where(moves, base[owner, at], own_score)
        own_slope = torch.where(moves, along[owner, at], own_slope)
    low, high = _against(best_still[owner, None], owner.new_zeros(1), own_score, own_slope)
    alone = len(owner) == len(base) and bool((owner.diff() == 1).all())
    for start in range(0, len(moved), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        rivals, slopes = base[:, part], along[:, part]
        if not alone:  # a query with several answers stands in several pairs
            rivals, slopes = rivals[owner], slopes[owner]
        lower, upper = _against(rivals, slopes, own_score, own_slope)
        low, high = torch.maximum(low, lower), torch.minimum(high, upper)
    return low, high


def _against(
    rivals: torch.Tensor, slopes: torch.Tensor, own_score: torch.Tensor, own_slope: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ends of the interval in which each pair beats some rivals, shape `(pairs, rivals)`."""
    behind = rivals - own_score[:, None]
    closing = own_slope[:, None] - slopes
    # Documents with the same questions have the same slope; rounding must not let them cross, and
    # just below 0 the guard would turn a lead that lasts for ever into one that never was.
    level = closing.abs() <= _EPSILON
    hopeless = (level & (behind > 0)).any(dim=1)
    crossing = behind.div_(closing + _EPSILON)
    low = torch.where(closing > _EPSILON, crossing, 0.0).amax(dim=1).clamp(min=0)
    high = torch.where(closing < -_EPSILON, crossing, 1 / _EPSILON).amin(dim=1)
    return low, torch.where(hopeless, -1.0, high)


def most_covered(lows: Float64, highs: Float64) -> float:
    """The smallest point that the most intervals `[low, high)` contain; 0 if there is none."""
    if len(lows) == 0:
        return 0.0
    points = np.unique(lows)  # cover grows only where an interval begins
    begun = np.searchsorted(np.sort(lows), points, side="right")
    ended = np.searchsorted(np.sort(highs), points, side="right")
    best = int(np.argmax(begun - ended))
    return float(points[best]) if begun[best] > ended[best] else 0.0
