"""A corpus on its device: in which order, and in which numbers, the fused kernels read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.methods.kernels.triton_survivors import GROUP, Survivors
from nudge_integrations.methods.paths import AdditionPath, RotationPath

Precision = Literal["float32", "tf32", "float16"]

_GROWTH = 4  # after each launch this many times the columns have been seen
_BLOCK_ROWS = 1 << 16
_WIDTH = 64  # components: a multiple of every `DEPTH`, so that no load needs a mask
_PAIRS, _PAIR_DEPTH = 32, 64  # a program's pairs in `score`, and components at a time


@dataclass(frozen=True)
class _Format:
    """How the filter holds and multiplies vectors.

    Attributes:
        dtype: Of queries, corpus and directions.
        products: `input_precision` of the products.
        rounding: Largest relative error of a component.
    """

    dtype: torch.dtype
    products: str
    rounding: float


_FORMATS: dict[Precision, _Format] = {
    "float32": _Format(torch.float32, "ieee", 0.0),
    "tf32": _Format(torch.float32, "tf32", 2.0**-10),  # tensor cores cut digits off
    "float16": _Format(torch.float16, "ieee", 2.0**-11),
}


def tolerance(precision: Precision, dimension: int) -> float:
    """Largest error of a product `q.x` in the filter, in units of `|q| |x|`.

    Both factors are rounded once; a sum of `d` terms errs by `d u` at most, with a `u` wide enough
    for tensor cores, which cut off while they add; what falls below float16 is lost.
    """
    rounding = _FORMATS[precision].rounding
    lost = dimension**0.5 * 2.0**-23 if precision == "float16" else 0.0
    return 2 * rounding + rounding**2 + (dimension + 16) * 2.0**-22 + lost


@dataclass(frozen=True)
class Documents:
    """A corpus on its device, in the order in which its columns are looked at.

    Attributes:
        corpus: Shape `(n, d)`, float32.
        directions: Shape `(m, d)`, float32.
        order: int32: row of each column, the still ones first, both kinds shuffled and filled up
            with -1 to a multiple of `GROUP`.
        positions: int32, shaped like `order`: the direction of each column, -1 for none.
        turns: Shape `(4, m)`, float64: for rotations, cosine and reciprocal sine of the angle to
            the direction, cosine and sine of the angle where the way ends; else empty.
        still_columns: Number of columns of still documents.
        path: How documents move.
        last: The largest step.
        reach: Length of the longest vector.
        gain: A score changes by `gain` errors of a product at most, anywhere on a path.
        precision: Of the filter.
        held: Corpus and directions as the filter multiplies them, `d` filled up with zeros to a
            multiple of 64.
    """

    corpus: torch.Tensor
    directions: torch.Tensor
    order: torch.Tensor
    positions: torch.Tensor
    turns: torch.Tensor
    still_columns: int
    path: AdditionPath | RotationPath
    last: float
    reach: float
    gain: float
    precision: Precision
    held: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def prepare(
        cls,
        corpus: FloatMatrix | DocumentVectors,
        moved: IntVector,
        directions: FloatMatrix,
        path: AdditionPath | RotationPath,
        last: float,
        device: torch.device,
        precision: Precision,
    ) -> Documents:
        """Bring everything to `device`."""
        targets = tensor(directions, device).contiguous()
        source = DocumentVectors.of(corpus)
        vectors = targets.new_empty((len(source), source.dimension))
        for start, block in source.blocks():
            vectors[start : start + len(block)] = tensor(block, device)
        rows = tensor(moved, device)
        moves = torch.zeros(len(vectors), dtype=torch.bool, device=device)
        moves[rows] = True
        still = torch.nonzero(~moves)[:, 0]
        # In random order no topic that stands together can flood one launch.
        dice = torch.Generator(device).manual_seed(0)
        still = still[torch.randperm(len(still), generator=dice, device=device)]
        place = torch.randperm(len(rows), generator=dice, device=device)
        order = [_filled(still), _filled(rows[place])]
        positions = [torch.full_like(order[0], -1), _filled(place)]
        reach = max(_longest(vectors), _longest(targets), 1e-30)
        rotates = isinstance(path, RotationPath)
        dtype = _FORMATS[precision].dtype
        return cls(
            vectors,
            targets,
            torch.cat(order),
            torch.cat(positions),
            _turns(path, last).to(device),
            len(order[0]),
            path,
            last,
            reach,
            # a(t) + b(t) of a rotation by at most a right angle stays within the root of 2.
            1.5 if rotates else 1.0 + abs(last),
            precision,
            (_held(vectors, dtype, 1 / reach), _held(targets, dtype, 1 / reach)),
        )

    @staticmethod
    def bytes_held(vectors: int, dimension: int, precision: Precision) -> int:
        """Memory on the device for so many vectors: as they are, and as they are multiplied."""
        dtype = _FORMATS[precision].dtype
        width = dimension + -dimension % _WIDTH
        copied = dtype != torch.float32 or width != dimension
        return vectors * (4 * dimension + copied * dtype.itemsize * width + 8)

    @property
    def count(self) -> int:
        """Number of documents."""
        return len(self.corpus)

    @property
    def family(self) -> str:
        """What moved documents do."""
        return "rotation" if isinstance(self.path, RotationPath) else "addition"

    @property
    def slack(self) -> float:
        """How far below the floor a score may seem to be that reaches it (both can be off)."""
        return 2 * self.gain * tolerance(self.precision, self.corpus.shape[1])

    def launches(self, first: int) -> Iterator[tuple[int, int]]:
        """Spans of columns, each of one kind and at least `first` long where there are as many."""
        start = 0
        for end in (self.still_columns, len(self.order)):
            while start < end:
                behind = min(end, start + max(first, (_GROWTH - 1) * start))
                yield start, behind
                start = behind

    def scaled(self, queries: torch.Tensor) -> torch.Tensor:
        """Queries as the filter multiplies them: every product then lies within -1 .. 1."""
        dtype = _FORMATS[self.precision].dtype
        lengths = torch.linalg.vector_norm(queries, dim=1, keepdim=True, dtype=torch.float64)
        reach = self.reach if dtype == torch.float32 else 1.0
        scaled = (queries / (lengths * reach).clamp(min=1e-300)).to(dtype)
        return _held(scaled, dtype, 1.0)

    def scan(self, queries: torch.Tensor, found: Survivors, first: int, behind: int) -> None:
        """Append every group of columns `first` .. `behind` that reaches the floor of a query."""
        from nudge_integrations.methods.kernels.triton_scan import scan

        still = behind <= self.still_columns
        products = _FORMATS[self.precision].products
        tile = _scan_tile(self.held[0].dtype, products, still)
        programs = -(-len(queries) // tile["QUERIES"]) * -(-(behind - first) // tile["DOCUMENTS"])
        scan[(programs,)](
            queries,
            *self.held,
            self.order,
            self.positions,
            self.turns,
            found.floors - self.slack,
            found.counts,
            found.groups,
            found.lowests,
            found.highests,
            len(queries),
            len(self.directions),
            queries.shape[1],
            first,
            behind,
            self.last,
            found.capacity,
            FAMILY="still" if still else self.family,
            PRECISION=products,
            GROUP=GROUP,
            **tile,
        )

    def score(
        self, queries: torch.Tensor, owner: torch.Tensor, row: torch.Tensor, position: torch.Tensor
    ) -> list[torch.Tensor]:
        """Base, along, lowest and highest score of pairs, each of shape `(pairs,)`, float64."""
        from nudge_integrations.methods.kernels.triton_scan import score

        result = [torch.empty_like(row, dtype=torch.float64) for _ in range(4)]
        score[(-(-len(row) // _PAIRS),)](
            queries,
            self.corpus,
            self.directions,
            self.turns,
            owner,
            row,
            position,
            *result,
            len(row),
            len(self.directions),
            queries.shape[1],
            self.last,
            FAMILY=self.family,
            PAIRS=_PAIRS,
            DEPTH=_PAIR_DEPTH,
            enable_fp_fusion=True,
        )
        return result


def _scan_tile(dtype: torch.dtype, products: str, still: bool) -> dict[str, Any]:
    """Tile sizes: on Hopper nothing spills, and two programs share a multiprocessor.

    One of them then multiplies while the other compares. Two accumulators want half the columns.
    """
    common = {"num_stages": 3, "enable_fp_fusion": True}
    if dtype == torch.float32 and products == "ieee":
        queries = 128 if still else 64
        return {"QUERIES": queries, "DOCUMENTS": 64, "DEPTH": 16, "num_warps": 8, **common}
    depth = 128 // dtype.itemsize  # 128 bytes, the widest swizzle of shared memory
    shape = {"DOCUMENTS": 128, "num_warps": 8} if still else {"DOCUMENTS": 64, "num_warps": 4}
    return {"QUERIES": 128, "DEPTH": depth, **shape, **common}


def _filled(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(rows.int(), (0, -len(rows) % GROUP), value=-1)


def _longest(vectors: torch.Tensor) -> float:
    lengths = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    return float(lengths.max()) if len(vectors) else 0.0


def _held(vectors: torch.Tensor, dtype: torch.dtype, scale: float) -> torch.Tensor:
    """As the filter multiplies them: 16 bits are scaled into their range, a block at a time."""
    count, dimension = vectors.shape
    missing = -dimension % _WIDTH
    if vectors.dtype == dtype and not missing:
        return vectors
    held = torch.zeros((count, dimension + missing), dtype=dtype, device=vectors.device)
    if dtype == torch.float32:
        scale = 1.0  # there the queries bear it
    for start in range(0, count, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        held[rows, :dimension] = vectors[rows] * scale
    return held


def _turns(path: AdditionPath | RotationPath, last: float) -> torch.Tensor:
    if isinstance(path, AdditionPath):
        return torch.zeros((4, 0), dtype=torch.float64)
    angle = np.where(path.still, np.pi / 2, path.angle)
    end = np.where(path.still, 0.0, np.minimum(path.turn(last), angle))
    over_sine = 1 / np.maximum(np.sin(angle), 1e-12)
    return torch.from_numpy(np.stack([np.cos(angle), over_sine, np.cos(end), np.sin(end)]))
