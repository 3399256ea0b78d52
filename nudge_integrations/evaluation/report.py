"""The before/after report: what a run changed, for which queries, and how certain that is."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from nudge_integrations.errors import CorruptFileError, DataError
from nudge_integrations.evaluation import render, wording
from nudge_integrations.evaluation.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EvaluationReport(Figures):
    """Retrieval before and after. Made by `compare`; `print(report)` shows all of it.

    Attributes:
        rows: Every metric over every group; the first row is the main metric over all queries.
        judged_on: What the scores were measured on, such as `"test queries"`.
        won: Queries that gained most on the main metric, the largest gain first.
        lost: Queries that lost most on it, the largest loss first.
        method: Such as `"NUDGE-N"`.
        step: How far the vectors moved; 0.0 when no step helped and vectors are unchanged.
        step_reason: Why that step was chosen, in words.
        moved: Number of documents whose vector changed.
        documents: Number of documents in the corpus.
        curve: `(step, value)` of the metric by which the step was chosen, by rising step.
        notes: Anything else a reader should know.
        unseen_estimate: The main metric over unseen queries as estimated while tuning, by setting
            aside all queries about some documents; None if it was not estimated.
        turns: How far the moved documents turned; None if unknown.

    Raises:
        DataError: A metric lacks its row over a group, or has two.
    """

    def summary(self) -> str:
        """The verdict in at most six lines of 84 columns; `str(report)` has every figure."""
        return render.summary(self)

    def __str__(self) -> str:
        return render.full(self)

    def _repr_html_(self) -> str:
        return render.html(self, whole=False)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the report as bars before and after; needs the extra `plot`.

        Args:
            path: Where to save the picture too: `.png`, `.svg` or `.pdf`.

        Returns:
            A matplotlib figure that belongs to the caller alone (no pyplot state).

        Raises:
            MissingExtraError: matplotlib is not installed.
            NudgeError: `path` cannot be written.
        """
        from nudge_integrations.evaluation.picture import plot_report

        return plot_report(self, path)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one self-contained page: no network, no script.

        It shows the bars, what to try next, the queries that lost and gained most with their
        documents before and after (if known), the whole table and the step curve. A notebook
        shows the same.

        Args:
            path: The file, such as `"report.html"`; an existing file is replaced.

        Returns:
            The path of the file.

        Raises:
            NudgeError: The file cannot be written.
        """
        from nudge_integrations.common.files import write_atomically

        write_atomically(Path(path), render.html(self, whole=True).encode("utf-8"))
        return Path(path)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, with a machine-readable `"verdict"` derived from them.

        `verdict` holds `outcome` (`"better"`, `"worse"`, `"perhaps better"`, `"perhaps worse"`,
        `"no better and no worse"` or `"unchanged"`), the `sentence` that says so, the main
        `metric`, its `change`, whether that is `significant`, its `change_by_group` (seen, unseen
        and new queries), the `unseen_estimate` made while tuning, and the groups of queries that
        `got_worse`.
        """
        return {"verdict": wording.verdict_facts(self), **_plain(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EvaluationReport:
        """Read what `to_dict` returned, through JSON or not; the verdict is derived again.

        Raises:
            CorruptFileError: Something is missing, unknown or of the wrong type; it is named.
        """
        if isinstance(content, Mapping):
            content = {name: each for name, each in content.items() if name != "verdict"}
        try:
            return cls(**_fields(cls, content, "evaluation report"))
        except DataError as error:
            raise CorruptFileError(f"evaluation report was edited: {error}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _read(wanted: Any, value: Any, what: str) -> Any:
    """Convert a JSON value to the wanted type, refusing anything that does not fit it."""
    inner = get_args(wanted)
    if dataclasses.is_dataclass(wanted):
        return wanted(**_fields(wanted, value, what))  # type: ignore[operator]
    if get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)):
            raise CorruptFileError(f"{what} must be a list, not {value!r:.60}")
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) != len(value):
            raise CorruptFileError(f"{what} must have {len(kinds)} entries, not {len(value)}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(_read(kind, each, f"{what}[{place}]") for place, (kind, each) in pairs)
    if inner:  # such as float | None
        return None if value is None else _read(inner[0], value, what)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise CorruptFileError(f"{what} must be {wanted.__name__}, not {value!r:.60}")
    if wanted is float and not math.isfinite(value):
        raise CorruptFileError(f"{what} must be finite, not {value!r}")
    return value


def _fields(wanted: Any, content: Any, what: str) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise CorruptFileError(f"{what} must be a mapping, not {type(content).__name__}")
    hints, fields = get_type_hints(wanted), dataclasses.fields(wanted)
    unknown = [name for name in content if name not in hints]
    if unknown:
        raise CorruptFileError(f"{what} has an unknown field {unknown[0]!r}")
    for each in fields:
        if each.name not in content and each.default is dataclasses.MISSING:
            raise CorruptFileError(f"{what} lacks {each.name!r}")
    return {name: _read(hints[name], each, f"{what}: {name}") for name, each in content.items()}
