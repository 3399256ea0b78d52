"""NUDGE-C from documents and questions to tuned vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.methods import Judgments, NudgeC, get_method
from nudge_integrations.methods.decision import Decision, decide
from nudge_integrations.methods.folds import Folds, sample, touched

SEEDS = st.integers(0, 2**32 - 1)


@dataclass
class World:
    """Documents whose questions all stand to the same side of them, so that moving helps."""

    documents: Any
    queries: Any
    answers: list[int]

    @property
    def judgments(self) -> Judgments:
        return Judgments.from_lists([[row] for row in self.answers], len(self.documents))

    def score(self, vectors: Any, queries: Any, answers: list[int]) -> float:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return float(np.mean(np.argmax(queries @ unit.T, axis=1) == np.array(answers)))

    def tuned(self, fit: Any) -> Any:
        vectors = self.documents.copy()
        vectors[fit.rows] = fit.vectors
        return vectors


def world(seed: int = 0, documents: int = 120, asked: int = 30, each: int = 6) -> World:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((documents, 16)).astype(np.float32)
    sides = 1.2 * rng.standard_normal((asked, 16))
    answers = np.repeat(np.arange(asked), each)
    queries = vectors[answers] + sides[answers] + 0.5 * rng.standard_normal((len(answers), 16))
    return World(vectors, queries.astype(np.float32), answers.tolist())


def fit(case: World, method: NudgeC | None = None, **options: Any) -> Any:
    method = method or NudgeC("cpu")
    return method.fit(case.documents, case.queries, case.judgments, **options)


def test_new_questions_gain_and_the_field_says_where_documents_go() -> None:
    case = world()
    train = World(case.documents, case.queries[::2], case.answers[::2])
    found = fit(train)
    assert found.step > 0
    assert set(found.rows.tolist()) >= set(train.answers)
    rows, vectors = found.field.move(case.documents)
    np.testing.assert_array_equal(rows, found.rows)
    np.testing.assert_allclose(vectors, found.vectors, atol=1e-5)
    before, after = (
        case.score(vectors, case.queries[1::2], case.answers[1::2])
        for vectors in (case.documents, case.tuned(found))
    )
    assert after > before + 0.2
    np.testing.assert_allclose(
        np.linalg.norm(found.vectors, axis=1),
        np.linalg.norm(case.documents[found.rows], axis=1),
        rtol=1e-5,
    )
    assert f"on {len(train.queries)} held-out questions" in found.reason
    assert "unseen queries" in found.reason
    assert found.curve[0][0] == 0
    assert len(found.held_out.queries) == len(train.queries)


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = fit(world()), fit(world())
    assert (one.step, one.reason) == (two.step, two.reason)
    assert one.vectors.tobytes() == two.vectors.tobytes()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_scale_changes_nothing_but_lengths(similarity: Any) -> None:
    case = world()
    factors = np.full((len(case.documents), 1), 4.0, np.float32)
    if similarity == "cosine":
        factors = 2.0 ** np.random.default_rng(0).integers(-2, 3, factors.shape).astype(np.float32)
    other = World(case.documents * factors, 2 * case.queries, case.answers)
    one, two = fit(case, similarity=similarity), fit(other, similarity=similarity)
    assert one.step == two.step > 0
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_allclose(two.vectors, one.vectors * factors[one.rows], rtol=2e-3, atol=2e-3)


def test_shuffled_answers_move_nothing() -> None:
    moved = 0
    for seed in range(100):
        case = world(seed, documents=40, asked=15, each=3)
        np.random.default_rng(seed).shuffle(case.answers)
        case.queries = np.random.default_rng(seed + 1).permutation(case.queries)
        method = NudgeC("cpu", temperatures=[0.05], ridges=[float("inf"), 1.0], folds=3)
        moved += fit(case, method).step > 0
    assert moved <= 5


def test_full_protection_takes_no_step_that_is_estimated_to_harm() -> None:
    case = world(documents=60)
    free, protected = (fit(case, NudgeC("cpu", protect_unseen=x)) for x in (float("inf"), 0.0))
    assert free.step > 0
    if protected.step:
        estimate = protected.reason.split("unseen queries ")[1].split(" ")[0]
        assert float(estimate) >= 0


def test_a_step_can_be_asked_for() -> None:
    case = world()
    nothing, some = fit(case, gamma=0), fit(case, gamma=0.4)
    assert (nothing.step, len(nothing.rows)) == (0, 0)
    assert nothing.held_out is not None
    np.testing.assert_array_equal(nothing.held_out.before, nothing.held_out.after)
    assert some.step == 0.4
    assert set(some.rows.tolist()) >= set(case.answers)


def test_one_question_moves_nothing_unless_a_step_is_asked_for() -> None:
    case = world(asked=1, each=1)
    assert fit(case).step == 0
    found = fit(case, gamma=0.4)
    assert found.step == 0.4
    assert 0 in found.rows


def test_validation_questions_choose_and_then_shape_or_not() -> None:
    case = world()
    last = np.array(case.answers) >= 25
    train = World(case.documents, case.queries[~last], np.array(case.answers)[~last].tolist())
    held = World(case.documents, case.queries[last | (np.arange(len(last)) % 6 == 0)], [])
    rows = np.flatnonzero(last | (np.arange(len(last)) % 6 == 0))
    held.answers = [case.answers[row] for row in rows]
    for selection, expected in (("holdout", 25), ("cross-validation", 30)):
        found = fit(train, validation=(held.queries, held.judgments), selection=selection)
        assert found.step > 0
        assert found.field.labelled.sum() == expected
        asked = found.held_out.queries
        if selection == "holdout":
            assert asked.min() >= len(train.queries)
            assert len(asked) == len(rows)
        else:  # cross-validation over all questions joins the validation questions
            assert set(asked.tolist()) == set(range(len(train.queries) + len(rows)))


def test_the_call_of_nudge_ft() -> None:
    case = world()
    train = {"q_embs": case.queries, "q_ans_indx": [[row] for row in case.answers]}
    found = NudgeC("cpu").finetune_embeddings(case.documents, train)
    unit = case.documents / np.linalg.norm(case.documents, axis=1, keepdims=True)
    assert found.shape == case.documents.shape
    changed = np.flatnonzero((np.abs(found - unit) > 1e-6).any(axis=1))
    assert set(changed.tolist()) >= set(range(30))
    with pytest.raises(DataError, match="one gamma"):
        NudgeC("cpu").finetune_embeddings(case.documents, train, gamma=[0.1, 0.2])


def test_many_questions_are_sampled_to_choose_and_all_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nudge_integrations.methods.nudge_c._MOST_QUESTIONS", 60)
    monkeypatch.setattr("nudge_integrations.methods.choice._ENOUGH", 20)
    found = fit(world())
    assert found.step > 0
    assert found.field.labelled.sum() == 30
    assert len(found.held_out.queries) < 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"protect_unseen": -0.1}, "protect_unseen must be a number, at least 0"),
        ({"temperatures": []}, "temperatures must be numbers above 0"),
        ({"ridges": [0.0]}, "ridges must be numbers above 0"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        NudgeC(**arguments)


def test_by_name() -> None:
    assert all(isinstance(get_method(name), NudgeC) for name in ("c", "nudge-c", "NUDGE-C"))


@settings(max_examples=30)
@given(SEEDS, st.integers(2, 6))
def test_folds(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    count, documents = int(rng.integers(2, 40)), int(rng.integers(1, 20))
    lists = [rng.choice(documents, 1 + seed % min(3, documents)).tolist() for _ in range(count)]
    judgments = Judgments.from_lists(lists, documents)
    labels = rng.integers(0, folds, count)
    found = Folds.of(judgments, labels, None, hold_out=False, folds=folds)
    for train, asked in found.by_question:
        assert not set(labels[train]) & set(labels[asked])
    if found.by_question:
        everyone = np.concatenate([asked for _, asked in found.by_question])
        assert sorted(everyone.tolist()) == list(range(count))
    for train, asked in found.by_document:
        moved = {document for row in train for document in lists[row]}
        assert all(moved.isdisjoint(lists[row]) for row in asked)
        assert not touched(judgments, train, asked).any()
    some = sample(judgments, np.arange(count), 5, seed)
    assert len(some) == min(5, count)
    assert (np.diff(some) > 0).all()


def decided(scores: Any, groups: Any, harm: Any, protect: float, **options: Any) -> Decision:
    options = {"fixed": False, "sound": False, **options}
    changes = np.asarray(harm)[None]
    return decide(np.asarray(scores)[None], groups, changes, 1.0, protect, **options)


def test_luck_is_not_chosen() -> None:
    lucky = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        base = rng.random(100)
        scores = np.vstack([base, base + rng.normal(0, 0.2, (50, 100))])
        lucky += decided(scores, rng.integers(0, 5, 100), np.zeros(51), 0.05).time > 0
    # 5 are expected; more than 8 come up in 6 of 100 such tests, never with these seeds
    assert lucky <= 8


def test_harm_beyond_the_bound_is_not_chosen() -> None:
    scores = np.stack([np.zeros(50), np.full(50, 0.3), np.full(50, 0.2)])
    groups, harm = np.arange(50) % 5, np.array([0.0, -0.04, -0.01])
    assert decided(scores, groups, harm, 0.05).time == 1
    assert decided(scores, groups, harm, 0.02).time == 2
    assert decided(scores, groups, harm, 0.0).time == 0
    assert decided(scores, groups, harm, 0.0, fixed=True).time == 2


def test_gains_of_unseen_questions_count() -> None:
    scores = np.stack([np.zeros(50), np.full(50, 0.21), np.full(50, 0.2)])
    groups, harm = np.arange(50) % 5, np.array([0.0, 0.0, 0.1])
    assert decided(scores, groups, harm, 0.02).time == 2


def test_one_question_a_document_is_said_and_stepped_cautiously() -> None:
    case = world(asked=60, each=1)
    found = fit(case)
    assert "each document has one question" in found.reason
    if "cautious" in found.reason:
        assert "val_dataset" in found.reason
        assert found.step <= 2
        assert "paraphrase" in found.reason


def test_chunks_of_whole_files_are_told() -> None:
    case = world(documents=120, asked=30, each=6)
    lists = [[3 * row, 3 * row + 1, 3 * row + 2] for row in case.answers]
    found = NudgeC("cpu").fit(case.documents, case.queries, Judgments.from_lists(lists, 120))
    assert found.reason.startswith("90 documents share all their questions with others")
    assert "share" not in fit(case).reason
