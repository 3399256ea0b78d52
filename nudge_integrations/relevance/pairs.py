"""A table of questions and answers as judgments: find the document that each answer is."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from nudge_integrations.common.arrays import name_some, unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import Judgments, Texts, as_grade
from nudge_integrations.relevance.lexical import Lexical, words_of
from nudge_integrations.relevance.records import Record, records_of
from nudge_integrations.relevance.splits import text_key
from nudge_integrations.relevance.tables import (
    Row,
    cell_text,
    column_of,
    finite_number,
    missing,
    rows_of,
)

_log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
_QUESTION = (
    "question",
    "query",
    "q",
    "search",
    "user_question",
    "input",
    "prompt",
    "frage",
    "text",
)
_GRADE = ("grade", "score", "relevance", "label", "rating")
# Ids before files before texts: the surest first.
_ANSWERS: Mapping[str, Sequence[str]] = {
    "id": (
        *("document_id", "doc_id", "node_id", "chunk_id", "passage_id", "corpus_id", "answer_id"),
        *("id", "_id"),
    ),
    "file": ("file", "file_name", "filename", "file_path", "source", "path", "url", "page"),
    "text": (
        *("answer", "passage", "document", "context", "chunk", "content", "positive", "response"),
        *("antwort", "reference", "text"),
    ),
}
_FIELDS = (
    *(
        "source",
        "file_name",
        "filename",
        "file_path",
        "path",
        "url",
        "title",
        "doc_id",
        "id",
        "_id",
    ),
    *("document_id", "ref_doc_id"),
)
_FEWEST_WORDS = 3
_SHOWN = 60


@dataclass(frozen=True)
class MatchReport:
    """How the answers of a table were found among documents. Printed, it says so.

    Attributes:
        columns: Role -> the column that was read as it.
        matched: How an answer was found -> number of pairs.
        unmatched: Answers that no document is or holds.
        skipped: Rows that were left out on request, since a cell was empty or no grade.
    """

    columns: Mapping[str, str]
    matched: Mapping[str, int]
    unmatched: tuple[str, ...] = ()
    skipped: int = 0

    def __str__(self) -> str:
        roles = ", ".join(f"{column!r} as the {role}" for role, column in self.columns.items())
        total = sum(self.matched.values()) + len(self.unmatched)
        lines = [f"{total:,} pairs; read {roles}"]
        lines += [f"  {count:6,} matched by {way}" for way, count in self.matched.items()]
        if self.unmatched:
            shown = name_some([f"{each[:_SHOWN]}" for each in self.unmatched])
            lines.append(f"  {len(self.unmatched):6,} unmatched and left out: {shown}")
        if self.skipped:
            lines.append(f"  {self.skipped:6,} rows skipped: a cell was empty or no grade")
        return "\n".join(lines)


def read_pairs(
    source: Any,
    match: Any,
    columns: Mapping[str, str],
    field: str | None,
    threshold: float,
    embed_model: Any,
    on_error: OnError,
) -> tuple[Texts, Texts, Judgments, MatchReport]:
    """Queries, documents and judgments of a table; see `RelevanceDataset.from_pairs`."""
    table = _Table(source, columns, on_error)
    pairs = list(table.pairs())
    if not pairs:
        raise DataError("the table holds no pairs; is it the right file?")
    records = [] if match is None else records_of(match, stores=True)
    if match is not None and not records:
        raise DataError("match= holds no documents; fill the store first")
    finder = _Finder(records, field, threshold, embed_model) if records else None
    ways: Counter[str] = Counter()
    queries: Texts = {}
    corpus: Texts = {}
    qrels: Judgments = {}
    unmatched = []
    for question, answer, grade in pairs:
        if finder is None:
            names, way = [answer], f"the {table.kind} itself"
            if table.kind == "text":
                names = [f"a-{text_hash(answer)[:16]}"]
                corpus[names[0]] = answer
        else:
            names, way = finder.find(question, answer)
        if not names:
            unmatched.append(answer)
            continue
        ways[way] += 1
        key = f"p-{text_hash(text_key(question))[:16]}"
        judged = qrels.setdefault(key, {})
        queries.setdefault(key, question)
        for name in names:
            judged[name] = max(grade, judged.get(name, 0))
    report = MatchReport(table.told, dict(ways.most_common()), tuple(unmatched), table.skipped)
    if not queries:
        raise DataError(
            f"not one of {len(pairs)} answers is among the {len(records)} documents. Answers are "
            f"such as {answer[:_SHOWN]!r}, documents such as {records[0].id!r} "
            f"({records[0].shown[:_SHOWN]!r}): name the metadata that holds the answer "
            "(field=...), another column (columns={'answer': ...}), or lower threshold="
        )
    if unmatched or table.skipped:
        _log.warning("%s", report)
    in_hand = isinstance(match, (Mapping, list, tuple)) or hasattr(match, "corpus")
    if in_hand:
        corpus = {each.id: each.text for each in records if each.text.strip()}
    return queries, corpus, qrels, report


class _Table:
    """The columns of a table, guessed from its header, and its pairs."""

    def __init__(self, source: Any, columns: Mapping[str, str], on_error: OnError) -> None:
        if on_error not in ("raise", "skip"):
            raise DataError(f"on_error={on_error!r} is unknown; use 'raise' or 'skip'")
        self._rows = list(rows_of(source, "pairs"))
        self._skip = on_error == "skip"
        self.skipped = 0
        header = list(dict.fromkeys(name for _, row in self._rows for name in row))
        wrong = [each for each in columns.values() if each not in header]
        wrong += [each for each in columns if each not in ("question", "answer", "grade")]
        if header and wrong:
            raise DataError(
                f"columns names {name_some(wrong)}; roles are question, answer and grade, and the "
                f"table has {name_some(header)}"
            )
        self.kind, answer = "text", columns.get("answer")
        question = columns.get("question") or column_of(header, _QUESTION)
        for kind, names in _ANSWERS.items():
            others = [each for each in header if each != question]
            found = column_of([answer] if answer else others, names)
            if found is not None:
                self.kind, answer = kind, found
                break
        if header and (question is None or answer is None):
            if len(header) < 2 or question or answer:
                lacking = "question" if question is None else "answer"
                raise DataError(
                    f"which column is the {lacking}? There are {name_some(header)}; say so: "
                    f"columns={{'{lacking}': ...}}"
                )
            question, answer = header[:2]
        grade = columns.get("grade") or column_of(
            [each for each in header if each not in (question, answer)], _GRADE
        )
        given = {"question": question, f"answer ({self.kind})": answer, "grade": grade}
        self.told = {role: column for role, column in given.items() if column is not None}
        self._question, self._answer, self._grade = question, answer, grade

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Question, answer and grade of each row that has them."""
        for place, row in self._rows:
            if all(map(missing, row.values())):
                self.skipped += 1
                continue
            try:
                yield self._pair(place, row)
            except DataError:
                if not self._skip:
                    raise
                self.skipped += 1

    def _pair(self, place: str, row: Row) -> tuple[str, str, int]:
        cells = []
        for column in (self._question, self._answer):
            value = row.get(column)  # type: ignore[arg-type]
            if missing(value):
                raise DataError(f"{place}: {column!r} is empty; fill it, or pass on_error='skip'")
            cells.append(cell_text(value))
        grade = row.get(self._grade) if self._grade else None
        if missing(grade):
            return cells[0], cells[1], 1
        number = finite_number(grade)
        try:
            return (
                cells[0],
                cells[1],
                as_grade(grade if number is None else number, cells[0], cells[1]),
            )
        except DataError as error:
            raise DataError(f"{place}: {error}, or pass on_error='skip'") from error


class _Finder:
    """Finds the document that an answer names, is, or is a part of."""

    def __init__(
        self, records: Sequence[Record], field: str | None, threshold: float, embed_model: Any
    ) -> None:
        self._records, self._threshold, self._model = records, threshold, embed_model
        self._ids = {each.id: row for row, each in enumerate(records)}
        self._named: dict[str, list[int]] = {}
        self._exact: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        for row, each in enumerate(records):
            for text in {each.shown, each.text}:
                self._exact.setdefault(text.strip(), []).append(row)
                self._folded.setdefault(text_key(text), []).append(row)
            values = {each.source} if field is None else set()
            values |= {each.metadata.get(name) for name in (_FIELDS if field is None else (field,))}
            for value in {name for some in values if some for name in _names(str(some))}:
                self._named.setdefault(value, []).append(row)

    @cached_property
    def _words(self) -> Lexical:
        return Lexical(each.shown for each in self._records)

    def find(self, question: str, answer: str) -> tuple[list[str], str]:
        """Ids of the documents, none if there is none, and how they were found."""
        if answer in self._ids:
            return [answer], "id"
        for name in _names(answer):
            rows = self._named.get(name, [])
            if len(rows) == 1:
                return [self._records[rows[0]].id], "metadata"
            if rows:
                return [self._records[self._best(question, rows)].id], (
                    "metadata, then the best part of it by "
                    + ("words" if self._model is None else "the untuned model")
                )
        for known, text, way in (
            (self._exact, answer, "text"),
            (self._folded, text_key(answer), "text but for case and spaces"),
        ):
            if text in known:
                return [self._records[row].id for row in known[text]], way
        if len(words_of(answer)) >= _FEWEST_WORDS:
            scores = self._words.overlap(answer)
            row = int(scores.argmax())
            if scores[row] >= self._threshold:
                return [self._records[row].id], f"overlap of at least {self._threshold:g}"
        return [], ""

    def _best(self, question: str, rows: Sequence[int]) -> int:
        texts = [self._records[row].text for row in rows]
        if self._model is None:
            found = Lexical(texts).search(question, 1)
            return rows[found[0] if found else 0]
        # Embedding stands beside this room, and loads when a model is given.
        embedder = importlib.import_module("nudge_integrations.embedding").as_embedder(self._model)
        scores = unit_rows(embedder.embed_documents(texts)) @ embedder.embed_queries([question])[0]
        return rows[int(scores.argmax())]


def _names(text: str) -> list[str]:
    """A name and, of a path, its last part."""
    return list(dict.fromkeys([text.strip(), text.strip().replace("\\", "/").rpartition("/")[2]]))
