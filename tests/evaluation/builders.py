"""Small scores and reports that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import numpy as np

from nudge_integrations.evaluation import EvaluationReport, Scores, compare

QUERIES = {
    "q0": "how long does delivery take",
    "q1": "can I pay by card",
    "q2": "where is my invoice",
    "q3": "how do I return a parcel",
    "q4": "do you ship to islands",
    "q5": "is there a discount for schools",
}
BEFORE = [0.2, 0.4, 0.1, 0.0, 0.9, 0.5]
AFTER = [0.9, 0.8, 0.1, 0.5, 0.3, 0.4]
SEEN = {"q0", "q1", "q2", "q3"}


def scores(
    *columns: list[float], names: tuple[str, ...] = ("ndcg@10",), ranks: list[int] | None = None
) -> Scores:
    """Scores of q0, q1, ... with a column for each metric."""
    ids = tuple(f"q{place}" for place in range(len(columns[0])))
    values = {name: np.array(column) for name, column in zip(names, columns, strict=True)}
    return Scores(ids, values, None if ranks is None else np.array(ranks))


def report(**changes: Any) -> EvaluationReport:
    """Six queries: the four seen ones gain, the two unseen ones lose."""
    arguments: dict[str, Any] = {
        "seen": SEEN,
        "queries": QUERIES,
        "judged_on": "test queries",
        "method": "NUDGE-N",
        "step": 0.25,
        "step_reason": "best ndcg@10 of 64 steps on 3 validation queries",
        "moved": 40,
        "documents": 1200,
        "curve": ((0.0, 0.30), (0.25, 0.45), (0.5, 0.41)),
        "notes": ("two questions had the same text",),
    }
    before = scores(BEFORE, BEFORE, names=("ndcg@10", "recall@10"), ranks=[9, 5, 30, 0, 1, 2])
    after = scores(AFTER, AFTER, names=("ndcg@10", "recall@10"), ranks=[1, 2, 30, 4, 8, 3])
    return compare(before, after, **{**arguments, **changes})


def crowded(seen: float, unseen: float = -0.3, queries: int = 40) -> EvaluationReport:
    """Half of the queries are seen; each group changes by the same in all of its queries."""
    after = [0.5 + (seen if place % 2 == 0 else unseen) for place in range(queries)]
    return compare(
        scores([0.5] * queries),
        scores(after),
        seen={f"q{place}" for place in range(0, queries, 2)},
        judged_on="test queries",
        method="NUDGE-N",
        step=0.5,
    )


def many(
    count: int,
    *,
    gain: float,
    metrics: tuple[str, ...],
    seed: int = 0,
    seen: tuple[str, ...] | None = None,
) -> EvaluationReport:
    """A report on many queries with random scores; half of the queries are seen."""
    rng = np.random.default_rng(seed)
    before = [rng.uniform(0, 0.5, count).tolist() for _ in metrics]
    after = [np.clip(np.array(row) + rng.normal(gain, 0.1, count), 0, 1).tolist() for row in before]
    return compare(
        scores(*before, names=metrics),
        scores(*after, names=metrics),
        seen={f"q{place}" for place in range(0, count, 2)} if seen is None else seen,
        judged_on="test queries",
        method="NUDGE-M",
        step=0.5,
        curve=[(place / 10, 0.3 + place / 50) for place in range(6)],
    )
