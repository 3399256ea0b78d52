"""What a run foresees for questions about untouched documents, against what then happens."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nudge_integrations import NudgeC
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from methods import by_vectors, load, moved, ranked


@pytest.mark.parametrize("name", ["covidqa_passages", "scifact"])
def test_the_foreseen_change_of_unseen_questions_is_the_measured_one(
    name: str, data_dir: Path
) -> None:
    data = load(data_dir / name, 0)
    both, count = data.train + data.dev, len(data.documents)
    judgments = both.judgments(count).unique()
    fit = NudgeC().fit(data.documents, both.vectors, judgments)
    assert fit.unseen is not None
    totals = QueryTotals.from_csr(
        judgments.select(fit.unseen.queries).indptr, judgments.select(fit.unseen.queries).grades
    )
    before, after = (
        score_rankings("ndcg@10", each, totals) for each in (fit.unseen.before, fit.unseen.after)
    )
    foreseen = after - before

    touched = set(np.flatnonzero(judgments.touched()).tolist())
    unseen = np.array([touched.isdisjoint(each) for each in data.test.answers])
    first, second = (
        ranked(data.test, by_vectors(data.test.vectors, vectors), count)["ndcg@10"][unseen]
        for vectors in (data.documents, moved(data, fit))
    )
    measured = second - first
    error = np.sqrt(foreseen.var(ddof=1) / len(foreseen) + measured.var(ddof=1) / len(measured))
    assert len(measured) > 30
    assert abs(foreseen.mean() - measured.mean()) < 2 * error
    assert foreseen.mean() > -0.05  # as protect_unseen says
