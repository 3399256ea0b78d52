"""The flow of NUDGE-C: documents move up the likelihood that their questions choose them.

A question chooses a document with the probability of a softmax over the documents that take part,

    p_qi = exp(q.x_i / tau) / (sum over all j of exp(q.x_j / tau)),

and the gradient of the mean log-likelihood of the answers is the pull on each document,

    W_qi = y_qi - p_qi,    G = W^T Q S,

with `y` the grades of a question's answers, summing to 1: answers pull, and documents that a
question wrongly prefers push. The documents that take part (*anchors*) are those with questions
and each question's nearest few without. All others are left out of the sum, never a constant in
it: the rows of `W` sum to zero, which is what spares the documents in between. Each step adds
`rate G` to the pulls of the anchors, and moves every document by the field of `field.py`.

`S = (1 + d / ridge * C)^-1`, `C` the second moment of unit questions (trace 1), scaled to norm
`sqrt(d)`: what all questions have in common is damped, so that a document rises for its own
questions and not for questions at large. At an infinite ridge `S` is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.field import SAME, WIDTHS, Field, kernel
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import ROUGH, rough_supported

FIRST_MOVE = 0.08  # how far the first unit of time moves documents with questions, on average
_WIDTH = 64  # a product of so many dimensions is worth half precision
_LONGEST = 2.0  # units of time in one step: with longer ones popular documents overshoot
_TILE_BYTES = 16 << 20
_MATRICES = 3  # alive at once at the peak, of the size of a tile
_KERNEL_BYTES = 160 << 20  # of one kernel of all documents; a larger one is worked out in tiles


@dataclass(frozen=True)
class Setting:
    """What shapes a flow.

    Attributes:
        temperature: tau, above 0: how near to the first place a document must be to count.
        ridge: Above 0, up to infinity: the smaller, the more of what questions share is damped.
        widths: Of the kernel; empty where only documents with questions move.
        own: Weight of a document's own pull beside the kernel.
        nearest: How many documents without questions take part for each question.
        any_answer: Whether one answer of a question is enough (its best chunk, where every chunk
            of a file is marked), rather than all of them.
    """

    temperature: float
    ridge: float
    widths: tuple[float, ...] = WIDTHS
    own: float = 0.0
    nearest: int = 10
    any_answer: bool = False

    def __str__(self) -> str:
        if not self.widths:
            shape = "documents with questions alone"
        else:
            shape = f"field of width {max(self.widths):.2g}"
            shape += f" with own pull {self.own:g}" if self.own else ""
        damping = f"ridge {self.ridge:g}" if np.isfinite(self.ridge) else "no ridge"
        return f"temperature {self.temperature:g}, {damping}, {shape}"


@dataclass(frozen=True, eq=False)
class Ground:
    """Questions, and the documents that matter to them.

    Attributes:
        queries: Shape `(q, d)`, float32, unit rows.
        documents: Shape `(m, d)`, float32, unit rows: base vectors.
        lengths: Shape `(m,)`, float32: what multiplies their scores: 1 under cosine.
        judgments: Of these queries over these documents, each named once a query.
        near: Shape `(q, k)`, int64: the nearest documents of each query, best first; -1 for none.
        kernels: Kernels of all documents that flows have asked for.
    """

    queries: torch.Tensor
    documents: torch.Tensor
    lengths: torch.Tensor
    judgments: Judgments
    near: IntVector
    kernels: dict[Any, torch.Tensor] = field(default_factory=dict)

    def kernel(self, widths: Sequence[float], narrow: torch.dtype) -> torch.Tensor | None:
        """The kernel of each document with each, shape `(m, m)`; None if that is too large."""
        count = len(self.documents)
        if count**2 * narrow.itemsize > _KERNEL_BYTES:
            return None
        key = widths, narrow
        if key not in self.kernels:
            nobody = torch.zeros(count, dtype=torch.bool, device=self.documents.device)
            tiles = torch.split(self.documents, max(16, _TILE_BYTES // (4 * count)))
            parts = (kernel(tile @ self.documents.T, widths, 0.0, nobody) for tile in tiles)
            self.kernels[key] = torch.cat([part.to(narrow) for part in parts])
        return self.kernels[key]

    def anchors(self, judged: Judgments, train: IntVector, nearest: int) -> tuple[IntVector, int]:
        """Positions of the documents that take part, those with questions first; their number."""
        touched = judged.touched()
        near = self.near[train]
        free = (near >= 0) & ~touched[near]
        free &= np.cumsum(free, axis=1) <= nearest
        labelled = np.flatnonzero(touched)
        return np.concatenate([labelled, np.unique(near[free])]), len(labelled)


class Flow:
    """The flow of some of the questions, from the base vectors on.

    Args:
        ground: Questions and documents.
        train: Which of the questions.
        setting: What shapes it.
        rough: Whether products may be made in half precision, where the device is good at it: for
            trials, which only choose.
    """

    def __init__(
        self, ground: Ground, train: IntVector, setting: Setting, *, rough: bool = True
    ) -> None:
        self.ground, self.setting, self.rough = ground, setting, rough
        device = ground.queries.device
        judged = ground.judgments.select(train)
        positions, self.labelled = ground.anchors(judged, train, setting.nearest)
        place = np.full(judged.n_documents, -1, np.int64)
        place[positions] = np.arange(len(positions))
        self.positions = torch.from_numpy(positions).to(device)
        self.queries = ground.queries[torch.from_numpy(np.ascontiguousarray(train)).to(device)]
        self.starts = ground.documents[self.positions]
        self.lengths = ground.lengths[self.positions]
        self.judged = Judgments(
            judged.indptr, place[judged.documents], judged.grades, len(positions)
        )
        self.targets = _targets(self.judged).to(device)
        self.damping = damped(self.queries, setting.ridge)
        self.pulls = torch.zeros_like(self.starts)
        self._has_questions = torch.arange(len(positions), device=device) < self.labelled
        self._kernel = self._own_kernel() if setting.widths else None
        self._now: torch.Tensor | None = _units(ground.documents)

    def run(self, times: Sequence[float]) -> Iterator[None]:
        """Follow the flow; stops at each of `times` (ascending, above 0), with `pulls` as then."""
        rate = 0.0
        for begin, end in pairwise([0.0, *times]):
            count = max(1, int(np.ceil((end - begin) / _LONGEST - 1e-9)))
            for _ in range(count):
                pull = self._pull()
                if not rate:
                    labelled = self.positions[: self.labelled]
                    first = torch.linalg.vector_norm(self._spread(labelled, pull), dim=1)
                    rate = FIRST_MOVE / max(float(first.square().mean().sqrt()), 1e-12)
                self.pulls += (end - begin) / count * rate * pull
                self._now = None
            yield

    def anchors_now(self) -> torch.Tensor:
        """Where the anchors are, unit rows."""
        if self._now is not None or self._kernel is not None:
            return self.documents_now()[self.positions]
        return _units(self.starts + self._spread(self.positions, self.pulls))

    def documents_now(self) -> torch.Tensor:
        """Where all documents of the ground are, shape `(m, d)`, unit rows."""
        if self._now is None:
            self._now = _units(self.ground.documents + self._spread(slice(None), self.pulls))
        return self._now

    def field(self) -> Field:
        """The field of the pulls so far."""
        return Field(
            np.ascontiguousarray(self.starts.cpu().numpy()),
            self.pulls.cpu().numpy().copy(),
            self._has_questions.cpu().numpy(),
            self.setting.widths,
            self.setting.own if self.setting.widths else 1.0,
        )

    def _narrow(self, rows: int, columns: int) -> torch.dtype:
        """The type in which a product of so many rows and columns may be made."""
        worth = rough_supported(self.queries.device, rows * columns * _WIDTH)
        return ROUGH if self.rough and worth else torch.float32

    def _spread(self, documents: torch.Tensor | slice, pulls: torch.Tensor) -> torch.Tensor:
        """How far `pulls` move some documents of the ground, shape `(documents, d)`."""
        if not self.setting.widths:
            moves = torch.zeros_like(self.ground.documents)
            moves.index_add_(0, self.positions[: self.labelled], pulls[: self.labelled])
            return moves[documents]
        if self._kernel is not None:
            return (self._kernel.T @ pulls.to(self._kernel.dtype)).float()[documents]
        tiles = self._tiles(self.ground.documents[documents])
        return torch.cat([tile @ pulls.to(tile.dtype) for tile in tiles])

    def _own_kernel(self) -> torch.Tensor | None:
        """The kernel of the anchors with all documents, shape `(a, m)`, if it may be held."""
        every = self.ground.documents
        narrow = self._narrow(len(every), len(self.starts))
        whole = self.ground.kernel(self.setting.widths, narrow)
        if whole is None:
            return None
        result = whole[self.positions]
        if self.setting.own:
            same = (self.starts[: self.labelled] @ every.T >= SAME).nonzero(as_tuple=True)
            result[same] += self.setting.own
        return result

    def _tiles(self, documents: torch.Tensor) -> Iterator[torch.Tensor]:
        """The kernel of documents and anchors, some rows at a time."""
        narrow = self._narrow(len(documents), len(self.starts))
        size = max(16, _TILE_BYTES // (4 * max(1, len(self.starts))))
        for start in range(0, len(documents), size):
            cosines = documents[start : start + size] @ self.starts.T
            setting = self.setting
            yield kernel(cosines, setting.widths, setting.own, self._has_questions).to(narrow)

    def _pull(self) -> torch.Tensor:
        """`(Y - P)^T Q S`, shape `(a, d)`, in tiles of queries."""
        vectors = self.anchors_now()
        narrow = self._narrow(len(self.queries), len(vectors))
        columns = (vectors * (self.lengths / self.setting.temperature)[:, None]).to(narrow)
        result = torch.zeros_like(vectors)
        size = max(16, _TILE_BYTES // (4 * _MATRICES * max(1, len(vectors))))
        owners = self.judged.query_of_entry
        for start in range(0, len(self.queries), size):
            stop = min(start + size, len(self.queries))
            asking = self.queries[start:stop].to(narrow)
            logits = (asking @ columns.T).float()
            weights = torch.softmax(logits, dim=1).neg_()
            entries = slice(int(self.judged.indptr[start]), int(self.judged.indptr[stop]))
            row = torch.from_numpy(owners[entries] - start).to(weights.device)
            column = torch.from_numpy(self.judged.documents[entries]).to(weights.device)
            targets = self.targets[entries]
            if self.setting.any_answer:
                targets = _credit(targets, logits[row, column], row, stop - start)
            weights.index_put_((row, column), targets, accumulate=True)
            result += (weights.to(narrow).T @ asking).float()
        result *= self.lengths[:, None]
        return result if self.damping is None else result @ self.damping


def moved_by(flow: Flow, times: Sequence[float]) -> Field:
    """The field at the last of `times`."""
    for _ in flow.run(times):
        pass
    return flow.field()


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


def _credit(
    shares: torch.Tensor, logits: torch.Tensor, row: torch.Tensor, count: int
) -> torch.Tensor:
    """Shares of answers by how likely each is: the gradient of the likelihood of any of them."""
    highest = logits.new_full((count,), -torch.inf)
    highest.scatter_reduce_(0, row, logits, "amax")
    likely = shares * torch.exp(logits - highest[row])
    return likely / likely.new_zeros(count).index_add_(0, row, likely)[row]


def _units(vectors: torch.Tensor) -> torch.Tensor:
    lengths: torch.Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / lengths.clamp_(min=1e-12)
