"""The before/after report: what a run changed, on which queries, and how sure that is."""

from __future__ import annotations

import dataclasses
import math
import os
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nudge_integrations.errors import CorruptFileError, DataError
from nudge_integrations.evaluation.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


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
        notes: Anything else that a reader should know.
        unseen_estimate: The main metric over unseen queries as estimated while tuning, from
            documents left out together with their questions; None if it was not estimated.
        turns: How far the moved documents turned; None if unknown.

    Raises:
        DataError: A metric lacks its row over a group, or has two.
    """

    def summary(self) -> str:
        """The verdict in at most six lines of 84 columns; `str(report)` has every figure."""
        from nudge_integrations.evaluation.render.text import summary

        return summary(self)

    def __str__(self) -> str:
        from nudge_integrations.evaluation.render.text import full

        return full(self)

    def _repr_html_(self) -> str:
        from nudge_integrations.evaluation.render.page import as_fragment

        return as_fragment(self)

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
        from nudge_integrations.evaluation.render.picture import plot_report

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
        from nudge_integrations.evaluation.render.page import write_page

        return write_page(self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, with a machine-readable `"verdict"` derived from them.

        `verdict` holds `outcome` (`"better"`, `"worse"`, `"perhaps better"`, `"perhaps worse"`,
        `"no difference"` or `"unchanged"`), the `sentence` that says so, the main `metric`, its
        `change`, whether that is `significant`, and the groups of queries that `got_worse`.
        """
        from nudge_integrations.evaluation.render.wording import verdict_facts

        fields = {each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self)}
        return {"verdict": verdict_facts(self), **fields}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EvaluationReport:
        """Read what `to_dict` gave, after JSON or not; the verdict is derived again.

        Raises:
            CorruptFileError: Something is missing, unknown or of another type; it is named.
        """
        if isinstance(content, Mapping):
            content = {name: each for name, each in content.items() if name != "verdict"}
        try:
            return _decode(cls, content, "evaluation report")
        except DataError as error:
            raise CorruptFileError(f"evaluation report was edited: {error}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _decode(cls: type[T], content: Any, what: str) -> T:
    """Build a dataclass from JSON values, refusing anything missing, unknown or of another type."""
    if not isinstance(content, Mapping):
        raise CorruptFileError(f"{what} must be a mapping, not {type(content).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [name for name in content if name not in fields]
    if unknown:
        raise CorruptFileError(f"{what} has an unknown field {unknown[0]!r}")
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    missing = [name for name in needed if name not in content]
    if missing:
        raise CorruptFileError(f"{what} lacks {missing[0]!r}")
    hints = get_type_hints(cls)
    return cls(
        **{name: _value(hints[name], each, f"{what}: {name}") for name, each in content.items()}
    )


def _value(wanted: Any, value: Any, what: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return _decode(wanted, value, what)  # type: ignore[arg-type]
    if get_origin(wanted) in (Union, types.UnionType):
        return None if value is None else _value(get_args(wanted)[0], value, what)
    if get_origin(wanted) is tuple:
        return _tuple(get_args(wanted), value, what)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise CorruptFileError(f"{what} must be finite, not {value!r}")
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise CorruptFileError(f"{what} must be {wanted.__name__}, not {value!r:.60}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise CorruptFileError(f"{what} must be a list, not {value!r:.60}")
    kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    if len(kinds) != len(value):
        raise CorruptFileError(f"{what} must have {len(kinds)} entries, not {len(value)}")
    return tuple(
        _value(kind, each, f"{what}[{place}]")
        for place, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )
