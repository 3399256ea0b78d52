"""Where documents go: along the sphere (NUDGE-N) or along a line (NUDGE-M)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from methods_oracle import Array, rotated, unit

from nudge_integrations.methods import Judgments, NudgeM, NudgeN
from nudge_integrations.methods.paths import AdditionPath, Path, RotationPath

GAMMAS = st.floats(0, 2, allow_nan=False)


def unit_vector(rng: np.random.Generator, dimension: int) -> Array:
    return unit(rng.normal(size=(1, dimension)))[0]


def pair_at_angle(rng: np.random.Generator, dimension: int, angle: float) -> tuple[Array, Array]:
    """Two float32 unit vectors, about so far apart."""
    x, other = unit_vector(rng, dimension), unit_vector(rng, dimension)
    across = unit((other - (x @ other) * x)[None])[0]
    h = math.cos(angle) * x + math.sin(angle) * across
    return x.astype(np.float32), unit(h[None])[0].astype(np.float32)


def nudge_n(x: Array, query: Array, gamma: float) -> Array:
    """A corpus of one document with one question; where the document went."""
    one = Judgments.from_lists([[0]], 1)
    fit = NudgeN("cpu").fit(x[None], query[None], one, gamma=gamma)
    return fit.vectors[0] if len(fit.rows) else x


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0, math.pi), GAMMAS)
@example(0, 5, 0.0, 0.5)
@example(0, 5, 1e-4, 0.5)
@example(0, 5, math.pi / 2, 2.0)
@example(0, 5, math.pi, 2.0)
def test_nudge_n_stays_on_the_sphere_and_within_gamma(
    seed: int, dimension: int, angle: float, gamma: float
) -> None:
    x, h = pair_at_angle(np.random.default_rng(seed), dimension, angle)
    moved = nudge_n(x, h, gamma).astype(np.float64)
    start = unit(x[None])[0]
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-6)
    assert ((moved - start) ** 2).sum() <= gamma + 1e-6
    assert moved @ unit(h[None])[0] >= start @ unit(h[None])[0] - 1e-6


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(1e-3, 1.57), GAMMAS)
def test_nudge_n_equals_the_closed_form(
    seed: int, dimension: int, angle: float, gamma: float
) -> None:
    x, h = pair_at_angle(np.random.default_rng(seed), dimension, angle)
    expected = rotated(unit(x[None])[0], unit(h[None])[0], gamma)
    np.testing.assert_allclose(nudge_n(x, h, gamma), expected, atol=2e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.57), st.floats(0.01, 2))
def test_no_vector_within_gamma_is_nearer_to_the_question(
    seed: int, angle: float, gamma: float
) -> None:
    """The closed form against its definition: 500 other vectors in reach, in 4 dimensions."""
    rng = np.random.default_rng(seed)
    x, h = pair_at_angle(rng, 4, angle)
    moved = nudge_n(x, h, gamma).astype(np.float64)
    others = unit(moved + rng.normal(size=(500, 4)) * rng.uniform(0.01, 1, (500, 1)))
    allowed = ((others - x) ** 2).sum(axis=1) <= gamma
    assert (others[allowed] @ h <= moved @ h + 1e-6).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, math.pi / 2 - 1e-3))
def test_nudge_n_stops_at_its_questions(seed: int, angle: float) -> None:
    x, h = pair_at_angle(np.random.default_rng(seed), 6, angle)
    np.testing.assert_allclose(nudge_n(x, h, 2.0), h, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(math.pi / 2 + 1e-3, math.pi), GAMMAS)
def test_nudge_n_leaves_a_document_whose_questions_are_opposite(
    seed: int, angle: float, gamma: float
) -> None:
    x, h = pair_at_angle(np.random.default_rng(seed), 6, angle)
    fit = NudgeN("cpu").fit(x[None], h[None], Judgments.from_lists([[0]], 1), gamma=gamma)
    assert fit.rows.tolist() == []
    assert fit.vectors.shape == (0, 6)


@given(st.integers(0, 2**32 - 1), st.floats(0, 50))
def test_nudge_m_goes_straight(seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(3, 5)).astype(np.float32)
    query = (3 * unit(rng.normal(size=(1, 5)))).astype(np.float32)
    fit = NudgeM("cpu").fit(
        documents, query, Judgments.from_lists([[1]], 3), gamma=gamma, similarity="dot"
    )
    expected = documents[1] + gamma * unit(query)[0]
    if gamma == 0:
        assert fit.rows.tolist() == []
    else:
        assert fit.rows.tolist() == [1]
        np.testing.assert_allclose(fit.vectors[0], expected, rtol=1e-5, atol=1e-5)


def check_bounds(path: Path, scores: tuple[Array, Array], last: float) -> None:
    """No step of a fine grid may leave the bounds, and the bounds must be reached, or nearly."""
    base, along = (np.asarray(each, np.float32) for each in scores)
    low, loose = path.rough_bounds(torch.from_numpy(base), torch.from_numpy(along), last)
    high = path.highest(torch.from_numpy(base), torch.from_numpy(along), last)
    grid = np.linspace(0, last, 601)
    coefficients = [path.coefficients(step) for step in grid]
    curve = np.stack([a * base.astype(float) + b * along.astype(float) for a, b in coefficients])
    slack = 2e-6 * np.maximum(1, np.abs(curve).max(axis=0))
    assert (curve >= low.numpy() - slack).all()
    assert (curve <= high.numpy() + slack).all()
    assert (curve <= loose.numpy() + slack).all()
    reached = (curve[[0, -1]] > 0).all(axis=0) & np.isfinite(low.numpy())
    assert (curve.min(axis=0) - low.numpy() <= 1e-3 + slack)[reached].all()
    np.testing.assert_array_less(high.numpy() - curve.max(axis=0), 1e-3 + slack)


@given(
    st.lists(st.tuples(st.floats(0.05, math.pi / 2), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
    GAMMAS,
)
@example([(1.5, False)] * 8, 1, 2.0)
def test_bounds_of_a_rotation_hold_at_every_step(
    documents: list[tuple[float, bool]], seed: int, last: float
) -> None:
    """For any products that vectors on the circle from x to h can have."""
    rng = np.random.default_rng(seed)
    angle = np.array([each for each, _ in documents])
    still = np.array([each for _, each in documents])
    base, across = rng.uniform(-1, 1, (2, 16, len(documents)))
    along = np.cos(angle) * base + np.sin(angle) * across
    check_bounds(RotationPath(angle, still), (base, along), last)


@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.floats(0, 100))
def test_bounds_of_a_line_hold_at_every_step(count: int, seed: int, last: float) -> None:
    base, along = np.random.default_rng(seed).uniform(-1, 1, (2, 16, count))
    check_bounds(AdditionPath(count), (base, along), last)


@given(st.integers(0, 2**32 - 1), st.floats(1e-7, 0.05), GAMMAS)
def test_bounds_hold_for_documents_next_to_their_questions(
    seed: int, angle: float, last: float
) -> None:
    """Dividing by the sine of a small angle magnifies rounding; bounds must not shrink by it."""
    rng = np.random.default_rng(seed)
    x, h = pair_at_angle(rng, 8, angle)
    queries = unit(rng.normal(size=(16, 8))).astype(np.float32)
    path = RotationPath.between(x[None], h[None])
    base, along = (torch.from_numpy(queries) @ torch.from_numpy(each[:, None]) for each in (x, h))
    low, loose = path.rough_bounds(base, along, last)
    high = path.highest(base, along, last)
    for step in np.linspace(0, last, 201):
        a, b = path.coefficients(step)
        score = a * base.double().numpy() + b * along.double().numpy()
        assert (score >= low.numpy() - 2e-6).all()
        assert (score <= high.numpy() + 2e-6).all()
        assert (score <= loose.numpy() + 2e-6).all()


@given(st.integers(0, 2**32 - 1), st.floats(1e-7, math.pi - 1e-7))
def test_the_angle_is_exact_also_where_the_cosine_is_flat(seed: int, angle: float) -> None:
    x, h = pair_at_angle(np.random.default_rng(seed), 12, angle)
    start, end = x.astype(np.float64), h.astype(np.float64)
    exact = 2 * math.atan2(
        float(np.linalg.norm(unit(start[None]) - unit(end[None]))),
        float(np.linalg.norm(unit(start[None]) + unit(end[None]))),
    )
    assume(exact > 0)
    path = RotationPath.between(x[None], h[None])
    assert path.angle[0] == pytest.approx(exact, abs=1e-6)
    if abs(exact - math.pi / 2) > 1e-6:
        assert bool(path.still[0]) == (exact > math.pi / 2)
