"""The step is the one that a search over all steps, folds and documents would choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods_oracle import (
    TOLERANCE,
    Array,
    Questions,
    answered,
    metric_values,
    moved_documents,
    random_documents,
    random_questions,
    score_matrix,
    top_grades,
    unit_directions,
)
from methods_tuning import KINDS, LISTED, STEPS, Tuning, tuning, with_moved

from nudge_integrations.methods import NudgeN

METRICS = ["ndcg@10", "recall@3", "mrr@5", "recall_cap@1"]


def mean_scores(metric: str, rankings: Array, held: Questions, rows: Array) -> Array:
    """The metric of each of `rows` at each step: (steps, rows)."""
    some = held.some(rows)
    return np.stack([metric_values(metric, each[rows], some.answers) for each in rankings])


def smallest_best(totals: Array) -> int:
    return int(np.flatnonzero(totals >= totals.max() - 1e-9)[0])


every_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)
every_metric = pytest.mark.parametrize("metric", METRICS)
some_seeds = pytest.mark.parametrize("seed", range(4))


@every_kind
@every_metric
@some_seeds
def test_holdout_takes_the_smallest_of_the_best_steps(
    kind: tuple[str, str], metric: str, seed: int
) -> None:
    case = tuning(seed, kind)
    fit = case.fit(metric, validation=case.validation_set(), selection="holdout")

    rows = answered(case.validation)
    rankings = case.rankings(case.train, case.validation, STEPS)
    assert rankings is not None
    means = mean_scores(metric, rankings, case.validation, rows).mean(axis=1)
    assert [step for step, _ in fit.curve] == STEPS
    np.testing.assert_allclose([score for _, score in fit.curve], means, atol=1e-9)
    assert fit.step == STEPS[smallest_best(means)]
    expected = moved_documents(case.documents, case.train, fit.step, *kind)
    np.testing.assert_allclose(with_moved(case.documents, fit), expected, atol=2e-6)


@every_kind
@every_metric
@some_seeds
def test_cross_validation_takes_the_smallest_of_the_best_steps_and_then_uses_every_question(
    kind: tuple[str, str], metric: str, seed: int
) -> None:
    case = tuning(seed, kind)
    fit = case.fit(metric, groups=case.folds)

    rows, rankings = answered(case.train), case.by_folds(STEPS)
    assert rankings is not None
    scores = mean_scores(metric, rankings, case.train, rows)
    np.testing.assert_allclose([score for _, score in fit.curve], scores.mean(axis=1), atol=1e-9)
    assert fit.step == STEPS[smallest_best(scores.sum(axis=1))]
    expected = moved_documents(case.documents, case.train, fit.step, *kind)
    np.testing.assert_allclose(with_moved(case.documents, fit), expected, atol=2e-6)


@every_kind
@some_seeds
def test_held_out_questions_are_judged_by_other_folds_only(
    kind: tuple[str, str], seed: int
) -> None:
    """Both the vectors and the step that a question is judged at come from the other folds."""
    case = tuning(seed, kind)
    fit = case.fit("recall@3", groups=case.folds)

    rows, rankings = answered(case.train), case.by_folds(STEPS)
    assert rankings is not None
    assert fit.held_out is not None
    scores = mean_scores("recall@3", rankings, case.train, rows)
    assert fit.held_out.queries.tolist() == rows.tolist()
    np.testing.assert_array_equal(fit.held_out.before, rankings[0, rows])
    for place, row in enumerate(rows):
        others = case.folds[rows] != case.folds[row]
        at = smallest_best(scores[:, others].sum(axis=1))
        np.testing.assert_array_equal(fit.held_out.after[place], rankings[at, row])


@every_kind
@some_seeds
def test_held_out_validation_questions_are_judged_at_a_step_chosen_on_other_groups(
    kind: tuple[str, str], seed: int
) -> None:
    case = tuning(seed, kind)
    groups = np.concatenate([case.folds, 10 + np.arange(len(case.validation.answers)) % 4])
    fit = case.fit("ndcg@10", validation=case.validation_set(), groups=groups)

    rows = answered(case.validation)
    rankings = case.rankings(case.train, case.validation, STEPS)
    assert rankings is not None
    assert fit.held_out is not None
    scores = mean_scores("ndcg@10", rankings, case.validation, rows)
    own = groups[len(case.folds) :][rows]
    assert fit.held_out.queries.tolist() == (len(case.folds) + rows).tolist()
    for place, row in enumerate(rows):
        at = smallest_best(scores[:, own != own[place]].sum(axis=1))
        np.testing.assert_array_equal(fit.held_out.before[place], rankings[0, row])
        np.testing.assert_array_equal(fit.held_out.after[place], rankings[at, row])


@every_kind
@some_seeds
def test_seen_are_the_held_out_questions_with_an_answer_that_others_moved(
    kind: tuple[str, str], seed: int
) -> None:
    case = tuning(seed, kind)
    fit = case.fit("ndcg@10", groups=case.folds)
    assert fit.held_out is not None
    for row, seen in zip(fit.held_out.queries, fit.held_out.seen, strict=True):
        others = case.train.some(np.flatnonzero(case.folds != case.folds[row]))
        answers = [list(each) for each in others.answers]
        taught = unit_directions(others.vectors, answers, len(case.documents))
        # NUDGE-N leaves a document where it is that its questions point away from.
        moved = {
            document
            for document, towards in taught.items()
            if kind[0] == "m" or case.documents[document] @ towards >= 0
        }
        assert bool(seen) == (not moved.isdisjoint(case.train.answers[row]))


@every_kind
@some_seeds
def test_validation_questions_join_the_training_ones_unless_they_are_a_holdout(
    kind: tuple[str, str], seed: int
) -> None:
    case = tuning(seed, kind)
    options = {"validation": case.validation_set(), "gamma": 0.1}
    joined, apart = (
        case.fit("ndcg@10", **options),
        case.fit("ndcg@10", **options, selection="holdout"),
    )
    both = case.train.and_also(case.validation)
    for fit, questions in ((joined, both), (apart, case.train)):
        expected = moved_documents(case.documents, questions, 0.1, *kind)
        np.testing.assert_allclose(with_moved(case.documents, fit), expected, atol=2e-6)


@every_kind
@pytest.mark.parametrize("gamma", [0.0, 0.05, 0.9])
def test_a_fixed_step_is_taken_whatever_it_does(kind: tuple[str, str], gamma: float) -> None:
    case = tuning(0, kind)
    fit = case.fit("ndcg@10", gamma=gamma, groups=case.folds)
    assert fit.step == gamma
    assert [step for step, _ in fit.curve] == sorted({0.0, gamma})
    expected = moved_documents(case.documents, case.train, gamma, *kind)
    np.testing.assert_allclose(with_moved(case.documents, fit), expected, atol=2e-6)

    rows, rankings = answered(case.train), case.by_folds([gamma])
    assert rankings is not None
    assert fit.held_out is not None
    np.testing.assert_array_equal(fit.held_out.after, rankings[0, rows])


@pytest.mark.parametrize("kind", ["n", "m"])
@pytest.mark.parametrize("metric", [None, "mrr@10"])
@some_seeds
def test_a_list_of_steps_in_nudge_fts_call_is_chosen_from(
    kind: str, metric: str | None, seed: int
) -> None:
    """By capped recall, or by the metric that the method was made with; 0 is always listed."""
    case = tuning(seed, (kind, "dot"), normalised=True)
    tuned = case.method(metric=metric).finetune_embeddings(
        case.documents, case.train.as_set(), case.validation.as_set(), gamma=LISTED
    )
    steps = sorted({0.0, *LISTED})
    rankings = case.rankings(case.train, case.validation, steps)
    assert rankings is not None
    rows = answered(case.validation)
    scores = mean_scores(metric or "recall_cap@1", rankings, case.validation, rows)
    step = steps[smallest_best(scores.sum(axis=1))]
    expected = moved_documents(case.documents, case.train, step, kind, "dot")
    np.testing.assert_allclose(tuned, expected, atol=2e-6)


def test_without_validation_nudge_fts_call_cross_validates() -> None:
    case = tuning(1, ("n", "dot"), normalised=True)
    fit = case.fit("recall_cap@1")
    tuned = NudgeN("cpu").finetune_embeddings(case.documents, case.train.as_set(), gamma=STEPS)
    assert fit.step > 0
    np.testing.assert_array_equal(tuned, with_moved(case.documents, fit))


@every_kind
@given(seed=st.integers(0, 2**32 - 1))
def test_never_worse_on_validation(kind: tuple[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    documents = random_documents(rng, int(rng.integers(2, 30)), 6)
    train, validation = (random_questions(rng, 8, documents, noise=2.0) for _ in range(2))
    case = Tuning(documents, train, validation, np.arange(8) % 2, kind)
    fit = case.fit("ndcg@10", validation=case.validation_set(), selection="holdout")
    after = score_matrix(validation.vectors, with_moved(documents, fit), kind[1])
    before = score_matrix(validation.vectors, documents, kind[1])
    best, worst = (
        metric_values(
            "ndcg@10", top_grades(scores, validation.answers, 10, favour), validation.answers
        ).sum()
        for scores, favour in ((after, TOLERANCE), (before, -TOLERANCE))
    )
    assert best >= worst - 1e-9


@pytest.mark.parametrize("kind", [("n", "cosine"), ("m", "dot")], ids="-".join)
@pytest.mark.parametrize("selection", ["cross-validation", "holdout"])
def test_where_nothing_helps_nothing_moves(kind: tuple[str, str], selection: str) -> None:
    """Every question already finds its answer."""
    documents = np.eye(6, dtype=np.float32)
    near = (documents + 0.1).astype(np.float32)
    questions = Questions(near, [{row: 1.0} for row in range(6)])
    case = Tuning(documents, questions, questions, np.arange(6) % 2, kind)
    fit = case.fit("ndcg@10", validation=case.validation_set(), selection=selection)
    assert fit.step == 0
    assert fit.rows.tolist() == []
    assert fit.vectors.shape == (0, 6)
    assert "unchanged" in fit.reason
    tuned = case.method().finetune_embeddings(documents, questions.as_set(), questions.as_set())
    assert tuned.tobytes() == documents.tobytes()


def test_the_seed_decides_the_folds() -> None:
    case = tuning(2, ("n", "cosine"))

    def curve(seed: int) -> Any:
        return (
            NudgeN("cpu", seed=seed, folds=3)
            .fit(case.documents, case.train.vectors, case.train.judgments(len(case.documents)))
            .curve
        )

    assert curve(0) == curve(0)
    assert len({curve(seed) for seed in range(5)}) > 1


@every_kind
def test_the_reason_names_the_step_and_what_it_brought(kind: tuple[str, str]) -> None:
    case = tuning(1, kind)
    fit = case.fit("ndcg@10", steps=[0.0, 0.1], groups=case.folds)
    assert fit.step == 0.1
    for part in ("0.1", "ndcg@10", "3 parts", *(f"{score:.4f}" for _, score in fit.curve)):
        assert part in fit.reason
