"""The fused kernel: one tile of queries against one tile of documents, scores in registers only.

Importing this module imports triton; `triton_kernel` does so when it is first used.
"""

from __future__ import annotations


import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def scan(
    queries: tl.tensor,
    corpus: tl.tensor,
    directions: tl.tensor,
    order: tl.tensor,
    positions: tl.tensor,
    turns: tl.tensor,
    floors: tl.tensor,
    counts: tl.tensor,
    columns: tl.tensor,
    lowests: tl.tensor,
    highests: tl.tensor,
    n_queries: tl.tensor,
    first: tl.tensor,
    behind: tl.tensor,
    n_still: tl.tensor,
    n_moved: tl.tensor,
    dimension: tl.tensor,
    last: tl.tensor,
    capacity: tl.tensor,
    FAMILY: tl.constexpr,
    PRECISION: tl.constexpr,
    WHOLE: tl.constexpr,
    QUERIES: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    """Append every document of a tile that reaches its query's floor to the query's survivors.

    Args:
        queries: Shape `(n_queries, dimension)`.
        corpus: Shape `(n, dimension)`, in the type of the queries, as are the directions.
        directions: Shape `(n_moved, dimension)`.
        order: Shape `(n,)`, int32: the corpus row of each column, the still documents first.
        positions: Shape `(n_moved,)`, int32: the direction of each column from `n_still` on.
        turns: Shape `(4, n_moved)`, float32, in the order of `positions`, for rotations: cosine
            and reciprocal sine of the angle to the direction, cosine and sine of the way's end.
        floors: Shape `(n_queries,)`, float32.
        counts: Shape `(n_queries,)`, int32: survivors so far, those beyond `capacity` included.
        columns: Shape `(n_queries, capacity)`, int32: written, as are the next two.
        lowests: Lowest score of the survivor on its way, float32.
        highests: Highest score on its way, float32.
        n_queries: Number of queries.
        first: First column of this launch.
        behind: The column behind the last one.
        n_still: Number of documents that do not move.
        n_moved: Number of documents that do.
        dimension: Number of components.
        last: The largest step.
        capacity: Places a query.
        FAMILY: `"still"`, `"addition"` or `"rotation"`: what all columns of this launch do.
        PRECISION: How float32 is multiplied: `"ieee"` or `"tf32"`.
        WHOLE: Whether `dimension` is a multiple of `DEPTH`.
        QUERIES: Queries in a tile.
        DOCUMENTS: Documents in a tile.
        DEPTH: Components at a time.
    """
    # Neighbouring programs share their documents: each tile of these is read from memory once.
    query_tiles = tl.cdiv(n_queries, QUERIES)
    program = tl.program_id(0)
    query = (program % query_tiles) * QUERIES + tl.arange(0, QUERIES)
    column = first + (program // query_tiles) * DOCUMENTS + tl.arange(0, DOCUMENTS)
    asked, inside = query < n_queries, column < behind
    depth = tl.arange(0, DEPTH)
    # Rows that are not there are row 0, and left out at the end: so loads need no mask for them.
    row = tl.load(order + column, mask=inside, other=0).to(tl.int64)
    query_at = queries + tl.where(asked, query, 0)[:, None] * dimension + depth[None, :]
    corpus_at = corpus + row[None, :] * dimension + depth[:, None]
    base = tl.zeros((QUERIES, DOCUMENTS), tl.float32)
    if FAMILY == "still":
        for start in range(0, dimension, DEPTH):
            here = depth < dimension - start
            if WHOLE:
                q, x = tl.load(query_at + start), tl.load(corpus_at + start)
            else:
                q = tl.load(query_at + start, mask=here[None, :], other=0.0)
                x = tl.load(corpus_at + start, mask=here[:, None], other=0.0)
            base = tl.dot(q, x, base, input_precision=PRECISION)
        lowest, highest = base, base
    else:
        place = tl.where(inside, column - n_still, 0)
        target = tl.load(positions + place).to(tl.int64)
        target_at = directions + target[None, :] * dimension + depth[:, None]
        along = tl.zeros((QUERIES, DOCUMENTS), tl.float32)
        for start in range(0, dimension, DEPTH):
            here = depth < dimension - start
            if WHOLE:
                q, x = tl.load(query_at + start), tl.load(corpus_at + start)
                h = tl.load(target_at + start)
            else:
                q = tl.load(query_at + start, mask=here[None, :], other=0.0)
                x = tl.load(corpus_at + start, mask=here[:, None], other=0.0)
                h = tl.load(target_at + start, mask=here[:, None], other=0.0)
            base = tl.dot(q, x, base, input_precision=PRECISION)
            along = tl.dot(q, h, along, input_precision=PRECISION)
        if FAMILY == "addition":
            end = base + last * along
            lowest, highest = tl.minimum(base, end), tl.maximum(base, end)
        else:
            lowest, highest = _rotation_bounds(base, along, turns + place, n_moved)
    low = tl.max(
        tl.reshape(
            tl.where(inside[None, :], lowest, -float("inf")), (QUERIES, DOCUMENTS // GROUP, GROUP)
        ),
        axis=2,
    )
    high = tl.max(
        tl.reshape(
            tl.where(inside[None, :], highest, -float("inf")), (QUERIES, DOCUMENTS // GROUP, GROUP)
        ),
        axis=2,
    )
    floor = tl.load(floors + query, mask=asked, other=float("inf"))
    reached = tl.max(high, axis=1) >= floor
    if tl.max(reached.to(tl.int32), axis=0) > 0:
        # One flat list of (query, group): what follows is rare, and must not cost registers.
        cell = tl.arange(0, QUERIES * DOCUMENTS // GROUP)
        owner = (program % query_tiles) * QUERIES + cell // (DOCUMENTS // GROUP)
        keep = tl.reshape(high >= floor[:, None], (QUERIES * DOCUMENTS // GROUP,))
        slot = tl.atomic_add(counts + owner, 1, mask=keep, sem="relaxed")
        keep = keep & (slot < capacity)
        survivor = owner.to(tl.int64) * capacity + slot
        group = (first + (program // query_tiles) * DOCUMENTS) // GROUP + cell % (DOCUMENTS // GROUP)
        tl.store(columns + survivor, group, mask=keep)
        tl.store(lowests + survivor, tl.reshape(low, (QUERIES * DOCUMENTS // GROUP,)), mask=keep)
        tl.store(highests + survivor, tl.reshape(high, (QUERIES * DOCUMENTS // GROUP,)), mask=keep)


@triton.jit  # type: ignore[untyped-decorator]
def _rotation_bounds(
    base: tl.tensor, along: tl.tensor, turns: tl.tensor, n_moved: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """`RotationPath.bounds` on a tile: at the ends of the way, or at one extreme inside it."""
    cosine, over_sine = tl.load(turns)[None, :], tl.load(turns + n_moved)[None, :]
    cos_end = tl.load(turns + 2 * n_moved)[None, :]
    sin_end = tl.load(turns + 3 * n_moved)[None, :]
    across = (along - cosine * base) * over_sine
    end = base * cos_end + across * sin_end
    slope_at_end = across * cos_end - base * sin_end
    peak = tl.sqrt(base * base + across * across)
    highest = tl.where((across > 0) & (slope_at_end < 0), peak, tl.maximum(base, end))
    lowest = tl.where((across < 0) & (slope_at_end > 0), -peak, tl.minimum(base, end))
    return lowest, highest
