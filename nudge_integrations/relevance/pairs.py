"""A table of questions and answers as judgments: find the document that each answer is."""

from __future__ import annotations

import importlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nudge_integrations.common.arrays import name_some, unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import Judgments, Texts, as_grade
from nudge_integrations.relevance.documents import Lexical, Record, in_hand, records_of, words_of
from nudge_integrations.relevance.splits import text_key
from nudge_integrations.relevance.tables import (
    OnError,
    Row,
    Skipped,
    cell_text,
    column_of,
    finite_number,
    missing,
    rows_of,
)

_log = logging.getLogger(__name__)

# Columns by role; of answers, ids before files before texts: the surest first.
_QUESTION = "question query q search user_question input prompt frage text"
_GRADE = "grade score relevance label rating"
_ANSWERS = {
    "id": "document_id doc_id node_id chunk_id passage_id corpus_id answer_id id _id",
    "file": "file file_name filename file_path source path url page",
    "text": "answer passage document context chunk content positive response antwort reference "
    "text",
}
_FIELDS = "source file_name filename file_path path url title doc_id id _id document_id ref_doc_id"
_FEWEST_WORDS = 3
_SHOWN = 60


@dataclass(frozen=True)
class MatchReport:
    """How the answers of a table were matched to documents; `print` it.

    Attributes:
        columns: Role -> the column that was read as it.
        matched: How an answer was found -> number of pairs.
        unmatched: Answers that no document is or holds.
        skipped: Rows that were left out because a cell was empty or no grade.
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
            shown = name_some([each[:_SHOWN] for each in self.unmatched])
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
    if not 0 < threshold <= 1:
        raise DataError(f"threshold={threshold!r} must be above 0 and at most 1")
    table = _Table(source, columns, on_error)
    pairs = list(table.pairs())
    if not pairs:
        raise DataError("the table holds no pairs; is it the right file?")
    records = [] if match is None else records_of(match)
    if in_hand(match):  # a store may hold no texts
        records = [each for each in records if each.text.strip()]
    if match is not None and not records:
        raise DataError("match= holds no documents; fill the store first")
    finder = _Finder(records, field, threshold, embed_model) if records else None
    ways: Counter[str] = Counter()
    queries: Texts = {}
    corpus: Texts = {each.id: each.text for each in records} if in_hand(match) else {}
    qrels: Judgments = {}
    unmatched = []
    for question, answer, grade in pairs:
        if finder is not None:
            names, way = finder.find(question, answer)
        else:
            names, way = [answer], f"the {table.kind} itself"
            if table.kind == "text":
                names = [f"a-{text_hash(answer)[:16]}"]
                corpus[names[0]] = answer
        if not names:
            unmatched.append(answer)
            continue
        ways[way] += 1
        key = f"p-{text_hash(text_key(question))[:16]}"
        queries.setdefault(key, question)
        judged = qrels.setdefault(key, {})
        for name in names:
            judged[name] = max(grade, judged.get(name, grade))
    report = MatchReport(table.columns, dict(ways.most_common()), tuple(unmatched), table.skipped)
    if not queries:
        raise DataError(
            f"not one of {len(pairs)} answers is among the {len(records)} documents. Answers are "
            f"such as {answer[:_SHOWN]!r}, documents such as {records[0].id!r} "
            f"({records[0].shown[:_SHOWN]!r}): name the metadata that holds the answer "
            "(field=...), another column (columns={'answer': ...}), or lower threshold="
        )
    if unmatched or table.skipped:
        _log.warning("%s", report)
    return queries, corpus, qrels, report


class _Table:
    """The columns of a table, guessed from its header, and its pairs."""

    def __init__(self, source: Any, columns: Mapping[str, str], on_error: OnError) -> None:
        self._left = Skipped(on_error)
        self._rows = list(rows_of(source, "pairs"))
        header = list(dict.fromkeys(name for _, row in self._rows for name in row))
        wrong = [each for each in columns.values() if each not in header]
        wrong += [each for each in columns if each not in ("question", "answer", "grade")]
        if header and wrong:
            raise DataError(
                f"columns names {name_some(wrong)}; roles are question, answer and grade, and the "
                f"table has {name_some(header)}"
            )
        question = columns.get("question") or column_of(header, _QUESTION)
        answer, self.kind = columns.get("answer"), "text"
        others = [answer] if answer else [each for each in header if each != question]
        for kind in reversed(_ANSWERS):
            found = column_of(others, _ANSWERS[kind])
            answer, self.kind = (found, kind) if found else (answer, self.kind)
        if len(header) > 1 and not question and not answer:
            question, answer = header[:2]
        if header and not (question and answer):
            lacking = "answer" if question else "question"
            raise DataError(
                f"which column is the {lacking}? There are {name_some(header)}; say so: "
                f"columns={{'{lacking}': ...}}"
            )
        left = [each for each in header if each not in (question, answer)]
        grade = columns.get("grade") or column_of(left, _GRADE)
        self._cells = [str(question), str(answer)]
        self._grade = grade
        self.columns = {"question": str(question), f"answer ({self.kind})": str(answer)}
        self.columns |= {"grade": grade} if grade else {}

    @property
    def skipped(self) -> int:
        """Number of rows that were left out."""
        return self._left.counts.total()

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Question, answer and grade of each row that has them; of each answer in a list."""
        negative = 0
        for place, row in self._rows:
            if all(map(missing, row.values())):
                self._left.counts["blank rows"] += 1
                continue
            try:
                question, answers, grade = self._pair(place, row)
            except DataError as error:
                self._left.leave_out("rows", error)
                continue
            negative += grade < 0
            yield from ((question, answer, max(0, grade)) for answer in answers)
        if negative:
            _log.warning("%d negative grades are read as 0 (no answer)", negative)

    def _pair(self, place: str, row: Row) -> tuple[str, list[str], int]:
        question: Any = row.get(self._cells[0])
        answer: Any = row.get(self._cells[1])
        listed = isinstance(answer, Iterable) and not isinstance(answer, (str, bytes))
        answers = [each for each in (answer if listed else [answer]) if not missing(each)]
        for column, empty in zip(self._cells, (missing(question), not answers), strict=True):
            if empty:
                raise DataError(f"{place}: {column!r} is empty; fill it, or pass on_error='skip'")
        texts = [cell_text(each) for each in answers]
        grade = row.get(self._grade) if self._grade else None
        if missing(grade):
            return cell_text(question), texts, 1
        number = finite_number(grade)
        try:
            as_grade(grade if number is None else number, cell_text(question), texts[0])
        except DataError as error:
            raise DataError(f"{place}: {error}, or pass on_error='skip'") from error
        return cell_text(question), texts, int(number or 0)


class _Finder:
    """Finds the document that an answer names, is, or is a part of."""

    def __init__(
        self, records: Sequence[Record], field: str | None, threshold: float, embed_model: Any
    ) -> None:
        self._records, self._threshold, self._model = records, threshold, embed_model
        self._ids = {each.id for each in records}
        self._named: dict[str, list[int]] = defaultdict(list)
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._folded: dict[str, list[int]] = defaultdict(list)
        fields = [field] if field else _FIELDS.split()
        for row, each in enumerate(records):
            for text in {each.shown, each.text}:
                self._exact[text.strip()].append(row)
                self._folded[text_key(text)].append(row)
            values = [each.metadata.get(name) for name in fields]
            values += [] if field else [each.source]
            for value in {name for some in values if some for name in _names(str(some))}:
                self._named[value].append(row)

    @cached_property
    def _words(self) -> Lexical:
        return Lexical(each.shown for each in self._records)

    def find(self, question: str, answer: str) -> tuple[list[str], str]:
        """Ids of the documents, none if there is none, and how they were found."""
        if answer in self._ids:
            return [answer], "id"
        rows = next(filter(None, map(self._named.get, _names(answer))), None)
        if rows is not None:
            way = "words" if self._model is None else "the untuned model"
            way = f"metadata, then the best part of it by {way}" if len(rows) > 1 else "metadata"
            return [self._records[self._best(question, rows)].id], way
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
        if self._model is None or len(rows) == 1:
            found = Lexical(texts).search(question, 1)
            return rows[found[0] if found else 0]
        # Embedding stands beside this room, and loads when a model is given.
        embedder = importlib.import_module("nudge_integrations.embedding").as_embedder(self._model)
        scores = unit_rows(embedder.embed_documents(texts)) @ embedder.embed_queries([question])[0]
        return rows[int(scores.argmax())]


def _names(text: str) -> list[str]:
    """A name and, of a path, its last part."""
    return list(dict.fromkeys([text.strip(), text.strip().replace("\\", "/").rpartition("/")[2]]))
