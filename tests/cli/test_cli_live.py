"""`nudge tune`, `status`, `recover` and `revert` on a store that is running."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Any) -> str:
    """A LanceDB table with the documents of the fake model, and judged questions beside it."""
    import lancedb
    import pyarrow as pa
    from cli_fakes import write_beir

    monkeypatch.setenv("NUDGE_JOURNAL_DIR", str(tmp_path / "journals"))
    write_beir(tmp_path / "data", "train")
    lines = (tmp_path / "data" / "corpus.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    vectors = models.load("all-MiniLM-L6-v2").encode_documents(
        [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    )
    vectors = np.asarray(vectors, np.float32)
    flat = pa.array(vectors.ravel(), pa.float32())
    table = {
        "id": [row["_id"] for row in rows],
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    lancedb.connect(str(tmp_path / "db")).create_table("docs", pa.table(table))
    (tmp_path / "data" / "corpus.jsonl").unlink()
    return f"lancedb:{tmp_path / 'db'}#docs"


def stored(address: str) -> np.ndarray:
    import lancedb

    place, _, name = address.removeprefix("lancedb:").partition("#")
    rows = lancedb.connect(place).open_table(name).to_arrow().sort_by("id")
    return np.stack(rows.column("vector").to_numpy())


def test_a_table_of_pairs_and_a_log_of_clicks_are_enough(
    nudge: Any, address: str, tmp_path: Path
) -> None:
    lines = (tmp_path / "data" / "queries.jsonl").read_text("utf-8").splitlines()
    texts = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    judged = (tmp_path / "data" / "qrels" / "train.tsv").read_text("utf-8").splitlines()[1:]
    rows = [(texts[query], document) for query, document, _ in map(str.split, judged)]
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Question", "document_id"), *rows, ("unknown?", "nowhere")])
    clicks = [{"query": query, "doc_id": name, "event": "thumbs_up"} for query, name in rows]
    (tmp_path / "clicks.jsonl").write_text("\n".join(map(json.dumps, clicks)), encoding="utf-8")
    asked = ("tune", "--store", address, "--metric", "cosine", "--gamma", "0.8", "-q")

    by_pairs = nudge(*asked, "--pairs", tmp_path / "pairs.csv")
    by_clicks = nudge(*asked, "--feedback", tmp_path / "clicks.jsonl")

    assert by_pairs.code == by_clicks.code == 0, by_pairs.err + by_clicks.err
    assert f"{len(rows) + 1} pairs; read 'Question' as the question" in by_pairs.err
    assert f"{len(rows)} matched by id" in by_pairs.err
    assert "1 unmatched and left out: 'nowhere'" in by_pairs.err
    assert "a thumb counts 1 or -1" in by_clicks.err
    assert "A dry run" in by_pairs.out
    assert "A dry run" in by_clicks.out


def test_a_dry_run_an_apply_and_the_way_back(nudge: Any, address: str, tmp_path: Path) -> None:
    arguments = ("--store", address, "--metric", "cosine")
    asked = (*arguments, "--beir", tmp_path / "data", "--gamma", "0.8", "-q")
    before = stored(address)
    done = nudge("tune", *asked)
    assert done.code == 0, done.err
    assert "A dry run: nothing was written" in done.out
    assert "to write" in done.out
    np.testing.assert_array_equal(stored(address), before)
    assert "not tuned" in nudge("status", *arguments).out

    done = nudge("tune", *asked, "--apply")
    assert "written and verified" in done.out
    assert not np.array_equal(stored(address), before)
    assert "NUDGE-C" in nudge("status", *arguments).out
    assert "nothing was interrupted" in nudge("recover", *arguments, "-q").out
    undo = shlex.split(done.out.strip().splitlines()[-1].removeprefix("Undo: nudge "))
    done = nudge(*undo)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(stored(address), before)


@pytest.mark.parametrize(
    ("store", "named"),
    [
        ("nothing", "no address of a store"),
        ("lancedb:/no/such/folder#docs", "does not exist"),
        ("redis:x#docs", "no address of a store"),
        ("postgresql://me:geheim@localhost:1/db", "no address of a store"),
    ],
)
def test_a_store_that_is_none_is_named(
    nudge: Any, address: str, tmp_path: Path, store: str, named: str
) -> None:
    done = nudge("tune", "--store", store, "--beir", tmp_path / "data", "-q")
    assert done.code == 1
    assert named in done.err
    assert "geheim" not in done.err + done.out


def test_revert_needs_a_run_for_a_saved_store(nudge: Any, tmp_path: Path) -> None:
    done = nudge("revert", "--store", tmp_path / "saved")
    assert done.code == 2
    assert "--tuned is needed" in done.err


def test_a_filter_keeps_the_others_as_they_are(nudge: Any, address: str, tmp_path: Path) -> None:
    before = stored(address)
    judged = (tmp_path / "data" / "qrels" / "train.tsv").read_text("utf-8").splitlines()[1:]
    spared = judged[0].split()[1]
    arguments = ("--store", address, "--metric", "cosine", "--filter", f"id <> '{spared}'", "-q")
    asked = ("--beir", tmp_path / "data", "--gamma", "0.8", "--pause", "0.01")

    done = nudge("tune", *arguments, *asked, "--apply")

    assert done.code == 0, done.err
    assert f"{len(before) - 1} documents" in done.out
    assert f"'{spared}'" in done.out  # an answer that is not there
    changed = (stored(address) != before).any(axis=1)
    names = sorted(stored_ids(address))
    assert changed.any()
    assert not changed[names.index(spared)]
    undo = shlex.split(done.out.strip().splitlines()[-1].removeprefix("Undo: nudge "))
    assert undo[-2:] == ["--filter", f"id <> '{spared}'"]
    assert nudge(*undo).code == 0
    np.testing.assert_array_equal(stored(address), before)


def stored_ids(address: str) -> list[str]:
    import lancedb

    place, _, name = address.removeprefix("lancedb:").partition("#")
    names: list[str] = lancedb.connect(place).open_table(name).to_arrow().column("id").to_pylist()
    return names
