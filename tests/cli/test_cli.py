"""What every command shares: help, exit codes, where words go."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import nudge_integrations
from nudge_integrations import cli
from nudge_integrations.errors import MissingExtraError

COMMANDS = (
    *("demo", "fit", "evaluate", "check", "show"),
    *("apply", "revert", "tune", "recover", "status", "journal"),
)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A demo that records how it was called, and then does as it is told."""
    module = types.ModuleType("nudge_integrations.demo.run")
    record = types.SimpleNamespace(calls=[], then=lambda options: None)

    def run_demo(**options: Any) -> None:
        record.calls.append(options)
        record.then(options)

    module.run_demo = run_demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nudge_integrations.demo.run", module)
    return record


def raising(error: BaseException) -> Any:
    def then(options: Any) -> None:
        raise error

    return then


class TestHelp:
    def test_names_every_command(self, nudge):
        outcome = nudge("--help")
        assert outcome.code == 0
        listed = [line.split()[0] for line in outcome.out.splitlines() if line.startswith("    ")]
        assert [word for word in listed if word in COMMANDS] == list(COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_a_command_explains_it_with_examples(self, nudge, command):
        outcome = nudge(command, "--help")
        assert (outcome.code, outcome.err) == (0, "")
        examples = outcome.out.partition("\nexamples:\n")[2].splitlines()
        assert examples[0].startswith(f"  nudge {command}")

    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_fits_into_80_columns(self, nudge, command):
        lines = nudge(*([command] if command else []), "--help").out.splitlines()
        assert [line for line in lines if len(line) > 80] == []

    @pytest.mark.parametrize("command", COMMANDS)
    def test_examples_are_commands_that_the_parser_takes(self, nudge, command):
        examples = nudge(command, "--help").out.partition("\nexamples:\n")[2].splitlines()
        parser = cli.build_parser()
        taken = [line.partition(">")[0].split()[1:] for line in examples if "  nudge " in line]
        assert taken
        for arguments in taken:
            assert parser.parse_args(arguments).command == arguments[0]

    def test_goes_to_stderr_when_no_command_was_given(self, nudge):
        outcome = nudge()
        assert (outcome.code, outcome.out) == (2, "")
        assert "usage: nudge" in outcome.err

    def test_of_fit_shows_the_layout_of_the_data(self, nudge):
        out = nudge("fit", "--help").out
        assert all(name in out for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"))

    def test_version(self, nudge):
        assert nudge("--version").out == f"nudge-integrations {nudge_integrations.__version__}\n"


class TestWrongUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["frobnicate"],
            ["show"],
            ["show", "x", "--unknown"],
            ["fit", "--beir", "data"],
            ["fit", "--out", "tuned"],
            ["fit", "--beir", "data", "--llama-index", "f.json", "--out", "tuned"],
            ["fit", "--beir", "data", "--out", "tuned", "--cache", "c", "--no-cache"],
            ["fit", "--beir", "data", "--out", "tuned", "--method", "x"],
            ["fit", "--beir", "data", "--out", "tuned", "--plot", "report.gif"],
            ["fit", "--beir", "data", "--out", "tuned", "--embeddings", "vectors.csv"],
            ["fit", "--beir", "data", "--ou", "tuned"],
            ["apply", "--tuned", "tuned"],
            ["revert", "--store", "store"],
            ["demo", "--framework", "haystack"],
        ],
        ids=" ".join,
    )
    def test_ends_with_2_and_says_what_is_wrong(self, nudge, arguments):
        outcome = nudge(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert "usage: nudge" in outcome.err
        assert "error: " in outcome.err

    @pytest.mark.parametrize(
        ("arguments", "meant"),
        [
            (["fit", "--beir", "data", "--out", "tuned", "--metod", "n"], "--method"),
            (["show", "tuned", "--htm=r.html"], "--html"),
        ],
        ids=["after a space", "after an equals sign"],
    )
    def test_a_mistyped_option_is_named_with_the_one_that_was_meant(self, nudge, arguments, meant):
        outcome = nudge(*arguments)
        assert outcome.code == 2
        assert outcome.err.startswith(f"usage: nudge {arguments[0]} ")
        assert outcome.err.endswith(f"; did you mean '{meant}'?\n")


class TestErrors:
    def test_end_with_1_and_a_message_without_a_traceback(self, nudge, tmp_path):
        outcome = nudge("show", tmp_path / "nothing")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith("nudge: error: no tuned vectors at ")
        assert outcome.err.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments", [["--debug", "show", "nothing"], ["show", "nothing", "--debug"]], ids=" ".join
    )
    def test_show_the_traceback_when_asked(self, nudge, arguments):
        outcome = nudge(*arguments)
        assert outcome.code == 1
        assert "Traceback (most recent call last)" in outcome.err
        assert outcome.err.splitlines()[-1].startswith("nudge: error: no tuned vectors at ")

    def test_of_a_missing_extra_give_the_pip_command(self, nudge, demo):
        demo.then = raising(MissingExtraError("x is missing: pip install 'nudge-integrations[x]'"))
        outcome = nudge("demo")
        assert outcome.code == 1
        assert outcome.err == "nudge: error: x is missing: pip install 'nudge-integrations[x]'\n"

    def test_that_are_faults_of_the_program_are_not_dressed_up(self, nudge, demo):
        demo.then = raising(ZeroDivisionError("a fault"))
        with pytest.raises(ZeroDivisionError):
            nudge("demo")


class TestCtrlC:
    def test_ends_with_130_and_says_that_embeddings_are_kept(self, nudge, demo):
        demo.then = raising(KeyboardInterrupt())
        outcome = nudge("demo")
        assert (outcome.code, outcome.out) == (130, "")
        assert "Finished embeddings are kept" in outcome.err

    def test_does_not_promise_what_no_cache_ruled_out(self, nudge, demo):
        demo.then = raising(KeyboardInterrupt())
        outcome = nudge("demo", "--no-cache")
        assert outcome.code == 130
        assert "Finished embeddings are kept" not in outcome.err
        assert "Nothing was kept" in outcome.err

    def test_says_nothing_of_embeddings_where_there_are_none(self, nudge, monkeypatch):
        from nudge_integrations.tuning.tuned import TunedVectors

        monkeypatch.setattr(TunedVectors, "load", raising(KeyboardInterrupt()))
        outcome = nudge("show", "tuned")
        assert (outcome.code, outcome.err) == (130, "nudge: stopped.\n")


class TestTalk:
    @pytest.mark.parametrize(
        ("flags", "shown"),
        [
            ([], ["a warning"]),
            (["-v"], ["a step", "a warning"]),
            (["-vv"], ["a detail", "a step", "a warning"]),
        ],
    )
    def test_the_log_goes_to_stderr_as_far_as_asked(self, nudge, demo, flags, shown):
        def log(options):
            logger = logging.getLogger("nudge_integrations.somewhere")
            logger.debug("a detail")
            logger.info("a step")
            logger.warning("a warning")

        demo.then = log
        for arguments in ([*flags, "demo"], ["demo", *flags]):
            outcome = nudge(*arguments)
            assert outcome.err == "".join(f"nudge: {line}\n" for line in shown)
            assert outcome.out == ""

    def test_logging_is_as_it_was_afterwards(self, nudge, demo):
        logger = logging.getLogger("nudge_integrations")
        before = (logger.level, list(logger.handlers))
        nudge("-vv", "demo")
        assert (logger.level, list(logger.handlers)) == before


class TestDemo:
    def test_shows_both_frameworks_with_progress_and_cache(self, nudge, demo):
        assert nudge("demo").code == 0
        (options,) = demo.calls
        del options["write"]
        assert options == {
            "frameworks": ("llama-index", "langchain"),
            "cache": True,
            "show_progress": True,
            "seed": 0,
        }

    @pytest.mark.parametrize(
        ("arguments", "changed"),
        [
            (["--framework", "langchain"], {"frameworks": ("langchain",)}),
            (["--framework", "llama-index"], {"frameworks": ("llama-index",)}),
            (["--framework", "both"], {"frameworks": ("llama-index", "langchain")}),
            (["--quiet"], {"show_progress": False}),
            (["--no-progress"], {"show_progress": False}),
            (["--cache", "folder"], {"cache": "folder"}),
            (["--no-cache"], {"cache": False}),
            (["--seed", "7"], {"seed": 7}),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_passes_on_what_was_asked(self, nudge, demo, arguments, changed):
        assert nudge("demo", *arguments).code == 0
        (options,) = demo.calls
        assert changed.items() <= options.items()

    def test_writes_to_stdout(self, nudge, demo):
        demo.then = lambda options: options["write"]("a line")
        assert nudge("demo").out == "a line\n"

    def test_takes_the_arguments_that_the_demo_has(self, nudge, demo):
        # Not the fake, which takes anything.
        import importlib
        import inspect

        nudge("demo")
        (options,) = demo.calls
        del sys.modules["nudge_integrations.demo.run"]
        real = importlib.import_module("nudge_integrations.demo.run").run_demo
        inspect.signature(real).bind(**options)


def test_the_command_of_the_package_is_this_one():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert 'nudge = "nudge_integrations.cli:main"' in pyproject.read_text()
