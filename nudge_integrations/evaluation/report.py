"""The before/after report: what a run changed, on which queries, and how sure that is."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.errors import CorruptFileError, DataError
from nudge_integrations.evaluation.decode import decode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS: tuple[str, ...] = ("all", "seen", "unseen")


@dataclass(frozen=True)
class ReportRow:
    """One metric over one group of queries.

    Attributes:
        metric: Such as `"ndcg@10"`.
        group: `"all"` queries, the `"seen"` ones (an answer of theirs was moved), or the
            `"unseen"` ones.
        queries: How many queries the group has.
        before: Mean before, 0 to 1; None for a group without queries.
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
        """Whether p < 0.05: chance alone would seldom make such a difference."""
        return self.p_value is not None and self.p_value < 0.05


@dataclass(frozen=True)
class RankedDocument:
    """A document as a query found it.

    Attributes:
        document_id: Its id.
        text: How its text begins, or `""` where it was not given.
        grade: Its judged grade; above 0 it answers the query, 0 where it was not judged.
    """

    document_id: str
    text: str
    grade: float


@dataclass(frozen=True)
class QueryChange:
    """A query whose main metric changed.

    Attributes:
        query_id: Its id.
        text: Its text, or `""` where it was not given.
        before: The main metric before, 0 to 1.
        after: The main metric after.
        rank_before: Rank of its first answer before, from 1; 0 for none among the ranked
            documents; None where ranks were not measured.
        rank_after: The same, after.
        top_before: The first documents before, the best first; empty where they are not known.
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
class EvaluationReport:
    """Retrieval before and after. Made by `compare`; printed, it is `summary()`.

    Attributes:
        rows: Every metric over every group; the first row is of the main metric over all queries.
        judged_on: What the numbers were measured on, such as `"test queries"`.
        won: Queries that gained most on the main metric, the most first.
        lost: Queries that lost most on it, the most first.
        method: Such as `"NUDGE-N"`.
        step: How far the vectors moved; 0.0 when no step helped and vectors are unchanged.
        step_reason: Why that step, in words.
        moved: How many documents moved.
        documents: How many documents there are.
        curve: `(step, value)` of the metric by which the step was chosen, by rising step.
        notes: Anything else that a reader should know.
        unseen_estimate: The main metric over unseen queries as the run foresaw it, from documents
            left out together with their questions; None where it did not.

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

    def __post_init__(self) -> None:
        places = [(row.metric, row.group) for row in self.rows]
        groups = {group for _, group in places}
        whole = {(metric, group) for metric, _ in places for group in groups}
        if not {"all"} <= groups <= {*GROUPS} or set(places) != whole or len(places) > len(whole):
            raise DataError(
                "a report has one row for each metric and group of queries, "
                f"the groups being {', '.join(map(repr, GROUPS))} or 'all' alone"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the main one first."""
        return tuple(dict.fromkeys(row.metric for row in self.rows))

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that have queries, among `"all"`, `"seen"`, `"unseen"`."""
        with_queries = {row.group for row in self.rows if row.queries}
        return tuple(group for group in GROUPS if group in with_queries)

    def row(self, metric: str | None = None, group: str = "all") -> ReportRow:
        """The row of a metric (the main one, unless named) over a group of queries.

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

    def summary(self) -> str:
        """The report as plain text, at most 84 columns wide."""
        from nudge_integrations.evaluation.render.text import summary

        return summary(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from nudge_integrations.evaluation.render.page import as_fragment

        return as_fragment(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the report as bars before and after; needs the extra `plot`.

        Args:
            path: Where to save the picture too: `.png`, `.svg` or `.pdf`.

        Returns:
            A matplotlib figure, which belongs to the caller alone (no pyplot state).

        Raises:
            MissingExtraError: matplotlib is not installed.
            NudgeError: `path` cannot be written.
        """
        from nudge_integrations.evaluation.render.picture import plot_report

        return plot_report(self, path)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one page that needs nothing else: no network, no script.

        It holds the table, bars, the step curve, the queries that gained and lost most with
        their ranked documents before and after (where they are known: a report on test
        questions), and what to try next. A notebook shows the same.

        Args:
            path: The file, such as `"report.html"`; what was there is replaced.

        Returns:
            The path of the file.

        Raises:
            NudgeError: The file cannot be written.
        """
        from nudge_integrations.evaluation.render.page import write_page

        return write_page(self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """The report as values that JSON holds; `from_dict` reads it back, equal."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EvaluationReport:
        """Read what `to_dict` gave, after JSON or not.

        Raises:
            CorruptFileError: Something is missing, unknown or of another type; it is named.
        """
        try:
            return decode(cls, content, "evaluation report")
        except DataError as error:
            raise CorruptFileError(f"evaluation report was edited: {error}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
