"""What queries, documents and judgments must be; every check a dataset passes is written here."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError

_log = logging.getLogger(__name__)

_HIGHEST = 1e9
Texts = dict[str, str]
Judgments = dict[str, dict[str, int]]


def check_id(value: object, what: str) -> None:
    """Refuse an id that is not a string with something in it.

    Args:
        value: The id.
        what: What has this id, for the message, such as `"query"`.

    Raises:
        DataError: Not a string, or empty.
    """
    if not isinstance(value, str):
        raise DataError(
            f"{what} id {value!r} is {type(value).__name__}, not a string; "
            "use str(id) in queries, corpus and judgments alike"
        )
    if not value.strip():
        raise DataError(f"{what} id {value!r} is empty; give every {what} an id")


def check_text(name: str, text: object, what: str) -> None:
    """Refuse a text that is not a string with something in it.

    Args:
        name: Id of the query or document.
        text: Its text.
        what: `"query"` or `"document"`, for the message.

    Raises:
        DataError: Not a string, or nothing but white space.
    """
    if not isinstance(text, str):
        raise DataError(
            f"{what} {name!r} has {type(text).__name__} for a text; a text is one string "
            "(title and body joined, if there are both)"
        )
    if not text.strip():
        raise DataError(f"{what} {name!r} has an empty text; give its text or leave it out")


def as_grade(grade: Any, query_id: str, document_id: str) -> int:
    """The grade of a judgment as an int: whole numbers up to a billion, negative ones as 0.

    Raises:
        DataError: Not a whole number, a bool, or too large.
    """
    whole = isinstance(grade, numbers.Real) and not isinstance(grade, bool)
    if whole and abs(grade) <= _HIGHEST and int(grade) == grade:
        return max(0, int(grade))
    # Python writes no integer of thousands of digits.
    large = isinstance(grade, numbers.Integral) and whole
    shown = f"a number above {_HIGHEST:g}" if large else repr(grade)[:60]
    raise DataError(
        f"query {query_id!r}, document {document_id!r}: {shown} is not a grade; "
        "use a whole number, 0 (no answer) or higher"
    )


def check_query_known(query_id: str, queries: Mapping[str, str], judged: Iterable[Any]) -> None:
    """Refuse a judgment for a query that has no text.

    Args:
        query_id: The query.
        queries: Query id -> text.
        judged: Ids of the documents that are judged for it.
    """
    if query_id in queries:
        return
    swapped = next((name for name in judged if isinstance(name, str) and name in queries), None)
    raise DataError(
        f"a judgment names query {query_id!r}, which is not among the {len(queries)} queries; "
        "add its text to queries or remove the judgment"
        + (
            f". But its document {swapped!r} is a query: are queries and corpus swapped, or the "
            "two ids of each judgment? Judgments are {query id: {document id: grade}}"
            if swapped
            else ""
        )
    )


def check_document_known(document_id: str, query_id: str, corpus: Mapping[str, str]) -> None:
    """Refuse a judgment for a document outside the corpus; an empty corpus knows them all."""
    if corpus and document_id not in corpus:
        raise DataError(
            f"query {query_id!r} is judged for document {document_id!r}, which is not among the "
            f"{len(corpus)} documents of the corpus; add the document or remove the judgment"
        )


def check_answerable(queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse a dataset from which nothing can be learned or measured."""
    if not queries:
        raise DataError("queries is empty; give at least one query with an answer")
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        raise DataError(
            f"none of the {len(queries)} queries has an answer; "
            "give at least one judgment with a grade of 1 or higher"
        )


def checked_documents(documents: Any, kind: type, example: str) -> list[Any]:
    """Documents of a framework as a list.

    Args:
        documents: What was given for them.
        kind: The framework's class.
        example: How one is made, for the message.

    Raises:
        DataError: No list of them; what was given is named.
    """
    remedy = f"pass a list of {kind.__name__} objects, such as [{example}]"
    # A pydantic object, such as one document or a store, can be iterated over: its fields.
    alone = isinstance(documents, (str, bytes, Mapping)) or hasattr(documents, "model_fields")
    if alone or not isinstance(documents, Iterable):
        raise DataError(f"no list of documents, but {described(documents)}: {remedy}")
    found = list(documents)
    for place, document in enumerate(found):
        if not isinstance(document, kind):
            raise DataError(
                f"document {place} is {described(document)}: {remedy}; judgments name it by that id"
            )
    return found


def checked(queries: Any, corpus: Any, qrels: Any) -> tuple[Texts, Texts, Judgments]:
    """Check the three parts of a dataset, against each other too, and copy them.

    Args:
        queries: Query id -> text.
        corpus: Document id -> text; may be empty.
        qrels: Query id -> (document id -> grade), or query id -> document ids, each of grade 1.

    Returns:
        Plain copies; a query without judgments has no entry in the third.

    Raises:
        DataError: See `RelevanceDataset`.
    """
    query_texts = _checked_texts(queries, "queries", "query")
    documents = _checked_texts(corpus, "corpus", "document")
    _check_mapping(qrels, "qrels", "query id -> {document id: grade}")
    judgments: Judgments = {}
    negative = 0
    for query_id, judged in qrels.items():
        check_id(query_id, "query")
        graded = _as_graded(query_id, judged)
        check_query_known(query_id, query_texts, graded)
        grades: dict[str, int] = {}
        for document_id, grade in graded.items():
            check_id(document_id, "document")
            check_document_known(document_id, query_id, documents)
            plain = type(grade) is int and 0 <= grade <= _HIGHEST
            grades[document_id] = grade if plain else as_grade(grade, query_id, document_id)
            negative += grade < 0
        if grades:
            judgments[query_id] = grades
    if negative:
        _log.warning("%d negative grades are read as 0 (no answer)", negative)
    check_answerable(query_texts, judgments)
    return query_texts, documents, judgments


def _check_mapping(value: object, what: str, shape: str) -> None:
    if not isinstance(value, Mapping):
        raise DataError(f"{what} is {type(value).__name__}; pass a mapping {shape}")


def _checked_texts(texts: Any, what: str, one: str) -> Texts:
    _check_mapping(texts, what, f"{one} id -> text")
    for name, text in texts.items():
        check_id(name, one)
        check_text(name, text, one)
    return dict(texts)


def _as_graded(query_id: str, judged: Any) -> Mapping[Any, Any]:
    if isinstance(judged, Mapping):
        return judged
    if isinstance(judged, Set):
        # The order of a set of strings differs between two runs of Python; a dataset's must not.
        judged = sorted(judged, key=str)
    if not isinstance(judged, Sequence) or isinstance(judged, (str, bytes)):
        raise DataError(
            f"the judgments of query {query_id!r} are {type(judged).__name__}; "
            "pass {document id: grade} or a list of document ids"
        )
    for document_id in judged:
        check_id(document_id, "document")
    return dict.fromkeys(judged, 1)
