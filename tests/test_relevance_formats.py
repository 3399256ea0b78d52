"""BEIR folders and LlamaIndex JSON: what is read, what is written, what is said about losses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from pydantic import BaseModel

from nudge_integrations.errors import NudgeError
from nudge_integrations.relevance import RelevanceDataset

DATA = RelevanceDataset(
    {"q1": "What is it?", "q2": "Where is it?"},
    {"d1": "A thing.", "d2": "There."},
    {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}},
)


class QADataset(BaseModel):
    """The fields of LlamaIndex's EmbeddingQAFinetuneDataset, and how it reads its JSON."""

    queries: dict[str, str]
    corpus: dict[str, str]
    relevant_docs: dict[str, list[str]]
    mode: str = "text"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "A title", "text": "and a text ", "metadata": {"url": "x"}}\n'
        '{"_id": "d2", "title": "", "text": "No title."}\n'
        '{"_id": "d3", "text": "  No title field.\\n"}\n'
        '{"_id": "d4", "title": "Title only", "text": ""}\n'
    )
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "One?", "metadata": {}}\n{"_id": "q2", "text": "Two?"}\n'
    )
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t2\n")
    return tmp_path


class TestReadingBeir:
    def test_title_and_text_are_joined_and_a_text_alone_is_kept_exactly(self, beir: Path) -> None:
        assert RelevanceDataset.from_beir(beir).corpus == {
            "d1": "A title and a text",
            "d2": "No title.",
            "d3": "  No title field.\n",
            "d4": "Title only",
        }

    def test_only_the_queries_of_the_split_are_kept(self, beir: Path) -> None:
        assert RelevanceDataset.from_beir(beir).queries == {"q1": "One?"}
        assert RelevanceDataset.from_beir(str(beir), split="test").queries == {"q2": "Two?"}

    def test_the_corpus_can_be_left_on_the_disk(self, beir: Path) -> None:
        (beir / "corpus.jsonl").unlink()
        data = RelevanceDataset.from_beir(beir, corpus=False)
        assert data.corpus == {}
        assert data.qrels == {"q1": {"d1": 1}}

    @pytest.mark.parametrize(
        "content",
        [
            b"query-id\tcorpus-id\tscore\nq1\td1\t1\n",
            b"q1\td1\t1\n",
            b"qid\tpid\trelevance\nq1\td1\t1",
            b"query-id\tcorpus-id\tscore\r\nq1\td1\t1\r\n\r\n",
            b"\xef\xbb\xbfq1\td1\t1.0\n",
            b"q1\td1\t1\nq1\td1\t1\n",
        ],
        ids=[
            "BEIR's header",
            "no header",
            "another header, no last line feed",
            "Windows line ends, a blank line",
            "byte order mark, no header, decimal grade",
            "the same line twice",
        ],
    )
    def test_qrels_may_look_like_this(self, beir: Path, content: bytes) -> None:
        (beir / "qrels" / "train.tsv").write_bytes(content)
        assert RelevanceDataset.from_beir(beir).qrels == {"q1": {"d1": 1}}

    def test_a_byte_order_mark_is_no_part_of_the_json(self, beir: Path) -> None:
        path = beir / "queries.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert RelevanceDataset.from_beir(beir).queries == {"q1": "One?"}

    def test_a_negative_grade_is_no_answer_and_is_logged(
        self, beir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (beir / "qrels" / "train.tsv").write_text("q1\td1\t1\nq1\td2\t-1\nq1\td3\t0\n")
        with caplog.at_level(logging.WARNING):
            data = RelevanceDataset.from_beir(beir)
        assert data.qrels == {"q1": {"d1": 1, "d2": 0, "d3": 0}}
        assert "1 negative grades are read as 0" in caplog.text


class TestWritingBeir:
    def test_the_same_dataset_is_read_again(self, tmp_path: Path) -> None:
        DATA.to_beir(tmp_path / "new" / "folder", "dev")
        assert RelevanceDataset.from_beir(tmp_path / "new" / "folder", "dev") == DATA

    def test_splits_share_a_folder(self, tmp_path: Path) -> None:
        first, second = DATA.split((0.5, 0.5))
        first.to_beir(tmp_path, "train")
        second.to_beir(tmp_path, "test")
        assert RelevanceDataset.from_beir(tmp_path, "train") == first
        assert RelevanceDataset.from_beir(tmp_path, "test") == second

    def test_what_a_folder_holds_stays_byte_for_byte(self, beir: Path) -> None:
        before = (beir / "corpus.jsonl").read_bytes()
        data = RelevanceDataset.from_beir(beir)
        data.to_beir(beir, "again")
        assert (beir / "corpus.jsonl").read_bytes() == before
        extended = data.with_corpus({**data.corpus, "d5": "New."})
        extended.to_beir(beir, "again")
        assert (beir / "corpus.jsonl").read_bytes().startswith(before)
        assert RelevanceDataset.from_beir(beir, "again") == extended

    def test_a_file_without_a_last_line_feed_can_be_added_to(self, beir: Path) -> None:
        path = beir / "corpus.jsonl"
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        data = RelevanceDataset.from_beir(beir)
        data.with_corpus({**data.corpus, "d5": "New."}).to_beir(beir)
        assert RelevanceDataset.from_beir(beir).corpus["d5"] == "New."

    def test_judgments_only_stay_judgments_only(self, tmp_path: Path) -> None:
        data = DATA.with_corpus({})
        data.to_beir(tmp_path)
        assert not (tmp_path / "corpus.jsonl").exists()
        assert RelevanceDataset.from_beir(tmp_path, corpus=False) == data

    def test_a_query_without_judgments_belongs_to_no_split_and_is_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = RelevanceDataset({**DATA.queries, "q3": "Why?"}, DATA.corpus, DATA.qrels)
        with caplog.at_level(logging.WARNING):
            data.to_beir(tmp_path)
        assert "1 queries have no judgment" in caplog.text
        assert RelevanceDataset.from_beir(tmp_path) == DATA

    def test_broken_unicode_and_line_separators_survive(self, tmp_path: Path) -> None:
        odd = "half a pair \ud83d, \u2028 \x85 \x0b \x1c, \ufeff"
        data = RelevanceDataset(
            {"\ufeffq\u2028": odd}, {"d\x85": odd}, {"\ufeffq\u2028": ["d\x85"]}
        )
        data.to_beir(tmp_path)
        assert RelevanceDataset.from_beir(tmp_path) == data

    def test_a_folder_that_cannot_be_written_to_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(NudgeError, match="file"):
            DATA.to_beir(tmp_path / "file")


class TestLlamaIndex:
    def test_the_object_and_its_json_are_read(self, tmp_path: Path) -> None:
        theirs = QADataset(
            queries=dict(DATA.queries),
            corpus=dict(DATA.corpus),
            relevant_docs={"q1": ["d1", "d2"], "q2": ["d2"]},
        )
        path = tmp_path / "theirs.json"
        path.write_text(theirs.model_dump_json(indent=4))
        expected = {"q1": {"d1": 1, "d2": 1}, "q2": {"d2": 1}}
        marked = tmp_path / "marked.json"
        marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        for source in (theirs, theirs.model_dump(), path, str(path), marked):
            assert RelevanceDataset.from_llama_index(source).qrels == expected

    def test_the_json_is_theirs(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "ours.json"
        DATA.to_llama_index(path)
        theirs = QADataset(**json.loads(path.read_text()))
        assert theirs.queries == DATA.queries
        assert theirs.corpus == DATA.corpus
        assert theirs.relevant_docs == {"q1": ["d1"], "q2": ["d2"]}
        assert json.loads(path.read_text())["mode"] == "text"

    def test_answers_stand_best_first(self, tmp_path: Path) -> None:
        qrels = {"q1": {"d1": 1, "d2": 3}}
        RelevanceDataset(DATA.queries, DATA.corpus, qrels).to_llama_index(tmp_path / "x.json")
        content = json.loads((tmp_path / "x.json").read_text())
        assert content["relevant_docs"] == {"q1": ["d2", "d1"]}

    def test_what_the_format_cannot_hold_is_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = RelevanceDataset({**DATA.queries, "q3": "Why?"}, DATA.corpus, DATA.qrels)
        with caplog.at_level(logging.WARNING):
            data.to_llama_index(tmp_path / "x.json")
        assert "2 judgments lose theirs" in caplog.text
        assert "1 queries without an answer are left out" in caplog.text
        assert "q3" not in RelevanceDataset.from_llama_index(tmp_path / "x.json").queries

    def test_nothing_is_logged_when_nothing_is_lost(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = DATA.subset(["q2"])
        with caplog.at_level(logging.WARNING):
            data.to_llama_index(tmp_path / "x.json")
        assert caplog.text == ""
        assert RelevanceDataset.from_llama_index(tmp_path / "x.json") == data

    def test_every_encoding_reads_the_json(self, tmp_path: Path) -> None:
        data = RelevanceDataset({"q": "Où? \ud83d"}, {"d": "日本"}, {"q": ["d"]})
        data.to_llama_index(tmp_path / "x.json")
        content = json.loads((tmp_path / "x.json").read_text(encoding="cp1252"))
        assert content["queries"]["q"] == "Où? \ud83d"
        assert RelevanceDataset.from_llama_index(tmp_path / "x.json") == data
