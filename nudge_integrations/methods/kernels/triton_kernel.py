"""The hot loop as a fused kernel for CUDA: products, bounds and selection in one pass.

The pass only *filters*, in any precision: whatever can be in the running by the worst error that
the precision can make is scored again in float64. So precision decides speed, never the result.

It is made in launches, each some times as long as all before it. Between two of them the floor of
each query rises to the k-th best of what it has found, so that a launch over documents in random
order adds only a few times k. Within a launch the floor stands still: no result depends on the
order in which programs happen to run.
"""

from __future__ import annotations

import importlib.util
import logging
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.kernels import torch_kernel
from nudge_integrations.methods.kernels.tensors import tensor
from nudge_integrations.methods.kernels.torch_kernel import PASSING
from nudge_integrations.methods.kernels.triton_documents import Documents, Precision
from nudge_integrations.methods.kernels.triton_survivors import GROUP, Survivors
from nudge_integrations.methods.paths import AdditionPath, Path, RotationPath
from nudge_integrations.methods.shortlist import Shortlist

_FEWEST_GROUPS = 128  # of the first launch
_GROUPS_PER_RANK = 4  # so that few of the best share one
_SMALLEST_TILE, _LARGEST_TILE = 64, 2048  # queries
_CELLS = 1 << 22  # groups that a tile can hold: 100 MB, and 2 GB to score them should all be full
_SPARE_BYTES = 3 << 30
_ROUNDING = 1e-6  # steps are float32 in the kernels

logger = logging.getLogger(__name__)


def available(device: torch.device) -> bool:
    """Whether this backend runs on `device`: an NVIDIA GPU (Ampere or later), and triton.

    A kernel that fails there for another reason (no C compiler, say) is reported once, as a
    warning; triton is not imported before all else is in place.
    """
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    if importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0) and _runs(device)


@lru_cache(maxsize=16)
def _runs(device: torch.device) -> bool:
    one, nothing = np.ones((1, 1), np.float32), np.zeros((0, 1), np.float32)
    judged = Judgments.from_lists([[0]], 1)
    nobody, path = np.zeros(0, np.int64), AdditionPath(0)
    try:
        shortlist(one, one, judged, nobody, nothing, path, last=0.0, k=1, device=device)
    except Exception as error:  # triton raises whatever its compilers and the driver raise
        logger.warning("no fused kernel on %s, plain torch is used instead: %s", device, error)
        return False
    return True


def shortlist(
    queries: FloatMatrix,
    corpus: FloatMatrix | DocumentVectors,
    judgments: Judgments,
    moved: IntVector,
    directions: FloatMatrix,
    path: Path,
    *,
    last: float,
    k: int,
    device: torch.device,
    precision: Precision = "tf32",
    show_progress: bool = False,
) -> Shortlist:
    """Find, for each query, every document that can be in its top `k` at a step in 0 .. `last`.

    The contract of `torch_kernel.shortlist`, to which it leaves what it is not made for: paths of
    other families, `k` in the thousands, a corpus too large for the device, and tiles of queries
    with thousands of documents in the running.

    Args:
        queries: Shape `(q, d)`, float32.
        corpus: Shape `(n, d)`, float32: every document where it stands.
        judgments: What answers these queries.
        moved: Shape `(m,)`, ascending: rows of the documents that move.
        directions: Shape `(m, d)`, float32, scaled as the path wants them.
        path: How they move.
        last: The largest step that will be looked at.
        k: The deepest rank that will be looked at.
        device: Where the products are made.
        precision: How the filter multiplies; the result is the same. `"tf32"` and `"float16"` run
            on tensor cores. Half precision, or a `d` that is no multiple of 64, takes a second
            copy of corpus and directions on the device.
        show_progress: Whether to draw a progress bar once the pass has taken a second.
    """
    corpus = DocumentVectors.of(corpus)
    sizes = _Sizes.of(min(k, len(corpus)))
    held = Documents.bytes_held(len(corpus) + len(directions), corpus.dimension, precision)
    if (
        not isinstance(path, AdditionPath | RotationPath)
        or sizes.tile < _SMALLEST_TILE
        or held + _SPARE_BYTES > _free_bytes(device)
    ):
        return torch_kernel.shortlist(
            queries, corpus, judgments, moved, directions, path, last=last, k=k, device=device
        )
    documents = Documents.prepare(corpus, moved, directions, path, last, device, precision)
    parts = []
    starts = range(0, len(queries), sizes.tile)
    for start in tqdm(starts, PASSING, unit="tile", delay=1, disable=not show_progress):
        rows = np.arange(start, min(start + sizes.tile, len(queries)))
        tile, judged = queries[rows], judgments.select(rows)
        with _on(device):
            found = _tile(tensor(tile, device), documents, judged, sizes)
        if found is None:
            found = torch_kernel.shortlist(
                tile, corpus, judged, moved, directions, path, last=last, k=k, device=device
            )
        parts.append(found)
    return _join(parts, judgments, path)


class _Sizes(NamedTuple):
    """What follows from the number of ranks.

    Attributes:
        k: Ranks asked for, no more than there are documents.
        first: Columns of the first launch, of which all survive at first.
        room: Groups that a query has room for at first.
        most: And at most.
        tile: Queries at a time.
    """

    k: int
    first: int
    room: int
    most: int
    tile: int

    @classmethod
    def of(cls, k: int) -> _Sizes:
        groups = max(_FEWEST_GROUPS, _GROUPS_PER_RANK * k)
        tile = min(_LARGEST_TILE, _CELLS // (2 * groups))
        return cls(k, GROUP * groups, 2 * groups, _CELLS // max(tile, 1), tile)


def _free_bytes(device: torch.device) -> float:
    if device.type != "cuda":
        return float("inf")
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + unused)


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whatever device the tensors are on."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _tile(
    queries: torch.Tensor, documents: Documents, judgments: Judgments, sizes: _Sizes
) -> Shortlist | None:
    """The shortlist of a tile of queries; None where too much is in the running."""
    found = Survivors(len(queries), sizes.room, queries.device)
    if not _filter(queries, documents, found, sizes):
        return None
    owner, column = found.pairs()
    there = documents.order[column] >= 0
    owner, column = owner[there], column[there]
    row, position = documents.order[column].long(), documents.positions[column].long()
    base, along, lowest, highest = documents.score(queries, owner, row, position)
    floor = _kth_highest(owner, lowest, len(queries), sizes.k)
    lengths = torch.linalg.vector_norm(queries, dim=1, dtype=torch.float64)
    floor -= _ROUNDING * documents.gain * documents.reach * lengths
    kept = torch.nonzero(highest >= floor[owner])[:, 0]
    kept = kept[torch.argsort(owner[kept] * documents.count + row[kept])]
    counts = torch.bincount(owner[kept], minlength=len(queries)).cpu().numpy()
    return Shortlist(
        _indptr(counts),
        row[kept].cpu().numpy(),
        position[kept].cpu().numpy(),
        base[kept].cpu().numpy(),
        along[kept].cpu().numpy(),
        judgments,
        documents.path,
    )


def _filter(queries: torch.Tensor, documents: Documents, found: Survivors, sizes: _Sizes) -> bool:
    """Find every group that may be in the running; False where there are too many to hold."""
    held = documents.scaled(queries)
    for span in documents.launches(sizes.first):
        before = found.counts.clone()
        documents.scan(held, found, *span)
        if found.full:
            # What there was room for tells a better floor: again from it, with more room.
            found.raise_floors(sizes.k)
            found.grow(sizes.most)
            found.counts = before
            documents.scan(held, found, *span)
            if found.full:
                return False
        found.raise_floors(sizes.k)
        found.drop(documents.slack)
    return True


def _kth_highest(owner: torch.Tensor, score: torch.Tensor, n_owners: int, k: int) -> torch.Tensor:
    """The k-th highest score of each owner, -inf where it has fewer."""
    order = torch.argsort(score, descending=True)
    order = order[torch.argsort(owner[order], stable=True)]
    counts = torch.bincount(owner, minlength=n_owners)
    enough = counts >= k
    place = (torch.cumsum(counts, 0) - counts)[enough] + k - 1
    result = score.new_full((n_owners,), -torch.inf)
    result[enough] = score[order[place]]
    return result


def _join(parts: list[Shortlist], judgments: Judgments, path: Path) -> Shortlist:
    return Shortlist(
        _indptr(np.concatenate([np.diff(part.indptr) for part in parts])),
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.base for part in parts]),
        np.concatenate([part.along for part in parts]),
        judgments,
        path,
    )


def _indptr(counts: IntVector) -> IntVector:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
