"""From scores before and after to a report."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector, name_some
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.figures import QueryChange, RankedDocument, ReportRow, Turns
from nudge_integrations.evaluation.metrics import Metric, parse_metric
from nudge_integrations.evaluation.report import EvaluationReport
from nudge_integrations.evaluation.scores import Scores
from nudge_integrations.evaluation.significance import paired_differences, paired_test

_NAMED_QUERIES = 5
_DEPTH = 5
_CHARACTERS = 200  # of a document's text: enough to recognise it


def compare(
    before: Scores,
    after: Scores,
    *,
    judged_on: str,
    seen: Collection[str] | None = None,
    new: Collection[str] | None = None,
    queries: Mapping[str, str] | None = None,
    main_metric: str | Metric | None = None,
    method: str | None = None,
    step: float | None = None,
    step_reason: str = "",
    moved: int | None = None,
    documents: int | None = None,
    turns: Turns | None = None,
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
        seen: Ids of the queries with an answer that has training questions; all others are
            unseen. Ids that were not scored are ignored. None if the two cannot be told apart:
            the report then has one group, all queries.
        new: Ids of the queries with an answer that was added after the tuning; those that are not
            seen form a third group. None if there are no such documents.
        queries: Text of each query id, for the examples; by default those of `before.texts`.
        main_metric: The metric of the verdict and the examples; by default the first of `before`.
        method: Such as `"NUDGE-N"`.
        step: How far the vectors moved, from 0.
        step_reason: Why that step was chosen, in words.
        moved: Number of documents whose vector changed.
        documents: Number of documents in the corpus.
        turns: How far the moved documents turned.
        curve: `(step, value)` pairs by which the step was chosen.
        notes: Anything else that a reader should know.
        resamples: Number of random sign assignments in the significance test.
        seed: Seed of that test.

    Returns:
        The report. Equal scores give an equal report, whatever the order of the queries.

    Raises:
        DataError: The two do not score the same queries by the same metrics, or there are none.
    """
    names = _metric_names(before, after, main_metric)
    places = _places_in(before, after)
    groups = _groups(before.query_ids, seen, new)
    draws = {"resamples": resamples, "seed": seed}
    rows = [
        _row((name, group), before.values[name][mask], after.values[name][places][mask], draws)
        for group, mask in groups.items()
        for name in names
    ]
    changes = _changes(before, after, names[0], places, queries or before.texts)
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
        turns=turns,
        curve=_finite_points(curve),
        notes=tuple(notes),
    )


def with_rankings(
    report: EvaluationReport,
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    *,
    qrels: Mapping[str, Mapping[str, float]],
    texts: Mapping[str, str] | None = None,
    depth: int = _DEPTH,
) -> EvaluationReport:
    """Add what they found to the queries that gained and lost most.

    Args:
        report: What `compare` gave.
        before: Query id -> ids of the documents found with the original vectors, best first.
        after: The same with the tuned vectors.
        qrels: Query id -> document id -> grade.
        texts: Document id -> text; the first 200 characters are kept, also in a saved report.
        depth: Number of documents to keep of each ranking.

    Returns:
        The report with `top_before` and `top_after` in `won` and `lost`; queries without a
        ranking are left as they are.
    """

    def found(ranking: Sequence[str], judged: Mapping[str, float]) -> tuple[RankedDocument, ...]:
        return tuple(
            RankedDocument(name, _beginning((texts or {}).get(name, "")), judged.get(name, 0.0))
            for name in ranking[:depth]
        )

    def shown(change: QueryChange) -> QueryChange:
        name = change.query_id
        judged = qrels.get(name, {})
        return replace(
            change,
            top_before=found(before.get(name, ()), judged),
            top_after=found(after.get(name, ()), judged),
        )

    return replace(report, won=tuple(map(shown, report.won)), lost=tuple(map(shown, report.lost)))


def _beginning(text: str) -> str:
    line = " ".join(text[: 4 * _CHARACTERS].split())
    return line if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS].rstrip()}..."


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
    """The position in `after` of each query of `before`."""
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
    query_ids: tuple[str, ...], seen: Collection[str] | None, new: Collection[str] | None
) -> dict[str, npt.NDArray[np.bool_]]:
    everything = np.ones(len(query_ids), dtype=np.bool_)
    if seen is None and new is None:
        return {"all": everything}
    first = _among(query_ids, seen or ())
    third = _among(query_ids, new or ()) & ~first
    groups = {"all": everything, "seen": first, "unseen": ~(first | third)}
    return groups if new is None else {**groups, "new": third}


def _among(query_ids: tuple[str, ...], some: Collection[str]) -> npt.NDArray[np.bool_]:
    chosen = set(some)
    return np.array([query_id in chosen for query_id in query_ids], dtype=np.bool_)


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
