"""The flow of NUDGE-C against automatic differentiation in float64, and its bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.methods import Judgments, contrast, document_vectors
from nudge_integrations.methods.contest import Contest
from nudge_integrations.methods.contrast import Setting, damped
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.inputs import QuerySet

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**32 - 1)
WIDTH = 7


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
        self.setting = Setting(temperature, float("inf"))
        self.weights = np.linalg.norm(self.documents, axis=1)
        labelled = sorted(set().union(*self.answers))
        self.weights = self.weights / self.weights[labelled].mean()
        if similarity == "cosine":
            self.weights = np.ones(count)
        self.contest = Contest.of(
            DocumentVectors(self.documents, unit=True),
            QuerySet(self.queries, judgments),
            similarity,  # type: ignore[arg-type]
            [self.setting],
            depth=5,
            device=CPU,
            show_progress=False,
        )
        self.everyone = np.arange(len(self.queries))

    def likelihood(self, vectors: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of the answers, each question's weighted by grade, in float64."""
        scores = torch.from_numpy(unit(self.queries.astype(np.float64))) @ vectors.T
        scores = scores * torch.from_numpy(self.weights)
        logs = torch.log_softmax(scores / self.setting.temperature, dim=1)
        result = logs.new_zeros(())
        for row, each in enumerate(self.answers):
            for document, grade in each.items():
                result = result + grade / sum(each.values()) * logs[row, document]
        return result


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(["cosine", "dot"]), st.sampled_from([0.05, 0.1, 0.5]))
def test_the_pull_is_the_gradient(seed: int, similarity: str, temperature: float) -> None:
    case = Case(seed, similarity, temperature)
    vectors = torch.from_numpy(unit(case.documents.astype(np.float64))).requires_grad_()
    case.likelihood(vectors).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    expected = temperature * vectors.grad.numpy()[case.contest.rows]
    flow = case.contest.contrast
    judged = flow.judgments
    for size in (1, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contrast, "_TILE_BYTES", size)
            found = flow._pull(
                *(flow.queries, flow.starts, judged, contrast._targets(judged)),
                *(flow.rest[temperature], temperature),
            )
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5 * len(case.queries))


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 9))
def test_bystanders_are_summed_and_ranked_whatever_the_block(seed: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_vectors, "_BLOCK_ROWS", block)
        case = Case(seed)
    others = np.setdiff1d(np.arange(len(case.documents)), case.contest.rows)
    scores = (unit(case.queries.astype(np.float64)) @ unit(case.documents.astype(np.float64)).T)[
        :, others
    ]
    found = case.contest.ranking.others
    if not len(others):
        assert torch.isneginf(found.log_sum(0.1)).all()
        return
    sums = torch.logsumexp(torch.from_numpy(scores) / 0.1, dim=1)
    np.testing.assert_allclose(found.log_sum(0.1).numpy(), sums.numpy(), atol=1e-4)
    deep = min(found.scores.shape[1], len(others))
    best = -np.sort(-scores, axis=1)[:, :deep]
    np.testing.assert_allclose(found.scores.numpy()[:, :deep], best, atol=1e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_only_documents_of_training_questions_move_and_stay_unit(seed: int) -> None:
    case = Case(seed)
    train = case.everyone[: max(1, len(case.everyone) // 2)]
    flow = case.contest.contrast
    ends = [each.clone() for each in flow.flow(train, case.setting, (0.1, 0.5))]
    first = next(flow.flow(train, case.setting, (0.1,)))
    np.testing.assert_array_equal(ends[0].numpy(), first.numpy())
    np.testing.assert_allclose(np.linalg.norm(ends[-1].numpy(), axis=1), 1, atol=1e-6)
    still = ~flow.judgments.select(train).touched()
    np.testing.assert_array_equal(ends[-1].numpy()[still], flow.starts.numpy()[still])


@settings(max_examples=20)
@given(SEEDS)
def test_answers_become_likelier_along_the_flow(seed: int) -> None:
    case = Case(seed)
    start = torch.from_numpy(unit(case.documents.astype(np.float64)))
    before = float(case.likelihood(start))
    for moved in case.contest.contrast.flow(case.everyone, case.setting, (0.01, 0.02)):
        vectors = start.clone()
        vectors[case.contest.rows] = moved.double()
        after = float(case.likelihood(vectors))
        assert after >= before - 1e-6
        before = after


@given(SEEDS, st.floats(0.1, 100))
@settings(max_examples=20)
def test_damping_hits_what_questions_share(seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    queries = torch.from_numpy(
        unit(rng.standard_normal((40, WIDTH)) + 3 * np.eye(WIDTH)[0]).astype(np.float32)
    )
    assert damped(queries, float("inf")) is None
    found = damped(queries, ridge)
    assert found is not None
    matrix = found.double().numpy()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    values, axes = np.linalg.eigh(matrix)
    assert values[0] > 0
    assert np.linalg.norm(matrix) == pytest.approx(WIDTH**0.5, rel=1e-4)
    shared = unit(queries.double().numpy().mean(axis=0))
    assert abs(axes[:, 0] @ shared) > 0.9, "the most damped direction is the common one"


def test_half_precision_products_change_little() -> None:
    case = Case(5)
    ends = []
    for rough in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contrast, "rough_supported", lambda *_, rough=rough: rough)
            ends.append(
                [
                    each.numpy().copy()
                    for each in case.contest.contrast.flow(case.everyone, case.setting, (0.2, 1.0))
                ][-1]
            )
    assert 0 < np.abs(ends[0] - ends[1]).max() < 0.02


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 40))
def test_rankings_are_those_of_all_documents(seed: int, k: int) -> None:
    case = Case(seed)
    ranking = case.contest.ranking
    object.__setattr__(ranking, "k", k)
    vectors = unit(case.documents.astype(np.float64))
    moved = next(case.contest.contrast.flow(case.everyone, case.setting, (0.3,)))
    vectors[case.contest.rows] = moved.double().numpy()
    scores = unit(case.queries.astype(np.float64)) @ vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    deep = min(5, k)  # bystanders are kept to the depth that was asked for
    expected = np.zeros((len(scores), k))
    for row, each in enumerate(case.answers):
        for place, document in enumerate(order[row]):
            expected[row, place] = each.get(int(document), 0)
    found = ranking.grades(case.everyone, moved)
    np.testing.assert_array_equal(found[:, :deep], expected[:, :deep])
