"""One corpus to tune: where its documents go at a step, and who wins the held-out questions."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from nudge_integrations.arrays import FloatMatrix, IntVector, norms, unit_rows
from nudge_integrations.errors import DataError
from nudge_integrations.methods.directions import directions
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels.torch_kernel import shortlist
from nudge_integrations.methods.paths import Path
from nudge_integrations.methods.step import Trial

Similarity = Literal["cosine", "dot"]
_LARGEST_PRODUCT = 1e30


class Mover(Protocol):
    """What a problem must know of a method."""

    device: torch.device
    keeps_length: ClassVar[bool]

    def path(self, units: FloatMatrix, targets: FloatMatrix) -> Path:
        """Paths of documents with unit vectors `units` towards unit directions `targets`."""
        ...


class Problem:
    """Document vectors as the method sees them: under cosine, their directions only."""

    def __init__(self, method: Mover, corpus: FloatMatrix, similarity: Similarity) -> None:
        self.method = method
        self.corpus = corpus
        self.similarity = similarity
        self.vectors = unit_rows(corpus) if similarity == "cosine" else corpus

    @cached_property
    def _longest(self) -> float:
        # As exact as a limit with many orders of magnitude to spare needs it.
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return float(np.sqrt(squares.max()))

    def _queries(self, queries: FloatMatrix) -> FloatMatrix:
        if self.similarity == "cosine":
            return unit_rows(queries)
        reach = float(norms(queries).max(initial=0)) * self._longest
        if reach > _LARGEST_PRODUCT:
            raise DataError(
                f"inner products up to {reach:.1g} are too large for float32: scale vectors down"
            )
        return queries

    def _paths(
        self, queries: FloatMatrix, judgments: Judgments
    ) -> tuple[IntVector, FloatMatrix, FloatMatrix, Path]:
        """Rows that move, their vectors, their directions at the same length, and the paths."""
        towards = directions(self._queries(queries), judgments)
        start = self.vectors[towards.rows]
        lengths = norms(start)[:, None]
        path = self.method.path(start / lengths, towards.vectors)
        scale = lengths if self.method.keeps_length else np.ones_like(lengths)
        return towards.rows, start, towards.vectors * scale, path

    def trial(
        self,
        queries: FloatMatrix,
        judgments: Judgments,
        train: npt.NDArray[np.bool_],
        held: npt.NDArray[np.bool_],
        last: float,
        depth: int,
    ) -> Trial:
        """Tune on some queries, and find what is in the running for others."""
        asked = np.flatnonzero(held & (judgments.counts > 0))
        moved, _, targets, path = self._paths(queries[train], judgments.select(train))
        question = judgments.select(asked)
        found = shortlist(
            self._queries(queries[asked]),
            self.vectors,
            question,
            moved,
            targets,
            path,
            last=last,
            k=depth,
            device=self.method.device,
        )
        touched = np.zeros(len(self.vectors), bool)
        touched[moved[path.moves]] = True
        seen = np.zeros(len(asked), bool)
        seen[question.query_of_entry[touched[question.documents]]] = True
        return Trial(asked, found, seen)

    def move(
        self, queries: FloatMatrix, judgments: Judgments, step: float
    ) -> tuple[IntVector, FloatMatrix]:
        """Rows that move at a step, and where to, at the length that they had."""
        nobody = np.zeros(0, np.int64), np.zeros((0, self.corpus.shape[1]), np.float32)
        if step == 0:
            return nobody
        rows, start, targets, path = self._paths(queries, judgments)
        a, b = path.coefficients(step)
        moves = b != 0
        ends = a[moves, None] * start[moves] + b[moves, None] * targets[moves]
        if self.method.keeps_length:
            # Rounding aside the length is kept already; float32 steps make it so to the last bit.
            ends *= (norms(start[moves]) / norms(ends.astype(np.float32)))[:, None]
        if self.similarity == "cosine":
            ends *= (norms(self.corpus[rows[moves]]) / norms(start[moves]))[:, None]
        return rows[moves], ends.astype(np.float32)
