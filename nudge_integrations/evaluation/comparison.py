"""From scores before and after to a report."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import IntVector, name_some
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.figures import QueryChange, RankedDocument, ReportRow
from nudge_integrations.evaluation.metrics import Floats, Metric, parse_metric
from nudge_integrations.evaluation.report import EvaluationReport
from nudge_integrations.evaluation.scores import Scores
from nudge_integrations.evaluation.significance import paired_differences, paired_test

_EXAMPLES = 5
_CHARACTERS = 200  # of a document's text: enough to recognize it


def compare(
    before: Scores,
    after: Scores,
    *,
    judged_on: str,
    seen: Collection[str] | None = None,
    new: Collection[str] | None = None,
    queries: Mapping[str, str] | None = None,
    main_metric: str | Metric | None = None,
    step: float | None = None,
    curve: Sequence[tuple[float, float]] = (),
    notes: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
    **facts: Any,
) -> EvaluationReport:
    """Compare the same queries before and after.

    Args:
        before: Scores with the original vectors.
        after: Scores of the same queries and metrics, in any order.
        judged_on: What the scores were measured on, such as `"test queries"`.
        seen: Ids of the queries with an answer that has training questions; all others are
            unseen. Ids that were not scored are ignored. None if the two cannot be told apart:
            the report then has one group, all queries.
        new: Ids of the queries with an answer that was added after tuning; those that are not
            seen form a third group. None or empty if there are no such documents.
        queries: Text of each query id, for the examples; by default those of `before.texts`.
        main_metric: The metric of the verdict and the examples; by default the first of `before`.
        step: How far the vectors moved, from 0.
        curve: `(step, value)` pairs by which the step was chosen.
        notes: Anything else a reader should know.
        resamples: Number of random sign assignments in the significance test.
        seed: Seed of that test.
        facts: Other attributes of `EvaluationReport`: `method`, `step_reason`, `moved`,
            `documents` and `turns`.

    Returns:
        The report. Equal scores give an equal report, whatever the order of the queries.

    Raises:
        DataError: The two do not score the same queries by the same metrics, or there are none.
    """
    names = _metric_names(before, after, main_metric)
    places = _places_in(before, after)
    draws = {"resamples": resamples, "seed": seed}
    rows = [
        _row(name, group, before.values[name][at], after.values[name][places[at]], **draws)
        for group, at in _groups(before.query_ids, seen, new).items()
        for name in names
    ]
    changes = _changes(before, after, names[0], places, queries or before.texts)
    points = [point for point in curve if all(map(math.isfinite, point))]
    return EvaluationReport(
        rows=tuple(rows),
        judged_on=judged_on,
        won=tuple([change for change in changes if change.after > change.before][:_EXAMPLES]),
        lost=tuple([change for change in changes if change.after < change.before][:_EXAMPLES]),
        step=float(step) if step is not None and math.isfinite(step) else None,
        curve=tuple(sorted((float(at), float(value)) for at, value in points)),
        notes=tuple(notes),
        **facts,
    )


def with_rankings(
    report: EvaluationReport,
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    *,
    qrels: Mapping[str, Mapping[str, float]],
    texts: Mapping[str, str] | None = None,
    depth: int = 5,
) -> EvaluationReport:
    """Add the documents found to the queries that gained and lost most.

    Args:
        report: What `compare` returned.
        before: Query id -> ids of the documents found with the original vectors, best first.
        after: The same with the tuned vectors.
        qrels: Query id -> document id -> grade.
        texts: Document id -> text; the first 200 characters are kept, also in a saved report.
        depth: Number of documents to keep of each ranking.

    Returns:
        The report with `top_before` and `top_after` in `won` and `lost`, empty for queries without
        a ranking.
    """
    known = texts or {}

    def found(query: str, rankings: Mapping[str, Sequence[str]]) -> tuple[RankedDocument, ...]:
        names, judged = rankings.get(query, ())[:depth], qrels.get(query, {})
        each = ((name, _cut(known.get(name, "")), judged.get(name, 0.0)) for name in names)
        return tuple(RankedDocument(*facts) for facts in each)

    def shown(changes: tuple[QueryChange, ...]) -> tuple[QueryChange, ...]:
        names = [each.query_id for each in changes]
        pairs = [(found(name, before), found(name, after)) for name in names]
        return tuple(
            replace(each, top_before=first, top_after=second)
            for each, (first, second) in zip(changes, pairs, strict=True)
        )

    return replace(report, won=shown(report.won), lost=shown(report.lost))


def _cut(text: str) -> str:
    line = " ".join(text[: 4 * _CHARACTERS].split())
    return line if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS].rstrip()}..."


def _metric_names(before: Scores, after: Scores, main_metric: str | Metric | None) -> list[str]:
    names = list(before.values)
    if set(names) != set(after.values) or not names:
        raise DataError(
            f"before and after must have the same metrics, at least one; before has "
            f"{', '.join(names) or 'none'}, after {', '.join(after.values) or 'none'}"
        )
    main = names[0] if main_metric is None else str(parse_metric(main_metric))
    if main not in names:
        raise DataError(f"main metric {main} was not measured, only {', '.join(names)}")
    return sorted(names, key=lambda name: name != main)


def _places_in(before: Scores, after: Scores) -> IntVector:
    """The position in `after` of each query of `before`."""
    differ = sorted(set(before.query_ids) ^ set(after.query_ids))
    if differ:
        raise DataError(
            f"before and after must score the same queries; only one of them has "
            f"{name_some(differ)}"
        )
    if not before.query_ids:
        raise DataError("no queries were scored: there is nothing to compare")
    place_of = {query_id: place for place, query_id in enumerate(after.query_ids)}
    return np.array([place_of[each] for each in before.query_ids], dtype=np.int64)


def _groups(
    query_ids: tuple[str, ...], seen: Collection[str] | None, new: Collection[str] | None
) -> dict[str, IntVector]:
    """The places of the queries of each group."""
    everything = np.arange(len(query_ids))
    if seen is None and not new:
        return {"all": everything}
    first = np.isin(query_ids, list(seen or ()))
    third = np.isin(query_ids, list(new or ())) & ~first
    groups = {"all": everything, "seen": everything[first], "unseen": everything[~(first | third)]}
    return {**groups, "new": everything[third]} if new else groups


def _row(metric: str, group: str, before: Floats, after: Floats, **draws: int) -> ReportRow:
    differences = paired_differences(before, after)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    count = len(differences)
    return ReportRow(
        metric=metric,
        group=group,
        before=math.fsum(before) / count if count else None,
        after=math.fsum(after) / count if count else None,
        wins=wins,
        losses=losses,
        ties=count - wins - losses,
        **vars(paired_test(before, after, **draws)),
    )


def _changes(
    before: Scores, after: Scores, metric: str, places: IntVector, queries: Mapping[str, str]
) -> list[QueryChange]:
    """Queries that changed, the largest change first, equal ones by id."""
    old, new = before.values[metric], after.values[metric][places]
    differences = paired_differences(old, new)
    ids, first_before, first_after = before.query_ids, before.first_answer, after.first_answer
    changed = np.flatnonzero(differences).tolist()
    return [
        QueryChange(
            query_id=ids[at],
            text=queries.get(ids[at], ""),
            before=float(old[at]),
            after=float(new[at]),
            rank_before=None if first_before is None else int(first_before[at]),
            rank_after=None if first_after is None else int(first_after[places[at]]),
        )
        for at in sorted(changed, key=lambda at: (-abs(differences[at]), ids[at]))
    ]
