"""From scores before and after to a report."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector, name_some
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import Metric, parse_metric
from nudge_integrations.evaluation.report import EvaluationReport, QueryChange, ReportRow
from nudge_integrations.evaluation.scores import Scores
from nudge_integrations.evaluation.significance import paired_differences, paired_test

_NAMED_QUERIES = 5


def compare(
    before: Scores,
    after: Scores,
    *,
    judged_on: str,
    seen: Collection[str] | None = None,
    queries: Mapping[str, str] | None = None,
    main_metric: str | Metric | None = None,
    method: str | None = None,
    step: float | None = None,
    step_reason: str = "",
    moved: int | None = None,
    documents: int | None = None,
    curve: Sequence[tuple[float, float]] = (),
    notes: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> EvaluationReport:
    """Compare the same queries before and after.

    Args:
        before: Scores with the original vectors.
        after: Scores of the same queries and metrics, in any order.
        judged_on: What the scores were measured on, such as `"test queries"`.
        seen: Ids of the queries with an answer that was moved; all others are unseen. Ids that
            were not scored are passed over. None where the two cannot be told apart: then the
            report has all queries only.
        queries: Text of each query id, for the examples.
        main_metric: The metric that the verdict and the examples are about; by default the first
            one of `before`.
        method: Such as `"NUDGE-N"`.
        step: How far the vectors moved, from 0.
        step_reason: Why that step was chosen, in words.
        moved: How many documents moved.
        documents: How many documents there are.
        curve: `(step, value)` pairs by which the step was chosen.
        notes: Anything else that a reader should know.
        resamples: How many random sign assignments the significance test draws.
        seed: Of that test.

    Returns:
        The report. Equal scores give an equal report, whatever the order of the queries.

    Raises:
        DataError: The two do not score the same queries by the same metrics, or there are none.
    """
    names = _metric_names(before, after, main_metric)
    places = _places_in(before, after)
    groups = _groups(before.query_ids, seen)
    draws = {"resamples": resamples, "seed": seed}
    rows = [
        _row((name, group), before.values[name][mask], after.values[name][places][mask], draws)
        for group, mask in groups.items()
        for name in names
    ]
    changes = _changes(before, after, names[0], places, queries or {})
    won = [change for change in changes if change.after > change.before]
    lost = [change for change in changes if change.after < change.before]
    return EvaluationReport(
        rows=tuple(rows),
        judged_on=judged_on,
        won=tuple(won[:_NAMED_QUERIES]),
        lost=tuple(lost[:_NAMED_QUERIES]),
        method=method,
        step=float(step) if step is not None and math.isfinite(step) else None,
        step_reason=step_reason,
        moved=None if moved is None else int(moved),
        documents=None if documents is None else int(documents),
        curve=_finite_points(curve),
        notes=tuple(notes),
    )


def _metric_names(
    before: Scores, after: Scores, main_metric: str | Metric | None
) -> tuple[str, ...]:
    names = list(before.values)
    if set(names) != set(after.values) or not names:
        raise DataError(
            f"before and after must have the same metrics, at least one; before has "
            f"{', '.join(names) or 'none'}, after {', '.join(after.values) or 'none'}"
        )
    main = names[0] if main_metric is None else str(parse_metric(main_metric))
    if main not in names:
        raise DataError(f"main metric {main} was not measured, only {', '.join(names)}")
    return (main, *(name for name in names if name != main))


def _places_in(before: Scores, after: Scores) -> IntVector:
    """Where each query of `before` stands in `after`."""
    if not before.query_ids:
        raise DataError("no queries were scored: there is nothing to compare")
    place_of = {query_id: place for place, query_id in enumerate(after.query_ids)}
    differ = [each for each in before.query_ids if each not in place_of]
    differ = differ or sorted(set(after.query_ids) - set(before.query_ids))
    if differ:
        raise DataError(
            f"before and after must score the same queries; only one of them has "
            f"{name_some(differ)}"
        )
    return np.array([place_of[each] for each in before.query_ids], dtype=np.int64)


def _groups(
    query_ids: tuple[str, ...], seen: Collection[str] | None
) -> dict[str, npt.NDArray[np.bool_]]:
    everything = np.ones(len(query_ids), dtype=np.bool_)
    if seen is None:
        return {"all": everything}
    known = set(seen)
    mask = np.array([query_id in known for query_id in query_ids], dtype=np.bool_)
    return {"all": everything, "seen": mask, "unseen": ~mask}


def _row(
    place: tuple[str, str],
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    draws: dict[str, int],
) -> ReportRow:
    test = paired_test(before, after, **draws)
    differences = paired_differences(before, after)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    count = len(differences)
    return ReportRow(
        metric=place[0],
        group=place[1],
        queries=count,
        before=math.fsum(before.tolist()) / count if count else None,
        after=math.fsum(after.tolist()) / count if count else None,
        difference=test.difference,
        low=test.low,
        high=test.high,
        p_value=test.p_value,
        wins=wins,
        losses=losses,
        ties=count - wins - losses,
    )


def _changes(
    before: Scores, after: Scores, metric: str, places: IntVector, queries: Mapping[str, str]
) -> list[QueryChange]:
    """Queries that changed, the largest change first, equal ones by id."""
    old, new = before.values[metric], after.values[metric][places]
    differences = paired_differences(old, new)
    first_before = before.first_answer
    first_after = None if after.first_answer is None else after.first_answer[places]
    changed = sorted(
        np.flatnonzero(differences).tolist(),
        key=lambda at: (-abs(differences[at]), before.query_ids[at]),
    )
    return [
        QueryChange(
            query_id=before.query_ids[at],
            text=queries.get(before.query_ids[at], ""),
            before=float(old[at]),
            after=float(new[at]),
            rank_before=None if first_before is None else int(first_before[at]),
            rank_after=None if first_after is None else int(first_after[at]),
        )
        for at in changed
    ]


def _finite_points(curve: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The points of a curve by rising step; one that is not finite cannot be drawn or saved."""
    points = [(float(step), float(value)) for step, value in curve]
    return tuple(sorted(each for each in points if all(map(math.isfinite, each))))
