"""The metrics are trec_eval's: compared with pytrec_eval on random graded runs."""

from __future__ import annotations

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.evaluation import evaluate_run

CUTOFFS = (1, 2, 3, 5, 10, 100)
TREC_NAMES = {"ndcg": "ndcg_cut", "recall": "recall", "precision": "P", "hit_rate": "success"}
LARGE = 1000

# Few distinct similarities, so that ties are common; ids whose order is not that of their bytes'
# length; floats that float32 tells apart, and some that it does not.
IDS = st.sampled_from([*"abcdefgh", "a1", "a10", "a2", "é", "日本", "😀", "\uffff"])
SIMILARITIES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.0 + 1e-12, 1e30]),
    st.floats(-1, 1),
)
QUERY_IDS = [f"q{number}" for number in range(5)]
QRELS = st.dictionaries(
    st.sampled_from(QUERY_IDS),
    st.dictionaries(IDS, st.integers(-1, 4), min_size=1),
    min_size=1,
)
RUN = st.dictionaries(st.sampled_from(QUERY_IDS), st.dictionaries(IDS, SIMILARITIES, min_size=1))


@given(QRELS, RUN)
def test_every_query_scores_what_trec_eval_gives(
    qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]
) -> None:
    qrels = {**qrels, "sure": {"a": 1, "b": 2}}
    run = {**run, "sure": {"x": 3.0, "b": 2.0, "a": 2.0}}
    cuts = ",".join(map(str, CUTOFFS))
    measures = {f"{name}.{cuts}" for name in TREC_NAMES.values()} | {"recip_rank"}
    reference = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    ours = evaluate_run(
        run, qrels, [f"{name}@{k}" for name in (*TREC_NAMES, "mrr") for k in (*CUTOFFS, LARGE)]
    )

    answered = [each for each in qrels if any(grade > 0 for grade in qrels[each].values())]
    assert ours.query_ids == tuple(answered)
    for place, query_id in enumerate(answered):
        expected = reference.get(query_id, {})
        for name, trec_name in TREC_NAMES.items():
            for k in CUTOFFS:
                score = ours.values[f"{name}@{k}"][place]
                assert score == pytest.approx(expected.get(f"{trec_name}_{k}", 0.0), abs=1e-6)
        reciprocal = expected.get("recip_rank", 0.0)
        assert ours.values[f"mrr@{LARGE}"][place] == pytest.approx(reciprocal, abs=1e-6)
        for k in CUTOFFS:
            cut = reciprocal if reciprocal >= 1 / k - 1e-9 else 0.0
            assert ours.values[f"mrr@{k}"][place] == pytest.approx(cut, abs=1e-6)
