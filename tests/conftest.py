"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines of very different speed run these tests; a slow example is no failure.
settings.register_profile("nudge", deadline=None)
settings.load_profile("nudge")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets, each in the layout of BEIR.

    A test that asks for it fails without it: a skipped test is a promise that nobody keeps.
    """
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NUDGE_DATA") or default)
    if not (folder / "nfcorpus" / "corpus.jsonl").is_file():
        pytest.fail(
            f"NO REAL DATA: {folder} does not hold nfcorpus/corpus.jsonl. Set the environment "
            "variable NUDGE_DATA to the folder that holds the data sets (BEIR layout: "
            "NAME/corpus.jsonl, NAME/queries.jsonl, NAME/qrels/SPLIT.tsv).",
            pytrace=False,
        )
    return folder
