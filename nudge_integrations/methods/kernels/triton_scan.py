"""The fused kernels: a tile of queries against a tile of documents, with scores in registers only.

Importing this module imports triton; `triton_kernel` does so when it is first used.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Only the dimension is worth a kernel of its own: each takes seconds to compile.
_ANY = ["n_queries", "n_moved", "first", "behind", "capacity", "n_pairs", "last"]


@triton.jit(do_not_specialize=_ANY)  # type: ignore[untyped-decorator]
def scan(
    queries: tl.tensor,
    corpus: tl.tensor,
    directions: tl.tensor,
    order: tl.tensor,
    positions: tl.tensor,
    turns: tl.tensor,
    floors: tl.tensor,
    counts: tl.tensor,
    groups: tl.tensor,
    lowests: tl.tensor,
    highests: tl.tensor,
    n_queries: tl.tensor,
    n_moved: tl.tensor,
    dimension: tl.tensor,
    first: tl.tensor,
    behind: tl.tensor,
    last: tl.tensor,
    capacity: tl.tensor,
    FAMILY: tl.constexpr,
    PRECISION: tl.constexpr,
    QUERIES: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    """Append each group of neighbouring columns that reaches a query's floor to its survivors.

    One program takes one tile of queries and one of columns. A column is a place in `order`.

    Args:
        queries: Shape `(n_queries, dimension)`.
        corpus: Shape `(n, dimension)`, in the type of the queries, as are the directions.
        directions: Shape `(n_moved, dimension)`.
        order: int32: the corpus row of each column, -1 for none.
        positions: int32: the direction of each column, unused where documents are still.
        turns: Shape `(4, n_moved)`, float64: see `_rotation_bounds`; unused by other families.
        floors: Shape `(n_queries,)`, float32: the score that is to be reached.
        counts: Shape `(n_queries,)`, int32: survivors so far, those beyond `capacity` included.
        groups: Shape `(n_queries, capacity)`, int32, written: group `g` is the columns from
            `GROUP * g` to before `GROUP * (g + 1)`.
        lowests: Shaped like `groups`, float32, written: the best of the group's lowest scores.
        highests: The same of its highest scores.
        n_queries: Number of queries.
        n_moved: Number of documents with a direction.
        dimension: Number of components, a multiple of `DEPTH`.
        first: First column of this launch, a multiple of `GROUP`.
        behind: The column behind its last one.
        last: The largest step.
        capacity: Places a query.
        FAMILY: `"still"`, `"addition"` or `"rotation"`: what all columns of this launch do.
        PRECISION: How float32 is multiplied: `"ieee"` or `"tf32"`.
        QUERIES: Queries in a tile.
        DOCUMENTS: Columns in a tile.
        DEPTH: Components at a time.
        GROUP: Columns in a group.
    """
    # Neighbouring programs share their documents, so these are read from memory once.
    query_tiles = tl.cdiv(n_queries, QUERIES)
    first_query = (tl.program_id(0) % query_tiles) * QUERIES
    first_column = first + (tl.program_id(0) // query_tiles) * DOCUMENTS
    query = first_query + tl.arange(0, QUERIES)
    column = first_column + tl.arange(0, DOCUMENTS)
    row = tl.load(order + column, mask=column < behind, other=-1).to(tl.int64)
    inside = (row >= 0)[None, :]
    # What is not there reads row 0, and is left out at the end: so loads of scores need no mask.
    known = tl.where(query < n_queries, query, 0).to(tl.int64)
    depth = tl.arange(0, DEPTH)
    query_at = queries + known[:, None] * dimension + depth[None, :]
    corpus_at = corpus + tl.maximum(row, 0)[None, :] * dimension + depth[:, None]
    base = tl.zeros((QUERIES, DOCUMENTS), tl.float32)
    if FAMILY == "still":
        for start in range(0, dimension, DEPTH):
            q, x = tl.load(query_at + start), tl.load(corpus_at + start)
            base = tl.dot(q, x, base, input_precision=PRECISION)
        lowest, highest = base, base
    else:
        target = tl.load(positions + column, mask=row >= 0, other=0).to(tl.int64)
        target_at = directions + target[None, :] * dimension + depth[:, None]
        along = tl.zeros((QUERIES, DOCUMENTS), tl.float32)
        for start in range(0, dimension, DEPTH):
            q = tl.load(query_at + start)
            x = tl.load(corpus_at + start)
            h = tl.load(target_at + start)
            base = tl.dot(q, x, base, input_precision=PRECISION)
            along = tl.dot(q, h, along, input_precision=PRECISION)
        if FAMILY == "addition":
            end = base + last * along
            lowest, highest = tl.minimum(base, end), tl.maximum(base, end)
        else:
            turn = turns + target
            lowest, highest = _rotation_bounds(
                base,
                along,
                tl.load(turn).to(tl.float32)[None, :],
                tl.load(turn + n_moved).to(tl.float32)[None, :],
                tl.load(turn + 2 * n_moved).to(tl.float32)[None, :],
                tl.load(turn + 3 * n_moved).to(tl.float32)[None, :],
            )
    in_groups: tl.constexpr = (QUERIES, DOCUMENTS // GROUP, GROUP)
    low = tl.max(tl.reshape(tl.where(inside, lowest, -float("inf")), in_groups), axis=2)
    high = tl.max(tl.reshape(tl.where(inside, highest, -float("inf")), in_groups), axis=2)
    floor = tl.load(floors + query, mask=query < n_queries, other=float("inf"))
    reached = tl.max(high, axis=1) >= floor
    if tl.max(reached.to(tl.int32), axis=0) > 0:
        # Rare, so it must not cost registers: one flat list of (query, group).
        SIZE: tl.constexpr = QUERIES * DOCUMENTS // GROUP
        cell = tl.arange(0, SIZE)
        owner = first_query + cell // (DOCUMENTS // GROUP)
        keep = tl.reshape(high >= floor[:, None], (SIZE,))
        slot = tl.atomic_add(counts + owner, 1, mask=keep, sem="relaxed")
        keep = keep & (slot < capacity)
        survivor = owner.to(tl.int64) * capacity + slot
        tl.store(groups + survivor, first_column // GROUP + cell % (DOCUMENTS // GROUP), mask=keep)
        tl.store(lowests + survivor, tl.reshape(low, (SIZE,)), mask=keep)
        tl.store(highests + survivor, tl.reshape(high, (SIZE,)), mask=keep)


@triton.jit(do_not_specialize=_ANY)  # type: ignore[untyped-decorator]
def score(
    queries: tl.tensor,
    corpus: tl.tensor,
    directions: tl.tensor,
    turns: tl.tensor,
    owners: tl.tensor,
    rows: tl.tensor,
    positions: tl.tensor,
    bases: tl.tensor,
    alongs: tl.tensor,
    lowests: tl.tensor,
    highests: tl.tensor,
    n_pairs: tl.tensor,
    n_moved: tl.tensor,
    dimension: tl.tensor,
    last: tl.tensor,
    FAMILY: tl.constexpr,
    PAIRS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """Score pairs of a query and a document in float64, without copying a vector.

    Args:
        queries: Float32, shape `(q, dimension)`, as are the next two with rows of their own.
        corpus: Documents where they stand.
        directions: Where they go.
        turns: Shape `(4, n_moved)`, float64: see `_rotation_bounds`.
        owners: Shape `(n_pairs,)`, int64: row of the query.
        rows: Row of the document.
        positions: Row of its direction, -1 for none.
        bases: Shape `(n_pairs,)`, float64, written, as are the next three: score where it stands.
        alongs: Score of its direction, 0 for none.
        lowests: Lowest score on its way.
        highests: Highest score on its way.
        n_pairs: Number of pairs.
        n_moved: Number of directions.
        dimension: Number of components.
        last: The largest step.
        FAMILY: `"addition"` or `"rotation"`.
        PAIRS: Pairs a program.
        DEPTH: Components at a time.
    """
    pair = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    real = pair < n_pairs
    owner = tl.load(owners + pair, mask=real, other=0)
    row = tl.load(rows + pair, mask=real, other=0)
    position = tl.load(positions + pair, mask=real, other=-1)
    moves = position >= 0
    place = tl.maximum(position, 0)
    base = tl.zeros((PAIRS,), tl.float64)
    along = tl.zeros((PAIRS,), tl.float64)
    for start in range(0, dimension, DEPTH):
        depth = start + tl.arange(0, DEPTH)[None, :]
        here = (depth < dimension) & real[:, None]
        q = tl.load(queries + owner[:, None] * dimension + depth, mask=here, other=0.0)
        x = tl.load(corpus + row[:, None] * dimension + depth, mask=here, other=0.0)
        h_at = directions + place[:, None] * dimension + depth
        h = tl.load(h_at, mask=here & moves[:, None], other=0.0)
        base += tl.sum(q.to(tl.float64) * x.to(tl.float64), axis=1)
        along += tl.sum(q.to(tl.float64) * h.to(tl.float64), axis=1)
    if FAMILY == "addition":
        end = base + last * along
        lowest, highest = tl.minimum(base, end), tl.maximum(base, end)
    else:
        lowest, highest = _rotation_bounds(
            base,
            along,
            tl.load(turns + place, mask=moves, other=0.0),
            tl.load(turns + n_moved + place, mask=moves, other=1.0),
            tl.load(turns + 2 * n_moved + place, mask=moves, other=1.0),
            tl.load(turns + 3 * n_moved + place, mask=moves, other=0.0),
        )
    tl.store(bases + pair, base, mask=real)
    tl.store(alongs + pair, along, mask=real)
    tl.store(lowests + pair, lowest, mask=real)
    tl.store(highests + pair, highest, mask=real)


@triton.jit  # type: ignore[untyped-decorator]
def _rotation_bounds(
    base: tl.tensor,
    along: tl.tensor,
    cosine: tl.tensor,
    over_sine: tl.tensor,
    cos_end: tl.tensor,
    sin_end: tl.tensor,
) -> tuple[tl.tensor, tl.tensor]:
    """`RotationPath.bounds`: extremes at the ends of the way, or at one place inside it.

    Args:
        base: Scores of the documents.
        along: Scores of their directions.
        cosine: Of the angle between the two.
        over_sine: 1 / sine of that angle.
        cos_end: Cosine of the angle at which the way ends.
        sin_end: Its sine.
    """
    across = (along - cosine * base) * over_sine
    end = base * cos_end + across * sin_end
    slope_at_end = across * cos_end - base * sin_end
    peak = tl.sqrt(base * base + across * across)
    highest = tl.where((across > 0) & (slope_at_end < 0), peak, tl.maximum(base, end))
    lowest = tl.where((across < 0) & (slope_at_end > 0), -peak, tl.minimum(base, end))
    return lowest, highest
