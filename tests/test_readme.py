"""README: its code runs as it stands, and its numbers are those of the committed figures."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
import uuid
from pathlib import Path

import chromadb
import pytest
from pages import ROOT, blocks, run

from nudge_integrations import Embedder
from nudge_integrations.cli import main
from nudge_integrations.demo import demo_datasets
from nudge_integrations.embedding import DEFAULT_MODEL

sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import PARTS, everything

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
QUALITY = json.loads((ROOT / "benchmarks" / "quality.json").read_text(encoding="utf-8"))


def what_a_reader_has(folder: Path) -> None:
    """A table of pairs, and a collection that a splitter filled: ids that nobody knows."""
    data = demo_datasets()["train"]
    corpus = {name: text for name, text in data.corpus.items() if name.startswith("textwrap.")}
    store = chromadb.PersistentClient(str(folder / "db")).create_collection("docs")
    store.add(
        ids=[str(uuid.uuid4()) for _ in corpus],
        documents=list(corpus.values()),
        embeddings=list(Embedder(DEFAULT_MODEL).embed_documents(list(corpus.values()))),
    )
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        for name, text in data.queries.items():
            writer.writerows([text, corpus[each]] for each in data.answers(name) if each in corpus)


def test_from_a_table_and_a_store_to_a_tuned_store_is_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    what_a_reader_has(tmp_path)
    monkeypatch.chdir(tmp_path)
    (command,) = [
        line.partition("#  ")[0].partition("   #")[0]
        for block in blocks(README, "bash")
        for line in block.splitlines()
        if "--pairs" in line
    ]

    assert main(shlex.split(command)[1:]) == 0
    assert "matched by text" in capsys.readouterr().err


def test_the_snippet_of_the_first_screen_is_short() -> None:
    first = blocks(README)[0]
    assert "from_pairs" in first
    assert len(first.splitlines()) <= 10
    assert README.partition(first.splitlines()[0])[0].count("\n") < 40


def test_readme_s_code_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    what_a_reader_has(tmp_path)

    left = run(README, tmp_path, monkeypatch)

    assert len(blocks(README)) >= 5
    assert "Measured on" in capsys.readouterr().out
    assert (tmp_path / "tuned" / "tuned.safetensors").is_file()
    assert left["tuned"].shape == (4, 4)
    assert len(left["train"]) > len(left["test"]) > 0
    assert left["requests"]
    assert len(left["retriever"].invoke("wrap long text to a width")) == 5


def test_the_report_shown_is_the_one_that_the_notebook_printed() -> None:
    notebook = json.loads((ROOT / "notebooks" / "1_llama_index.ipynb").read_text("utf-8"))
    printed = {
        line.rstrip("\n")
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        for line in output.get("text", ())
    }
    shown = re.findall(r"^```text\n(Better.*?)^```", README, re.MULTILINE | re.DOTALL)[0]

    assert len(shown.splitlines()) > 10
    assert set(shown.splitlines()) <= printed


@pytest.mark.parametrize("name", PARTS)
def test_the_tables_are_those_of_the_figures(name: str) -> None:
    lines = everything()[name]
    assert f"<!-- {name} -->\n{lines}\n<!-- end of {name} -->" in BENCHMARKS


def test_the_table_of_benchmarks_is_in_the_figures() -> None:
    for name, result in QUALITY["results"].items():
        row = next(line for line in BENCHMARKS.splitlines() if line.startswith(f"| {name} |"))
        figures = [float(cell) for cell in row.split("|")[4:-1]]

        assert figures == [round(each["ndcg@10"], 4) for each in result["scores"].values()]


def test_the_benchmarked_vectors_agree_with_nudge_ft_s() -> None:
    apart = [
        difference
        for result in QUALITY["results"].values()
        for difference in result["largest difference to nudge-ft's vectors"].values()
    ]

    assert max(apart) < 1e-5
    assert f"{max(apart):.1e}" in BENCHMARKS


def test_the_figures_of_the_small_model_are_measured() -> None:
    results = json.loads((ROOT / "benchmarks" / "small_model.json").read_text("utf-8"))["results"]
    guide = (ROOT / "docs" / "guides" / "questions.md").read_text("utf-8")
    every = [results[name]["ndcg@10"]["all"] for name in ("model", "people")]
    kept = results["model"]["questions"]
    written = results["questions written"]

    assert written == kept + sum(results["dropped"].values())
    for page, digits in ((guide, 3), (BENCHMARKS, 4)):
        for figure in (every[0]["untuned"], every[0]["tuned"], every[1]["tuned"]):
            assert f"{figure:.{digits}f}"[1:] in page
        assert f"{written} questions" in page
        assert str(kept) in page


def test_every_relative_link_leads_somewhere() -> None:
    for page, text in ((ROOT, README), (ROOT / "benchmarks", BENCHMARKS)):
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (page / link).exists(), link
