"""Exports of tracing tools as rows for `RelevanceDataset.from_feedback`.

In a trace, people judge an answer, not a document. So praise for an answer counts for the documents
that were retrieved for it, most for the first: the score is divided by the rank. Blame is ignored,
since it does not say whether a document or the language model was wrong. Judgments of single
documents count as they are, good and bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nudge_integrations.errors import DataError
from nudge_integrations.relevance.tables import finite_number, missing, rows_of

_GIVE_IDS = "(document.id): give documents ids before they are retrieved"
_NAME_THE_KEY = "there: name the key of its metadata that has it (id_key=...)"
_QUERY_KEYS = ("query", "question", "input", "search_query", "text")
_GOOD_LABELS = ("relevant", "correct", "positive", "good", "yes", "thumbs_up", "👍")
_BAD_LABELS = ("irrelevant", "unrelated", "incorrect", "negative", "bad", "no", "thumbs_down", "👎")


def rows_from_langsmith(
    runs: Iterable[Any], feedback: Iterable[Any] = (), *, id_key: str | None = None
) -> Iterator[dict[str, Any]]:
    """Rows from LangSmith: retriever runs, and feedback on them or on their traces.

    Args:
        runs: What `Client.list_runs(...)` returns, the same as JSON, or a data frame. Only
            retriever runs are read: `inputs` has the query, `outputs["documents"]` what was found.
            Other runs tell, by `trace_id`, which retriever runs a feedback is about.
        feedback: What `Client.list_feedback(run_ids=...)` returns, the same as JSON, or a data
            frame: `run_id`, `score`. By default the runs' own `feedback_stats`
            (`{"key": {"avg": ...}}`).
        id_key: Key of a document's metadata that holds its id; None for the document's own id.

    Yields:
        `query`, `document_id`, `signal` (a number) and `time`.

    Raises:
        DataError: A retrieved document has no id.
    """
    every = _rows(runs)
    found = _Retrievals()
    for run in every:
        name, trace = str(run.get("id")), str(run.get("trace_id") or run.get("id"))
        retrieval = None
        if run.get("run_type") == "retriever":
            documents = (run.get("outputs") or {}).get("documents") or []
            names = [_langchain_id(document, id_key) for document in documents]
            query, time = _query_of(run.get("inputs")), run.get("start_time")
            retrieval = _Retrieval(query, names, time, f"run {name}", _NAME_THE_KEY)
        found.add(name, trace, retrieval)
    stats = (
        {"run_id": run.get("id"), "score": each.get("avg")}
        for run in every
        for each in (run.get("feedback_stats") or {}).values()
        if isinstance(each, Mapping)
    )
    for each in _rows(feedback) or stats:
        score = finite_number(each.get("score"))
        for retrieval in found.about(str(each.get("run_id"))):
            yield from retrieval.rows(score)


def rows_from_phoenix(spans: Iterable[Any], annotations: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Rows from Phoenix, or any store of OpenInference spans.

    Args:
        spans: The data frame of `Client().spans.get_spans_dataframe(...)`, its rows, or spans as
            JSON; attributes flat (`retrieval.documents.0.document.id`) or nested. Only those of
            kind RETRIEVER are read.
        annotations: The data frame of `get_span_annotations_dataframe(...)`, its rows, or
            annotations of documents: `span_id`, `score` or `label`, and `document_position` if it
            is about one document.

    Yields:
        `query`, `document_id`, `signal` (a number) and `time`.

    Raises:
        DataError: A retrieved document has no id, or a position is not a number.
    """
    found = _Retrievals()
    for span in _rows(spans):
        name = str(_at(span, "context.span_id") or span.get("span_id"))
        trace = str(_at(span, "context.trace_id") or span.get("trace_id") or name)
        kind = _attribute(span, "openinference.span.kind") or span.get("span_kind")
        retrieval = None
        if str(kind).upper() == "RETRIEVER":
            query, names = _attribute(span, "input.value"), _documents_of(span)
            where = f"span {name!r}"
            retrieval = _Retrieval(query, names, span.get("start_time"), where, _GIVE_IDS)
        found.add(name, trace, retrieval)
    for each in _rows(annotations):
        target = str(_present(each.get("span_id")) or _at(each, "context.span_id"))
        place = _present(each.get("document_position"))
        position = finite_number(place)
        if place is not None and position is None:
            raise DataError(
                f"the annotation of span {target!r} has {place!r:.60} for a document_position; it "
                "must be a whole number, counted from 0"
            )
        for retrieval in found.about(target):
            yield from retrieval.rows(_score_of(each), position)


@dataclass(frozen=True)
class _Retrieval:
    """A search: its query, the ids of what it found (None for one without), when, and where."""

    query: Any
    documents: list[Any]
    time: Any
    where: str
    remedy: str

    def rows(self, score: float | None, position: float | None = None) -> Iterator[dict[str, Any]]:
        """A row for each document of a praised answer, or for one that was judged alone."""
        if score is None or (position is None and score <= 0) or not isinstance(self.query, str):
            return
        for place, name in enumerate(self.documents):
            if position is not None and place != int(position):
                continue
            if name is None:
                raise DataError(f"document {place} of {self.where} has no id {self.remedy}")
            yield {
                "query": self.query,
                "document_id": str(name),
                "signal": score / (place + 1) if position is None else score,
                "time": self.time,
            }


class _Retrievals:
    """Searches by their own id and by their trace's."""

    def __init__(self) -> None:
        self._found: dict[str, list[_Retrieval]] = {}
        self._trace_of: dict[str, str] = {}

    def add(self, name: str, trace: str, retrieval: _Retrieval | None) -> None:
        """Add a span; one without a search only tells its trace."""
        self._trace_of[name] = trace
        for each in {name, trace} if retrieval else ():
            self._found.setdefault(each, []).append(retrieval)  # type: ignore[arg-type]

    def about(self, name: str) -> list[_Retrieval]:
        """The search of that name, or all of its trace."""
        return self._found.get(name) or self._found.get(self._trace_of.get(name, ""), [])


def _score_of(annotation: Mapping[str, Any]) -> float | None:
    result = annotation.get("result")
    holder = result if isinstance(result, Mapping) else annotation
    label = str(_present(holder.get("label")) or "").strip().casefold()
    score = finite_number(holder.get("score"))
    # A score of 0 is blame where a label says so, and the wrong end of 0 to 1 otherwise.
    if label in _BAD_LABELS or score == 0:
        return -1.0
    if score is not None:
        return score
    return 1.0 if label in _GOOD_LABELS else None


def _present(value: Any) -> Any:
    """A cell, or None where a data frame of rows with other columns has nothing."""
    return None if missing(value) else value


def _documents_of(span: Mapping[str, Any]) -> list[Any]:
    """Ids of the retrieved documents, in order."""
    nested = _attribute(span, "retrieval.documents")
    # Read back from Parquet, a list is an array.
    if isinstance(nested, Iterable) and not isinstance(nested, (str, Mapping)):
        return [_at(each, "document.id") for each in nested]
    names: list[Any] = []
    while True:
        name = _attribute(span, f"retrieval.documents.{len(names)}.document.id")
        if name is None:
            return names
        names.append(name)


def _attribute(span: Mapping[str, Any], path: str) -> Any:
    """An attribute, under the names that exports give it."""
    if f"attributes.{path}" in span:
        return span[f"attributes.{path}"]
    attributes = span.get("attributes", span)
    return _at(attributes, path) if isinstance(attributes, Mapping) else None


def _at(holder: Mapping[str, Any], path: str) -> Any:
    """A value by its dotted path, which may be flat, nested, or partly both; None if empty."""
    found = _present(holder.get(path))
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        inner = holder.get(".".join(parts[:cut]))
        if found is None and isinstance(inner, Mapping):
            found = _at(inner, ".".join(parts[cut:]))
    return found


def _rows(source: Any) -> list[Mapping[str, Any]]:
    """Rows of a table, or objects of LangSmith's client."""
    if hasattr(source, "columns"):
        return [row for _, row in rows_of(source, "traces")]
    return [_plain(each) for each in source]


def _plain(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    for name in ("model_dump", "dict"):
        if hasattr(value, name):
            return dict(getattr(value, name)())
    return dict(vars(value))


def _query_of(inputs: Any) -> str | None:
    if isinstance(inputs, str):
        return inputs
    found = [inputs[key] for key in _QUERY_KEYS if isinstance((inputs or {}).get(key), str)]
    return found[0] if found else None


def _langchain_id(document: Any, key: str | None) -> Any:
    body = _plain(document)
    body = body.get("kwargs", body)  # LangChain's own serialisation
    name = (body.get("metadata") or {}).get(key) if key else body.get("id")
    return None if isinstance(name, list) else name
