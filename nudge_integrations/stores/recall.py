"""How much of what is nearest an approximate index finds."""

from __future__ import annotations

from itertools import islice

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.stores.store import LiveStore, scores_of

_QUERIES = 50
_K = 10
_ROWS = 20_000


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
