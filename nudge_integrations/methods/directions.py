"""Where each document should move: towards the questions that it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from nudge_integrations.arrays import FloatMatrix, IntVector, norms
from nudge_integrations.methods.judgments import Judgments


@dataclass(frozen=True)
class Directions:
    """Unit directions of the documents that have a training query.

    Attributes:
        rows: Shape `(m,)`, int64, ascending: rows of the moved documents.
        vectors: Shape `(m, d)`, float32, unit length: `h_i = g_i / |g_i|` with `g_i` the sum of
            the training queries that document `i` answers (arXiv 2409.02343, section 3).
    """

    rows: IntVector
    vectors: FloatMatrix


def directions(queries: FloatMatrix, judgments: Judgments) -> Directions:
    """Sum the queries of each answered document, as one sparse product, and normalise.

    Each judged pair counts once (a pair that is listed twice counts twice, as in nudge-ft);
    grades are not used. A document whose queries cancel out has no direction and stays.

    Args:
        queries: Shape `(q, d)`, float32.
        judgments: Of these `q` queries.
    """
    rows, columns = np.unique(judgments.documents, return_inverse=True)
    pairs = sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns.reshape(-1), judgments.indptr),
        shape=(judgments.n_queries, len(rows)),
    )
    sums = np.ascontiguousarray(pairs.T @ queries, dtype=np.float32)
    sums = sums.reshape(len(rows), queries.shape[1])
    lengths = norms(sums)
    alive = lengths > 0
    return Directions(rows[alive].astype(np.int64), sums[alive] / lengths[alive, None])
