"""README: its code runs as it stands, and its numbers are those of the committed figures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from openai_server import OpenAIServer

from nudge_integrations import RelevanceDataset, demo
from nudge_integrations.demo.run import demo_datasets

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import average, everything  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
QUALITY = json.loads((ROOT / "benchmarks" / "quality.json").read_text(encoding="utf-8"))
METHODS = json.loads((ROOT / "benchmarks" / "methods.json").read_text(encoding="utf-8"))


def a_part_of(datasets: dict[str, RelevanceDataset], modules: tuple[str, ...]) -> Any:
    """The demo's data on a few modules only: the same code, sooner."""
    corpus = {
        name: text for name, text in datasets["train"].corpus.items() if name.startswith(modules)
    }

    def cut(dataset: RelevanceDataset) -> RelevanceDataset:
        qrels = {
            query: {name: grade for name, grade in judged.items() if name in corpus}
            for query, judged in dataset.qrels.items()
        }
        qrels = {query: judged for query, judged in qrels.items() if judged}
        return RelevanceDataset({name: dataset.queries[name] for name in qrels}, corpus, qrels)

    return {name: cut(dataset) for name, dataset in datasets.items()}


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_readme_s_code_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = a_part_of(demo_datasets(), ("textwrap.", "copy.", "glob.", "contextlib.", "heapq."))
    monkeypatch.setattr(demo, "demo_datasets", lambda: small, raising=False)
    monkeypatch.setenv("NUDGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {}

    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        for block in blocks():
            exec(compile(block, "README.md", "exec"), session)

    assert len(blocks()) >= 5
    assert "Measured on" in capsys.readouterr().out
    assert (tmp_path / "tuned" / "tuned.json").is_file()
    assert session["tuned"].shape == (4, 4)
    assert len(session["train"]) > len(session["test"]) > 0
    assert server.asks
    assert dict(session["feedback"].queries).values()
    hits = session["retriever"].invoke("wrap long text to a width")
    assert len(hits) == 5


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


def means(way: str) -> float:
    return mean(average(runs, way, "ndcg@10") or 0.0 for runs in METHODS["sets"].values())


def test_readme_s_claim_is_in_the_figures() -> None:
    before, after = re.findall(r"rose\s+from (\.\d{3}) to (\.\d{3})", README)[0]
    adapter = re.findall(r"adapter reached (\.\d{3})", README)[0]

    assert float(before) == round(means("untuned"), 3)
    assert float(after) == round(means("NudgeC"), 3)
    assert float(adapter) == round(means("linear adapter"), 3)


@pytest.mark.parametrize("name", ["methods", "model", "tried", "stores", "filters", "questions"])
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
