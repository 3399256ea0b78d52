"""NUDGE-M's step by an exact sweep: the point that most (query, answer) pairs agree on.

For a pair, the document wins on an interval of steps, because every score is a line in the step
(arXiv 2409.02343, section 3.2). Sort the ends of all intervals, sweep, take the most covered
point; among equally covered points the smallest.
"""

from __future__ import annotations

import numpy as np
import torch

from nudge_integrations.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.methods.paths import Float64

_EPSILON = 1e-8  # nudge-ft's guard against a division by zero, kept so that steps agree with it
_PAIR_CELLS = 1 << 23
_BLOCK_ROWS = 8192


def winning_intervals(
    queries: FloatMatrix,
    corpus: FloatMatrix,
    judgments: Judgments,
    moved: IntVector,
    directions: FloatMatrix,
    device: torch.device,
) -> tuple[Float64, Float64]:
    """Steps at which an answer beats every other document, for each (query, answer) pair.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`, float32.
        judgments: What answers these queries.
        moved: Shape `(m,)`, ascending: rows of the moved documents.
        directions: Shape `(m, d)`: their directions.
        device: Where the products are made.

    Returns:
        Lower and upper ends of the non-empty intervals, within 0 .. 1e8.
    """
    vectors = tensor(corpus, device)
    targets = torch.from_numpy(directions).to(device)
    lows, highs = [], []
    query_of_pair = judgments.query_of_entry
    size = max(1, _PAIR_CELLS // max(1, len(moved) + _BLOCK_ROWS))
    for start in range(0, len(query_of_pair), size):
        pairs = slice(start, start + size)
        owners, place = np.unique(query_of_pair[pairs], return_inverse=True)
        tile = torch.from_numpy(queries[owners]).to(device)
        owner = torch.from_numpy(place.reshape(-1)).to(device)
        rivals, own = _still_scores(tile, vectors, owner, judgments.documents[pairs], moved)
        low, high = _intervals(
            tile @ vectors[torch.from_numpy(moved).to(device)].T,
            tile @ targets.T,
            owner,
            judgments.documents[pairs],
            moved,
            rivals,
            own,
        )
        alive = high >= low
        lows.append(low[alive].double().cpu().numpy())
        highs.append(high[alive].double().cpu().numpy())
    nothing = np.zeros(0)
    return np.concatenate([nothing, *lows]), np.concatenate([nothing, *highs])


def _still_scores(
    tile: torch.Tensor,
    corpus: torch.Tensor,
    owner: torch.Tensor,
    answers: IntVector,
    moved: IntVector,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best still document of each query, and the score of each pair's own document."""
    best = tile.new_full((len(tile),), -torch.inf)
    own = tile.new_empty((len(answers),))
    documents = torch.from_numpy(answers).to(tile.device)
    for start in range(0, len(corpus), _BLOCK_ROWS):
        scores = tile @ corpus[start : start + _BLOCK_ROWS].T
        inside = (documents >= start) & (documents < start + scores.shape[1])
        own[inside] = scores[owner[inside], documents[inside] - start]
        first, behind = np.searchsorted(moved, [start, start + scores.shape[1]])
        scores[:, torch.from_numpy(moved[first:behind] - start).to(tile.device)] = -torch.inf
        best = torch.maximum(best, scores.max(dim=1).values)
    return best, own


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
    rivals = torch.cat([base[owner], best_still[owner, None]], dim=1)
    slopes = torch.cat([along[owner], torch.zeros_like(best_still)[owner, None]], dim=1)
    behind = rivals - own_score[:, None]
    closing = own_slope[:, None] - slopes
    # Documents with the same questions have the same slope; rounding must not let them cross, and
    # just below 0 the guard would turn a lead that lasts for ever into one that never was.
    closing[closing.abs() <= _EPSILON] = 0
    crossing = behind / (closing + _EPSILON)
    low = torch.where(closing > 0, crossing, 0.0).amax(dim=1).clamp(min=0)
    high = torch.where(closing < 0, crossing, 1 / _EPSILON).amin(dim=1)
    hopeless = ((closing == 0) & (behind > 0)).any(dim=1)
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
