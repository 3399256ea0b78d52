"""Logs of what people clicked, liked and disliked, as judgments."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from nudge_integrations.common.arrays import checked_count, name_some
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import Judgments, Texts
from nudge_integrations.relevance.splits import text_key
from nudge_integrations.relevance.tables import cell_text, finite_number, missing, rows_of

_log = logging.getLogger(__name__)

WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys(("thumbs_up", "up", "like", "positive", "relevant", "helpful"), 1.0),
    **dict.fromkeys(("thumbs_down", "down", "dislike", "negative", "irrelevant"), -1.0),
    **dict.fromkeys(("copy", "cite", "save", "share"), 0.7),
    **dict.fromkeys(("click", "open", "view"), 0.3),
}
"""The weight of each signal; a thumb counts as much as three or four clicks."""

_COLUMNS = {
    "query": "query question input search",
    "document": "document_id doc_id node_id document id",
    "signal": "signal event feedback score rating value",
    "time": "time timestamp created_at date",
}
_MILLISECONDS = 1e11  # a number of seconds this large would be the year 5138
_DAY = 86_400.0
# However old, a signal says which way it pointed.
_LEAST_DECAY = 1e-12


@dataclass(frozen=True)
class FeedbackOptions:
    """How a log becomes judgments; see `RelevanceDataset.from_feedback`.

    Attributes:
        weights: Signal -> its weight; overrides `WEIGHTS`. Signals that are numbers are their own
            weight.
        thresholds: Ascending. The grade of a document is how many of them its sum reaches; a sum
            of 0 or less is a judgment that it is no answer (grade 0).
        min_support: Number of signals in its favour that a document needs to be an answer.
        half_life_days: Days after which a signal counts half; None for no decay.
        now: The time from which ages are counted; None for that of the latest signal.
        scrub: Receives each query before it is stored anywhere and returns it without personal
            data, or None to drop it.
        columns: `query`, `document`, `signal` or `time` -> name of that column, if it is not one
            of the usual names.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    thresholds: Sequence[float] = (0.5, 2.0, 8.0)
    min_support: int = 1
    half_life_days: float | None = None
    now: datetime | None = None
    scrub: Callable[[str], str | None] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = list(self.thresholds)
        if not steps or steps[0] <= 0 or steps != sorted(set(steps)):
            raise DataError(
                f"thresholds={tuple(steps)!r} must ascend from above 0, such as (0.5, 2, 8)"
            )
        checked_count(self.min_support, "min_support", 1)
        if self.half_life_days is not None and not self.half_life_days > 0:
            raise DataError(f"half_life_days={self.half_life_days!r} must be above 0, or None")
        unknown = sorted(set(self.columns) - set(_COLUMNS))
        if unknown:
            raise DataError(f"columns names {name_some(unknown)}; there are {', '.join(_COLUMNS)}")


@dataclass(frozen=True)
class _Event:
    query: str
    document: str
    weight: float
    when: float | None


def read_feedback(
    source: Any, corpus: Mapping[str, str], options: FeedbackOptions
) -> tuple[Texts, Texts, Judgments]:
    """Queries, documents and judgments from a log; see `RelevanceDataset.from_feedback`.

    Raises:
        DataError: A row that cannot be read, which is named; or no answer at all.
    """
    events = list(_events(source, options))
    if not events:
        raise DataError("the log holds no feedback; is it the right file?")
    times = [each.when for each in events if each.when is not None]
    # A clock that is ahead, or a row dated 9999, must not make all others old.
    latest = max([when for when in times if when <= time.time() + _DAY] or times, default=0.0)
    now = latest if options.now is None else _seconds(options.now, "now")
    unknown = {each.document for each in events if corpus and each.document not in corpus}
    if unknown:
        # A log outlives documents; those that are gone can be no answers any more.
        _log.warning(
            "left out feedback on %d documents that are not in the corpus (%s)",
            len(unknown),
            name_some(sorted(unknown)),
        )
    texts: dict[str, Counter[str]] = defaultdict(Counter)
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    support: dict[str, Counter[str]] = defaultdict(Counter)
    for each in events:
        if each.document not in unknown:
            key = text_key(each.query)
            texts[key][each.query] += 1
            totals[key][each.document] += each.weight * _decay(each.when, now, options)
            support[key][each.document] += each.weight > 0
    queries: Texts = {}
    qrels: Judgments = {}
    for key in sorted(totals):
        grades = {}
        for document, total in totals[key].items():
            grade = sum(total >= least for least in options.thresholds)
            if grade and support[key][document] >= options.min_support:
                grades[document] = grade
            elif total <= 0:
                grades[document] = 0
        if any(grades.values()):
            name = f"f-{text_hash(key)[:16]}"
            queries[name] = min(texts[key], key=lambda text: (-texts[key][text], text))
            qrels[name] = grades
    if not queries:
        raise DataError(
            f"no document reached {options.thresholds[0]:g} with {options.min_support} signals in "
            "its favour; lower thresholds or min_support, or raise the weights of your signals"
        )
    return queries, dict(corpus), qrels


def _events(source: Any, options: FeedbackOptions) -> Iterator[_Event]:
    weights = {**WEIGHTS, **{name.casefold(): value for name, value in options.weights.items()}}
    columns = {
        column: [options.columns[column]] if column in options.columns else names.split()
        for column, names in _COLUMNS.items()
    }
    for place, row in rows_of(source, "feedback"):
        cells = {
            column: next((row[name] for name in names if not missing(row.get(name))), None)
            for column, names in columns.items()
        }
        for column in ("query", "document"):
            if cells[column] is None:
                raise DataError(
                    f"{place}: no {column} (a column {' or '.join(columns[column])}); there are "
                    f"{', '.join(map(str, row))}. Name it: columns={{'{column}': ...}}"
                )
        query = cell_text(cells["query"])
        scrubbed = query if options.scrub is None else options.scrub(query)
        if scrubbed is None or not scrubbed.strip():
            continue
        if cells["signal"] is None:
            # NaN is how a data frame says that there was none, which is no mistake.
            if any(isinstance(row.get(name), float) for name in columns["signal"]):
                continue
            raise DataError(f"{place}: no signal, such as click or thumbs_up")
        if cells["time"] is None and options.half_life_days is not None:
            raise DataError(f"{place}: no time, which half_life_days needs")
        yield _Event(
            " ".join(scrubbed.split()),
            cell_text(cells["document"]),
            _weight(cells["signal"], weights, place),
            None if cells["time"] is None else _seconds(cells["time"], place),
        )


def _weight(signal: Any, weights: Mapping[str, float], place: str) -> float:
    if isinstance(signal, bool):
        return 1.0 if signal else -1.0
    known = weights.get(str(signal).strip().casefold())
    number = finite_number(signal) if known is None else float(known)
    if number is None:
        raise DataError(
            f"{place}: what does the signal {str(signal)[:60]!r} count? Say so: "
            f"weights={{{str(signal)[:60]!r}: 1.0}}. Known are {', '.join(sorted(weights))}, and "
            "numbers"
        )
    return number


def _seconds(value: Any, place: str) -> float:
    """Seconds since 1970 of a number, an ISO 8601 text or a datetime; without a zone, UTC."""
    number = finite_number(value)
    if number is not None:
        return number / 1000 if number > _MILLISECONDS else number
    try:
        text = str(value).replace("Z", "+00:00")
        when = value if isinstance(value, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{place}: {str(value)[:60]!r} is no time; use ISO 8601 or seconds since 1970"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _decay(when: float | None, now: float, options: FeedbackOptions) -> float:
    if options.half_life_days is None or when is None:
        return 1.0
    age = max(0.0, now - when) / _DAY / options.half_life_days
    return max(float(0.5**age), _LEAST_DECAY)
