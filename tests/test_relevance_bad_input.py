"""Bad input raises one DataError, which names the culprit and says what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset

Q = {"q1": "What is it?", "q2": "Where is it?"}
C = {"d1": "A thing.", "d2": "There."}
R = {"q1": {"d1": 1}, "q2": {"d2": 1}}


def refuses(action: Callable[[], object], *named: str) -> None:
    """Check that `action` raises a DataError with each of `named` in its message."""
    with pytest.raises(DataError) as caught:
        action()
    assert type(caught.value) is DataError
    for part in named:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("queries", "corpus", "qrels", "named", "remedy"),
    [
        pytest.param({**Q, "q9": ""}, C, R, "'q9'", "leave it out", id="query: no text"),
        pytest.param({**Q, "q9": " \n"}, C, R, "'q9'", "leave it out", id="query: blank text"),
        pytest.param({**Q, "q9": None}, C, R, "'q9'", "one string", id="query: None for a text"),
        pytest.param({**Q, 9: "text"}, C, R, "9 is int", "str(id)", id="query: number for an id"),
        pytest.param({**Q, "": "text"}, C, R, "''", "give every query an id", id="query: no id"),
        pytest.param({}, C, {}, "queries is empty", "at least one", id="queries: none"),
        pytest.param(["text"], C, R, "queries is list", "mapping", id="queries: a list"),
        pytest.param(Q, {**C, "d9": ""}, R, "'d9'", "leave it out", id="document: no text"),
        pytest.param(Q, {**C, "d9": "\t"}, R, "'d9'", "leave it out", id="document: blank text"),
        pytest.param(Q, {**C, "d9": {"text": "x"}}, R, "'d9'", "one string", id="document: a dict"),
        pytest.param(Q, {**C, 9: "x"}, R, "9 is int", "str(id)", id="document: number for an id"),
        pytest.param(Q, None, R, "corpus is NoneType", "mapping", id="corpus: None"),
        pytest.param(
            Q,
            C,
            {**R, "q9": {"d1": 1}},
            "'q9'",
            "remove the judgment",
            id="judgment: unknown query",
        ),
        pytest.param(
            Q, C, {"q1": {"d9": 1}}, "'d9'", "add the document", id="judgment: unknown document"
        ),
        pytest.param(
            Q, C, {"q1": ["d1", "d9"]}, "'d9'", "add the document", id="judgment: unknown in a list"
        ),
        pytest.param(Q, C, {"q1": {"d1": 0.5}}, "'d1': 0.5", "whole number", id="grade: a half"),
        pytest.param(
            Q, C, {"q1": {"d1": float("nan")}}, "'d1': nan", "whole number", id="grade: NaN"
        ),
        pytest.param(
            Q, C, {"q1": {"d1": float("inf")}}, "'d1': inf", "whole number", id="grade: infinity"
        ),
        pytest.param(
            Q, C, {"q1": {"d1": 10**5000}}, "'d1': a number above", "whole number", id="grade: huge"
        ),
        pytest.param(Q, C, {"q1": {"d1": True}}, "'d1': True", "whole number", id="grade: a bool"),
        pytest.param(Q, C, {"q1": {"d1": "1"}}, "'d1': '1'", "whole number", id="grade: a string"),
        pytest.param(Q, C, {"q1": {"d1": None}}, "'d1': None", "whole number", id="grade: None"),
        pytest.param(
            Q, C, {1: {"d1": 1}}, "1 is int", "str(id)", id="judgment: number for a query"
        ),
        pytest.param(
            Q, C, {"q1": {1: 1}}, "1 is int", "str(id)", id="judgment: number for a document"
        ),
        pytest.param(
            Q, C, {"q1": [["d1"]]}, "['d1'] is list", "str(id)", id="judgment: a list in a list"
        ),
        pytest.param(
            Q, C, {"q1": "d1"}, "'q1'", "list of document ids", id="judgment: a string for a list"
        ),
        pytest.param(
            Q, C, {"q1": None}, "'q1'", "list of document ids", id="judgment: None for a list"
        ),
        pytest.param(Q, C, [("q1", "d1")], "qrels is list", "mapping", id="judgments: a list"),
        pytest.param(Q, C, {}, "2 queries", "at least one judgment", id="judgments: none"),
        pytest.param(
            Q, C, {"q1": {"d1": 0}}, "2 queries", "grade of 1 or higher", id="judgments: only zeros"
        ),
    ],
)
def test_a_dataset_cannot_be_made_from(
    queries: Any, corpus: Any, qrels: Any, named: str, remedy: str
) -> None:
    refuses(lambda: RelevanceDataset(queries, corpus, qrels), named, remedy)


def test_negative_grades_are_no_answers_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    data = RelevanceDataset(Q, C, {"q1": {"d1": -1, "d2": 1}})
    assert dict(data.qrels["q1"]) == {"d1": 0, "d2": 1}
    assert "1 negative grades are read as 0" in caplog.text


def test_dictionaries_of_beir_and_mteb_have_title_and_text_joined() -> None:
    rows = [{"id": "d1", "title": "Thing", "text": "A thing."}, {"id": "d2", "text": "There."}]
    expected = {"d1": "Thing A thing.", "d2": "There."}
    for corpus in (rows, {each["id"]: each for each in rows}):
        data = RelevanceDataset.coerce({"queries": Q, "corpus": corpus, "relevant_docs": R})
        assert dict(data.corpus) == expected


@pytest.fixture
def data() -> RelevanceDataset:
    return RelevanceDataset(Q, C, R)


@pytest.mark.parametrize(
    ("action", "named", "remedy"),
    [
        pytest.param(
            lambda d: d.subset(["q1", "q9"]), "'q9'", "dataset.queries", id="subset: unknown query"
        ),
        pytest.param(lambda d: d.subset([]), "empty", "at least one query", id="subset: nothing"),
        pytest.param(
            lambda d: d.answers("q9"), "'q9'", "dataset.queries", id="answers: unknown query"
        ),
        pytest.param(
            lambda d: d.with_corpus({"d1": "x"}), "'d2'", "add the document", id="corpus: too small"
        ),
        pytest.param(
            lambda d: d.merge(RelevanceDataset({"q1": "Other?"}, {}, {"q1": ["d1"]})),
            "'q1'",
            "another id",
            id="merge: two texts for a query",
        ),
        pytest.param(
            lambda d: d.merge(RelevanceDataset(Q, {"d1": "Other."}, {"q1": ["d1"]})),
            "'d1'",
            "another id",
            id="merge: two texts for a document",
        ),
        pytest.param(
            lambda d: d.merge(RelevanceDataset(Q, C, {"q1": {"d1": 3}})),
            "'d1'",
            "make them the same",
            id="merge: two grades",
        ),
        pytest.param(
            lambda d: d.merge(RelevanceDataset(Q, {}, {"q1": ["d9"]})),
            "'d9'",
            "add the document",
            id="merge: judgments outside the other's corpus",
        ),
        pytest.param(lambda d: d.split((1.0,)), "(1.0,)", "sum to 1", id="split: one fraction"),
        pytest.param(lambda d: d.split((0.5, 0.6)), "0.6", "sum to 1", id="split: sum over 1"),
        pytest.param(lambda d: d.split((1.5, -0.5)), "-0.5", "positive", id="split: negative"),
        pytest.param(
            lambda d: d.split((float("nan"), 0.5)), "nan", "positive", id="split: NaN fraction"
        ),
        pytest.param(
            lambda d: d.split((0.5, 0.5), by="text"),
            "'text'",
            "by='query' or by='document'",
            id="split: unknown by",
        ),
        pytest.param(
            lambda d: d.split(), "3 splits need 3", "fewer splits", id="split: too few queries"
        ),
        pytest.param(
            lambda d: d.merge(RelevanceDataset(Q, C, {"q1": ["d2"]})).split(
                (0.5, 0.5), by="document"
            ),
            "need 2 groups",
            "by='query'",
            id="split: all answers shared",
        ),
        pytest.param(lambda d: d.folds(1), "k=1", "k=2 or more", id="folds: one"),
        pytest.param(lambda d: d.folds(3), "3 splits need 3", "fewer", id="folds: too few queries"),
        pytest.param(
            lambda d: RelevanceDataset.coerce(42),
            "int",
            "pass a RelevanceDataset",
            id="coerce: int",
        ),
        pytest.param(
            lambda d: RelevanceDataset.coerce({"queries": Q}),
            "judgments",
            "qrels or relevant_docs",
            id="coerce: no judgments",
        ),
        pytest.param(
            lambda d: RelevanceDataset.coerce({"queries": Q, "corpus": None, "qrels": R}),
            "corpus is NoneType",
            "mapping",
            id="coerce: None for a corpus",
        ),
    ],
)
def test_an_operation_refuses(
    data: RelevanceDataset, action: Callable[[RelevanceDataset], object], named: str, remedy: str
) -> None:
    refuses(lambda: action(data), named, remedy)
