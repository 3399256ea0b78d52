"""The exact step: where the most questions have an answer in first place, over all steps.

The oracle scores every entry of a shortlist at many steps by the formulas of the two methods, and
asks each question whether its best answer is at least as high as the best of the others.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from typing import Any

import methods_data
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from methods_data import DataSet
from methods_oracle import Array, unit
from nudge import NUDGEN

from nudge_integrations.errors import DataError
from nudge_integrations.methods import Judgments, NudgeN, exact
from nudge_integrations.methods.directions import directions
from nudge_integrations.methods.exact import best_step, covered, winning_spans, winning_steps
from nudge_integrations.methods.kernels import torch_kernel
from nudge_integrations.methods.paths import AdditionPath, Path, RotationPath
from nudge_integrations.methods.shortlist import Shortlist
from nudge_integrations.methods.sweep import winning_intervals

SEEDS = st.integers(0, 2**32 - 1)
KINDS = pytest.mark.parametrize("kind", ["rotation", "addition"])
FIRST_ONLY = np.nextafter(0, 1)
"""The end of an interval that holds step 0 and no other."""


def gamma(angle: float | Array) -> Any:
    return 2 - 2 * np.cos(angle)


def make(
    questions: list[list[tuple[float, float, float | None, bool]]], kind: str = "rotation"
) -> Shortlist:
    """From (base, along, angle, is an answer) of each document; an angle of None: a still one."""
    entries = [entry for each in questions for entry in each]
    moving = np.array([entry[2] is not None for entry in entries], bool)
    answers, start = [], 0
    for each in questions:
        answers.append([start + i for i, entry in enumerate(each) if entry[3]])
        start += len(each)
    path: Path = AdditionPath(int(moving.sum()))
    if kind == "rotation":
        angles = np.array([entry[2] for entry in entries if entry[2] is not None], float)
        path = RotationPath(angles, np.zeros(len(angles), bool))
    return Shortlist(
        np.cumsum([0, *(len(each) for each in questions)]),
        np.arange(len(entries)),
        np.where(moving, np.cumsum(moving) - 1, -1),
        np.array([entry[0] for entry in entries], float),
        np.where(moving, [entry[1] for entry in entries], 0.0).astype(float),
        Judgments.from_lists(answers, len(entries)),
        path,
    )


def scores(found: Shortlist, steps: Array) -> Array:
    """The score of each entry at each step, (steps, entries)."""
    base, along = np.repeat(found.base[None], len(steps), axis=0), found.along[None]
    moving = np.flatnonzero(found.positions >= 0)
    place = found.positions[moving]
    if isinstance(found.path, AdditionPath):
        base[:, moving] += steps[:, None] * along[:, moving]
        return base
    assert isinstance(found.path, RotationPath)
    moving, place = (each[~found.path.still[place]] for each in (moving, place))
    phi = found.path.angle[place]
    theta = np.minimum(np.arccos(1 - steps / 2)[:, None], phi)
    # Each factor on its own: 1 and 0 at the ends, so that equals tie there.
    left, gone = np.sin(phi - theta) / np.sin(phi), np.sin(theta) / np.sin(phi)
    base[:, moving] = left * base[:, moving] + gone * along[:, moving]
    return base


def leads(found: Shortlist, steps: Array) -> Array:
    """By how much the best answer of each question beats all else, (steps, questions)."""
    table = scores(found, steps)
    result = np.full((len(steps), found.n_queries), -np.inf)
    for question in range(found.n_queries):
        mine = np.arange(*found.indptr[question : question + 2])
        answers = mine[found.grades[mine] > 0]
        others = np.setdiff1d(mine, answers)
        if len(answers):
            rival = table[:, others].max(axis=1, initial=-np.inf)
            result[:, question] = table[:, answers].max(axis=1) - rival
    return result


def held(found: Shortlist, last: float, steps: Array) -> Array:
    """Whether the intervals of each question hold each step, (steps, questions)."""
    result = np.zeros((len(steps), found.n_queries), int)
    for question, start, end in zip(*winning_spans(found, last), strict=True):
        result[:, question] += (start <= steps) & (steps < end)
    assert result.max(initial=0) <= 1, "a question counts twice"
    return result > 0


def hits(found: Shortlist, step: float) -> int:
    return int((found.ranked_grades(step, 1) > 0).sum())


@dataclass(frozen=True)
class Case:
    found: Shortlist
    last: float

    def steps(self, count: int) -> Array:
        """Step 0, and others everywhere and near 0."""
        rng = np.random.default_rng(count)
        few = count // 5
        # Not so near that its effect on a score is lost in rounding.
        inside = np.concatenate([rng.random(count - 1 - few), rng.uniform(1e-3, 1, few) ** 4])
        return np.concatenate([[0.0], self.last * inside])


def vectors_case(seed: int, kind: str) -> Case:
    """Documents of any length, some of them twice, all kinds of ways through the kernel."""
    rng = np.random.default_rng(seed)
    n, dimension = int(rng.integers(1, 40)), int(rng.integers(2, 8))
    corpus = unit(rng.normal(size=(n, dimension))).astype(np.float32)
    for row in rng.integers(0, n, n // 5):
        corpus[row] = corpus[rng.integers(0, n)]
    moved = np.flatnonzero(rng.random(n) < rng.random())
    noise = 10 ** rng.uniform(-3, 0.5)
    towards = corpus[moved] + noise * rng.normal(size=(len(moved), dimension))
    towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    path: Path = AdditionPath(len(moved))
    if kind == "rotation":
        path = RotationPath.between(corpus[moved], towards.astype(np.float32))
    lengths = rng.choice([1.0, *rng.uniform(0.5, 2, 3)], (n, 1))
    queries = unit(rng.normal(size=(int(rng.integers(1, 12)), dimension))).astype(np.float32)
    answers = [rng.choice(n, min(n, int(rng.integers(0, 4))), replace=False) for _ in queries]
    last = float(rng.choice([0.1, 0.48, 1.3, 2.0]))
    found = torch_kernel.shortlist(
        queries,
        (corpus * lengths).astype(np.float32),
        Judgments.from_lists([each.tolist() for each in answers], n),
        moved,
        (towards * lengths[moved]).astype(np.float32),
        path,
        last=last,
        k=int(rng.integers(1, 4)),
        device=torch.device("cpu"),
    )
    return Case(found, last)


def numbers_case(seed: int, kind: str) -> Case:
    """Scores that no vectors need to have; with `whole` ones full of ties that last."""
    rng = np.random.default_rng(seed)
    whole, moving = rng.random() < 0.5, rng.choice([0.0, 0.5, 1.0])
    widest = np.pi - 0.1 if rng.random() < 0.3 else np.pi / 2
    last = float(gamma(rng.uniform(0.05, widest)))
    capped = rng.choice([0.0, 0.5, 1.0])

    def entry(answer: bool) -> tuple[float, float, float | None, bool]:
        base, along = rng.integers(-2, 3, 2) if whole else rng.normal(size=2)
        reach = np.arccos(1 - last / 2)
        early, late = rng.uniform(0.01, reach), rng.uniform(reach, np.pi - 0.01)
        angle = np.pi / 2 if whole else early if rng.random() < capped else late
        return base, along, angle if rng.random() < moving else None, answer

    questions = [
        [entry(rng.random() < 0.3) for _ in range(rng.integers(0, 9))]
        for _ in range(rng.integers(1, 16))
    ]
    if whole:
        # Scores meet again where whole-number ones arrive; the way ends before.
        last = float(gamma(rng.uniform(0.05, 1.5)))
    return Case(make(questions, kind), last)


CASES = pytest.mark.parametrize("case", [vectors_case, numbers_case], ids=["vectors", "numbers"])


@KINDS
@CASES
@given(seed=SEEDS)
def test_no_other_step_wins_more_questions(case: Any, kind: str, seed: int) -> None:
    problem = case(seed, kind)
    starts, ends = winning_steps(problem.found, problem.last)
    step = best_step(starts, ends)
    most = int(covered(starts, ends, np.array([step]))[0])
    assert 0 <= step <= problem.last
    assert hits(problem.found, step) == most
    won = (leads(problem.found, problem.steps(5000)) >= 0).sum(axis=1)
    assert won.max() <= most
    assert step == 0 or won[0] < most


@KINDS
@CASES
@given(seed=SEEDS)
def test_a_question_s_intervals_hold_the_steps_at_which_it_is_won(
    case: Any, kind: str, seed: int
) -> None:
    problem = case(seed, kind)
    steps = problem.steps(1000)
    lead = leads(problem.found, steps)
    sure = (np.abs(lead) > 1e-9) | (lead == 0)
    sure[0] = True
    here = held(problem.found, problem.last, steps)
    np.testing.assert_array_equal(here[sure], (lead >= 0)[sure])


@KINDS
@CASES
@given(seed=SEEDS)
def test_intervals_are_disjoint_and_stay_on_the_way(case: Any, kind: str, seed: int) -> None:
    problem = case(seed, kind)
    question, starts, ends = winning_spans(problem.found, problem.last)
    assert (starts >= 0).all()
    assert (starts < ends).all()
    assert (ends <= np.nextafter(problem.last, np.inf)).all()
    same = question[1:] == question[:-1]
    assert (np.diff(question) >= 0).all()
    assert (starts[1:] > ends[:-1])[same].all()
    for each, other in zip(winning_steps(problem.found, problem.last), (starts, ends), strict=True):
        np.testing.assert_array_equal(each, other)


@KINDS
@CASES
@given(seed=SEEDS, pairs=st.integers(1, 20), halvings=st.integers(1, 7))
def test_blocks_and_halvings_change_nothing(
    case: Any, kind: str, seed: int, pairs: int, halvings: int
) -> None:
    problem = case(seed, kind)
    steps = problem.steps(1000)
    sure = np.abs(leads(problem.found, steps)) > 1e-9
    whole = held(problem.found, problem.last, steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_PAIRS", pairs)
        patch.setattr(exact, "_HALVINGS", halvings)
        patch.setattr(exact, "_CROWDED", 0)
        ragged = held(problem.found, problem.last, steps)
    np.testing.assert_array_equal(ragged[sure], whole[sure])


@KINDS
def test_memory_is_bounded_by_pairs(kind: str) -> None:
    """At most as many at once, but for a single answer with more rivals."""
    rng = np.random.default_rng(0)
    questions = [
        [(*rng.normal(size=2), 1.5, place < few) for place in range(12)]
        for few in rng.integers(1, 11, 60)
    ]
    found, at_once, lost = make(questions, kind), [], exact._Arcs.lost

    def watched(self: Any, answers: Array, rivals: Array, *stretch: float) -> Any:
        at_once.append((len(answers), len(np.unique(answers))))
        return lost(self, answers, rivals, *stretch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_PAIRS", 6)
        patch.setattr(exact, "_HALVINGS", 0)
        patch.setattr(exact._Arcs, "lost", watched)
        winning_steps(found, END)
    assert all(pairs <= 6 or answers == 1 for pairs, answers in at_once)
    assert sum(pairs for pairs, _ in at_once) > 100


@KINDS
@given(seed=SEEDS, power=st.integers(-60, 60))
def test_longer_vectors_win_at_the_same_steps(kind: str, seed: int, power: int) -> None:
    problem = vectors_case(seed, kind)
    found = problem.found
    longer = replace(found, base=found.base * 2.0**power, along=found.along * 2.0**power)
    for each, other in zip(
        winning_spans(longer, problem.last), winning_spans(found, problem.last), strict=True
    ):
        np.testing.assert_array_equal(each, other)


def spans(questions: list[Any], last: float, kind: str = "rotation") -> list[tuple[float, float]]:
    starts, ends = winning_steps(make(questions, kind), last)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def towards_the_question(away: float, beyond: float) -> tuple[float, float, float, bool]:
    """An answer that starts at the angle `away` from the question and ends as far `beyond` it."""
    return np.cos(away), np.cos(beyond), away + beyond, True


def still(score: float, answer: bool = False) -> tuple[float, float, None, bool]:
    return score, 0.0, None, answer


END = float(gamma(1.5))
PAST_END = np.nextafter(END, np.inf)


def test_an_answer_that_passes_the_question_wins_while_it_is_near() -> None:
    found = spans([[towards_the_question(0.7, 0.6), still(np.cos(0.2))]], END)
    assert found == [pytest.approx((gamma(0.5), gamma(0.9)))]


def test_an_answer_that_arrives_in_front_stays_there() -> None:
    found = spans([[towards_the_question(0.7, 0.1), still(np.cos(0.2))]], END)
    assert found == [(pytest.approx(gamma(0.5)), PAST_END)]


def test_a_rival_that_passes_the_question_wins_while_it_is_near() -> None:
    """The answer first turns away, then waits: both change the pace of their meeting."""
    rival = (*towards_the_question(0.7, 0.6)[:3], False)
    found = spans([[still(np.cos(0.2), answer=True), rival]], END)
    first, second = found
    assert first == (0, pytest.approx(gamma(0.5)))
    assert second == (pytest.approx(gamma(0.9)), PAST_END)


def test_an_answer_that_stops_short_is_first_from_there_on() -> None:
    short = (np.cos(0.7), np.cos(0.3), 0.4, True)
    assert spans([[short, still(np.cos(0.5))]], END) == [(pytest.approx(gamma(0.2)), PAST_END)]


def test_an_answer_that_passes_the_opposite_of_the_question_loses_while_it_is_near() -> None:
    first, second = spans([[(-np.cos(0.5), -np.cos(0.5), 1.0, True), still(-np.cos(0.2))]], END)
    assert first == (0, pytest.approx(gamma(0.3)))
    assert second == (pytest.approx(gamma(0.7)), PAST_END)


def test_a_rival_that_passes_the_opposite_of_the_question_loses_while_it_is_near() -> None:
    rival = (-np.cos(0.5), -np.cos(0.5), 1.0, False)
    found = spans([[still(-np.cos(0.2), answer=True), rival]], END)
    assert found == [pytest.approx((gamma(0.3), gamma(0.7)))]


def test_the_question_is_won_once_where_two_answers_are_first() -> None:
    early, late = towards_the_question(0.6, 0.6), towards_the_question(0.8, 0.6)
    found = spans([[early, late, still(np.cos(0.2))]], END)
    assert found == [pytest.approx((gamma(0.4), gamma(1.0)))]


def test_answers_need_not_beat_each_other() -> None:
    found = spans([[still(0.5, answer=True), still(0.9, answer=True), still(0.7)]], END)
    assert found == [(0, PAST_END)]


def test_a_document_against_its_direction_stays() -> None:
    """x.h < 0: the path calls it still, although the shortlist knows a direction."""
    documents = np.array([[1, 0], [0.6, 0.8]], np.float32)
    towards = np.array([[-0.6, 0.8], [0.0, 1.0]], np.float32)
    path = RotationPath.between(documents, towards)
    assert path.still.tolist() == [True, False]
    found = torch_kernel.shortlist(
        np.array([[0, 1]], np.float32),
        *(documents, Judgments.from_lists([[0]], 2), np.array([0, 1]), towards, path),
        last=2.0,
        k=2,
        device=torch.device("cpu"),
    )
    assert len(found.base) == 2
    starts, _ = winning_steps(found, 2.0)
    assert starts.tolist() == []


@pytest.mark.parametrize(
    "entries",
    [
        [still(0.5), still(0.5, answer=True)],
        [(0.3, 0.8, 0.4, True), (0.3, 0.8, 0.4, False)],
        [(0.3, 0.8, 0.4, True), (0.1, 0.8, 0.4, False), (0.2, 0.8, 0.7, False)],
    ],
    ids=["still", "on one way", "arriving at one place"],
)
def test_ties_that_last_go_to_the_answer(entries: list[Any]) -> None:
    last = float(gamma(0.6))
    found = make([entries])
    steps = np.linspace(0, last, 50)
    assert held(found, last, steps).all()


def test_a_tie_at_step_0_alone_counts_there() -> None:
    rising = (0.5, 0.9, 0.8, False)
    assert spans([[still(0.5, answer=True), rising]], END) == [(0, FIRST_ONLY)]
    assert spans([[(0.5, 0.9, 0.8, True), still(0.5)]], END)[0] == (0, FIRST_ONLY)


@KINDS
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ([], []),
        ([still(0.3), still(0.4)], []),
        ([(0.3, 0.9, 1.0, True)], [(0, PAST_END)]),
        ([(0.3, 0.9, 1.0, False)], []),
        ([still(-0.3, answer=True), still(-0.2)], []),
    ],
    ids=["no document", "no answer", "only an answer", "only another", "never won"],
)
def test_small_questions(kind: str, question: list[Any], expected: list[Any]) -> None:
    other = [still(0.1, answer=True), still(0.0)]
    assert spans([question], END, kind) == expected
    assert spans([question, other], END, kind) == [*expected, (0, PAST_END)]
    assert spans([], END, kind) == []


@KINDS
def test_a_way_of_no_length_is_step_0(kind: str) -> None:
    won = [(0.5, 0.1, 1.0, True), (0.4, 0.9, 1.0, False)]
    tied = [(0.5, 0.1, 1.0, True), (0.5, 0.9, 1.0, False)]
    lost = [(0.5, 0.9, 1.0, True), (0.6, 0.1, 1.0, False)]
    assert spans([won, tied, lost], 0.0, kind) == [(0, FIRST_ONLY)] * 2


def test_lines_cross_once() -> None:
    rival = (0.0, 0.5, 1.0, False)
    questions = [[(1.0, 0.25, 1.0, True), rival], [(-1.0, 1.0, 1.0, True), rival]]
    found = spans(questions, 1e6, "addition")
    assert found == [(0, pytest.approx(4)), (pytest.approx(2), np.nextafter(1e6, np.inf))]


@pytest.mark.parametrize(
    ("intervals", "step"),
    [
        ([], 0.0),
        ([(0.2, 0.6)], 0.4),
        ([(0.2, 0.6), (0.4, 1.0)], 0.5),
        ([(0.2, 0.4), (0.6, 0.8)], 0.3),
        ([(0.0, 0.1), (0.2, 0.6)], 0.0),
        ([(0.0, FIRST_ONLY), (0.2, 0.6)], 0.0),
        ([(0.0, 0.1), (0.05, 0.6)], 0.075),
        ([(0.2, 0.4), (0.4, 0.6)], 0.3),
        ([(0.2, 0.5), (0.5 - 1e-14, 0.8)], 0.35),
    ],
    ids=[
        "none",
        "its middle",
        "where two meet",
        "the first of equals",
        "step 0 wins ties",
        "even if nothing else holds it",
        "but not against more",
        "an end is no longer inside",
        "too short to hit",
    ],
)
def test_the_best_step(intervals: list[tuple[float, float]], step: float) -> None:
    starts, ends = np.array(intervals, float).reshape(-1, 2).T
    assert best_step(starts, ends) == pytest.approx(step, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=15))
@example([(0, 3), (3, 3)])
def test_the_best_step_is_in_the_first_of_the_most_covered_stretches(
    pairs: list[tuple[int, int]],
) -> None:
    starts, ends = np.array([(low, low + size) for low, size in pairs], float).reshape(-1, 2).T
    cover = [int(((starts <= t) & (t < ends)).sum()) for t in range(20)]
    step = best_step(starts, ends)
    assert covered(starts, ends, np.array([step]))[0] == max(cover)
    assert int(step) == cover.index(max(cover)) or step > cover.index(max(cover))
    assert not any(each == max(cover) for each in cover[: cover.index(max(cover))])
    assert (step == 0) == (cover[0] == max(cover))


def test_a_path_of_another_kind_is_refused() -> None:
    class Spiral:
        pass

    found = replace(make([[still(0.5, answer=True)]]), path=Spiral())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="Spiral: give steps"):
        winning_steps(found, 1.0)


def wide(starts: Array, ends: Array) -> int:
    """The most intervals that hold a stretch which float32 cannot miss."""
    points = np.unique(np.concatenate([starts, ends]))
    clear = np.diff(points) > 1e-4 * (1 + points[1:])
    return int(covered(starts, ends, points[:-1][clear]).max(initial=0))


@given(SEEDS)
def test_nudge_m_s_sweep_covers_as_much(seed: int) -> None:
    """Its pairs are our questions where each has one answer; its products are float32."""
    rng = np.random.default_rng(seed)
    documents = unit(rng.normal(size=(int(rng.integers(2, 40)), 6))).astype(np.float32)
    train, validation = (unit(rng.normal(size=(25, 6))).astype(np.float32) for _ in range(2))
    asked, tested = (
        Judgments.from_lists(rng.integers(0, len(documents), (25, 1)).tolist(), len(documents))
        for _ in range(2)
    )
    towards, device, last = directions(train, asked), torch.device("cpu"), 50.0
    lows, highs = winning_intervals(
        validation, documents, tested, towards.rows, towards.vectors, device
    )
    inside = lows < last
    theirs = lows[inside], np.minimum(highs[inside], last)
    ours = winning_steps(
        torch_kernel.shortlist(
            *(validation, documents, tested, towards.rows, towards.vectors),
            AdditionPath(len(towards.rows)),
            last=last,
            k=1,
            device=device,
        ),
        last,
    )
    most = int(covered(*ours, np.array([best_step(*ours)]))[0])
    assert wide(*theirs) <= most
    assert wide(*ours) <= covered(*theirs, theirs[0]).max(initial=0)


def questions_won(data: DataSet, vectors: Array) -> int:
    table = data.validation.vectors.astype(np.float64) @ vectors.astype(np.float64).T
    return sum(
        row[list(answers)].max() >= row.max()
        for row, answers in zip(table, data.validation.answers, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "grid", "found"),
    [
        ("covidqa_passages", 55, 55),
        ("datatalks_faq_llm2human", 330, 330),
        ("cosqa_devtest", 51, 53),
    ],
)
def test_at_least_as_many_validation_questions_as_nudge_fts_grid(
    data_dir: Folder, name: str, grid: int, found: int
) -> None:
    """Vectors tuned by nudge-ft with its 25 steps, and by the exact step in the same range."""
    data = methods_data.load(data_dir, name)
    n, last = len(data.documents), 0.48
    sets = data.train.as_set(), data.validation.as_set()
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = np.asarray(NUDGEN("cpu").finetune_embeddings(data.documents, *sets))
    towards = directions(data.train.vectors, data.train.judgments(n))
    starts, ends = winning_steps(
        torch_kernel.shortlist(
            *(data.validation.vectors, unit(data.documents).astype(np.float32)),
            *(data.validation.judgments(n), towards.rows, towards.vectors),
            RotationPath.between(
                unit(data.documents[towards.rows]).astype(np.float32), towards.vectors
            ),
            last=last,
            k=1,
            device=torch.device("cpu"),
        ),
        last,
    )
    step = best_step(starts, ends)
    ours = NudgeN("cpu").finetune_embeddings(data.documents, *sets, gamma=step)
    assert covered(starts, ends, np.array([step]))[0] == found
    assert questions_won(data, ours) == found
    assert questions_won(data, theirs) == grid
    chosen = NudgeN("cpu", steps="exact")
    fit = chosen.fit(
        data.documents,
        data.train.vectors,
        data.train.judgments(n),
        validation=(data.validation.vectors, data.validation.judgments(n)),
        selection="holdout",
    )
    curve = dict(fit.curve)
    assert round(curve[fit.step] * len(data.validation.answers)) >= found
    assert curve[fit.step] == max(curve.values())


def test_an_exact_step_is_of_the_first_place() -> None:
    assert str(NudgeN(steps="exact").metric) == "hit_rate@1"
    with pytest.raises(DataError, match="first place"):
        NudgeN(steps="exact", metric="ndcg@10")
