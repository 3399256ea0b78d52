"""`nudge evaluate` and `nudge show`: what a saved run is worth, and what it holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from cli_fakes import CORPUS, add_question, bytes_of, write_beir, write_llama_index

from nudge_integrations.embedding import embedder
from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation import EvaluationReport
from nudge_integrations.tuning.tuned import TunedVectors


def rows_of(report: str) -> list[str]:
    """The lines of a printed report that hold numbers."""
    lines = [line for line in report.splitlines() if line.startswith("  ")]
    return [line for line in lines if "@" in line.split()[0]]


class TestEvaluate:
    def test_finds_what_the_run_itself_found(self, nudge, fitted, beir):
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--split", "test", "--full")
        assert outcome.code == 0
        own = str(TunedVectors.load(fitted).report)
        assert rows_of(outcome.out) == rows_of(own)
        assert len(rows_of(own)) == 12, "four metrics over all, seen and unseen queries"

    def test_asks_the_test_questions_by_default(self, nudge, fitted, beir):
        arguments = ("evaluate", "--tuned", fitted, "--beir", beir)
        assert nudge(*arguments).out == nudge(*arguments, "--split", "test").out
        other = nudge(*arguments, "--split", "dev", "--full").out
        assert "Measured on: 18 dev questions of data." in other

    def test_says_what_it_cannot_know(self, nudge, fitted, beir):
        out = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--full").out
        assert "does not keep its training questions" in " ".join(out.split())

    def test_prints_six_lines_unless_asked_for_more(self, nudge, fitted, beir):
        arguments = ("evaluate", "--tuned", fitted, "--beir", beir)
        lines = nudge(*arguments).out.splitlines()
        assert len(lines) <= 6
        assert any(line.startswith("Next: ") for line in lines)
        assert len(nudge(*arguments, "--full").out.splitlines()) > 20

    def test_prints_json_and_nothing_else(self, nudge, fitted, beir):
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--json")
        content = json.loads(outcome.out)
        assert content["verdict"]["metric"] == "ndcg@10"
        assert EvaluationReport.from_dict(content).row().queries == 24

    def test_reads_llama_index_json(self, nudge, fitted, beir, tmp_path):
        path = write_llama_index(tmp_path / "test.json", "test")
        outcome = nudge("evaluate", "--tuned", fitted, "--llama-index", path, "--full")
        assert outcome.code == 0
        assert "Measured on: 24 questions of test.json." in outcome.out
        beir_outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--full")
        assert rows_of(outcome.out) == rows_of(beir_outcome.out)

    def test_changes_nothing(self, nudge, fitted, beir):
        files = bytes_of(fitted)
        nudge("evaluate", "--tuned", fitted, "--beir", beir)
        assert bytes_of(fitted) == files

    def test_embeds_nothing_that_the_run_embedded(self, nudge, fitted, beir, models):
        count = len(models.seen)
        nudge("evaluate", "--tuned", fitted, "--beir", beir)
        # The probe is what tells one model from another, so it is never taken on trust.
        assert [text for text in models.seen[count:] if not text.startswith("Which of these")] == []

    def test_uses_the_model_of_the_run(self, nudge, models, beir, tmp_path):
        out = tmp_path / "tuned"
        nudge("fit", "--beir", beir, "--out", out, "--model", "some/model")
        assert nudge("evaluate", "--tuned", out, "--beir", beir).code == 0
        assert models.names == ["some/model", "some/model"]

    def test_asks_for_the_folder_of_a_model_that_has_no_name(
        self, nudge, fitted, beir, models, monkeypatch
    ):
        def fail(name, **options):
            raise NudgeError(f"cannot load the embedding model {name!r}")

        monkeypatch.setattr(embedder, "as_encoder", fail)
        arguments = ("evaluate", "--tuned", fitted, "--beir", beir)
        outcome = nudge(*arguments)
        assert outcome.code == 1
        assert outcome.err.endswith("name that: --model\n")
        assert not nudge(*arguments, "--model", "x").err.endswith("--model\n")

    def test_the_page_shows_what_was_found_before_and_after(self, nudge, fitted, beir, tmp_path):
        page = tmp_path / "r.html"
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--html", page)
        assert outcome.code == 0
        assert "<h3>Before</h3>" in page.read_text("utf-8")
        assert "answers it" in page.read_text("utf-8")

    def test_refuses_another_model_before_it_embeds(self, nudge, models, fitted, beir):
        count = len(models.seen)
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--model", "some/other")
        assert (outcome.code, outcome.out) == (1, "")
        assert "tuned for the embedding model 'sentence-transformers/all-MiniLM-L6-v2'" in (
            outcome.err
        )
        assert "some/other" in outcome.err
        assert not set(models.seen[count:]) & set(CORPUS.values())

    def test_passes_options_on_to_the_model(self, nudge, fitted, beir, models):
        arguments = ("evaluate", "--tuned", fitted, "--beir", beir, "--no-cache", "-q")
        outcome = nudge(*arguments, "--device", "cpu", "--batch-size", 8, "--half-precision")
        assert outcome.code == 0
        given = models.options[-1]
        assert (given["device"], given["batch_size"], given["half_precision"]) == ("cpu", 8, True)
        assert "Embedding" not in outcome.err

    def test_counts_documents_of_another_text_as_new(self, nudge, fitted, beir):
        lines = (beir / "corpus.jsonl").read_text().splitlines()
        first = json.loads(lines[0]) | {"text": "another text"}
        (beir / "corpus.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]))
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--full")
        assert outcome.code == 0
        assert "1 of 12 moved documents are not in this corpus, or have another text" in outcome.err
        assert "'d0'" in outcome.err
        assert "count as new" in outcome.err
        assert "moved 12 of 12 documents" in outcome.out, "the new one moves with its neighbours"
        assert "new: 2 queries, an answer was added after tuning" in outcome.out

    def test_refuses_a_corpus_that_the_run_never_saw(self, nudge, fitted, tmp_path):
        other = write_beir(tmp_path / "other", "test", title="another title")
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", other)
        assert (outcome.code, outcome.out) == (1, "")
        assert "none of the 12 documents that the run moved" in outcome.err

    def test_of_a_run_in_which_nothing_moved(self, nudge, models, beir, tmp_path):
        out = tmp_path / "tuned"
        nudge("fit", "--beir", beir, "--out", out, "--gamma", "0")
        outcome = nudge("evaluate", "--tuned", out, "--beir", beir)
        assert outcome.code == 0
        assert outcome.out.startswith("Vectors are unchanged: step 0 was asked for.")

    def test_needs_documents(self, nudge, fitted, tmp_path):
        path = write_llama_index(tmp_path / "test.json", "test", corpus={})
        outcome = nudge("evaluate", "--tuned", fitted, "--llama-index", path)
        assert outcome.code == 1
        assert f"{path} has no documents to search" in outcome.err

    def test_split_has_no_effect_on_llama_index(self, nudge, fitted):
        outcome = nudge("evaluate", "--tuned", fitted, "--llama-index", "f", "--split", "test")
        assert outcome.code == 2
        assert "--split: goes with --beir" in outcome.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--split", "nothing"], "has no qrels/nothing.tsv"),
            (["--device", "abacus"], "cannot use --device abacus"),
        ],
        ids=["split", "device"],
    )
    def test_names_what_is_not_there(self, nudge, fitted, beir, models, arguments, message):
        count = len(models.names)
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, *arguments)
        assert outcome.code == 1
        assert message in outcome.err
        assert len(models.names) == count

    def test_of_a_damaged_run_is_an_error(self, nudge, fitted, beir, models):
        (data,) = fitted.glob("*.safetensors")
        data.write_bytes(data.read_bytes()[:-1])
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir)
        assert outcome.code == 1
        assert "truncated or edited" in outcome.err

    def test_ctrl_c_ends_with_130(self, nudge, fitted, beir, models):
        def stop(texts):
            raise KeyboardInterrupt

        models.on_call = stop
        outcome = nudge("evaluate", "--tuned", fitted, "--beir", beir, "--no-cache")
        assert outcome.code == 130
        assert "Nothing was kept" in outcome.err


class TestCheck:
    @pytest.mark.parametrize(
        ("bounds", "code"),
        [
            ((), 0),
            (("--min-change", "0"), 0),
            (("--min-change", "0.9"), 3),
            (("--min-change", "-1", "--min-unseen", "0.9"), 3),
            (("--min-change", "-1", "--min-unseen", "-1"), 0),
            (("--min-change", "0.9", "--on", "recall@10"), 3),
        ],
        ids=["default", "no loss", "too little", "unseen too low", "loose", "another metric"],
    )
    def test_the_exit_code_is_the_answer(self, nudge, fitted, beir, bounds, code):
        outcome = nudge("check", "--tuned", fitted, "--beir", beir, *bounds)
        assert outcome.code == code
        assert ("check failed: " in outcome.err) is (code == 3)
        assert len(outcome.out.splitlines()) <= 6

    def test_without_a_run_it_tunes_and_saves_nothing(self, nudge, models, beir, tmp_path):
        before = set(tmp_path.rglob("*"))
        outcome = nudge("check", "--beir", beir, "--min-change", "0", "--no-cache")
        assert outcome.code == 0
        assert set(tmp_path.rglob("*")) == before
        assert nudge("check", "--beir", beir, "--min-change", ".99").code == 3

    def test_names_what_fell_short(self, nudge, fitted, beir):
        arguments = ("check", "--tuned", fitted, "--beir", beir, "--min-change", ".9")
        outcome = nudge(*arguments, "--on", "recall@10", "--json")
        change = EvaluationReport.from_dict(json.loads(outcome.out)).row("recall@10").difference
        assert f"recall@10 changed by {change:+.4f} over all queries; the least is +0.9" in (
            outcome.err
        )

    def test_a_metric_that_was_not_measured_is_named(self, nudge, fitted, beir):
        outcome = nudge("check", "--tuned", fitted, "--beir", beir, "--on", "ndgc@10")
        assert outcome.code == 1
        assert "'ndgc@10'" in outcome.err

    def test_of_a_run_in_which_nothing_moved_there_is_no_loss(self, nudge, models, beir, tmp_path):
        out = tmp_path / "tuned"
        nudge("fit", "--beir", beir, "--out", out, "--gamma", "0")
        assert nudge("check", "--tuned", out, "--beir", beir, "--min-unseen", "0").code == 0
        assert nudge("check", "--tuned", out, "--beir", beir, "--min-change", ".01").code == 3


class TestShow:
    def test_says_what_the_run_holds(self, nudge, fitted):
        outcome = nudge("show", fitted)
        tuned = TunedVectors.load(fitted)
        assert (outcome.code, outcome.err) == (0, "")
        head, _, report = outcome.out.partition("\n\n")
        assert head.splitlines() == [
            f"Method:           NUDGE-C, step {tuned.step:.4g}",
            "Ranked by:        cosine",
            "Model:            sentence-transformers/all-MiniLM-L6-v2 (32 dimensions)",
            "Moved documents:  12: 'd0', 'd1', 'd2' and 9 more",
        ]
        assert report == f"{tuned.report.summary()}\n"
        assert nudge("show", fitted, "--full").out.endswith(f"\n\n{tuned.report}\n")
        shown = json.loads(nudge("show", fitted, "--json").out)
        assert EvaluationReport.from_dict(shown) == tuned.report

    def test_loads_no_model(self, nudge, fitted, models):
        count = len(models.names)
        nudge("show", fitted)
        assert len(models.names) == count

    def test_of_a_run_in_which_nothing_moved(self, nudge, models, beir, tmp_path):
        out = tmp_path / "tuned"
        nudge("fit", "--beir", beir, "--out", out, "--gamma", "0")
        lines = nudge("show", out).out.splitlines()
        assert lines[0] == "Method:           NUDGE-C, step 0"
        assert lines[3] == "Moved documents:  0"

    def test_of_a_run_that_was_not_measured(self, nudge, fitted):
        tuned = TunedVectors.load(fitted)
        dataclasses.replace(tuned, report=None).save(fitted)
        outcome = nudge("show", fitted)
        assert outcome.code == 0
        assert outcome.out.endswith("\n\nNo report: nothing was measured.\n")
        outcome = nudge("show", fitted, "--plot", fitted / "r.png")
        assert outcome.code == 1
        assert "has no report: nothing was measured" in outcome.err
        assert nudge("show", fitted, "--json").code == 1

    def test_lists_the_moved_documents_for_other_programs(self, nudge, fitted):
        outcome = nudge("show", fitted, "--ids")
        assert outcome.out.splitlines() == list(TunedVectors.load(fitted).ids)
        both = nudge("show", fitted, "--ids", "--html", "report.html")
        assert (both.code, "--ids: goes without" in both.err) == (2, True)

    def test_writes_the_report_as_a_page(self, nudge, fitted, tmp_path):
        outcome = nudge("show", fitted, "--html", tmp_path / "r.html")
        assert outcome.code == 0
        assert "<!doctype html>" in (tmp_path / "r.html").read_text("utf-8")

    def test_draws_the_report(self, nudge, fitted, tmp_path):
        outcome = nudge("show", fitted, "--plot", tmp_path / "r.svg")
        assert outcome.code == 0
        assert (tmp_path / "r.svg").read_bytes().startswith(b"<?xml")

    def test_shows_texts_of_any_script(self, nudge, models, beir, tmp_path: Path):
        (beir / "qrels" / "test.tsv").write_text("")
        add_question(beir, "test", "q", "gizmo0 修理", "d0")
        out = tmp_path / "tuned"
        nudge("fit", "--beir", beir, "--out", out, "--protect-unseen", 1)
        assert "修理" in nudge("show", out, "--full").out
