"""Bad files raise one DataError, which names the file, the line, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


DOCUMENT = b'{"_id": "d1", "title": "", "text": "A thing."}\n'
QUERY = b'{"_id": "q1", "text": "What is it?"}\n'
HEADER = b"query-id\tcorpus-id\tscore\n"


@pytest.mark.parametrize(
    ("name", "content", "where", "named", "remedy"),
    [
        pytest.param(
            "corpus.jsonl", DOCUMENT + b"{oops\n", 2, "JSON", "correct", id="corpus: broken JSON"
        ),
        pytest.param(
            "corpus.jsonl", b'\n["d1"]\n', 2, '"_id"', "correct", id="corpus: not an object"
        ),
        pytest.param(
            "corpus.jsonl", b'{"_id": "d1"}', 1, '"text"', "correct", id="corpus: no text field"
        ),
        pytest.param(
            "corpus.jsonl",
            b'{"_id": "d1", "title": "", "text": " "}',
            1,
            "'d1'",
            "leave it out",
            id="corpus: blank text",
        ),
        pytest.param(
            "corpus.jsonl",
            b'{"_id": "d1", "title": "Title", "text": null}',
            1,
            "'d1'",
            "one string",
            id="corpus: null for a text",
        ),
        pytest.param(
            "corpus.jsonl", DOCUMENT + DOCUMENT, 2, "'d1'", "remove one", id="corpus: id twice"
        ),
        pytest.param(
            "corpus.jsonl", DOCUMENT + b"\xff\n", 2, "UTF-8", "save the file", id="corpus: Latin-1"
        ),
        pytest.param(
            "queries.jsonl",
            b'{"_id": 1, "text": "x"}',
            1,
            "1 is int",
            "str(id)",
            id="queries: number for an id",
        ),
        pytest.param("queries.jsonl", QUERY + QUERY, 2, "'q1'", "remove", id="queries: id twice"),
        pytest.param(
            "qrels/train.tsv",
            HEADER + b"q9\td1\t1\n",
            2,
            "'q9'",
            "remove the judgment",
            id="qrels: unknown query",
        ),
        pytest.param(
            "qrels/train.tsv",
            HEADER + b"\nq1\td9\t1\n",
            3,
            "'d9'",
            "add the document",
            id="qrels: unknown document, after a blank line",
        ),
        pytest.param(
            "qrels/train.tsv",
            b"q1 0 d1 1\n",
            1,
            "1 fields where 3",
            "separated by tabs",
            id="qrels: TREC's own layout",
        ),
        pytest.param(
            "qrels/train.tsv",
            HEADER + b"q1\td1\tgood\n",
            2,
            "'good'",
            "whole number",
            id="qrels: word for a grade",
        ),
        pytest.param(
            "qrels/train.tsv",
            b"q1\td1\tgood\n",
            1,
            "'good'",
            "whole number",
            id="qrels: word for a grade where a header could be",
        ),
        pytest.param(
            "qrels/train.tsv",
            b"q1\td1\t0.5\n",
            1,
            "0.5",
            "whole number",
            id="qrels: half a grade",
        ),
        pytest.param(
            "qrels/train.tsv",
            b"q1\td1\t1\nq1\td1\t2\n",
            2,
            "'d1'",
            "remove one",
            id="qrels: two grades for one judgment",
        ),
    ],
)
def test_a_bad_beir_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, where: int, named: str, remedy: str
) -> None:
    files = {"corpus.jsonl": DOCUMENT, "queries.jsonl": QUERY, "qrels/train.tsv": b"q1\td1\t1\n"}
    (tmp_path / "qrels").mkdir()
    for file, good in files.items():
        (tmp_path / file).write_bytes(good)
    assert RelevanceDataset.from_beir(tmp_path).answers("q1") == ("d1",)
    (tmp_path / name).write_bytes(content)
    refuses(
        lambda: RelevanceDataset.from_beir(tmp_path),
        f"{tmp_path / name}, line {where}:",
        named,
        remedy,
    )


def test_a_missing_beir_file_is_named(tmp_path: Path) -> None:
    refuses(lambda: RelevanceDataset.from_beir(tmp_path), "queries.jsonl", "BEIR folder")
    RelevanceDataset(Q, C, R).to_beir(tmp_path)
    refuses(lambda: RelevanceDataset.from_beir(tmp_path, "test"), "test.tsv", "its splits: train")
    refuses(lambda: RelevanceDataset.from_beir(tmp_path, "../x"), "'../x'", "such as 'train'")
    (tmp_path / "corpus.jsonl").unlink()
    refuses(lambda: RelevanceDataset.from_beir(tmp_path), "corpus.jsonl", "corpus=False")


def test_a_bad_split_leaves_the_beir_folder_as_it_was(tmp_path: Path) -> None:
    tabbed = RelevanceDataset({"a\tb": "x"}, C, {"a\tb": ["d1"]})
    refuses(lambda: tabbed.to_beir(tmp_path / "new"), r"'a\tb'", "use other ids")
    assert not (tmp_path / "new").exists()

    RelevanceDataset(Q, C, R).to_beir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    other = RelevanceDataset({"q1": "Other?"}, {**C, "d3": "New."}, {"q1": ["d3"]})
    refuses(lambda: other.to_beir(tmp_path, "test"), "'q1'", "queries.jsonl", "empty folder")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("content", "named", "remedy"),
    [
        pytest.param(b'{"queries":\n{"q1" 1}}', "line 2", "correct it", id="broken"),
        pytest.param(b"[1]", "list", "must be an object", id="a list"),
        pytest.param(b'"\xff"', "UTF-8", "save the file", id="not UTF-8"),
        pytest.param(b'{"queries": {}}', "judgments", "relevant_docs", id="no judgments"),
        pytest.param(
            b'{"queries": {"q": "a", "q": "b"}}', "'q'", "remove one", id="a query id twice"
        ),
        pytest.param(
            b'{"queries": {"q": "a"}, "corpus": {"d": "b"}, "relevant_docs": {"q": ["e"]}}',
            "'e'",
            "add the document",
            id="unknown document",
        ),
        pytest.param(
            b'{"queries": {"q": 1}, "corpus": {}, "relevant_docs": {"q": ["e"]}}',
            "'q'",
            "one string",
            id="number for a text",
        ),
    ],
)
def test_a_bad_llama_index_file_is_named(
    tmp_path: Path, content: bytes, named: str, remedy: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    refuses(lambda: RelevanceDataset.from_llama_index(path), str(path), named, remedy)


def test_a_missing_llama_index_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing.json"
    refuses(lambda: RelevanceDataset.from_llama_index(str(path)), str(path))


def test_official_sets_load_with_what_cannot_be_used_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_bytes(DOCUMENT + b'{"_id": "d2", "title": "", "text": ""}\n')
    (tmp_path / "queries.jsonl").write_bytes(QUERY + b'{"_id": "q2", "text": " "}\n')
    qrels = b"q1\td1\t1\nq1\td9\t1\nq2\td1\t1\nq8\td1\t1\n"
    (tmp_path / "qrels/train.tsv").write_bytes(HEADER + qrels)

    refuses(lambda: RelevanceDataset.from_beir(tmp_path), "line 2", "'q2'")
    data = RelevanceDataset.from_beir(tmp_path, on_error="skip")

    assert (dict(data.queries), list(data.corpus)) == ({"q1": "What is it?"}, ["d1"])
    for told in ("1 documents without", "1 queries without", "3 judgments skipped", "'d9'"):
        assert told in caplog.text
    refuses(lambda: RelevanceDataset.from_beir(tmp_path, on_error="x"), "on_error='x'")
    (tmp_path / "qrels/train.tsv").write_bytes(HEADER)
    refuses(
        lambda: RelevanceDataset.from_beir(tmp_path, on_error="skip"), "train.tsv", "no judgment"
    )


def test_json_that_no_parser_can_hold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    for content in ("[" * 200_000, '{"queries": ' + "9" * 5000 + "}"):
        path.write_text(content)
        refuses(lambda: RelevanceDataset.from_llama_index(path), str(path), "can be read")
