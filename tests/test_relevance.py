"""What a RelevanceDataset is: its content, its parts, its unions, its leaks."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from nudge_integrations.errors import DataError, LeakError
from nudge_integrations.relevance import (
    RelevanceDataset,
    check_leaks,
    leaks,
    text_key,
)

QUERIES = {"q1": "What is NUDGE?", "q2": "How is it undone?", "q3": "Who asked this?"}
CORPUS = {"d1": "A method.", "d2": "With revert().", "d3": "Unrelated."}
QRELS = {"q1": {"d1": 2, "d3": 0}, "q2": {"d2": 1, "d1": 1}}


@pytest.fixture
def data() -> RelevanceDataset:
    return RelevanceDataset(QUERIES, CORPUS, QRELS)


class TestContent:
    def test_holds_what_it_was_given(self, data: RelevanceDataset) -> None:
        assert data.queries == QUERIES
        assert data.corpus == CORPUS
        assert data.qrels == QRELS
        assert len(data) == 3

    def test_says_how_much_it_holds(self, data: RelevanceDataset) -> None:
        assert repr(data) == "RelevanceDataset(3 queries, 3 documents, 4 judgments)"
        assert "no corpus" in repr(data.with_corpus({}))

    def test_a_document_of_grade_zero_is_kept_but_is_no_answer(
        self, data: RelevanceDataset
    ) -> None:
        assert data.qrels["q1"]["d3"] == 0
        assert data.answers("q1") == ("d1",)

    def test_queries_without_an_answer_are_allowed_and_told_apart(self) -> None:
        qrels = {**QRELS, "q1": {"d3": 0}}
        data = RelevanceDataset(QUERIES, CORPUS, qrels)
        assert data.judged_queries == ("q2",)
        assert data.answers("q1") == ()
        assert data.answers("q3") == ()

    def test_an_empty_corpus_means_judgments_only(self) -> None:
        assert RelevanceDataset({"q": "text"}, {}, {"q": {"anything": 1}}).answers("q") == (
            "anything",
        )

    @pytest.mark.parametrize(
        "answers",
        [["d2", "d1", "d2"], ("d2", "d1"), {"d1", "d2"}, {"d1": None, "d2": None}.keys()],
        ids=["list, one twice", "tuple", "set", "keys"],
    )
    def test_a_list_of_documents_gives_each_grade_one(self, answers: object) -> None:
        data = RelevanceDataset(QUERIES, CORPUS, {"q1": answers})  # type: ignore[dict-item]
        assert data.qrels == {"q1": {"d1": 1, "d2": 1}}

    def test_a_set_of_documents_has_the_same_order_in_every_run(self) -> None:
        answers = {f"d{number}" for number in range(50)}
        data = RelevanceDataset({"q": "text"}, {}, {"q": answers})
        assert data.answers("q") == tuple(sorted(answers))

    def test_no_judgments_and_an_empty_list_of_judgments_are_the_same(self) -> None:
        with_empty = RelevanceDataset(QUERIES, CORPUS, {**QRELS, "q3": []})
        assert with_empty == RelevanceDataset(QUERIES, CORPUS, QRELS)

    @pytest.mark.parametrize(
        "grade", [2, 2.0, np.int64(2), np.uint8(2), np.float32(2)], ids=lambda g: type(g).__name__
    )
    def test_whole_numbers_of_any_kind_become_ints(self, grade: object) -> None:
        data = RelevanceDataset(QUERIES, CORPUS, {"q1": {"d1": grade}})  # type: ignore[dict-item]
        assert type(data.qrels["q1"]["d1"]) is int
        assert data.qrels["q1"]["d1"] == 2


class TestReadOnly:
    def test_fields_cannot_be_replaced(self, data: RelevanceDataset) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            data.queries = {}  # type: ignore[misc]

    def test_content_cannot_be_changed(self, data: RelevanceDataset) -> None:
        for mapping in (data.queries, data.corpus, data.qrels, data.qrels["q1"]):
            with pytest.raises(TypeError):
                mapping["q1"] = "other"  # type: ignore[index]

    def test_later_changes_of_the_input_do_not_reach_it(self) -> None:
        queries, qrels = dict(QUERIES), {"q1": {"d1": 1}}
        data = RelevanceDataset(queries, CORPUS, qrels)
        queries["q1"] = "changed"
        qrels["q1"]["d1"] = 7
        assert data.queries["q1"] == QUERIES["q1"]
        assert data.qrels["q1"]["d1"] == 1

    def test_can_be_copied(self, data: RelevanceDataset) -> None:
        assert copy.deepcopy(data) == data


class TestCoerce:
    def test_a_dataset_is_returned_as_it_is(self, data: RelevanceDataset) -> None:
        assert RelevanceDataset.coerce(data) is data

    @pytest.mark.parametrize("judgments", ["qrels", "relevant_docs"])
    @pytest.mark.parametrize("shape", [dict, SimpleNamespace], ids=["mapping", "object"])
    def test_takes_any_holder_of_the_three_parts(self, shape: type, judgments: str) -> None:
        source = shape(**{"queries": QUERIES, "corpus": CORPUS, judgments: QRELS})
        assert RelevanceDataset.coerce(source) == RelevanceDataset(QUERIES, CORPUS, QRELS)

    def test_a_holder_without_corpus_has_judgments_only(self) -> None:
        data = RelevanceDataset.coerce({"queries": QUERIES, "qrels": QRELS})
        assert data.corpus == {}


class TestParts:
    def test_subset_keeps_the_order_given_the_judgments_and_the_whole_corpus(
        self, data: RelevanceDataset
    ) -> None:
        part = data.subset(["q3", "q1", "q3"])
        assert list(part.queries) == ["q3", "q1"]
        assert part.qrels == {"q1": QRELS["q1"]}
        assert part.corpus is data.corpus

    def test_with_corpus_replaces_the_documents(self, data: RelevanceDataset) -> None:
        corpus = {**CORPUS, "d4": "New."}
        assert data.with_corpus(corpus) == RelevanceDataset(QUERIES, corpus, QRELS)

    def test_merge_is_the_union(self, data: RelevanceDataset) -> None:
        other = RelevanceDataset(
            {"q1": QUERIES["q1"], "q4": "More?"},
            {"d4": "More.", "d1": CORPUS["d1"]},
            {"q1": {"d4": 1}, "q4": {"d4": 3}},
        )
        merged = data.merge(other)
        assert merged.queries == {**QUERIES, "q4": "More?"}
        assert merged.corpus == {**CORPUS, "d4": "More."}
        assert merged.qrels == {
            "q1": {"d1": 2, "d3": 0, "d4": 1},
            "q2": QRELS["q2"],
            "q4": {"d4": 3},
        }

    def test_merging_the_splits_gives_the_whole_again(self, data: RelevanceDataset) -> None:
        first, second = data.split((0.5, 0.5))
        assert first.merge(second) == data


class TestSameQuestion:
    @pytest.mark.parametrize(
        "text",
        [
            "what is nudge?",
            "  What\tis\n\nNUDGE? ",
            "What is NUDGE\N{FULLWIDTH QUESTION MARK}",
            "What is\N{NO-BREAK SPACE}NUDGE?",
        ],
        ids=["case", "white space", "full width", "no-break space"],
    )
    def test_differs_in_form_only(self, text: str) -> None:
        assert text_key(text) == text_key("What is NUDGE?")

    @pytest.mark.parametrize("text", ["What is NUDGE", "What isNUDGE?", "Was ist NUDGE?"])
    def test_differs_in_letters_marks_or_words(self, text: str) -> None:
        assert text_key(text) != text_key("What is NUDGE?")

    def test_letters_that_fold_to_two_and_composed_letters_are_the_same(self) -> None:
        assert text_key("Straße") == text_key("STRASSE")
        assert text_key("caf\u00e9") == text_key("CAFE\u0301")

    def test_case_folding_that_undoes_the_normal_form_makes_no_difference(self) -> None:
        assert text_key("\u01f0\u0323") == text_key("J\u030c\u0323")

    def test_a_key_is_its_own_key_for_every_character(self) -> None:
        # Ypogegrammeni and its kin lose their normal form when they are case-folded.
        for text in map(chr, range(0x2FFFF)):
            assert text_key(text_key(text)) == text_key(text), hex(ord(text))


class TestLeaks:
    TRAIN = RelevanceDataset({"t1": "What is NUDGE?", "t2": "Fast?"}, {}, {"t1": ["d"]})
    TEST = RelevanceDataset(
        {"e1": "New?", "e2": "what is  nudge?", "e3": "WHAT IS NUDGE?"}, {}, {"e1": ["d"]}
    )
    OTHER = RelevanceDataset({"o1": "Unheard of?"}, {}, {"o1": ["d"]})

    def test_every_leaking_query_is_found_under_both_ids(self) -> None:
        assert leaks(self.TRAIN, self.TEST) == [
            ("t1", "e2", "what is  nudge?"),
            ("t1", "e3", "WHAT IS NUDGE?"),
        ]
        assert [leak.second for leak in leaks(self.TEST, self.TRAIN)] == ["t1"]

    def test_a_leak_is_an_error_that_names_queries_splits_and_remedy(self) -> None:
        with pytest.raises(LeakError) as caught:
            check_leaks(train=self.TRAIN, other=self.OTHER, test=self.TEST)
        message = str(caught.value)
        for part in ("'e2'", "'e3'", "'t1'", "'train'", "'test'", "what is nudge?"):
            assert part in message
        assert "test.without_queries_of(train)" in message
        assert "split()" in message
        assert "'other'" not in message

    def test_every_leaking_pair_of_splits_is_named_at_once(self) -> None:
        with pytest.raises(LeakError) as caught:
            check_leaks(train=self.TRAIN, dev=self.TRAIN, test=self.TEST)
        for remedy in (
            "dev.without_queries_of(train)",
            "test.without_queries_of(train)",
            "test.without_queries_of(dev)",
        ):
            assert remedy in str(caught.value)

    def test_many_leaks_make_a_short_message(self) -> None:
        queries = {f"q{number}": f"question {number} " + "long " * 99 for number in range(1000)}
        data = RelevanceDataset(queries, {}, {"q0": ["d"]})
        with pytest.raises(LeakError, match="1000 of its 1000") as caught:
            check_leaks(train=data, test=data)
        assert "997 more" in str(caught.value)
        assert len(str(caught.value)) < 800

    def test_the_remedy_works(self) -> None:
        cleaned = self.TEST.without_queries_of(self.TRAIN)
        assert list(cleaned.queries) == ["e1"]
        check_leaks(train=self.TRAIN, test=cleaned, other=self.OTHER)

    def test_nothing_is_dropped_without_a_leak(self) -> None:
        assert self.TEST.without_queries_of(self.OTHER) == self.TEST

    def test_dropping_everything_is_refused_by_name(self) -> None:
        with pytest.raises(DataError, match=r"'t1'.*split\(\)"):
            self.TRAIN.without_queries_of(self.TEST)
