"""Splits by example, and splits and leaks of real data."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from nudge_integrations.errors import LeakError
from nudge_integrations.relevance import RelevanceDataset, check_leaks


@pytest.fixture(scope="module")
def nfcorpus(data_dir: Path) -> RelevanceDataset:
    return RelevanceDataset.from_beir(data_dir / "nfcorpus")


def chain(length: int, others: int) -> RelevanceDataset:
    """`length` queries, each sharing an answer with the next, and `others` that share none."""
    qrels = {f"c{n}": [f"d{n}", f"d{n + 1}"] for n in range(length)}
    qrels |= {f"o{n}": [f"e{n}"] for n in range(others)}
    return RelevanceDataset({name: f"Question {name}?" for name in qrels}, {}, qrels)


class TestByExample:
    def test_the_cut_is_the_same_in_every_release(self) -> None:
        parts = chain(0, 10).split(seed=0)
        assert [list(part.queries) for part in parts] == [
            ["o1", "o3", "o4", "o5", "o6", "o7", "o9"],
            ["o2"],
            ["o0", "o8"],
        ]

    def test_another_seed_cuts_elsewhere(self) -> None:
        data = chain(0, 50)
        assert data.split(seed=1) == data.split(seed=1)
        assert data.split(seed=1) != data.split(seed=2)

    def test_as_many_queries_as_splits_are_enough(self) -> None:
        assert [len(part) for part in chain(0, 3).split()] == [1, 1, 1]

    def test_queries_without_answers_are_dealt_out_too_but_count_for_no_split(self) -> None:
        data = chain(0, 3)
        queries = {**data.queries, **{f"u{n}": f"Unanswered {n}?" for n in range(7)}}
        parts = RelevanceDataset(queries, {}, data.qrels).split()
        assert [len(part) for part in parts] == [7, 1, 2]
        assert [len(part.judged_queries) for part in parts] == [1, 1, 1]

    def test_by_document_a_chain_of_shared_answers_stays_whole(self) -> None:
        parts = chain(6, 14).split(by="document")
        assert [len(part) for part in parts] == [14, 2, 4]
        assert sum(any(name.startswith("c") for name in part.queries) for part in parts) == 1

    def test_by_document_a_judgment_of_grade_zero_ties_nothing(self) -> None:
        data = RelevanceDataset(
            {"q1": "One?", "q2": "Two?"}, {}, {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 1}}
        )
        assert [len(part) for part in data.split((0.5, 0.5), by="document")] == [1, 1]

    def test_by_document_a_chain_too_long_is_logged_with_its_share(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            parts = chain(18, 2).split(by="document")
        assert [len(part) for part in parts] == [18, 1, 1]
        assert "90% of the 20 queries" in caplog.text

    def test_nothing_is_logged_when_the_splits_come_out_even(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            chain(6, 14).split(by="document")
            chain(18, 2).split()
        assert caplog.text == ""

    def test_large_groups_are_spread_rather_than_piled_into_the_first_split(self) -> None:
        qrels = {f"q{n}": [f"d{n // 10}"] for n in range(200)}
        data = RelevanceDataset({name: f"Question {name}?" for name in qrels}, {}, qrels)
        assert [len(part) for part in data.split(by="document")] == [140, 20, 40]


class TestRealData:
    def test_nfcorpus_is_read_whole_and_fast(self, data_dir: Path) -> None:
        start = time.perf_counter()
        data = RelevanceDataset.from_beir(data_dir / "nfcorpus")
        read = time.perf_counter()
        again = RelevanceDataset(data.queries, data.corpus, data.qrels)
        made = time.perf_counter()
        assert repr(data) == "RelevanceDataset(2590 queries, 3633 documents, 110575 judgments)"
        assert len(data.judged_queries) == 2590
        assert again == data
        # Measured: 0.35 s and 0.03 s. Anything of the order of judgments x documents takes minutes.
        assert read - start < 10
        assert made - read < 1

    def test_grades_of_nfcorpus_are_kept(self, data_dir: Path) -> None:
        data = RelevanceDataset.from_beir(data_dir / "nfcorpus", "test", corpus=False)
        grades = [grade for judged in data.qrels.values() for grade in judged.values()]
        assert (grades.count(1), grades.count(2)) == (11758, 576)

    def test_nfcorpus_survives_both_formats(
        self, nfcorpus: RelevanceDataset, tmp_path: Path
    ) -> None:
        nfcorpus.to_beir(tmp_path)
        nfcorpus.to_llama_index(tmp_path / "data.json")
        assert RelevanceDataset.from_beir(tmp_path) == nfcorpus
        assert RelevanceDataset.from_llama_index(tmp_path / "data.json") == nfcorpus

    def test_nfcorpus_splits_evenly_by_query(self, nfcorpus: RelevanceDataset) -> None:
        train, validation, test = nfcorpus.split()
        assert [len(part) for part in (train, validation, test)] == [1813, 259, 518]
        check_leaks(train=train, validation=validation, test=test)

    def test_nfcorpus_hangs_together_by_document(
        self, nfcorpus: RelevanceDataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            parts = nfcorpus.split(by="document")
        assert [len(part) for part in parts] == [2567, 8, 15]
        assert "99% of the 2590 queries" in caplog.text

    def test_the_official_splits_of_nfcorpus_leak_four_questions(
        self, nfcorpus: RelevanceDataset, data_dir: Path
    ) -> None:
        test = RelevanceDataset.from_beir(data_dir / "nfcorpus", "test")
        with pytest.raises(LeakError, match="shares 4 of its 323 queries"):
            check_leaks(train=nfcorpus, test=test)
        cleaned = test.without_queries_of(nfcorpus)
        check_leaks(train=nfcorpus, test=cleaned)
        assert len(cleaned) == 319

    def test_five_folds_of_nfcorpus_are_even(self, nfcorpus: RelevanceDataset) -> None:
        assert [len(held) for _, held in nfcorpus.folds(5)] == [518] * 5
