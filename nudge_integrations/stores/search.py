"""What the store's own search finds around questions, and how much of it an index misses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, norms
from nudge_integrations.errors import UnsupportedStoreError
from nudge_integrations.stores.formats import scores_of
from nudge_integrations.stores.store import LiveStore

_EQUAL_LENGTHS = 1e-3
_FEW = 4
_BLOCK = 256  # queries between two steps of the progress bar
_QUERIES, _K, _ROWS = 50, 10, 20_000  # of measuring the recall


@dataclass(frozen=True)
class Nearby:
    """The nearest documents that no question moves.

    Attributes:
        scores: Shape `(q, k)`, float32: cosines, or inner products; best first, -inf for none.
        searches: How many queries were asked of the store.
        hits: How many ids and scores it gave.
        vectors_read: How many vectors were read instead.
    """

    scores: FloatMatrix
    searches: int = 0
    hits: int = 0
    vectors_read: int = 0


def nearby(
    store: LiveStore,
    vectors: FloatMatrix,
    left_out: Collection[str],
    k: int,
    as_scores: Callable[[FloatMatrix, FloatMatrix], FloatMatrix],
    show_progress: bool,
) -> Nearby:
    """Search for the `k` nearest of each query that are not left out, deeper where need be.

    Where almost everything is left out, the few others are read instead: to find them among the
    hits, all of the store would have to be hit.

    Args:
        store: To ask.
        vectors: Shape `(q, d)`: queries.
        left_out: Ids that do not count.
        k: How many a query.
        as_scores: Makes the method's scores of the store's, see `scale_of`.
        show_progress: Whether to draw a progress bar.
    """
    count = store.count()
    if count - len(left_out) <= max(k, len(vectors) // _FEW):
        return _by_reading(store, vectors, left_out, k, as_scores)
    result = np.full((len(vectors), k), -np.inf, np.float32)
    searches = hits = 0
    bar = tqdm(
        total=len(vectors), desc="Searching", unit="query", delay=1, disable=not show_progress
    )
    with bar:
        for start in range(0, len(vectors), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(vectors)))
            bar.update(len(rows))
            deep = min(count, k + min(len(left_out), k // 4 + 10))
            while len(rows):
                found = store.search(vectors[rows], max(1, deep))
                searches, hits = searches + len(rows), hits + sum(map(len, found))
                short = []
                for row, each in zip(rows.tolist(), found, strict=True):
                    scores = [score for name, score in each if name not in left_out][:k]
                    result[row] = -np.inf
                    result[row, : len(scores)] = scores
                    if len(scores) < k and len(each) >= deep and deep < count:
                        short.append(row)
                rows, deep = np.array(short, np.int64), min(count, 2 * deep)
    return Nearby(as_scores(result, vectors), searches, hits)


def _by_reading(
    store: LiveStore,
    vectors: FloatMatrix,
    left_out: Collection[str],
    k: int,
    as_scores: Callable[[FloatMatrix, FloatMatrix], FloatMatrix],
) -> Nearby:
    others = list(store.read([name for name in store.ids() if name not in left_out]).values())
    result = np.full((len(vectors), k), -np.inf, np.float32)
    if others:
        matrix = np.stack(others)
        for start in range(0, len(vectors), _BLOCK):
            rows = slice(start, start + _BLOCK)
            best = -np.sort(-scores_of(store.metric, vectors[rows], matrix), axis=1)[:, :k]
            result[rows, : best.shape[1]] = best
    return Nearby(as_scores(result, vectors), vectors_read=len(others))


def scale_of(
    store: LiveStore, documents: FloatMatrix
) -> Callable[[FloatMatrix, FloatMatrix], FloatMatrix]:
    """How the store's scores become what a method takes: cosines under cosine and l2.

    Raises:
        UnsupportedStoreError: An l2 store with vectors of different lengths, in which a nearer
            direction need not be nearer.
    """
    if store.metric != "l2":
        return lambda scores, _: scores
    lengths = norms(documents)
    length = float(lengths.mean())
    if float(np.ptp(lengths)) > _EQUAL_LENGTHS * length:
        raise UnsupportedStoreError(
            f"{store.identity} ranks by l2, and its vectors have lengths from {lengths.min():.4g} "
            f"to {lengths.max():.4g}: tuning turns vectors, which ranks by l2 only if all have one "
            "length; normalise them before they are stored, or use cosine"
        )

    def cosines(scores: FloatMatrix, queries: FloatMatrix) -> FloatMatrix:
        sizes = norms(queries)[:, None].astype(np.float64)
        found = (sizes**2 + length**2 + scores) / (2 * sizes * length)
        return found.astype(np.float32)

    return cosines


def measured_recall(store: LiveStore, vectors: FloatMatrix) -> float | None:
    """Recall@10 of the store's search on some queries; None where too little can be told.

    Where the store can search exactly, against that; else against a sample of its rows: of those
    that are nearer than the last hit, how many were hits.
    """
    asked = vectors[np.linspace(0, len(vectors) - 1, min(_QUERIES, len(vectors))).astype(int)]
    found = [{name for name, _ in hits} for hits in store.search(asked, _K)]
    if store.can_search_exactly():
        wanted = [{name for name, _ in hits} for hits in store.search(asked, _K, exact=True)]
        total = sum(map(len, wanted))
        both = sum(len(mine & exact) for mine, exact in zip(found, wanted, strict=True))
        return both / total if total else None
    return _by_sample(store, asked, found)


def _by_sample(store: LiveStore, asked: FloatMatrix, found: list[set[str]]) -> float | None:
    rows = store.read(list(islice(store.ids(), _ROWS)))
    # Scores are worked out here for hits too: a store rounds its own.
    rows |= store.read(sorted(set().union(*found) - set(rows)))
    names, matrix = list(rows), np.stack(list(rows.values()))
    scores = scores_of(store.metric, asked, matrix)
    place = {name: row for row, name in enumerate(names)}
    both = total = 0
    for row, hits in enumerate(found):
        known = [place[name] for name in hits if name in place]
        if not known:
            continue
        nearer = np.flatnonzero(scores[row] > scores[row, known].min() + 1e-6)
        missed = sum(names[other] not in hits for other in nearer)
        both, total = both + len(known), total + len(known) + min(missed, _K)
    return both / total if total else None
