"""`nudge fit`: from files to a saved run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_fakes import (
    CORPUS,
    TOPICS,
    add_question,
    bytes_of,
    questions,
    write_beir,
    write_llama_index,
)

from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation import EvaluationReport
from nudge_integrations.tuning import engine as engine_module
from nudge_integrations.tuning.tuned import TunedVectors


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "tuned"


@pytest.fixture
def fit(nudge, models, out):
    """Run `nudge fit --out out`, whatever unseen questions may lose, with more arguments."""
    return lambda *arguments: nudge("fit", "--out", out, "--protect-unseen", 1, *arguments)


class TestARun:
    def test_saves_vectors_that_answer_better_and_the_originals(self, fit, beir, out, models):
        assert fit("--beir", beir).code == 0
        tuned = TunedVectors.load(out)
        assert len(tuned) == TOPICS, "the field moves the neighbours, too"
        row = tuned.report.row("ndcg@10")
        assert row.queries == 2 * TOPICS
        assert row.after > row.before + 0.2
        encoder = models.load("sentence-transformers/all-MiniLM-L6-v2")
        originals = encoder.vectors([CORPUS[name] for name in tuned.ids])
        assert np.array_equal(tuned.originals, originals)

    def test_prints_the_report_on_stdout_and_all_else_on_stderr(self, fit, beir, out):
        outcome = fit("--beir", beir)
        report = TunedVectors.load(out).report
        assert outcome.out.startswith(f"{report.summary()}\n\nSaved 12 tuned vectors")
        assert "Embedding documents" in outcome.err
        assert "Embedding documents" not in outcome.out

    def test_saves_the_report_as_json(self, fit, beir, out):
        fit("--beir", beir)
        saved = json.loads((out / "report.json").read_text())
        assert EvaluationReport.from_dict(saved) == TunedVectors.load(out).report

    def test_counts_what_it_read(self, fit, beir):
        expected = "12 documents, 18 training questions, 18 validation questions, 24 test questions"
        assert f"nudge: {expected}\n" in fit("--beir", beir).err

    def test_is_the_same_run_a_second_time(self, fit, beir, out):
        first = fit("--beir", beir).out
        files = bytes_of(out)
        assert fit("--beir", beir, "--overwrite").out == first
        assert bytes_of(out) == files

    def test_says_what_to_do_next_in_each_framework_and_how_to_undo(self, fit, beir, out):
        end = fit("--beir", beir).out.partition("Saved 12 tuned vectors")[2]
        assert f'NudgeEmbedding(embed_model, TunedVectors.load("{out}"))' in end
        assert f'NudgeEmbeddings(embeddings, TunedVectors.load("{out}"))' in end
        assert f"nudge apply --tuned {out} --store PATH" in end
        assert f"nudge revert --tuned {out} --store PATH" in end
        assert "sentence-transformers/all-MiniLM-L6-v2" in end

    def test_the_lines_to_copy_run(self, nudge, beir, models, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text = nudge(
            *("fit", "--beir", beir, "--out", 'a "quoted" folder', "--protect-unseen", 1)
        ).out
        end = text.partition("Saved 12 tuned vectors")[2].splitlines()
        lines = [line.strip() for line in end if line.startswith("    ")]
        code = [line for line in lines if not line.startswith("nudge ")]
        assert len(code) == 6
        names = dict.fromkeys(("embed_model", "embeddings"), models.names[0])
        exec("\n".join(code), names)
        tuned = TunedVectors.load(tmp_path / 'a "quoted" folder')
        text = CORPUS[tuned.ids[0]]
        assert names["embed_model"].get_text_embedding(text) == tuned.lookup(text).tolist()
        assert names["embeddings"].embed_documents([text])[0] == tuned.lookup(text).tolist()

    def test_needs_no_dev_and_no_test_questions(self, fit, tmp_path, out):
        outcome = fit("--beir", write_beir(tmp_path / "data", "train"))
        assert outcome.code == 0
        assert "18 training questions, no validation questions, no test questions" in outcome.err
        assert TunedVectors.load(out).report.judged_on.startswith("cross-validation: 18 questions")

    def test_without_anything_to_measure_says_so(self, fit, tmp_path, out):
        data = write_beir(tmp_path / "data", "train")
        fit("--beir", data)
        (data / "qrels" / "train.tsv").write_text("train-0-0\td0\t1\n")
        outcome = fit("--beir", data, "--overwrite", "--plot", tmp_path / "report.png")
        assert outcome.code == 0
        assert outcome.out.startswith("Nothing could be measured: too few questions")
        assert not (out / "report.json").exists(), "that of the run before"
        assert not (tmp_path / "report.png").exists()

    def test_in_which_nothing_moved_leaves_nothing_to_apply(self, fit, beir, out):
        outcome = fit("--beir", beir, "--gamma", "0")
        assert outcome.code == 0
        assert len(TunedVectors.load(out)) == 0
        assert "No vector moved, so there is nothing to apply or undo." in outcome.out
        assert "NudgeEmbedding" not in outcome.out


class TestSplits:
    def test_are_those_that_were_named(self, fit, tmp_path, out):
        data = write_beir(tmp_path / "data", "train", "dev", "test")
        for old, new in (("train", "a"), ("dev", "b"), ("test", "c")):
            (data / "qrels" / f"{old}.tsv").rename(data / "qrels" / f"{new}.tsv")
        outcome = fit("--beir", data, "--train", "a", "--dev", "b", "--test", "c")
        assert outcome.code == 0
        assert "18 training questions, 18 validation questions, 24 test questions" in outcome.err

    @pytest.mark.parametrize("option", ["--train", "--dev", "--test"])
    def test_that_were_named_must_exist(self, fit, beir, out, models, option):
        outcome = fit("--beir", beir, option, "nothing")
        assert outcome.code == 1
        assert "has no qrels/nothing.tsv; use one of its splits: dev, test, train" in outcome.err
        assert models.seen == []
        assert not out.exists()

    def test_can_be_turned_down(self, fit, beir):
        outcome = fit("--beir", beir, "--dev", "none", "--test", "none")
        assert "no validation questions, no test questions" in outcome.err

    def test_by_default_never_play_two_parts(self, fit, beir):
        outcome = fit("--beir", beir, "--train", "dev")
        assert outcome.code == 0
        assert "no validation questions, 24 test questions" in outcome.err

    @pytest.mark.parametrize("option", ["--train", "--dev", "--test"])
    def test_of_beir_have_no_effect_on_llama_index(self, fit, tmp_path, option):
        outcome = fit("--llama-index", tmp_path / "train.json", option, "dev")
        assert outcome.code == 2
        assert f"{option}: goes with --beir, not with --llama-index" in outcome.err

    @pytest.mark.parametrize("option", ["--val-dataset", "--test-dataset"])
    def test_of_llama_index_have_no_effect_on_beir(self, fit, beir, option):
        outcome = fit("--beir", beir, option, "dev.json")
        assert outcome.code == 2
        assert f"{option}: goes with --llama-index, not with --beir" in outcome.err


class TestLlamaIndexJson:
    def test_gives_the_run_that_a_beir_folder_gives(self, nudge, models, fitted, tmp_path):
        files = {
            option: write_llama_index(tmp_path / f"{split}.json", split)
            for option, split in (
                ("--llama-index", "train"),
                ("--val-dataset", "dev"),
                ("--test-dataset", "test"),
            )
        }
        arguments = [word for option, path in files.items() for word in (option, path)]
        assert (
            nudge("fit", *arguments, "--out", tmp_path / "other", "--protect-unseen", 1).code == 0
        )
        assert bytes_of(tmp_path / "other") == bytes_of(fitted)

    def test_that_is_broken_is_named(self, fit, tmp_path):
        path = tmp_path / "train.json"
        path.write_text('{\n"queries": ')
        outcome = fit("--llama-index", path)
        assert outcome.code == 1
        assert f"{path}, line 2: no valid JSON" in outcome.err


class TestSharedQuestions:
    @pytest.fixture
    def leaking(self, beir):
        """A dev question is a training question; a test question is one of each."""
        add_question(beir, "dev", "dev-leak", "MY gizmo0  broke", "d0")
        add_question(beir, "test", "test-leak-1", "my gizmo1 broke", "d1")
        add_question(beir, "test", "test-leak-2", "gizmo2 makes a noise", "d2")
        return beir

    def test_are_an_error_before_anything_is_embedded(self, fit, leaking, out, models):
        outcome = fit("--beir", leaking)
        assert (outcome.code, outcome.out) == (1, "")
        assert "'dev-leak' (there 'train-0-0'" in outcome.err
        assert "'test-leak-1'" in outcome.err
        assert "--drop-leaks" in outcome.err
        assert models.seen == []
        assert not out.exists()

    def test_are_dropped_from_the_later_split_when_asked(self, fit, leaking, out):
        outcome = fit("--beir", leaking, "--drop-leaks")
        assert outcome.code == 0
        assert "dropped 1 of 19 validation questions, which stand in train too" in outcome.err
        assert "dropped 2 of 26 test questions, which stand in train or validation" in outcome.err
        assert TunedVectors.load(out).report.row().queries == 24

    def test_dropping_them_changes_nothing_where_there_are_none(
        self, nudge, fitted, beir, tmp_path
    ):
        outcome = nudge(
            *("fit", "--beir", beir, "--drop-leaks", "--out", tmp_path / "other"),
            *("--protect-unseen", 1),
        )
        assert "dropped" not in outcome.err
        assert bytes_of(tmp_path / "other") == bytes_of(fitted)

    def test_may_not_be_all_that_there_is(self, fit, beir):
        outcome = fit("--beir", beir, "--dev", "train", "--drop-leaks")
        assert outcome.code == 1
        assert "validation questions: " in outcome.err


class TestOptions:
    """Each reaches the engine; what the engine does with it is the engine's."""

    @pytest.fixture
    def fit(self, nudge, models, out):
        return lambda *arguments: nudge("fit", "--out", out, *arguments)

    @pytest.fixture
    def given(self, fit, beir, monkeypatch):
        """What the engine is given, for some arguments."""
        calls = []

        class Engine:
            def __init__(self, train, texts, model, **options):
                calls.append({"train": train, "texts": texts, "model": model, **options})
                raise NudgeError("enough")

        monkeypatch.setattr(engine_module, "FinetuneEngine", Engine)

        def run(*arguments):
            assert fit("--beir", beir, *arguments).code == 1
            return calls.pop()

        return run

    def test_are_left_to_the_engine_unless_given(self, given):
        options = given()
        assert options["texts"] is None
        assert options["model"] is None
        shown = {name for name in options if "dataset" not in name}
        assert shown - {"train", "texts", "model"} == {"cache", "show_progress"}
        assert (options["cache"], options["show_progress"]) == (True, True)

    @pytest.mark.parametrize(
        ("arguments", "name", "value"),
        [
            (["--model", "some/model"], "model", "some/model"),
            (["--method", "m"], "method", "m"),
            (["--metric", "dot"], "metric", "dot"),
            (["--validation-metric", "recall@5"], "validation_metric", "recall@5"),
            (["--selection", "holdout"], "selection", "holdout"),
            (["--gamma", "0.25"], "gamma", 0.25),
            (["--protect-unseen", "0.1"], "protect_unseen", 0.1),
            (["--seed", "3"], "seed", 3),
            (["--cache", "folder"], "cache", "folder"),
            (["--no-cache"], "cache", False),
            (["--batch-size", "8"], "batch_size", 8),
            (["--device", "cpu"], "device", "cpu"),
            (["--half-precision"], "half_precision", True),
            (["--no-progress"], "show_progress", False),
            (["-q"], "show_progress", False),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_are_passed_on(self, given, arguments, name, value):
        assert given(*arguments)[name] == value

    def test_quiet_draws_no_bars(self, fit, beir):
        assert "Embedding" not in fit("--beir", beir, "--quiet").err

    def test_a_device_that_is_not_there_is_refused_at_once(self, fit, beir, models):
        outcome = fit("--beir", beir, "--device", "abacus")
        assert outcome.code == 1
        assert "cannot use --device abacus: " in outcome.err
        assert outcome.err.endswith("; try --device cpu\n")
        assert models.names == []

    def test_nudge_m_needs_a_store_that_ranks_by_inner_product(self, fit, beir, out, models):
        outcome = fit("--beir", beir, "--method", "m")
        assert outcome.code == 1
        assert "use metric='dot'" in outcome.err
        assert models.names == []
        outcome = fit("--beir", beir, "--method", "m", "--metric", "dot")
        assert outcome.code == 0
        assert TunedVectors.load(out).method == "nudge-m"
        assert "cosine ranks them wrongly" in outcome.out


class TestOutputs:
    def test_all_vectors_with_their_ids(self, fit, beir, out, tmp_path, models):
        path = tmp_path / "exported" / "all.npy"
        assert fit("--beir", beir, "--embeddings", path).code == 0
        vectors = np.load(path, allow_pickle=False)
        ids = json.loads(path.with_name("all.ids.json").read_text())
        assert ids == list(CORPUS)
        tuned = TunedVectors.load(out)
        base = models.load("sentence-transformers/all-MiniLM-L6-v2").vectors(list(CORPUS.values()))
        assert np.array_equal(vectors, tuned.apply(ids, base))
        assert not np.array_equal(vectors, base)

    @pytest.mark.parametrize(
        ("name", "start"), [("r.png", b"\x89PNG"), ("r.svg", b"<?xml"), ("r.PDF", b"%PDF")]
    )
    def test_a_picture_of_the_report(self, fit, beir, tmp_path, name, start):
        assert fit("--beir", beir, "--plot", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes().startswith(start)

    def test_the_report_as_a_page(self, fit, beir, tmp_path):
        outcome = fit("--beir", beir, "--html", tmp_path / "r.html")
        assert (outcome.code, "wrote the report to" in outcome.err) == (0, True)
        assert "All figures" in (tmp_path / "r.html").read_text("utf-8")

    def test_a_page_ends_in_html(self, fit, beir, models):
        outcome = fit("--beir", beir, "--html", "report.txt")
        assert outcome.code == 2
        assert "'report.txt' must end in .html" in outcome.err
        assert models.names == []

    def test_a_picture_needs_matplotlib_before_anything_is_done(
        self, fit, beir, models, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        outcome = fit("--beir", beir, "--plot", "report.png")
        assert outcome.code == 1
        assert "pip install 'nudge-integrations[plot]'" in outcome.err
        assert models.names == []

    def test_never_replace_a_run_unasked(self, nudge, fit, beir, out, models):
        fit("--beir", beir)
        other = ("fit", "--beir", beir, "--out", out, "--method", "m", "--metric", "dot")
        files, count = bytes_of(out), len(models.seen)
        outcome = nudge(*other)
        assert outcome.code == 1
        assert "already holds a run" in outcome.err
        assert "--overwrite" in outcome.err
        assert (bytes_of(out), len(models.seen)) == (files, count)
        assert nudge(*other, "--overwrite").code == 0
        assert TunedVectors.load(out).method == "nudge-m"

    def test_must_be_a_folder(self, fit, beir, out, models):
        out.write_text("a file")
        outcome = fit("--beir", beir)
        assert outcome.code == 1
        assert f"{out} is a file; name a folder" in outcome.err
        assert models.names == []
        assert out.read_text() == "a file"

    @pytest.mark.parametrize("option", ["--out", "--plot", "--embeddings"])
    def test_must_be_writable_before_anything_is_done(self, nudge, models, beir, tmp_path, option):
        (tmp_path / "file").write_text("in the way of a folder")
        names = {"--out": "tuned", "--plot": "r.png", "--embeddings": "e.npy"}
        arguments = {"--out": tmp_path / "tuned", option: tmp_path / "file" / names[option]}
        pairs = [word for pair in arguments.items() for word in pair]
        outcome = nudge("fit", "--beir", beir, *pairs)
        assert outcome.code == 1
        assert f"cannot write into {tmp_path / 'file'}" in outcome.err
        assert models.names == []


class TestAnInterruptedRun:
    def stop_after(self, models, count, error):
        def on_call(texts):
            if len(models.seen) >= count:
                raise error

        models.on_call = on_call

    def test_goes_on_from_where_it_was(self, fit, beir, out, models, cache_dir):
        self.stop_after(models, 10, KeyboardInterrupt())
        outcome = fit("--beir", beir)
        assert (outcome.code, outcome.out) == (130, "")
        assert "Finished embeddings are kept" in outcome.err
        assert not out.exists()
        before = list(models.seen)
        models.on_call = lambda texts: None
        assert fit("--beir", beir).code == 0
        again = models.seen[len(before) :]
        assert set(before).isdisjoint(again), "embedded twice"
        asked = {
            text for split in ("train", "dev", "test") for text, _ in questions(split).values()
        }
        assert asked | set(CORPUS.values()) <= set(before) | set(again)

    def test_keeps_nothing_with_no_cache(self, fit, beir, cache_dir, models):
        self.stop_after(models, 10, KeyboardInterrupt())
        outcome = fit("--beir", beir, "--no-cache")
        assert outcome.code == 130
        assert "Nothing was kept" in outcome.err
        assert not cache_dir.exists()

    def test_leaves_an_older_run_whole(self, fit, beir, out, models):
        fit("--beir", beir)
        files = bytes_of(out)
        self.stop_after(models, len(models.seen) + 10, KeyboardInterrupt())
        assert fit("--beir", beir, "--overwrite", "--no-cache").code == 130
        assert bytes_of(out) == files

    def test_by_a_bad_vector_leaves_nothing_behind(self, fit, beir, out, models):
        models.on_call = lambda texts: np.full((len(texts), 32), np.nan)
        outcome = fit("--beir", beir)
        assert outcome.code == 1
        assert "NaN or infinity" in outcome.err
        assert not out.exists()
