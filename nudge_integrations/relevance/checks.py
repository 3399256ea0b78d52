"""What queries, documents and judgments must be; every check a dataset passes is written here."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError

_log = logging.getLogger(__name__)

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
    """The grade of a judgment as an int: whole numbers of any type, negative ones as 0.

    Raises:
        DataError: Not a whole number, or a bool.
    """
    whole = isinstance(grade, numbers.Integral) or (
        isinstance(grade, numbers.Real) and float(grade).is_integer()
    )
    if isinstance(grade, bool) or not whole:
        raise DataError(
            f"query {query_id!r}, document {document_id!r}: {grade!r} is not a grade; "
            "use a whole number, 0 (no answer) or higher"
        )
    return max(0, int(grade))


def check_query_known(query_id: str, queries: Mapping[str, str], judged: Iterable[Any]) -> None:
    """Refuse a judgment for a query that has no text.

    Args:
        query_id: The query.
        queries: Query id -> text.
        judged: Ids of the documents that are judged for it.
    """
    if query_id in queries:
        return
    message = (
        f"a judgment names query {query_id!r}, which is not among the {len(queries)} queries; "
        "add its text to queries or remove the judgment"
    )
    for name in judged:
        if isinstance(name, str) and name in queries:
            message += (
                f". But its document {name!r} is a query: are queries and corpus swapped, or the "
                "two ids of each judgment? Judgments are {query id: {document id: grade}}"
            )
            break
    raise DataError(message)


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
        grades = _checked_grades(query_id, graded, documents)
        if grades:
            judgments[query_id] = grades
            negative += sum(graded[name] < 0 for name in grades)
    if negative:
        _log.warning("%d negative grades are read as 0 (no answer)", negative)
    check_answerable(query_texts, judgments)
    return query_texts, documents, judgments


def _check_mapping(value: object, what: str, shape: str) -> None:
    if not isinstance(value, Mapping):
        raise DataError(f"{what} is {type(value).__name__}; pass a mapping {shape}")


def _checked_texts(texts: Any, what: str, one: str) -> Texts:
    _check_mapping(texts, what, f"{one} id -> text")
    copy = dict(texts)
    for name, text in copy.items():
        check_id(name, one)
        check_text(name, text, one)
    return copy


def _checked_grades(
    query_id: str, judged: Mapping[Any, Any], corpus: Mapping[str, str]
) -> dict[str, int]:
    grades: dict[str, int] = {}
    for document_id, grade in judged.items():
        check_id(document_id, "document")
        check_document_known(document_id, query_id, corpus)
        plain = type(grade) is int and grade >= 0
        grades[document_id] = grade if plain else as_grade(grade, query_id, document_id)
    return grades


def _as_graded(query_id: str, judged: Any) -> Mapping[Any, Any]:
    if isinstance(judged, Mapping):
        return judged
    if isinstance(judged, Set):
        # The order of a set of strings differs between two runs of Python; a dataset's must not.
        return dict.fromkeys(sorted(judged, key=str), 1)
    if isinstance(judged, Sequence) and not isinstance(judged, (str, bytes)):
        for document_id in judged:
            check_id(document_id, "document")
        return dict.fromkeys(judged, 1)
    raise DataError(
        f"the judgments of query {query_id!r} are {type(judged).__name__}; "
        "pass {document id: grade} or a list of document ids"
    )
