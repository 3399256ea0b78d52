"""What may not change the result, and problems at the edge of what is a problem."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods_oracle import Array, Questions, unit
from methods_tuning import KINDS, Tuning, tuning, with_moved

from nudge_integrations.methods import Fit, Judgments, NudgeM, NudgeN

Kind = tuple[str, str]

every_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)
some_seeds = pytest.mark.parametrize("seed", range(6))
EVERY_METHOD = pytest.mark.parametrize(
    ("method", "similarity"),
    [(NudgeN, "cosine"), (NudgeN, "dot"), (NudgeM, "dot")],
    ids=["n-cosine", "n-dot", "m-dot"],
)
BOTH_METHODS = pytest.mark.parametrize("method", [NudgeN, NudgeM], ids=["n", "m"])


def fitted(case: Tuning, *, folds: Array | None = None, **options: Any) -> tuple[Fit, Array]:
    """The fit by NDCG@10, and every document after it."""
    fit = case.fit("ndcg@10", groups=case.folds if folds is None else folds, **options)
    return fit, with_moved(case.documents, fit)


def held_out_bytes(fit: Fit) -> tuple[bytes, ...]:
    if fit.held_out is None:
        return ()
    held = fit.held_out
    return tuple(each.tobytes() for each in (held.queries, held.before, held.after, held.seen))


@every_kind
@some_seeds
def test_the_order_of_documents_changes_nothing(kind: Kind, seed: int) -> None:
    case = tuning(seed, kind)
    order = np.random.default_rng(seed).permutation(len(case.documents))
    place = np.argsort(order)
    shuffled = replace(case, documents=case.documents[order], train=case.train.renamed(place))
    (fit, after), (other, elsewhere) = fitted(case), fitted(shuffled)
    assert other.step == fit.step
    np.testing.assert_allclose(elsewhere, after[order], atol=1e-6)
    assert sorted(order[other.rows].tolist()) == fit.rows.tolist()


@every_kind
@some_seeds
def test_the_order_of_questions_changes_nothing(kind: Kind, seed: int) -> None:
    case = tuning(seed, kind)
    order = np.random.default_rng(seed).permutation(len(case.folds))
    shuffled = replace(case, train=case.train.some(order), folds=case.folds[order])
    (fit, after), (other, again) = fitted(case), fitted(shuffled)
    assert other.step == fit.step
    np.testing.assert_allclose(again, after, atol=1e-6)
    assert fit.held_out is not None
    assert other.held_out is not None
    back = np.argsort(order[other.held_out.queries])
    assert order[other.held_out.queries][back].tolist() == fit.held_out.queries.tolist()
    np.testing.assert_array_equal(other.held_out.after[back], fit.held_out.after)


@every_kind
@some_seeds
@pytest.mark.parametrize("gamma", [None, 0.25])
def test_documents_without_questions_keep_their_bytes(
    kind: Kind, seed: int, gamma: float | None
) -> None:
    case = tuning(seed, kind)
    fit, _ = fitted(case, gamma=gamma)
    asked = {row for each in case.train.answers for row in each}
    assert set(fit.rows.tolist()) <= asked
    assert fit.rows.tolist() == sorted(set(fit.rows.tolist()))
    assert fit.vectors.shape == (len(fit.rows), case.documents.shape[1])
    assert (fit.rows.dtype, fit.vectors.dtype) == (np.int64, np.float32)


@BOTH_METHODS
@some_seeds
def test_in_nudge_fts_call_unit_documents_without_questions_keep_their_bytes(
    method: Any, seed: int
) -> None:
    case = tuning(seed, ("n", "dot"), normalised=True)
    tuned = method("cpu").finetune_embeddings(
        case.documents, case.train.as_set(), case.validation.as_set(), gamma=0.3
    )
    asked = {row for each in case.train.answers for row in each}
    still = [row for row in range(len(case.documents)) if row not in asked]
    assert still != []
    assert tuned[still].tobytes() == case.documents[still].tobytes()


@some_seeds
def test_under_cosine_lengths_of_documents_stay_and_change_nothing_else(seed: int) -> None:
    case = tuning(seed, ("n", "cosine"))
    lengths = np.random.default_rng(seed).uniform(0.01, 100, (len(case.documents), 1))
    longer = replace(case, documents=(case.documents * lengths).astype(np.float32))
    (fit, after), (other, scaled) = fitted(case), fitted(longer)
    assert other.step == fit.step
    np.testing.assert_allclose(unit(scaled), unit(after), atol=1e-6)
    for before, moved in ((case.documents, after), (longer.documents, scaled)):
        np.testing.assert_allclose(
            np.linalg.norm(moved.astype(float), axis=1),
            np.linalg.norm(before.astype(float), axis=1),
            rtol=1e-6,
        )


@some_seeds
def test_under_cosine_lengths_of_questions_change_nothing(seed: int) -> None:
    case = tuning(seed, ("n", "cosine"))
    lengths = np.random.default_rng(seed).uniform(0.01, 100, (len(case.folds), 1)).astype("f4")
    longer = replace(case, train=Questions(case.train.vectors * lengths, case.train.answers))
    (fit, after), (other, again) = fitted(case), fitted(longer)
    assert other.step == fit.step
    np.testing.assert_allclose(again, after, atol=2e-6)


@every_kind
@some_seeds
def test_held_out_rankings_are_those_of_the_similarity(kind: Kind, seed: int) -> None:
    """Whatever the lengths of the documents."""
    case = tuning(seed, kind)
    fit, _ = fitted(case, gamma=0.3)
    rankings = case.by_folds([0.0, 0.3])
    assert fit.held_out is not None
    assert rankings is not None
    np.testing.assert_array_equal(fit.held_out.before, rankings[0, fit.held_out.queries])
    np.testing.assert_array_equal(fit.held_out.after, rankings[1, fit.held_out.queries])


def test_competitors_without_questions_matter() -> None:
    """Here only the document set apart wrongly wins, and only a step past it beats it."""
    documents = np.array([[1, 0, 0]], np.float32)
    rival = np.array([[0.8, 0.6, 0]], np.float32)
    asked = {"q_embs": np.array([[0.6, 0.8, 0]], np.float32), "q_ans_indx": [[0]]}
    alone = NudgeN("cpu").finetune_embeddings(documents, asked, asked)
    contested = NudgeN("cpu").finetune_embeddings(documents, asked, asked, rival)
    assert alone.tobytes() == documents.tobytes()
    question = asked["q_embs"][0]
    assert contested[0] @ question > rival[0] @ question


@BOTH_METHODS
@some_seeds
def test_no_documents_set_apart_are_as_none(method: Any, seed: int) -> None:
    case = tuning(seed, ("n", "dot"))
    arguments = case.documents, case.train.as_set(), case.validation.as_set()
    nobody = np.zeros((0, case.documents.shape[1]))
    first = method("cpu").finetune_embeddings(*arguments)
    second = method("cpu").finetune_embeddings(*arguments, nobody)
    assert first.tobytes() == second.tobytes()


@every_kind
def test_the_same_call_gives_the_same_bytes(kind: Kind) -> None:
    case = tuning(7, kind)
    runs = [fitted(case)[0] for _ in range(2)]
    assert runs[0].rows.tobytes() == runs[1].rows.tobytes()
    assert runs[0].vectors.tobytes() == runs[1].vectors.tobytes()
    assert held_out_bytes(runs[0]) == held_out_bytes(runs[1]) != ()
    assert (runs[0].curve, runs[0].reason) == (runs[1].curve, runs[1].reason)
    arguments = case.documents, case.train.as_set(), case.validation.as_set()
    calls = [case.method().finetune_embeddings(*arguments) for _ in range(2)]
    assert calls[0].tobytes() == calls[1].tobytes()


@BOTH_METHODS
def test_a_device_is_named_or_given(method: Any) -> None:
    case = tuning(8, ("n", "dot"))
    arguments = case.documents, case.train.as_set(), case.validation.as_set()
    named = method("cpu").finetune_embeddings(*arguments)
    given_one = method(torch.device("cpu")).finetune_embeddings(*arguments)
    assert named.tobytes() == given_one.tobytes()
    np.testing.assert_allclose(method().finetune_embeddings(*arguments), named, atol=1e-5)


@EVERY_METHOD
def test_one_document(method: Any, similarity: str) -> None:
    document, queries = np.array([[0.0, 2.0]], np.float32), np.eye(2, dtype=np.float32)
    judgments = Judgments.from_lists([[0], [0]], 1)
    chosen = method("cpu").fit(document, queries, judgments, similarity=similarity)
    assert chosen.step == 0, "one document is always found"
    asked = method("cpu").fit(document, queries, judgments, similarity=similarity, gamma=0.1)
    assert asked.rows.tolist() == [0]


@EVERY_METHOD
def test_one_question(method: Any, similarity: str) -> None:
    """It cannot be both taught and asked, so only a fixed step moves anything."""
    judgments = Judgments.from_lists([[1]], 3)
    documents, query = np.eye(3, dtype=np.float32), np.full((1, 3), 0.5, np.float32)
    chosen = method("cpu").fit(documents, query, judgments, similarity=similarity)
    assert (chosen.step, chosen.rows.tolist(), chosen.held_out) == (0, [], None)
    assert "no answered question was left" in chosen.reason
    asked = method("cpu").fit(documents, query, judgments, similarity=similarity, gamma=0.1)
    assert (asked.step, asked.rows.tolist()) == (0.1, [1])


@EVERY_METHOD
def test_a_question_that_every_document_answers(method: Any, similarity: str) -> None:
    rng = np.random.default_rng(0)
    documents, queries = (rng.normal(size=(n, 4)).astype(np.float32) for n in (12, 4))
    judgments = Judgments.from_lists([list(range(12)), [0], [5], [7, 8]], 12)
    fit = method("cpu").fit(
        documents, queries, judgments, similarity=similarity, groups=np.arange(4)
    )
    assert fit.held_out is not None
    np.testing.assert_array_equal(fit.held_out.after[0], np.ones(10))


@EVERY_METHOD
def test_more_answers_than_ranks(method: Any, similarity: str) -> None:
    rng = np.random.default_rng(1)
    documents, queries = (rng.normal(size=(n, 4)).astype(np.float32) for n in (40, 6))
    judgments = Judgments.from_lists([rng.choice(40, 25, replace=False) for _ in range(6)], 40)
    fit = method("cpu", metric="recall_cap@2", steps=[0, 0.5]).fit(
        documents, queries, judgments, similarity=similarity, groups=np.arange(6) % 2
    )
    assert fit.held_out is not None
    assert fit.held_out.after.shape == (6, 10)
    assert 0 < dict(fit.curve)[0.0] <= 1


@every_kind
@some_seeds
def test_questions_without_answers_play_no_part(kind: Kind, seed: int) -> None:
    case = tuning(seed, kind)
    silent = Questions(np.ones((3, case.documents.shape[1]), np.float32), [{}, {}, {}])
    more = replace(case, train=case.train.and_also(silent))
    (fit, after), (other, again) = fitted(case), fitted(more, folds=np.r_[case.folds, 0, 1, 9])
    assert other.step == fit.step
    assert other.curve == fit.curve
    assert again.tobytes() == after.tobytes()
    assert held_out_bytes(other) == held_out_bytes(fit)


@EVERY_METHOD
@pytest.mark.parametrize("with_validation", [False, True], ids=["cross-validation", "validation"])
def test_no_answers_at_all(method: Any, similarity: str, with_validation: bool) -> None:
    documents, nobody = np.eye(3, dtype=np.float32), Judgments.from_lists([[], []], 3)
    queries = documents[:2]
    for gamma in (None, 0.3):
        fit = method("cpu").fit(
            documents,
            queries,
            nobody,
            validation=(queries, nobody) if with_validation else None,
            similarity=similarity,
            gamma=gamma,
        )
        assert fit.rows.tolist() == []
        assert fit.held_out is None


@EVERY_METHOD
def test_answered_questions_in_one_fold_only(method: Any, similarity: str) -> None:
    documents, queries = np.eye(3, dtype=np.float32), np.full((4, 3), 0.5, np.float32)
    judgments = Judgments.from_lists([[0], [1], [], []], 3)
    fit = method("cpu").fit(
        documents, queries, judgments, similarity=similarity, groups=np.array([0, 0, 1, 2])
    )
    assert (fit.step, fit.held_out) == (0, None)
