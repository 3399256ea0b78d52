"""The examples run as they stand, and what they print says that retrieval got better."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))
ROW = re.compile(r"^  (\S+@\d+) +(all|seen|unseen) +(\d+) questions +(\d\.\d+) -> (\d\.\d+)$", re.M)

Row = tuple[str, str, int, float, float]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cache is; one for all, so that texts are embedded once where an example caches."""
    return tmp_path_factory.mktemp("examples")


def start(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a working directory of its own, which it has to leave empty."""
    here = folder / "here"
    here.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=here,
        timeout=900,
        env={
            **os.environ,
            "NUDGE_CACHE_DIR": str(folder / "cache"),
            "NUDGE_JOURNAL_DIR": str(folder / "journals"),
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
        },
    )
    assert not list(here.iterdir())
    assert not (folder / "journals").exists(), "the user's own journals are no place for a try"
    return done


def output_of(name: str, folder: Path) -> str:
    done = start(name, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def tables(output: str) -> list[dict[str, Row]]:
    """The tables before and after, one a metric: each has all questions, seen and unseen ones."""
    found = [
        (metric, group, int(count), float(before), float(after))
        for metric, group, count, before, after in ROW.findall(output)
    ]
    parts = [{row[1]: row for row in found[at : at + 3]} for at in range(0, len(found), 3)]
    for part in parts:
        assert list(part) == ["all", "seen", "unseen"]
        assert part["all"][2] == part["seen"][2] + part["unseen"][2]
    return parts


def check_better(table: dict[str, Row]) -> None:
    """All questions together gained, and the seen ones; the unseen ones are printed anyway."""
    for group in ("all", "seen"):
        _, _, _, before, after = table[group]
        assert 0 < before < after


def by_metric(output: str) -> list[dict[str, Row]]:
    """Tables of a report with several metrics, whose rows come by group."""
    found = ROW.findall(output)
    metrics = list(dict.fromkeys(row[0] for row in found))
    lines = [
        "  {} {} {} questions {} -> {}".format(*row)
        for m in metrics
        for row in found
        if row[0] == m
    ]
    return tables("\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chroma_langchain_rag.py", "qdrant_llama_index_query_engine.py"])
def test_the_same_pipeline_answers_better_and_as_before_after_revert(
    name: str, folder: Path
) -> None:
    printed = output_of(name, folder)

    found = by_metric(printed)
    assert [table["all"][0] for table in found] == ["hit_rate@5", "hit_rate@1"]
    for table in found:
        check_better(table)
    before, after = (
        re.search(rf"^  {when}: +'(.+)'$", printed, re.M) for when in ("before", "after")
    )
    assert before is not None
    assert after is not None
    assert after[1].startswith("copy.deepcopy(")
    assert not before[1].startswith("copy.deepcopy(")
    assert "written and verified (apply)" in printed
    assert "written and verified (revert)" in printed
    assert re.search(r"^After revert .* answers as before: True$", printed, re.M)


@pytest.mark.slow
def test_a_table_is_tuned_twice_and_gets_its_bytes_back(folder: Path) -> None:
    printed = output_of("pgvector_in_place.py", folder)

    this_week, next_week = tables(printed)
    check_better(this_week)
    check_better(next_week)
    assert next_week["seen"][2] > this_week["seen"][2]
    assert "Still the original vectors: True" in printed
    assert "Next week: 357 of 714 questions known" in printed
    assert "The original vectors again, byte for byte: True" in printed


@pytest.mark.slow
def test_a_table_of_somebody_else_s_is_left_alone(folder: Path) -> None:
    import pgserver
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(folder / "server")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE TABLE nudge_example (mine text)")
        database.execute("INSERT INTO nudge_example VALUES ('kept')")

        done = start("pgvector_in_place.py", folder, "--url", url)

        assert done.returncode != 0
        assert "already exists" in done.stderr
        assert database.execute("SELECT mine FROM nudge_example").fetchall() == [("kept",)]
    server.cleanup()


@pytest.mark.slow
def test_more_clicks_make_more_questions_better(folder: Path) -> None:
    printed = output_of("feedback_loop.py", folder)

    first, second = tables(printed)
    check_better(first)
    check_better(second)
    assert second["all"][4] > first["all"][4]
    judged = re.findall(r"(\d+) judgments of (\d+) questions, (\d+) of them wrong", printed)
    rows = re.findall(r"([\d,]+) rows in the log, ([\d,]+) of them name a wrong document", printed)
    for (judgments, _, wrong), (logged, misleading) in zip(judged, rows, strict=True):
        # Some misleading clicks get through, far fewer than there are in the log.
        share = int(misleading.replace(",", "")) / int(logged.replace(",", ""))
        assert 0 < int(wrong) / int(judgments) < share / 2


def test_the_readme_names_every_example() -> None:
    assert len(EXAMPLES) >= 4
    assert sorted(set(re.findall(r"\[`(\w+\.py)`\]\(\1\)", README))) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_how_to_run_it(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert f"python examples/{name}" in text
    (packages,) = re.findall(r"^    pip install (.+)$", text, re.M)
    assert packages in README
