"""README: its code runs as it stands, and its numbers are those of the committed figures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks, run

sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import PARTS, everything

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
QUALITY = json.loads((ROOT / "benchmarks" / "quality.json").read_text(encoding="utf-8"))


def test_readme_s_code_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_every_relative_link_leads_somewhere() -> None:
    for page, text in ((ROOT, README), (ROOT / "benchmarks", BENCHMARKS)):
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (page / link).exists(), link
