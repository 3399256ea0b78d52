"""The flow of NUDGE-C: documents move up the likelihood that their questions choose them.

A question chooses a document with the probability of a softmax over the corpus,

    p_qi = exp(q.x_i / tau) / (sum over all j of exp(q.x_j / tau)),

and a document that has questions moves along the gradient of the mean log-likelihood of their
answers, staying on the sphere:

    W_qi = y_qi - p_qi,    G = W^T Q S,    x_i <- unit(x_i + rate G_i),

with `y` the grades of a question's answers, summing to 1. Documents without a question do not
move: the nearest of them are a constant in each question's sum, worked out once. So this pushes
documents away from the questions that they wrongly win, which NUDGE-M and NUDGE-N do not. It is
this package's own, not the paper's.

`S = (1 + d / ridge * C)^-1`, `C` the second moment of unit questions (trace 1), scaled to norm
`sqrt(d)`: what all questions have in common is damped, so that a document rises for its own
questions and not for questions at large. At an infinite ridge `S` is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import ROUGH, rough_supported

_TILE_BYTES = 16 << 20
_MATRICES = 3  # alive at once at the peak, of the size of a tile
_RATE = 0.2  # longer steps follow the flow badly


@dataclass(frozen=True)
class Setting:
    """What shapes a flow.

    Attributes:
        temperature: tau, above 0: how near to the first place a document must be to count.
        ridge: Above 0, up to infinity: the smaller, the more of what questions share is damped.
    """

    temperature: float
    ridge: float

    def __str__(self) -> str:
        return f"temperature {self.temperature:g}, ridge {self.ridge:g}"


@dataclass(frozen=True)
class Contrast:
    """Questions, the documents that they can move, and what the others weigh.

    Attributes:
        queries: Shape `(q, d)`, float32, unit rows.
        starts: Shape `(m, d)`, float32, unit rows: the documents that answer some question.
        lengths: Shape `(m,)`, float32: what multiplies their scores: 1 under cosine.
        judgments: Of these queries over these `m` documents, each named once a query.
        rest: Temperature -> shape `(q,)`, float32: log of the sum over all other documents.
    """

    queries: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor
    judgments: Judgments
    rest: dict[float, torch.Tensor]

    def flow(
        self, train: IntVector, setting: Setting, times: Sequence[float]
    ) -> Iterator[torch.Tensor]:
        """The documents at some times of the flow of some of the queries.

        Args:
            train: Which queries.
            setting: Temperature and ridge.
            times: Ascending, above 0.

        Yields:
            Shape `(m, d)`, float32, unit rows, at each time.
        """
        device = self.queries.device
        queries, judged = self.queries[_rows(train, device)], self.judgments.select(train)
        rest = self.rest[setting.temperature][_rows(train, device)]
        moving = _rows(np.flatnonzero(judged.touched()), device)
        damping = damped(queries, setting.ridge)
        vectors = self.starts.clone()
        targets = _targets(judged)
        for begin, end in pairwise([0.0, *times]):
            count = max(1, int(np.ceil((end - begin) / _RATE - 1e-9)))
            for _ in range(count):
                pull = self._pull(queries, vectors, judged, targets, rest, setting.temperature)
                if damping is not None:
                    pull = pull @ damping
                moved = vectors[moving] + (end - begin) / count * pull[moving]
                vectors[moving] = moved / torch.linalg.vector_norm(moved, dim=1, keepdim=True)
            yield vectors

    def _pull(
        self,
        queries: torch.Tensor,
        vectors: torch.Tensor,
        judged: Judgments,
        targets: torch.Tensor,
        rest: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        """`(Y - P)^T Q`, shape `(m, d)`, in tiles of queries."""
        rough = rough_supported(queries.device, len(queries) * len(vectors))
        narrow = ROUGH if rough else torch.float32
        columns = (vectors * (self.lengths / temperature)[:, None]).to(narrow)
        result = torch.zeros_like(vectors)
        size = max(16, _TILE_BYTES // (4 * _MATRICES * max(1, len(vectors))))
        for start in range(0, len(queries), size):
            tile = slice(start, min(start + size, len(queries)))
            asking = queries[tile].to(narrow)
            weights = (asking @ columns.T).float()
            highest = torch.maximum(weights.amax(dim=1), rest[tile])[:, None]
            weights.sub_(highest).exp_()
            others = torch.exp(rest[tile, None] - highest)
            weights.div_(-(weights.sum(dim=1, keepdim=True) + others))
            entries = slice(int(judged.indptr[tile.start]), int(judged.indptr[tile.stop]))
            row = _rows(judged.query_of_entry[entries] - start, queries.device)
            weights[row, _rows(judged.documents[entries], queries.device)] += targets[entries]
            result += (weights.to(narrow).T @ asking).float()
        return result * self.lengths[:, None]


def damped(queries: torch.Tensor, ridge: float) -> torch.Tensor | None:
    """`S`, shape `(d, d)`; None for the identity."""
    if not np.isfinite(ridge):
        return None
    width = queries.shape[1]
    moment = (queries.T @ queries).double() / max(1, len(queries))
    identity = torch.eye(width, dtype=torch.float64, device=queries.device)
    result: torch.Tensor = torch.linalg.inv(identity + width / ridge * moment)
    return result.mul_(width**0.5 / torch.linalg.matrix_norm(result)).float()


def _targets(judged: Judgments) -> torch.Tensor:
    """Share of each answer in its question, by grade."""
    totals = np.zeros(judged.n_queries)
    np.add.at(totals, judged.query_of_entry, judged.grades)
    return torch.from_numpy((judged.grades / totals[judged.query_of_entry]).astype(np.float32))


def _rows(rows: IntVector, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device)
