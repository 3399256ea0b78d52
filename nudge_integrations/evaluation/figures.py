"""What a report holds, as plain data: rows, examples and the facts of the run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, angles_between
from nudge_integrations.errors import DataError

GROUPS: tuple[str, ...] = ("all", "seen", "unseen", "new")

_BIN_WIDTHS = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)  # degrees
_MOST_BINS = 8


@dataclass(frozen=True)
class ReportRow:
    """One metric over one group of queries.

    Attributes:
        metric: Such as `"ndcg@10"`.
        group: `"all"` queries; `"seen"` ones, with an answer that has training questions;
            `"unseen"` ones, without; or those about `"new"` documents, added after tuning.
        queries: Number of queries in the group.
        before: Mean before, 0 to 1; None for an empty group.
        after: Mean after.
        difference: Mean of after minus before, -1 to 1.
        low: Lower end of the 95% confidence interval of `difference`; None below two queries.
        high: Its upper end.
        p_value: Of the paired randomisation test; None below two queries.
        wins: Queries that score higher after than before.
        losses: Queries that score lower.
        ties: Queries that score the same.
    """

    metric: str
    group: str
    queries: int
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    wins: int
    losses: int
    ties: int

    @property
    def significant(self) -> bool:
        """Whether p < 0.05: chance alone rarely produces such a difference."""
        return self.p_value is not None and self.p_value < 0.05


@dataclass(frozen=True)
class RankedDocument:
    """A document in the ranking of a query.

    Attributes:
        document_id: Its id.
        text: The beginning of its text, or `""` if unknown.
        grade: Its judged grade; above 0 it answers the query, 0 if it was not judged.
    """

    document_id: str
    text: str
    grade: float


@dataclass(frozen=True)
class QueryChange:
    """A query whose main metric changed.

    Attributes:
        query_id: Its id.
        text: Its text, or `""` if unknown.
        before: The main metric before, 0 to 1.
        after: The main metric after.
        rank_before: Rank of its first answer before, from 1; 0 if no answer was ranked; None if
            ranks were not measured.
        rank_after: The same, after.
        top_before: The first documents before, best first; empty if unknown.
        top_after: The same, after.
    """

    query_id: str
    text: str
    before: float
    after: float
    rank_before: int | None
    rank_after: int | None
    top_before: tuple[RankedDocument, ...] = ()
    top_after: tuple[RankedDocument, ...] = ()


@dataclass(frozen=True)
class Turns:
    """How far documents moved: a histogram of the angles between original and tuned vectors.

    Attributes:
        median: Median angle, in degrees.
        largest: Largest angle, in degrees.
        edges: Edges of the bins in degrees, rising from 0; one more than there are bins.
        counts: Number of documents in each bin.
    """

    median: float
    largest: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def between(cls, originals: FloatMatrix, vectors: FloatMatrix) -> Turns | None:
        """The angles between matching rows; None if there are no rows.

        Args:
            originals: Vectors before, float32 `(n, d)`, none of them zero.
            vectors: The same documents' vectors after, same shape.
        """
        if not len(originals):
            return None
        angles = angles_between(originals, vectors)
        largest = float(angles.max())
        width = next((each for each in _BIN_WIDTHS if largest <= each * _MOST_BINS), 30.0)
        edges = width * np.arange(max(1, np.ceil(largest / width)) + 1)
        counts, _ = np.histogram(angles, np.append(edges[:-1], np.inf))
        return cls(float(np.median(angles)), largest, tuple(edges.tolist()), tuple(counts.tolist()))

    def bins(self) -> list[tuple[str, int]]:
        """The name of each bin, such as `"5-10"`, with its number of documents."""
        names = (f"{low:g}-{high:g}" for low, high in pairwise(self.edges))
        return list(zip(names, self.counts, strict=True))


@dataclass(frozen=True)
class Figures:
    """Everything a report knows; see `EvaluationReport` for the attributes.

    Raises:
        DataError: A metric lacks its row over a group, or has two.
    """

    rows: tuple[ReportRow, ...]
    judged_on: str
    won: tuple[QueryChange, ...] = ()
    lost: tuple[QueryChange, ...] = ()
    method: str | None = None
    step: float | None = None
    step_reason: str = ""
    moved: int | None = None
    documents: int | None = None
    curve: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()
    unseen_estimate: ReportRow | None = None
    turns: Turns | None = None

    def __post_init__(self) -> None:
        places = [(row.metric, row.group) for row in self.rows]
        groups = {group for _, group in places}
        whole = {(metric, group) for metric, _ in places for group in groups}
        if not {"all"} <= groups <= {*GROUPS} or sorted(places) != sorted(whole):
            raise DataError(
                "a report has one row for each metric and group of queries; the groups are "
                f"{', '.join(map(repr, GROUPS))}, or 'all' alone"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the main one first."""
        return tuple(dict.fromkeys(row.metric for row in self.rows))

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that have queries, among `"all"`, `"seen"`, `"unseen"` and `"new"`."""
        with_queries = {row.group for row in self.rows if row.queries}
        return tuple(group for group in GROUPS if group in with_queries)

    @property
    def shown_groups(self) -> tuple[str, ...]:
        """Groups worth showing: one that holds every query would repeat `"all"`."""
        total = self.row().queries
        parts = [group for group in self.groups[1:] if self.row(group=group).queries < total]
        return ("all", *parts)

    @property
    def chosen_point(self) -> tuple[float, float]:
        """The point of the curve whose step is nearest to that of the run."""
        return min(self.curve, key=lambda point: abs(point[0] - (self.step or 0)))

    def row(self, metric: str | None = None, group: str = "all") -> ReportRow:
        """The row of a metric (by default the main one) over a group of queries.

        Raises:
            DataError: The report has no such row.
        """
        wanted = (metric or self.rows[0].metric).lower()
        for row in self.rows:
            if (row.metric, row.group) == (wanted, group):
                return row
        raise DataError(
            f"the report has no {wanted!r} over {group!r} queries, only "
            f"{', '.join(self.metrics)} over {', '.join(self.groups)}"
        )
