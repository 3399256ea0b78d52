"""NUDGE-M's step: where the most (query, answer) pairs are won."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from methods_oracle import Array, Questions, random_documents, random_questions, unit_directions

from nudge_integrations.methods import Judgments, NudgeM, sweep
from nudge_integrations.methods.directions import directions
from nudge_integrations.methods.sweep import most_covered, winning_intervals

SEEDS = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=15))
@example([])
@example([(3, 3)])
@example([(0, 4), (4, 8)])
def test_the_most_covered_point_is_the_smallest_of_the_best(ends: list[tuple[int, int]]) -> None:
    """Intervals are half open: where one ends and the next begins, one is won."""
    intervals = [(min(pair), max(pair)) for pair in ends]
    cover = [sum(low <= t < high for low, high in intervals) for t in range(14)]
    lows, highs = np.array(intervals, dtype=float).reshape(-1, 2).T
    assert most_covered(lows, highs) == cover.index(max(cover))


def problem(seed: int) -> tuple[Array, Questions, Questions]:
    rng = np.random.default_rng(seed)
    documents = random_documents(rng, int(rng.integers(2, 40)), int(rng.integers(2, 9)))
    train, validation = (
        random_questions(rng, int(rng.integers(1, 15)), documents) for _ in range(2)
    )
    return documents, train, validation


def intervals(documents: Array, train: Questions, validation: Questions) -> tuple[Array, Array]:
    towards = directions(train.vectors, train.judgments(len(documents)))
    return winning_intervals(
        validation.vectors,
        documents,
        validation.judgments(len(documents)),
        *(towards.rows, towards.vectors, torch.device("cpu")),
    )


def leads(documents: Array, train: Questions, validation: Questions, steps: Array) -> Array:
    """By how much each (query, answer) pair beats every other document: (steps, pairs)."""
    towards = np.zeros(documents.shape)
    answers = [list(each) for each in train.answers]
    for row, h in unit_directions(train.vectors, answers, len(documents)).items():
        towards[row] = h
    queries = validation.vectors.astype(np.float64)
    base, along = queries @ documents.astype(np.float64).T, queries @ towards.T
    result = []
    for query, each in enumerate(validation.answers):
        scores = base[query] + steps[:, None] * along[query]
        for row in each:
            others = np.delete(scores, row, axis=1)
            rival = others.max(axis=1) if others.shape[1] else np.full(len(steps), -np.inf)
            result.append(scores[:, row] - rival)
    return np.array(result).reshape(-1, len(steps)).T


def probes(rng: np.random.Generator, lows: Array) -> Array:
    near = np.concatenate([lows * factor for factor in (0.99, 1.01)])
    return np.concatenate([[0.0], rng.uniform(0, 3, 1000), 10 ** rng.uniform(-3, 4, 999), near])


@given(SEEDS)
def test_as_many_intervals_hold_a_step_as_pairs_are_won_there(seed: int) -> None:
    documents, train, validation = problem(seed)
    lows, highs = intervals(documents, train, validation)
    steps = probes(np.random.default_rng(seed), lows)
    margin = leads(documents, train, validation, steps)
    clear = (np.abs(margin) > 1e-5 * (1 + steps[:, None])).all(axis=1)
    held = ((lows <= steps[:, None]) & (steps[:, None] < highs)).sum(axis=1)
    np.testing.assert_array_equal(held[clear], (margin > 0).sum(axis=1)[clear])


@given(SEEDS)
def test_no_other_step_wins_more_pairs(seed: int) -> None:
    """Against 2,000 other steps and more; a pair counts there only if it is clearly won."""
    documents, train, validation = problem(seed)
    lows, highs = intervals(documents, train, validation)
    chosen = most_covered(lows, highs)
    steps = probes(np.random.default_rng(seed), lows)
    rounding = 3e-5 * (1 + steps[:, None])
    others = (leads(documents, train, validation, steps) > rounding).sum(axis=1)
    here = leads(documents, train, validation, np.array([chosen])) >= -3e-5 * (1 + chosen)
    assert here.sum() >= others.max()


@given(SEEDS, st.integers(1, 30), st.integers(1, 500))
@example(65833, 1, 1)  # documents with the same questions, whose slopes differ by rounding only
def test_small_blocks_find_the_same_intervals(seed: int, rows: int, cells: int) -> None:
    case = problem(seed)
    whole = intervals(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "_BLOCK_ROWS", rows)
        patch.setattr(sweep, "_CELLS", cells)
        ragged = intervals(*case)
    steps = probes(np.random.default_rng(seed), whole[0])
    clear = (np.abs(leads(*case, steps)) > 1e-5 * (1 + steps[:, None])).all(axis=1)
    held = [
        ((lows <= steps[clear, None]) & (steps[clear, None] < highs)).sum(axis=1)
        for lows, highs in (whole, ragged)
    ]
    np.testing.assert_array_equal(*held)


@pytest.mark.parametrize("ulps", [-3, -2, -1, 0, 1, 2, 3])
def test_a_lead_over_a_document_of_the_same_slope_lasts(ulps: int) -> None:
    """Slopes of documents with the same questions can differ by rounding, and by nothing else."""
    slope = np.float32(0.1)
    rival = slope + ulps * np.spacing(slope)
    lows, highs = winning_intervals(
        np.array([[1, 0]], np.float32),
        np.array([[0.9, 0], [0.5, 0]], np.float32),
        Judgments.from_lists([[0]], 2),
        np.array([0, 1]),
        np.array([[slope, 0], [rival, 0]], np.float32),
        torch.device("cpu"),
    )
    assert lows.tolist() == [0]
    assert highs[0] > 1e6


@given(SEEDS)
def test_nudge_fts_call_takes_that_step(seed: int) -> None:
    documents, train, validation = problem(seed)
    step = most_covered(*intervals(documents, train, validation))
    tuned = NudgeM("cpu").finetune_embeddings(documents, train.as_set(), validation.as_set())
    expected = documents.astype(np.float64)
    answers = [list(each) for each in train.answers]
    for row, h in unit_directions(train.vectors, answers, len(documents)).items():
        expected[row] += step * h
    np.testing.assert_allclose(tuned, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("train", "validation"),
    [([[]], [[0]]), ([[0]], [[]]), ([[]], [[]])],
    ids=["nothing moves", "nothing is asked", "neither"],
)
def test_without_anything_to_gain_nothing_moves(
    train: list[list[int]], validation: list[list[int]]
) -> None:
    documents = np.eye(2, dtype=np.float32)
    query = np.array([[0.6, 0.8]], np.float32)
    tuned = NudgeM("cpu").finetune_embeddings(
        documents,
        {"q_embs": query, "q_ans_indx": train},
        {"q_embs": query, "q_ans_indx": validation},
    )
    assert tuned.tobytes() == documents.tobytes()
