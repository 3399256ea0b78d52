"""`evaluate`: bare vectors in, the scores that trec_eval gives out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations import evaluate, search
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import parse_metric

TREC = {
    "ndcg@1": "ndcg_cut_1",
    "ndcg@10": "ndcg_cut_10",
    "recall@5": "recall_5",
    "recall@20": "recall_20",
    "precision@3": "P_3",
    "hit_rate@2": "success_2",
    "mrr@100": "recip_rank",
}
MEASURES = {"ndcg_cut.1,10", "recall.5,20", "P.3", "success.2", "recip_rank"}


@st.composite
def worlds(draw: Any) -> dict[str, Any]:
    """Random vectors of any length, and graded judgments that may be missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    documents, queries = draw(st.integers(1, 40)), draw(st.integers(1, 8))
    width = draw(st.integers(2, 6))
    answers, grades = [], []
    for place in range(queries):
        count = draw(st.integers(0 if place else 1, min(4, documents)))
        answers.append(rng.choice(documents, count, replace=False).tolist())
        grades.append(rng.integers(1, 4, count).tolist())
    return {
        "embeddings": rng.normal(size=(documents, width)) * rng.uniform(0.2, 5, (documents, 1)),
        "q_embs": rng.normal(size=(queries, width)),
        "q_ans_indx": answers,
        "grades": grades,
    }


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@given(world=worlds())
def test_every_query_scores_what_trec_eval_gives(similarity: Any, world: dict[str, Any]) -> None:
    documents = world["embeddings"]
    if similarity == "cosine":
        documents = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    qrels = {
        str(query): dict(zip(map(str, rows), grades, strict=True))
        for query, (rows, grades) in enumerate(
            zip(world["q_ans_indx"], world["grades"], strict=True)
        )
        if rows
    }
    run = {
        str(query): {str(row): float(score) for row, score in enumerate(documents @ vector)}
        for query, vector in enumerate(world["q_embs"])
    }
    reference = pytrec_eval.RelevanceEvaluator(qrels, MEASURES).evaluate(run)

    scores = evaluate(world["embeddings"], world, list(TREC), similarity=similarity)

    assert scores.query_ids == tuple(qrels)
    for place, query in enumerate(scores.query_ids):
        for metric, name in TREC.items():
            assert scores.values[metric][place] == pytest.approx(reference[query][name], abs=1e-9)


def test_metrics_come_as_one_name_or_several_or_as_objects() -> None:
    embeddings, test_set = np.eye(3), {"q_embs": np.eye(3), "q_ans_indx": [[0], [1], [0]]}

    one = evaluate(embeddings, test_set, "recall@1")
    assert one.mean("recall@1") == pytest.approx(2 / 3)
    assert evaluate(embeddings, test_set, parse_metric("recall@1")).mean("recall@1") == one.mean(
        "recall@1"
    )
    assert list(evaluate(embeddings, test_set, ["mrr@10", "ndcg@5"]).values) == ["mrr@10", "ndcg@5"]


def test_without_grades_every_answer_has_grade_1() -> None:
    world = {"q_embs": [[1.0, 0.1]], "q_ans_indx": [[0, 1]]}

    flat = evaluate(np.eye(2), world, "ndcg@10")
    graded = evaluate(np.eye(2), {**world, "grades": [[1, 3]]}, "ndcg@10")

    assert flat.mean("ndcg@10") == 1
    assert graded.mean("ndcg@10") < 1


def test_length_counts_under_the_inner_product_alone() -> None:
    embeddings = np.array([[1.0, 0.0], [9.0, 9.0]])
    world = {"q_embs": np.array([[1.0, 0.0]]), "q_ans_indx": [[0]]}

    assert evaluate(embeddings, world, "recall@1").mean("recall@1") == 1
    assert evaluate(embeddings, world, "recall@1", similarity="dot").mean("recall@1") == 0


def test_a_query_without_answers_is_left_out() -> None:
    world = {"q_embs": np.eye(3), "q_ans_indx": [[0], [], np.array([2])]}

    assert evaluate(np.eye(3), world).query_ids == ("0", "2")


def test_a_cut_off_beyond_the_corpus_is_fine() -> None:
    assert (
        evaluate(np.eye(2), {"q_embs": np.eye(2), "q_ans_indx": [[1], [1]]}, "recall@99").mean(
            "recall@99"
        )
        == 1
    )


GOOD: dict[str, Any] = {"q_embs": np.eye(2), "q_ans_indx": [[0], [1]]}


@pytest.mark.parametrize(
    ("embeddings", "test_set", "options", "named"),
    [
        pytest.param(np.eye(2), {"q_embs": np.eye(2)}, {}, "no 'q_ans_indx'", id="no answers"),
        pytest.param(np.eye(2), [1, 2], {}, "test_set must be a dict", id="a list for a dict"),
        pytest.param(np.eye(2), None, {}, "test_set must be a dict", id="no test set"),
        pytest.param(np.eye(3), GOOD, {}, "q_embs have 2 dimensions, but 3", id="other widths"),
        pytest.param(np.zeros((2, 2)), GOOD, {}, "embeddings must not be zero: row 0", id="zeros"),
        pytest.param(
            np.eye(2),
            {**GOOD, "q_embs": [[1.0, np.nan], [1.0, 0.0]]},
            {},
            "q_embs must be finite: NaN or infinity in row 0",
            id="NaN",
        ),
        pytest.param(
            np.eye(2),
            {**GOOD, "q_ans_indx": [[0], [2]]},
            {},
            "query 1 names document 2, but the documents are numbered 0 to 1",
            id="a row that is not there",
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [[-1], [0]]}, {}, "names document -1", id="below 0"
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [[0.5], [0]]}, {}, "names document 0.5", id="half"
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [["0"], [0]]}, {}, "names document '0'", id="an id"
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [[0]]}, {}, "2 q_embs, but q_ans_indx of 1", id="few"
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [0, 1]}, {}, "one list per query", id="flat answers"
        ),
        pytest.param(
            np.eye(2),
            {**GOOD, "grades": [[1], [1, 2]]},
            {},
            "one grade for each",
            id="grades of another shape",
        ),
        pytest.param(
            np.eye(2),
            {**GOOD, "grades": [[1], [np.nan]]},
            {},
            "grades of query 1 must be finite",
            id="a NaN",
        ),
        pytest.param(
            np.eye(2), {**GOOD, "q_ans_indx": [[], []]}, {}, "nothing to measure", id="no answer"
        ),
        pytest.param(
            np.eye(2), GOOD, {"metrics": "ndgc@10"}, "unknown metric 'ndgc@10'", id="a typo"
        ),
        pytest.param(np.eye(2), GOOD, {"metrics": []}, "no metric was given", id="no metric"),
        pytest.param(
            np.eye(2), GOOD, {"similarity": "l2"}, "must be 'cosine' or 'dot', got 'l2'", id="l2"
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    embeddings: Any, test_set: Any, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(embeddings, test_set, **options)

    assert type(caught.value) is DataError
    assert named in str(caught.value)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@given(seed=st.integers(0, 1000), k=st.integers(1, 15), cut=st.integers(1, 11))
def test_a_corpus_in_parts_is_searched_as_one(similarity: Any, seed: int, k: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    documents, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (12, 4))
    documents[7] = documents[2]  # a tie

    rows, scores = search(queries, documents, k, similarity=similarity)
    parts, again = search(queries, [documents[:cut], documents[cut:]], k, similarity=similarity)

    exact = queries.astype(np.float64) @ documents.T.astype(np.float64)
    if similarity == "cosine":
        lengths = [np.linalg.norm(each, axis=1) for each in (queries, documents)]
        exact /= np.outer(*lengths)
    assert rows.shape == scores.shape == (4, min(k, 12))
    assert np.allclose(scores, -np.sort(-exact, axis=1)[:, :k], atol=1e-5)
    assert np.allclose(np.take_along_axis(exact, parts, axis=1), again, atol=1e-5)
    assert np.allclose(scores, again, atol=1e-5)


def test_a_corpus_in_parts_is_evaluated_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    documents, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (12, 4))
    asked = {"q_embs": queries, "q_ans_indx": [[0], [5, 11], [], [7]]}
    np.save(tmp_path / "shard.npy", documents[4:])
    shard = np.load(tmp_path / "shard.npy", mmap_mode="r")

    whole = evaluate(documents, asked, "recall_cap@3")
    parts = evaluate([documents[:4], shard], asked, "recall_cap@3")

    assert parts.values["recall_cap@3"].tolist() == whole.values["recall_cap@3"].tolist()
