"""The flow and the field against automatic differentiation and plain numpy, both in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.methods import Judgments, field, flow
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.field import Field
from nudge_integrations.methods.flow import Flow, Setting, damped, moved_by
from nudge_integrations.methods.inputs import QuerySet
from nudge_integrations.methods.pool import Pool

SEEDS = st.integers(0, 2**32 - 1)
WIDTH = 7
EVERY = 1000  # nearest documents: all of them


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class Case:
    """Some documents, some of which answer some questions, with grades."""

    def __init__(self, seed: int, similarity: str = "cosine", temperature: float = 0.1) -> None:
        rng = np.random.default_rng(seed)
        count = int(rng.integers(3, 30))
        self.documents = rng.standard_normal((count, WIDTH)).astype(np.float32)
        self.queries = rng.standard_normal((int(rng.integers(2, 12)), WIDTH)).astype(np.float32)
        self.answers = [
            {int(row): float(rng.integers(1, 4)) for row in rng.choice(count, rng.integers(1, 3))}
            for _ in self.queries
        ]
        judgments = Judgments.from_lists(
            [list(each) for each in self.answers],
            count,
            [list(each.values()) for each in self.answers],
        )
        self.setting = Setting(temperature, float("inf"), nearest=EVERY)
        weights = np.linalg.norm(self.documents, axis=1)
        labelled = sorted(set().union(*self.answers))
        self.weights = weights / weights[labelled].mean()
        if similarity == "cosine":
            self.weights = np.ones(count)
        self.pool = Pool.of(
            DocumentVectors(self.documents, unit=True),
            QuerySet(self.queries, judgments),
            similarity,  # type: ignore[arg-type]
            depth=5,
            device=torch.device("cpu"),
            show_progress=False,
        )
        self.everyone = np.arange(len(self.queries))

    def flow(self, train: Any = None, **changes: Any) -> Flow:
        train = self.everyone if train is None else train
        return Flow(self.pool.ground, train, replace(self.setting, **changes))

    def likelihood(self, vectors: torch.Tensor, any_answer: bool = False) -> torch.Tensor:
        """Log-likelihood of the answers, each question's weighted by grade, in float64."""
        scores = torch.from_numpy(unit(self.queries.astype(np.float64))) @ vectors.T
        scores = scores * torch.from_numpy(self.weights)
        logs = torch.log_softmax(scores / self.setting.temperature, dim=1)
        result = logs.new_zeros(())
        for row, each in enumerate(self.answers):
            shares = torch.tensor(list(each.values()), dtype=torch.float64) / sum(each.values())
            mine = logs[row, list(each)]
            part = torch.logsumexp(mine + shares.log(), 0) if any_answer else shares @ mine
            result = result + part
        return result


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(["cosine", "dot"]), st.sampled_from([0.05, 0.1, 0.5]), st.booleans())
def test_the_pull_is_the_gradient(
    seed: int, similarity: str, temperature: float, any_answer: bool
) -> None:
    case = Case(seed, similarity, temperature)
    vectors = torch.from_numpy(unit(case.documents.astype(np.float64))).requires_grad_()
    case.likelihood(vectors, any_answer).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    for size in (1, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flow, "_TILE_BYTES", size)
            running = case.flow(any_answer=any_answer)
            found = running._pull().numpy()
        expected = temperature * vectors.grad.numpy()[case.pool.rows[running.positions.numpy()]]
        np.testing.assert_allclose(found, expected, atol=5e-5 * len(case.queries))


@settings(max_examples=20)
@given(SEEDS)
def test_pulls_of_all_anchors_sum_to_zero_so_a_constant_kernel_moves_nothing(seed: int) -> None:
    case = Case(seed)
    running = case.flow(widths=(1e4,))
    pull = running._pull()
    np.testing.assert_allclose(pull.sum(dim=0).numpy(), 0, atol=1e-5 * len(pull))
    np.testing.assert_allclose(running._spread(slice(None), pull).numpy(), 0, atol=1e-4)


@settings(max_examples=20)
@given(SEEDS)
def test_a_width_near_zero_is_documents_with_questions_moving_alone(seed: int) -> None:
    case = Case(seed)
    train = case.everyone[: max(1, len(case.everyone) // 2)]
    alone = moved_by(case.flow(train, widths=()), (1.0, 2.0))
    rows, _ = alone.move(case.documents)
    touched = np.flatnonzero(case.pool.ground.judgments.select(train).touched())
    assert set(rows.tolist()) == set(case.pool.rows[touched].tolist())
    # The first step goes along the pull, and leaves all other documents where they are.
    first = case.flow(train, widths=())
    pull = first._pull().numpy()[: first.labelled]
    rate = flow.FIRST_MOVE / np.sqrt((np.linalg.norm(pull, axis=1) ** 2).mean())
    expected = unit(first.starts.numpy()[: first.labelled] + rate * pull)
    for _ in first.run((1.0,)):
        np.testing.assert_allclose(
            first.anchors_now().numpy()[: first.labelled], expected, atol=1e-5
        )
    narrow = moved_by(case.flow(train, widths=(0.05,)), (1.0,))
    labelled = first.positions[: first.labelled].numpy()
    base = unit(case.documents)[case.pool.rows[labelled]]
    np.testing.assert_allclose(by_hand(narrow, base), expected, atol=1e-3)


def by_hand(made: Field, vectors: Any) -> Any:
    """The definition of the field, in float64."""
    units = unit(vectors.astype(np.float64))
    squares = ((units[:, None] - made.anchors[None].astype(np.float64)) ** 2).sum(axis=2)
    weights = np.zeros_like(squares)
    for width in made.widths:
        weights += np.exp(-squares / (2 * width**2)) / len(made.widths)
    weights += made.own * ((squares < 1e-5) & made.labelled)
    moved = unit(units + weights @ made.pulls.astype(np.float64))
    return moved * np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([field.WIDTHS, (0.7,), (0.9, 0.3)]), st.sampled_from([0.0, 0.5]))
def test_the_field_is_its_definition_for_known_and_new_documents(
    seed: int, widths: tuple[float, ...], own: float
) -> None:
    case = Case(seed)
    made = moved_by(case.flow(widths=widths, own=own), (1.0, 2.0))
    new = np.random.default_rng(seed).normal(size=(20, WIDTH)).astype(np.float32)
    both = np.concatenate([case.documents, new])
    for tile in (1, field._TILE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(field, "_TILE", tile)
            rows, moved = made.move(both)
        np.testing.assert_allclose(moved, by_hand(made, both[rows]), atol=2e-5)
    again = Field.from_arrays(made.to_arrays()).move(both)
    np.testing.assert_array_equal(again[0], rows)
    np.testing.assert_array_equal(again[1], moved)
    np.testing.assert_allclose(
        np.linalg.norm(moved, axis=1), np.linalg.norm(both[rows], axis=1), rtol=1e-5
    )


@settings(max_examples=20)
@given(SEEDS)
def test_reach_zero_moves_documents_with_questions_alone(seed: int) -> None:
    case = Case(seed)
    made = moved_by(case.flow(), (2.0,))
    rows, _ = made.move(case.documents, reach=0)
    assert set(rows.tolist()) == set().union(*case.answers)
    few, _ = made.move(case.documents, reach=0.5)
    assert set(rows.tolist()) <= set(few.tolist()) <= set(made.move(case.documents)[0].tolist())


@settings(max_examples=20)
@given(SEEDS)
def test_the_flow_ends_where_the_field_puts_the_documents(seed: int) -> None:
    case = Case(seed)
    running = case.flow(own=0.5)
    made = moved_by(running, (1.0, 2.0, 4.0))
    rows, moved = made.move(unit(case.documents))
    ends = running.documents_now().numpy()
    where = np.searchsorted(case.pool.rows, rows)
    inside = np.isin(rows, case.pool.rows)
    np.testing.assert_allclose(moved[inside], ends[where[inside]], atol=2e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_documents_stand_for_their_copies(seed: int) -> None:
    case = Case(seed)
    made = moved_by(case.flow(own=0.5), (2.0,))
    rows, moved = made.move(np.concatenate([case.documents, case.documents]))
    half = len(rows) // 2
    np.testing.assert_array_equal(rows[half:], rows[:half] + len(case.documents))
    np.testing.assert_array_equal(moved[:half], moved[half:])


@settings(max_examples=20)
@given(SEEDS)
def test_answers_become_likelier_along_the_flow(seed: int) -> None:
    case = Case(seed)
    before = float(case.likelihood(torch.from_numpy(unit(case.documents.astype(np.float64)))))
    running = case.flow()
    for _ in running.run((0.02, 0.04)):
        _, moved = running.field().move(case.documents)
        if len(moved) < len(case.documents):
            return  # some are beyond reach, and then the sum is another one
        after = float(case.likelihood(torch.from_numpy(unit(moved.astype(np.float64)))))
        assert after >= before - 1e-5
        before = after


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([0.5, 5.0, 50.0]))
def test_damping_hits_what_questions_share(seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    shared, other = np.linalg.qr(rng.normal(size=(WIDTH, 2)))[0].T
    queries = unit(3 * shared + 0.3 * rng.normal(size=(50, WIDTH)))
    matrix = damped(torch.from_numpy(queries.astype(np.float32)), ridge)
    assert matrix is not None
    along, across = (np.linalg.norm(each @ matrix.numpy()) for each in (shared, other))
    assert along < across
    assert damped(torch.from_numpy(queries), float("inf")) is None
    np.testing.assert_allclose(np.linalg.norm(matrix.numpy()), WIDTH**0.5, rtol=1e-4)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 6))
def test_rankings_are_those_of_all_documents(seed: int, depth: int) -> None:
    case = Case(seed)
    pool = replace(case.pool, depth=depth)
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(len(pool.rows), WIDTH))).astype(np.float32)
    found = pool.grades(case.everyone, torch.from_numpy(vectors))
    scores = unit(case.queries) @ vectors.T
    for row, each in enumerate(case.answers):
        best = np.argsort(-scores[row], kind="stable")[:depth]
        expected = [each.get(int(pool.rows[place]), 0.0) for place in best]
        np.testing.assert_array_equal(found[row][: len(expected)], expected)


def test_scores_of_further_documents_are_ranked_and_never_in_the_sum() -> None:
    case = Case(3)
    far, near = (
        replace(case.pool, neighbours=np.full((len(case.queries), 5), score, np.float32))
        for score in (-1.0, 2.0)
    )
    documents = case.pool.ground.documents
    assert far.grades(case.everyone, documents).any()
    assert not near.grades(case.everyone, documents).any()


def test_vectors_of_another_dimension_are_refused() -> None:
    made = moved_by(Case(0).flow(), (1.0,))
    with pytest.raises(DataError, match="the field has 7 dimensions"):
        made.move(np.ones((2, 8), np.float32))


@pytest.mark.parametrize(
    ("neighbours", "named"),
    [
        (np.zeros((79, 5)), r"\(80, k\)"),
        (np.zeros(80), r"\(80, k\)"),
        (np.full((80, 2), np.nan), "NaN"),
        (np.full((80, 2), np.inf), "NaN or \\+inf"),
    ],
)
def test_scores_that_do_not_fit_are_refused(neighbours: np.ndarray, named: str) -> None:
    from nudge_integrations.methods import NudgeC

    rng = np.random.default_rng(0)
    documents, queries = rng.normal(size=(30, 8)), rng.normal(size=(80, 8))
    judged = Judgments.from_lists([[row % 30] for row in range(80)], 30)
    with pytest.raises(DataError, match=named):
        NudgeC().fit(documents, queries, judged, neighbours=neighbours)
