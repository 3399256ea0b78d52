"""The best step of all, not of a grid: where the most questions have an answer in first place.

With NUDGE-N the score of a document is `s cos(theta) + w sin(theta)` until it has arrived, and
level from there on. With NUDGE-M it is a line `s + t w`, and at `t = tan(theta)` that is the same
over `cos(theta)`, by which all scores are divided alike. Two such scores cross at a few angles that
have a formula. So the steps at which a question is won are a union of intervals with known ends,
and the point that the most of them cover needs no search.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.errors import DataError
from nudge_integrations.methods.paths import AdditionPath, Float64, RotationPath
from nudge_integrations.methods.shortlist import Shortlist

_BLOCK_PAIRS = 1 << 17  # some 30 MB of float64 at the peak
_HALVINGS = 6
_CROWDED = 2  # pairs an entry: with more it is faster to look again at fewer entries
# A lead smaller than this share of the larger score may be rounding: worked out by another
# formula it could be a deficit. Scores come from float32, so nothing real is as small.
_LEAD = 1e-13
_NARROWEST = 1e-12  # `1 - gamma / 2` holds no smaller differences

Spans = tuple[IntVector, Float64, Float64]
"""Owner, lower and upper end of each of some intervals."""


def winning_steps(found: Shortlist, last: float) -> tuple[Float64, Float64]:
    """Steps at which a question has an answer in first place, for all questions together.

    Grades play no part beyond being above 0, and ties go to the answer.

    Args:
        found: Questions, and the documents in the running up to `last`.
        last: The largest step, finite, at most the one that the shortlist was made for.

    Returns:
        Lower and upper ends of intervals `[start, end)`, within 0 .. `last`. Those of one question
        are disjoint, so that it counts once at any step. An interval that holds step 0 starts at
        0; one that holds `last` ends at the next larger float.

    Raises:
        DataError: The path is neither a line nor a rotation.
    """
    _, starts, ends = winning_spans(found, last)
    return starts, ends


def winning_spans(found: Shortlist, last: float) -> Spans:
    """The same with the question that owns each interval; by question, then by start."""
    scores = _Arcs.of(found, last)
    owner = np.repeat(np.arange(found.n_queries, dtype=np.int64), np.diff(found.indptr))
    contest = _Contest(scores, owner, found.grades > 0, found.n_queries)
    everyone = np.arange(len(owner), dtype=np.int64)
    question, starts, ends = _joined(list(contest.won(everyone, 0.0, scores.last, _HALVINGS)))
    to_the_end = ends >= scores.last
    starts, ends = scores.steps(starts), scores.steps(ends)
    ends[to_the_end] = np.nextafter(last, np.inf)
    # Step 0 is judged by the scores themselves: there a tie is common, and has no width.
    best = np.full((2, found.n_queries), -np.inf)
    np.maximum.at(best, (contest.relevant.astype(np.int64), owner), found.base)
    first = np.flatnonzero((best[1] >= best[0]) & np.isfinite(best[1]))
    at_once = first, np.zeros(len(first)), np.full(len(first), np.nextafter(0, 1))
    return _merged(*_joined([(question, starts, ends), at_once]))


def best_step(starts: Float64, ends: Float64) -> float:
    """The smallest step that the most intervals `[start, end)` hold; 0 if there are none.

    The ends of an interval are ties, which rounding could turn: the step is the middle of the
    stretch that so many hold, unless 0 is part of it, which is then the step. Where the most meet
    on a stretch too short to hit, the next most do.

    Args:
        starts: Lower ends, at least 0.
        ends: Upper ends.
    """
    points = np.unique(np.concatenate([starts, ends]))
    if len(points) == 0:
        return 0.0
    left, right = points[:-1], points[1:]
    cover = covered(starts, ends, left)
    cover[(left > 0) & (right - left < _NARROWEST * np.maximum(1, right))] = 0
    best = int(np.argmax(cover))
    if cover[best] == 0 or left[best] == 0:
        return 0.0
    return float((left[best] + right[best]) / 2)


def covered(starts: Float64, ends: Float64, steps: Float64) -> IntVector:
    """How many intervals `[start, end)` hold each of `steps`."""
    begun = np.searchsorted(np.sort(starts), steps, side="right")
    ended = np.searchsorted(np.sort(ends), steps, side="right")
    return np.asarray(begun - ended, dtype=np.int64)


@dataclass(frozen=True)
class _Arcs:
    """Scores of the entries of a shortlist, `base cos + across sin` up to `stop`, then `end`.

    Angles, here and below, in radians from 0 to `last`. Still documents stop at 0.
    """

    base: Float64
    across: Float64
    stop: Float64
    end: Float64
    last: float
    straight: bool

    @cached_property
    def slack(self) -> Float64:
        """The lead of each entry that may be rounding."""
        return np.asarray(_LEAD * np.maximum(np.abs(self.base), np.abs(self.across)))

    @classmethod
    def of(cls, found: Shortlist, last: float) -> _Arcs:
        base, path = found.base, found.path
        moving = np.flatnonzero(found.positions >= 0)
        across = np.zeros(len(base))
        if isinstance(path, AdditionPath):
            across[moving] = found.along[moving]
            never = np.full(len(base), np.inf)
            return cls(base, across, never, base, float(np.arctan(last)), straight=True)
        if not isinstance(path, RotationPath):
            raise DataError(f"no exact step on a {type(path).__name__}: give steps to choose from")
        moving = moving[path.moves[found.positions[moving]]]
        angle, along = path.angle[found.positions[moving]], found.along[moving]
        stop, end = np.zeros(len(base)), base.copy()
        across[moving] = (along - np.cos(angle) * base[moving]) / np.sin(angle)
        stop[moving], end[moving] = angle, along
        return cls(base, across, stop, end, path.turn(last), straight=False)

    def steps(self, angles: Float64) -> Float64:
        if self.straight:
            return np.tan(angles)
        # 2 - 2 cos, without losing the digits of small angles.
        return np.asarray(4 * np.sin(angles / 2) ** 2, dtype=np.float64)

    def bounds(self, entries: IntVector, low: float, high: float) -> tuple[Float64, Float64]:
        """Lowest and highest score of each entry on a stretch of the way."""
        base, across, stop, end = (
            each[entries] for each in (self.base, self.across, self.stop, self.end)
        )
        ends = [
            np.where(stop <= point, end, base * np.cos(point) + across * np.sin(point))
            for point in (low, high)
        ]
        peak, top, until = np.hypot(base, across), np.arctan2(across, base), np.minimum(stop, high)
        highest = np.where((top > low) & (top < until), peak, np.maximum(*ends))
        lowest = np.where((top + np.pi > low) & (top + np.pi < until), -peak, np.minimum(*ends))
        return lowest, highest

    def lost(
        self, answers: IntVector, rivals: IntVector, low: float, high: float
    ) -> Iterator[Spans]:
        """Where the first entry of each pair scores below the second: (pair, low, high)."""
        ours, theirs = self.stop[answers], self.stop[rivals]
        slack = np.maximum(self.slack[answers], self.slack[rivals])
        ends = np.full((2, len(ours)), [[low], [high]])
        stops = np.clip([np.minimum(ours, theirs), np.maximum(ours, theirs)], low, high)
        for begin, finish in itertools.pairwise([ends[0], *stops, ends[1]]):
            there = np.flatnonzero(begin < finish)
            wave = self._difference(answers[there], rivals[there], begin[there])
            for start, stop in _below(*wave, slack[there]):
                pair, start, stop = _not_empty(
                    np.maximum(start, begin[there]), np.minimum(stop, finish[there])
                )
                yield there[pair], start, stop

    def _difference(
        self, answers: IntVector, rivals: IntVector, since: Float64
    ) -> tuple[Float64, Float64, Float64]:
        """Factors of cosine, sine and 1, on a piece of each pair that begins at `since`."""
        ours, theirs = self.stop[answers] > since, self.stop[rivals] > since
        cosine = self.base[answers] * ours - self.base[rivals] * theirs
        sine = self.across[answers] * ours - self.across[rivals] * theirs
        return cosine, sine, self.end[answers] * ~ours - self.end[rivals] * ~theirs


def _below(
    cosine: Float64, sine: Float64, level: Float64, slack: Float64
) -> Iterator[tuple[Float64, Float64]]:
    """Where `cosine cos + sine sin + level < slack` within 0 .. pi: two intervals, or empty ones.

    The wave has its top at `top` and falls below the slack `half` to either side of it.
    """
    height = np.hypot(cosine, sine)
    # Level ones are compared as they are: equal ones tie all the way.
    cut = np.where(level < 0, 1.0, -1.0)
    with np.errstate(over="ignore"):
        np.divide(slack - level, height, out=cut, where=height > 0)
    top, half = np.arctan2(sine, cosine), np.arccos(np.clip(cut, -1, 1))
    yield top + half, top - half + 2 * np.pi
    yield top + half - 2 * np.pi, top - half


@dataclass(frozen=True)
class _Contest:
    """Entries of a shortlist: the question of each, ascending, and whether it is an answer."""

    scores: _Arcs
    owner: IntVector
    relevant: npt.NDArray[np.bool_]
    n_queries: int

    def won(self, entries: IntVector, low: float, high: float, halvings: int) -> Iterator[Spans]:
        """Where an answer beats all rivals, looking at some entries on one stretch of the way.

        On a short stretch few are in the running, so a stretch with many pairs is halved.
        """
        entries = self._contenders(entries, low, high)
        answers, rivals = (entries[self.relevant[entries] == each] for each in (True, False))
        first = np.searchsorted(self.owner[rivals], self.owner[answers], side="left")
        counts = np.searchsorted(self.owner[rivals], self.owner[answers], side="right") - first
        if halvings and counts.sum() > _CROWDED * len(entries):
            middle = (low + high) / 2
            yield from self.won(entries, low, middle, halvings - 1)
            yield from self.won(entries, middle, high, halvings - 1)
            return
        for some in _blocks(counts):
            place = np.repeat(np.arange(len(counts[some])), counts[some])
            nth = np.arange(len(place)) - (np.cumsum(counts[some]) - counts[some])[place]
            yield self._duels(answers[some], place, rivals[first[some][place] + nth], low, high)

    def _duels(
        self, answers: IntVector, place: IntVector, rivals: IntVector, low: float, high: float
    ) -> Spans:
        """Where each answer beats all of its rivals: of `answers[place]`, one by one, `rivals`."""
        every, ones = np.arange(len(answers)), np.ones(len(answers))
        lost = [(every, (low - 1) * ones, low * ones), (every, high * ones, (high + 1) * ones)]
        for pair, start, stop in self.scores.lost(answers[place], rivals, low, high):
            lost.append((place[pair], start, stop))
        answer, starts, ends = _merged(*_joined(lost))
        same = answer[1:] == answer[:-1]
        return self.owner[answers[answer[1:][same]]], ends[:-1][same], starts[1:][same]

    def _contenders(self, entries: IntVector, low: float, high: float) -> IntVector:
        """Those that are not below another one all the way.

        A rival below an answer, or below another rival, decides nothing. Nor does an answer below
        another one, as the question is won whichever of them is first.
        """
        lowest, highest = self.scores.bounds(entries, low, high)
        slack, owner = self.scores.slack[entries], self.owner[entries]
        floor = np.full(self.n_queries, -np.inf)
        np.maximum.at(floor, owner, lowest - slack)
        return np.asarray(entries[highest + slack >= floor[owner]])


def _blocks(counts: IntVector) -> Iterator[slice]:
    """Answers with so many pairs in all, but for a single one with more than that."""
    ends = np.cumsum(counts + 1)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK_PAIRS, side="right")))
        yield slice(start, stop)
        start = stop


def _merged(owner: IntVector, starts: Float64, ends: Float64) -> Spans:
    """The union of the intervals of each owner; those that touch become one."""
    order = np.lexsort((starts, owner))
    owner, starts, ends = owner[order], starts[order], ends[order]
    # The running maximum within each owner, by ranks, so that no end is rounded.
    levels, rank = np.unique(ends, return_inverse=True)
    offset = owner * np.int64(len(levels))
    reach = levels[np.maximum.accumulate(offset + rank.reshape(-1)) - offset]
    fresh = np.ones(len(owner), bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (starts[1:] > reach[:-1])
    final = np.append(fresh[1:], True)[: len(owner)]
    return owner[fresh], starts[fresh], reach[final]


def _not_empty(low: Float64, high: Float64) -> Spans:
    pair = np.flatnonzero(low < high)
    return pair, low[pair], high[pair]


def _joined(spans: list[Spans]) -> Spans:
    nothing = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    owners, starts, ends = zip(nothing, *spans, strict=True)
    return np.concatenate(owners), np.concatenate(starts), np.concatenate(ends)
