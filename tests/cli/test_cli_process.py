"""The command as a process of its own, with the real embedding model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_fakes import bytes_of, write_beir

from nudge_integrations.tuning.tuned import TunedVectors

_TOPICS = {
    "undo": ("revert() restores the original vectors.", "take it back", "go back to before"),
    "save": ("persist() writes the index to disk.", "keep it for tomorrow", "store it in a file"),
    "speed": ("Tuning takes a few seconds.", "is it quick", "how long must I wait"),
    "cost": ("Nothing is sent to any service.", "what do I pay", "is there a bill"),
    "gpu": ("device='cuda' computes on a graphics card.", "use my nvidia", "faster hardware"),
    "seed": ("seed fixes every random choice.", "the same result twice", "repeat a run exactly"),
}
_HEAD = "Which one is it: "


def nudge(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nudge_integrations", *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    environment |= options.pop("env", {})
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, **options
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Six documents and eighteen questions in a BEIR folder."""
    folder = tmp_path_factory.mktemp("real") / "data"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "text": texts[0]} for name, texts in _TOPICS.items()]
    asked = (
        {("train", f"{name}-1"): (texts[1], name) for name, texts in _TOPICS.items()}
        | {("train", f"{name}-2"): (_HEAD + texts[2], name) for name, texts in _TOPICS.items()}
        | {
            ("test", f"{name}-3"): (f"{texts[1]}, {texts[2]}?", name)
            for name, texts in _TOPICS.items()
        }
    )
    queries = [{"_id": name, "text": text} for (_, name), (text, _) in asked.items()]
    for path, records in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (folder / path).write_text("".join(json.dumps(record) + "\n" for record in records))
    for split in ("train", "test"):
        lines = [
            f"{name}\t{answer}\t1" for (part, name), (_, answer) in asked.items() if part == split
        ]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("run") / "tuned"
    cache = {"NUDGE_CACHE_DIR": str(data.parent / "cache")}
    # So few questions tell nothing, so that the default would move nothing.
    return out, nudge("fit", "--beir", data, "--out", out, "--method", "n", "--full", env=cache)


def test_fit_with_the_default_model(fitted):
    out, process = fitted
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"{TunedVectors.load(out).report}\n\nSaved ")
    assert TunedVectors.load(out).model.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert "Traceback" not in process.stderr


def test_evaluate_agrees_with_fit(fitted, data):
    out, process = fitted
    cache = {"NUDGE_CACHE_DIR": str(data.parent / "cache")}
    again = nudge("evaluate", "--beir", data, "--tuned", out, "--full", env=cache)
    assert again.returncode == 0, again.stderr
    numbers = [line for line in process.stdout.splitlines() if line.startswith("  ndcg@10")]
    assert numbers
    assert numbers == [line for line in again.stdout.splitlines() if line.startswith("  ndcg@10")]


def test_a_store_of_langchain_is_tuned_and_put_back(fitted, data, tmp_path):
    from langchain_core.documents import Document
    from langchain_core.embeddings import FakeEmbeddings

    from nudge_integrations.langchain import NudgeVectorStore

    tuned = TunedVectors.load(fitted[0])
    assert len(tuned) > 0
    store = NudgeVectorStore(FakeEmbeddings(size=tuned.vectors.shape[1]))
    store.add_embeddings(
        [Document(id=name, page_content="") for name in tuned.ids], tuned.originals
    )
    store.save(tmp_path / "store")
    before = bytes_of(tmp_path / "store")
    arguments = ("--tuned", fitted[0], "--store", tmp_path / "store")
    assert nudge("apply", *arguments).returncode == 0
    assert bytes_of(tmp_path / "store") != before
    assert nudge("revert", *arguments).returncode == 0
    assert bytes_of(tmp_path / "store") == before


def test_exit_codes():
    assert nudge("--version").returncode == 0
    assert nudge("show", "nothing").returncode == 1
    assert nudge("no-such-command").returncode == 2
    assert nudge().returncode == 2


def test_the_module_cli_is_the_same_command():
    command = [sys.executable, "-m", "nudge_integrations", "--version"]
    assert subprocess.check_output(command, text=True) == nudge("--version").stdout


def test_ctrl_c_ends_with_130_and_no_traceback(tmp_path):
    data = write_beir(tmp_path / "data", "train")
    # The signal comes from the second batch itself, so that no clock decides what is tested.
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from cli_fakes import WordEncoder
from nudge_integrations.cli import main
from nudge_integrations.embedding import embedder

# A shell that runs tests in the background hands them on with Ctrl-C turned off.
signal.signal(signal.SIGINT, signal.default_int_handler)
seen = []
def interrupt(texts):
    if len(seen) >= 5:
        os.kill(os.getpid(), signal.SIGINT)

embedder.as_encoder = lambda name, **options: WordEncoder(name, seen, interrupt)
sys.exit(main(["fit", "--beir", {str(data)!r}, "--out", {str(tmp_path / "tuned")!r}]))
"""
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "NUDGE_CACHE_DIR": str(tmp_path / "cache")},
        timeout=120,
    )
    assert process.returncode == 130, process.stderr
    assert process.stdout == ""
    assert "Traceback" not in process.stderr
    assert "5 of 12 vectors are kept" in process.stderr
    assert process.stderr.splitlines()[-1].startswith(
        "nudge: stopped. Finished embeddings are kept"
    )
    assert not (tmp_path / "tuned").exists()
    assert signal.SIGINT == 2


def test_a_reader_that_goes_away_is_no_crash(fitted):
    command = [sys.executable, "-m", "nudge_integrations", "show", str(fitted[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert errors == ""
    assert process.returncode == 1


def test_a_terminal_that_knows_ascii_only_is_no_crash(data, tmp_path):
    name = "modèle-修"
    process = nudge("show", tmp_path / name, env={"PYTHONIOENCODING": "ascii"})
    assert process.returncode == 1
    assert "mod?le-?" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["fit", "--help"], ["show", "nothing"]], ids=" ".join
)
def test_loads_no_framework_and_no_model(arguments):
    program = f"""
import sys
from nudge_integrations.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
heavy = ("torch", "transformers", "sentence_transformers", "langchain_core", "llama_index")
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_a_saved_store_is_tuned_without_its_framework(fitted, tmp_path):
    from langchain_core.documents import Document
    from langchain_core.embeddings import FakeEmbeddings

    from nudge_integrations.langchain import NudgeVectorStore

    tuned = TunedVectors.load(fitted[0])
    store = NudgeVectorStore(FakeEmbeddings(size=tuned.vectors.shape[1]))
    store.add_embeddings(
        [Document(id=name, page_content="") for name in tuned.ids], tuned.originals
    )
    store.save(tmp_path)
    program = f"""
import sys
for name in ("langchain_core", "llama_index", "torch"):
    sys.modules[name] = None
from nudge_integrations.cli import main
sys.exit(main(["apply", "--tuned", {str(fitted[0])!r}, "--store", {str(tmp_path)!r}]))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
