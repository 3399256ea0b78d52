"""The demo's corpus and questions: complete, apart where they must be apart, always the same."""

from __future__ import annotations

import os
import subprocess
import sys
import types
import warnings
from collections import Counter

import pytest

from nudge_integrations.demo.corpus import MAX_DOCSTRING, MAX_SIGNATURE, MODULES, stdlib_corpus
from nudge_integrations.demo.questions import SPLITS, demo_splits, load_questions
from nudge_integrations.errors import DataError


@pytest.fixture(scope="module")
def corpus() -> dict[str, str]:
    return stdlib_corpus()


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def wordings() -> list[str]:
    entries = [entry for group in load_questions().values() for entry in group]
    return [text for entry in entries for split in SPLITS for text in entry.get(split, [])]


class TestCorpus:
    def test_has_between_1200_and_2000_documents(self, corpus):
        assert 1200 <= len(corpus) <= 2000

    @pytest.mark.parametrize(
        "document_id",
        [
            "json.loads",
            "os.path.join",
            "re.sub",
            "collections.Counter",
            "collections.Counter.most_common",
            "datetime.datetime.strptime",
            "subprocess.run",
            "itertools.chain",
            "pathlib.Path.glob",
            "pathlib.PurePath.with_suffix",
            "random.choice",
            "str.split",
            "list.sort",
            "dict.get",
            "sorted",
        ],
    )
    def test_names_things_as_people_write_them(self, corpus, document_id):
        assert corpus[document_id].startswith(document_id)

    def test_first_line_is_the_name_and_the_rest_the_docstring(self, corpus):
        first, _, rest = corpus["textwrap.dedent"].partition("\n")
        assert first == "textwrap.dedent(text)"
        assert rest.startswith("Remove any common leading whitespace")

    def test_has_no_empty_document(self, corpus):
        assert [key for key, text in corpus.items() if not text.partition("\n")[2].strip()] == []

    def test_keeps_documents_short(self, corpus):
        longest = max(corpus, key=lambda key: len(corpus[key]) - len(key))
        assert len(corpus[longest]) - len(longest) <= MAX_SIGNATURE + 10 + MAX_DOCSTRING

    def test_cuts_at_the_end_of_a_line_or_sentence(self, corpus):
        text = corpus["subprocess.Popen"]
        assert len(text) > MAX_DOCSTRING // 2
        assert text.endswith(".")

    def test_lists_nothing_private(self, corpus):
        assert [key for key in corpus if any(part[:1] == "_" for part in key.split("."))] == []

    def test_lists_no_function_of_a_class_again(self, corpus):
        assert "random.Random.choice" not in corpus
        assert "bisect.bisect" not in corpus  # bisect_right under another name

    def test_holds_no_memory_address(self, corpus):
        signatures = {key: text.partition("\n")[0] for key, text in corpus.items()}
        assert [key for key, signature in signatures.items() if " at 0x" in signature] == []

    def test_no_text_stands_twice(self, corpus):
        assert len(set(corpus.values())) == len(corpus)

    def test_names_each_module_once(self):
        assert [name for name, times in Counter(MODULES).items() if times > 1] == []

    def test_is_the_same_on_every_call(self, corpus):
        assert list(stdlib_corpus().items()) == list(corpus.items())

    def test_is_the_same_in_every_process(self):
        code = (
            "import hashlib\n"
            "from nudge_integrations.demo.corpus import stdlib_corpus\n"
            "print(hashlib.sha256(repr(stdlib_corpus()).encode()).hexdigest())\n"
        )
        digests = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("0", "1")
        }
        assert len(digests) == 1

    def test_reading_a_deprecated_name_neither_warns_nor_prints(self, monkeypatch, capfd):
        class Aged(types.ModuleType):
            __all__ = ("old",)

            @property
            def old(self):
                warnings.warn("old is deprecated", DeprecationWarning, stacklevel=2)
                return abs

        monkeypatch.setitem(sys.modules, "aged", Aged("aged"))
        monkeypatch.setattr("nudge_integrations.demo.corpus.MODULES", ("json", "aged"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "aged.old" in stdlib_corpus()
        assert capfd.readouterr() == ("", "")

    def test_a_module_that_this_python_lacks_is_left_out(self, monkeypatch, corpus):
        monkeypatch.setitem(sys.modules, "sqlite3", None)
        assert set(corpus) - set(stdlib_corpus()) == {k for k in corpus if k[:8] == "sqlite3."}

    def test_leaves_out_what_another_package_added(self, monkeypatch):
        def added(self):
            """Say something that the standard library never said."""

        added.__module__ = "some_package.logging"
        monkeypatch.setattr("logging.Logger.added", added, raising=False)
        assert "logging.Logger.added" not in stdlib_corpus()


class TestQuestions:
    def test_each_taught_need_has_five_wordings(self):
        taught = load_questions()["taught"]
        counts = {tuple(len(entry[split]) for split in SPLITS) for entry in taught}
        assert counts == {(3, 1, 1)}
        assert len(taught) >= 165

    def test_each_held_out_need_has_two_wordings_all_for_testing(self):
        held_out = load_questions()["held_out"]
        assert all(set(entry) == {"answers", "test"} for entry in held_out)
        assert {len(entry["test"]) for entry in held_out} == {2}
        assert len(held_out) >= 45

    def test_what_is_held_out_answers_nothing_in_training_or_validation(self, corpus):
        splits = demo_splits(corpus)
        learned = {
            answer
            for split in ("train", "validation")
            for judged in splits[split][1].values()
            for answer in judged
        }
        held_out = {a for entry in load_questions()["held_out"] for a in entry["answers"]}
        assert learned & held_out == set()

    def test_every_wording_stands_once_in_the_whole_file(self):
        times = Counter(map(folded, wordings()))
        assert [text for text, count in times.items() if count > 1] == []

    def test_every_wording_has_4_to_20_words(self):
        assert [text for text in wordings() if not 4 <= len(text.split()) <= 20] == []

    def test_no_test_wording_is_a_small_edit_of_a_taught_one(self):
        def words(text: str) -> set[str]:
            return set(folded(text).split())

        for entry in load_questions()["taught"]:
            tested = words(entry["test"][0])
            for taught in entry["train"] + entry["validation"]:
                shared = len(tested & words(taught)) / len(tested | words(taught))
                assert shared < 0.5, (entry["test"][0], taught)

    def test_each_need_stands_once(self):
        entries = [entry for group in load_questions().values() for entry in group]
        times = Counter(entry["answers"][0] for entry in entries)
        assert [answer for answer, count in times.items() if count > 1] == []


class TestSplits:
    def test_every_answer_is_in_the_corpus(self, corpus):
        for _, qrels in demo_splits(corpus).values():
            assert [a for judged in qrels.values() for a in judged if a not in corpus] == []

    def test_holds_every_wording_under_one_id_with_its_answers(self, corpus):
        splits = demo_splits(corpus)
        assert tuple(splits) == SPLITS
        texts = [text for queries, _ in splits.values() for text in queries.values()]
        assert sorted(texts) == sorted(wordings())
        ids = [query_id for queries, _ in splits.values() for query_id in queries]
        assert len(set(ids)) == len(ids)
        for queries, qrels in splits.values():
            assert list(queries) == list(qrels)
            assert {grade for judged in qrels.values() for grade in judged.values()} == {1}

    def test_ids_say_split_answer_and_number(self, corpus):
        queries, qrels = demo_splits(corpus)["train"]
        assert queries["train/csv.reader/3"] == "parse a csv file"
        assert qrels["train/csv.reader/3"] == {"csv.reader": 1}

    def test_is_the_same_on_every_call(self, corpus):
        assert demo_splits(corpus) == demo_splits(corpus)

    def test_an_answer_without_document_is_named(self, corpus):
        incomplete = {key: text for key, text in corpus.items() if key != "sqlite3.connect"}
        with pytest.raises(DataError, match=r"'sqlite3\.connect'.*complete CPython"):
            demo_splits(incomplete)
