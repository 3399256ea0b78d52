"""The fused kernels, run by triton's interpreter: `test_methods_triton.py` starts these tests.

They need TRITON_INTERPRET=1 before triton is imported, and so a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods_oracle import TOLERANCE, Array, unit
from test_methods_shortlist import (
    ADDITION_STEPS,
    KINDS,
    ROTATION_STEPS,
    SEEDS,
    Case,
    real_case,
    whole_number_case,
)
from torch.utils._python_dispatch import TorchDispatchMode

from nudge_integrations.methods import Judgments
from nudge_integrations.methods.kernels import torch_kernel, triton_kernel
from nudge_integrations.methods.kernels.triton_documents import Precision, tolerance
from nudge_integrations.methods.kernels.triton_survivors import Survivors
from nudge_integrations.methods.paths import AdditionPath, RotationPath
from nudge_integrations.methods.shortlist import Shortlist

assert os.environ.get("TRITON_INTERPRET") == "1", "run test_methods_triton.py"

PRECISIONS = pytest.mark.parametrize("precision", ["float32", "tf32", "float16"])


def fused(case: Case, last: float, k: int, precision: Precision = "float32") -> Shortlist:
    return triton_kernel.shortlist(
        case.queries,
        case.corpus,
        Judgments.from_lists(
            [list(each) for each in case.answers],
            len(case.corpus),
            [list(each.values()) for each in case.answers],
        ),
        case.moved,
        case.directions,
        case.path,
        last=last,
        k=k,
        device=torch.device("cpu"),
        precision=precision,
    )


@contextmanager
def many_launches() -> Iterator[None]:
    """The first launch of as few documents as may be, so that floors rise and survivors drop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_kernel, "_FEWEST_GROUPS", 1)
        patch.setattr(triton_kernel, "_GROUPS_PER_RANK", 1)
        yield


@dataclass
class Calls:
    """How often a function was called."""

    count: int = 0


@contextmanager
def counted(owner: Any, name: str) -> Iterator[Calls]:
    calls, real = Calls(), getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        calls.count += 1
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, call)
        yield calls


def repeated(case: Case, times: int) -> Case:
    """Every document `times` times, none of the copies moving or judged."""
    copies = np.tile(case.corpus, (times - 1, 1))
    return replace(case, corpus=np.concatenate([case.corpus, copies]))


def long_case(seed: int, kind: str, n: int = 400, dimension: int = 24) -> Case:
    """Unit vectors, of which some move: enough documents for several launches."""
    rng = np.random.default_rng(seed)
    corpus = unit(rng.normal(size=(n, dimension))).astype(np.float32)
    queries = unit(rng.normal(size=(int(rng.integers(1, 20)), dimension))).astype(np.float32)
    moved = np.flatnonzero(rng.random(n) < rng.random())
    towards = corpus[moved] + 0.2 * rng.normal(size=(len(moved), dimension))
    directions = unit(towards).astype(np.float32)
    path = RotationPath.between(corpus[moved], directions)
    path = replace(path, still=path.still | (rng.random(len(moved)) < 0.2))
    answers = [{int(row): 1.0 for row in rng.choice(n, 5)} for _ in queries]
    case = Case(queries, corpus, moved, directions, answers, path)
    return case if kind == "rotation" else replace(case, path=AdditionPath(len(moved)))


def check_ranks_as_all_documents_would(case: Case, found: Shortlist, k: int, last: float) -> None:
    """At some steps; where float32 vectors do not tell two documents apart, either may win."""
    compared = 0
    for step in np.linspace(0, last, 6):
        best, worst = (case.dense(step, k, sign * TOLERANCE) for sign in (1, -1))
        sure = (best == worst).all(axis=1)
        np.testing.assert_array_equal(found.ranked_grades(step, k)[sure], best[sure])
        compared += int(sure.sum())
    assert compared > 0.8 * 6 * len(case.queries)


@KINDS
@pytest.mark.parametrize("moving", ["none", "some", "all"])
@settings(max_examples=8)
@given(seed=SEEDS, k=st.integers(1, 70))
def test_ranks_as_if_all_documents_were_ranked_whatever_ties(
    kind: str, moving: str, seed: int, k: int
) -> None:
    case = whole_number_case(seed, moving, kind)
    steps = ADDITION_STEPS if kind == "addition" else ROTATION_STEPS
    found = fused(case, steps[-1], k)
    for step in steps:
        np.testing.assert_array_equal(found.ranked_grades(step, k), case.dense(step, k))


@KINDS
@settings(max_examples=6)
@given(seed=SEEDS, k=st.integers(1, 3), moving=st.sampled_from(["none", "some", "all"]))
def test_ties_are_not_lost_between_launches(kind: str, seed: int, k: int, moving: str) -> None:
    case = repeated(whole_number_case(seed, moving, kind), 4)
    steps = ADDITION_STEPS if kind == "addition" else ROTATION_STEPS
    with many_launches():
        found = fused(case, steps[-1], k)
    for step in steps:
        np.testing.assert_array_equal(found.ranked_grades(step, k), case.dense(step, k))


@KINDS
@PRECISIONS
@settings(max_examples=3)
@given(seed=SEEDS, k=st.integers(1, 4))
def test_ranks_real_vectors_over_several_launches(
    precision: Precision, kind: str, seed: int, k: int
) -> None:
    case = long_case(seed, kind)
    with many_launches(), counted(triton_kernel.Documents, "scan") as scans:
        found = fused(case, 0.3, k, precision)
    check_ranks_as_all_documents_would(case, found, k, 0.3)
    assert scans.count > 2


@KINDS
@settings(max_examples=4)
@given(seed=SEEDS, k=st.integers(1, 12))
def test_ranks_the_whole_way_of_a_rotation_by_a_right_angle(kind: str, seed: int, k: int) -> None:
    case = real_case(seed, kind)
    check_ranks_as_all_documents_would(case, fused(case, 2.0, k), k, 2.0)


@KINDS
@PRECISIONS
@settings(max_examples=3)
@given(seed=SEEDS)
def test_precision_decides_nothing(precision: Precision, kind: str, seed: int) -> None:
    """Documents and scores are those that float64 gives, whatever the filter multiplies in."""
    case = long_case(seed, kind, n=150)
    with many_launches():
        found = fused(case, 0.3, 3, precision)
    lowest, highest = extremes(case, 0.3)
    floor = -np.sort(-lowest, axis=1)[:, 2]
    queries = np.repeat(np.arange(found.n_queries), np.diff(found.indptr))
    inside = np.zeros(lowest.shape, bool)
    inside[queries, found.documents] = True
    assert not (~inside & (highest > floor[:, None] + 1e-9)).any()
    assert not (inside & (highest < floor[:, None] - 2e-4)).any()  # the grid is that coarse
    vectors, rows = case.queries.astype(np.float64), case.corpus.astype(np.float64)
    position = np.full(len(rows), -1)
    position[case.moved] = np.arange(len(case.moved))
    np.testing.assert_array_equal(found.positions, position[found.documents])
    np.testing.assert_allclose(
        found.base, (vectors[queries] * rows[found.documents]).sum(axis=1), rtol=0, atol=1e-14
    )
    # A column of zeros behind the others is what position -1, a still document, finds.
    directions = np.pad(case.directions.astype(np.float64), ((0, 1), (0, 0)))
    along = (vectors @ directions.T)[queries, found.positions]
    expected = np.where(found.positions >= 0, along, 0.0)
    np.testing.assert_allclose(found.along, expected, rtol=0, atol=1e-14)


def extremes(case: Case, last: float) -> tuple[Array, Array]:
    """Lowest and highest score of every document on its way, on a fine grid of steps."""
    steps = 2 - 2 * np.cos(np.linspace(0, np.arccos(1 - last / 2), 30))
    every = np.stack([case.dense_scores(step) for step in steps])
    return every.min(axis=0), every.max(axis=0)


ROUNDED = pytest.mark.parametrize("precision", ["tf32", "float16"])


@ROUNDED
@given(seed=SEEDS, dimension=st.integers(1, 300))
def test_a_product_errs_by_no_more_than_the_tolerance(
    precision: Precision, seed: int, dimension: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = (unit(rng.normal(size=(50, dimension)) ** 3).astype(np.float32) for _ in "qx")
    exact = left.astype(np.float64) @ right.T.astype(np.float64)
    error = np.abs(rounded(left, precision) @ rounded(right, precision).T - exact)
    assert error.max() <= tolerance(precision, dimension)


@ROUNDED
def test_the_tolerance_is_the_worst_case(precision: Precision) -> None:
    """One component, just short of where it would be rounded the other way."""
    worst = np.float32(1 + (2.0**-11 if precision == "float16" else 2.0**-10) * 0.999)
    error = 1 - float(rounded(np.array([worst]), precision)[0]) ** 2 / float(worst) ** 2
    assert 0.9 * tolerance(precision, 1) < error < tolerance(precision, 1)


def rounded(vectors: Array, precision: Precision) -> Array:
    """As the tensor cores take them: float16, or float32 with 13 digits cut off."""
    if precision == "float16":
        return vectors.astype(np.float16).astype(np.float64)
    kept = vectors.view(np.uint32) & np.uint32(0xFFFFE000)
    return kept.view(np.float32).astype(np.float64)


@KINDS
def test_documents_that_half_precision_cannot_tell_apart_are_told_apart(kind: str) -> None:
    """Eighty documents whose scores differ by a tenth of the rounding of a float16."""
    rng = np.random.default_rng(0)
    base = unit(rng.normal(size=(1, 64)))
    corpus = unit(base + 3e-5 * rng.normal(size=(80, 64))).astype(np.float32)
    moved = np.arange(0, 80, 2)
    directions = unit(corpus[moved] + 3e-5 * rng.normal(size=(40, 64))).astype(np.float32)
    path = RotationPath.between(corpus[moved], directions)
    queries = unit(rng.normal(size=(9, 64))).astype(np.float32)
    answers = [{int(row): 1.0 for row in rng.choice(80, 20, replace=False)} for _ in queries]
    case = Case(queries, corpus, moved, directions, answers, path)
    case = case if kind == "rotation" else replace(case, path=AdditionPath(40))
    with many_launches():
        found = fused(case, 1e-5, 3, "float16")
    for step in (0.0, 2e-6, 1e-5):
        np.testing.assert_array_equal(found.ranked_grades(step, 3), case.dense(step, 3))


@PRECISIONS
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_length_of_vectors_decides_nothing(precision: Precision, scale: float) -> None:
    case = long_case(3, "addition", n=100)
    far = np.float32(scale)
    scaled = replace(
        case,
        corpus=case.corpus * far,
        directions=case.directions * far,
        queries=case.queries / far,
    )
    expected, found = fused(case, 0.3, 3, precision), fused(scaled, 0.3, 3, precision)
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.documents, expected.documents)


@PRECISIONS
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_products_are_made_of_numbers_within_reach(precision: Precision, scale: float) -> None:
    case = long_case(1, "addition", n=100)
    lengths = np.random.default_rng(1).uniform(0.1, 1.0, (100, 1))
    lengths[0] = 1.0
    corpus = (case.corpus * lengths * scale).astype(np.float32)
    documents = triton_kernel.Documents.prepare(
        *(corpus, case.moved, case.directions * np.float32(0.1 * scale), case.path, 1.0),
        torch.device("cpu"),
        precision,
    )
    queries = torch.from_numpy(corpus[:1] / np.float32(scale**2))
    held = documents.scaled(queries).double() @ documents.held[0].double().T
    assert held[0, 0] == pytest.approx(1.0, abs=2e-3)
    assert held.abs().max() <= held[0, 0]


def test_a_score_that_dips_on_its_way_holds_no_other_document_down() -> None:
    """A turns by 1.3 rad, scoring -0.5, then -0.7, then -0.6; B stands at -0.65."""
    queries = np.array([[-0.7, 0.0, np.sqrt(0.51)]], np.float32)
    start, end = -np.arccos(5 / 7), 1.3 - np.arccos(5 / 7)
    turning = np.array([[np.cos(at), np.sin(at), 0] for at in (start, end)], np.float32)
    still = np.array([[0.65 / 0.7, np.sqrt(1 - (0.65 / 0.7) ** 2), 0]], np.float32)
    path = RotationPath.between(turning[:1], turning[1:])
    corpus = np.concatenate([turning[:1], still])
    case = Case(queries, corpus, np.array([0]), turning[1:], [{1: 1.0}], path)
    found = fused(case, 2.0, 1)
    wins = [float(found.ranked_grades(step, 1)[0, 0]) for step in (0.0, 0.58, 2.0)]
    assert wins == [0.0, 1.0, 0.0]


@KINDS
@PRECISIONS
@pytest.mark.parametrize(("n", "dimension"), [(1, 1), (129, 64), (131, 100)])
def test_sizes_that_fill_no_tile(kind: str, precision: Precision, n: int, dimension: int) -> None:
    case = long_case(n, kind, n=n, dimension=dimension)
    check_ranks_as_all_documents_would(case, fused(case, 0.3, 7, precision), 7, 0.3)


def test_queries_in_several_tiles_are_put_together() -> None:
    case = whole_number_case(7, "some", "addition")
    queries = np.random.default_rng(7).integers(-2, 3, (150, case.queries.shape[1]))
    answers = [case.answers[row % len(case.answers)] for row in range(150)]
    many = replace(case, queries=queries.astype(np.float32), answers=answers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_kernel, "_LARGEST_TILE", 64)
        found = fused(many, 1.0, 4)
    assert found.n_queries == 150
    for step in (0.0, 0.5, 1.0):
        np.testing.assert_array_equal(found.ranked_grades(step, 4), many.dense(step, 4))


@KINDS
@settings(max_examples=4)
@given(seed=SEEDS)
def test_without_room_for_all_survivors_the_launch_is_made_again(kind: str, seed: int) -> None:
    case = long_case(seed, kind)
    with (
        many_launches(),
        counted(Survivors, "grow") as grown,
        counted(torch_kernel, "shortlist") as given_up,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(triton_kernel._Sizes, "of", few_places(triton_kernel._Sizes.of))
        found = fused(case, 1.0, 2)
    check_ranks_as_all_documents_would(case, found, 2, 1.0)
    assert grown.count > 0
    assert given_up.count == 0


def few_places(of: Any) -> Any:
    """Sizes with room for the first launch only, which is as long as two ranks need."""
    return staticmethod(lambda k: of(k)._replace(room=k))


def test_what_there_was_room_for_raises_the_floor() -> None:
    """Of the second launch's three groups only two find room, but the first rules out the rest."""
    scores = np.repeat([0.1, 0.9, 0.8, 0.7], 8).astype(np.float32)
    nobody = np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
    answers: list[dict[int, float]] = [{9: 1.0}]
    case = Case(np.ones((1, 1), np.float32), scores[:, None], *nobody, answers, AdditionPath(0))
    with (
        many_launches(),
        counted(Survivors, "grow") as grown,
        counted(torch_kernel, "shortlist") as given_up,
        pytest.MonkeyPatch.context() as patch,
    ):
        sizes = triton_kernel._Sizes.of(1)._replace(room=2, most=2)
        patch.setattr(triton_kernel._Sizes, "of", staticmethod(lambda k: sizes))
        patch.setattr(torch, "randperm", lambda n, **options: torch.arange(n))
        found = fused(case, 1.0, 1)
    assert (grown.count, given_up.count) == (1, 0)
    assert sorted(found.documents) == list(range(8, 16))


@KINDS
def test_too_many_documents_in_the_running_are_left_to_plain_torch(kind: str) -> None:
    """All documents are equal: every one of them is in the running for every query."""
    case = repeated(whole_number_case(1, "some", kind), 1)
    same = replace(case, corpus=np.repeat(np.ones_like(case.corpus[:1]), 300, axis=0))
    with (
        many_launches(),
        counted(torch_kernel, "shortlist") as calls,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(triton_kernel, "_SMALLEST_TILE", 1)
        patch.setattr(triton_kernel, "_LARGEST_TILE", 8)
        patch.setattr(triton_kernel, "_CELLS", 64)
        found = fused(same, 1.0, 2)
    assert calls.count == -(-len(case.queries) // 8)
    for step in (0.0, 0.25, 1.0):
        np.testing.assert_array_equal(found.ranked_grades(step, 2), same.dense(step, 2))


def test_deep_rankings_are_left_to_plain_torch() -> None:
    case = repeated(whole_number_case(2, "some", "addition"), 700)
    with counted(torch_kernel, "shortlist") as calls:
        found = fused(case, 1.0, len(case.corpus))
    assert calls.count == 1
    assert len(found.documents) == len(case.corpus) * len(case.queries)


def test_paths_of_another_family_are_left_to_plain_torch() -> None:
    class Bent:
        """Anything with the methods of a path."""

        def __init__(self, straight: AdditionPath) -> None:
            self.__dict__.update(vars(straight))
            self.rough_bounds, self.highest = straight.rough_bounds, straight.highest
            self.part = straight.part
            self.coefficients, self.moves = straight.coefficients, straight.moves

    case = whole_number_case(2, "some", "addition")
    with counted(torch_kernel, "shortlist") as calls:
        found = fused(replace(case, path=Bent(case.path)), 1.0, 3)
    assert calls.count == 1
    np.testing.assert_array_equal(found.ranked_grades(0.5, 3), case.dense(0.5, 3))


@pytest.mark.parametrize(("free", "times"), [(3 << 30, 1), (4 << 30, 0)])
def test_a_corpus_too_large_for_the_device_is_left_to_plain_torch(free: int, times: int) -> None:
    case = whole_number_case(2, "some", "addition")
    with (
        counted(torch_kernel, "shortlist") as calls,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(triton_kernel, "_free_bytes", lambda device: float(free))
        found = fused(case, 1.0, 3)
    assert calls.count == times
    np.testing.assert_array_equal(found.ranked_grades(0.5, 3), case.dense(0.5, 3))


@pytest.mark.parametrize(
    ("precision", "dimension", "expected"),
    [("tf32", 128, 4 * 128), ("float16", 128, 6 * 128), ("float32", 100, 4 * 100 + 4 * 128)],
)
def test_a_copy_is_held_of_what_is_not_multiplied_as_it_is(
    precision: Precision, dimension: int, expected: int
) -> None:
    case = long_case(0, "addition", n=10, dimension=dimension)
    documents = triton_kernel.Documents.prepare(
        *(case.corpus, case.moved, case.directions, case.path, 1.0, torch.device("cpu")), precision
    )
    tensors = {id(each): each for each in (documents.corpus, documents.held[0])}
    assert sum(each.nbytes for each in tensors.values()) == 10 * expected
    assert triton_kernel.Documents.bytes_held(10, dimension, precision) == 10 * (expected + 8)


def test_no_matrix_of_queries_by_documents_is_ever_made() -> None:
    n, q = 4000, 500
    rng = np.random.default_rng(0)
    corpus = unit(rng.normal(size=(n, 16))).astype(np.float32)
    queries = unit(rng.normal(size=(q, 16))).astype(np.float32)
    moved = np.arange(0, n, 40)
    directions = unit(corpus[moved] + 0.1 * rng.normal(size=(100, 16))).astype(np.float32)
    path = RotationPath.between(corpus[moved], directions)
    case = Case(queries, corpus, moved, directions, [{0: 1.0}] * q, path)
    with Largest() as largest:
        found = fused(case, 0.1, 3)
    assert len(found.documents) > 3 * q
    # The corpus, filled up to 64 components: no buffer of a query is larger.
    assert largest.nbytes == 4 * n * 64 < 4 * n * q / 5


class Largest(TorchDispatchMode):
    """Watches the size of every tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        result = operation(*arguments, **(options or {}))
        for each in result if isinstance(result, list | tuple) else [result]:
            if isinstance(each, torch.Tensor):
                self.nbytes = max(self.nbytes, each.nbytes)
        return result
