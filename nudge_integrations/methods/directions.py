"""Where each document should move: towards the questions that it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import tensor

_CPU = torch.device("cpu")


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
    order = np.argsort(judgments.documents, kind="stable")
    documents = judgments.documents[order]
    begins = np.flatnonzero(np.diff(documents, prepend=-1))
    # A sparse product whose entries are all 1 is a sum of rows: torch adds them up in parallel.
    sums = torch.nn.functional.embedding_bag(
        tensor(judgments.query_of_entry[order], _CPU),
        tensor(queries, _CPU),
        torch.from_numpy(begins),
        mode="sum",
    )
    lengths = torch.linalg.vector_norm(sums, dim=1)
    alive = (lengths > 0).numpy()
    vectors: FloatMatrix = sums.div_(lengths[:, None]).numpy()
    rows = documents[begins]
    return Directions(rows, vectors) if alive.all() else Directions(rows[alive], vectors[alive])
