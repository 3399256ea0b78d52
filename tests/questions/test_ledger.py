"""Where answers are kept: whole or not at all, for several processes, and never silently wrong."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nudge_integrations.errors import CorruptFileError, NudgeError
from nudge_integrations.questions.ledger import Entry, Ledger


def test_what_is_kept_is_found_in_a_later_run(tmp_path: Path, cache: Path) -> None:
    entry = Entry([["how?", "question"], ["ü\ud83d", ""]], (12, 3), exact=False)
    for place in (tmp_path / "here", tmp_path / "mine.sqlite", True):
        with Ledger(place) as ledger:
            assert ledger.find("a") is None
            ledger.keep("a", entry)
            ledger.keep("b", Entry([], (1, 0)))
        with Ledger(place) as ledger:
            assert ledger.find("a") == entry
            assert ledger.find("b") == Entry([], (1, 0))  # nothing usable is an answer too

    assert (tmp_path / "here" / "questions.sqlite").is_file()
    assert (tmp_path / "mine.sqlite").is_file()
    assert (cache / "questions.sqlite").is_file()


@pytest.mark.parametrize("place", [False, None])
def test_nothing_is_kept_where_nothing_shall_be(place: bool | None, cache: Path) -> None:
    with Ledger(place) as ledger:
        ledger.keep("a", Entry([], (0, 0)))
        assert ledger.find("a") is not None
    with Ledger(place) as ledger:
        assert ledger.find("a") is None
    assert not cache.exists()


def test_several_runs_write_to_one_file(tmp_path: Path) -> None:
    def write(worker: int) -> None:
        with Ledger(tmp_path) as ledger:
            for place in range(50):
                ledger.keep(f"{worker}-{place}", Entry([place], (1, 1)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    with Ledger(tmp_path) as ledger:
        for worker in range(4):
            assert all(ledger.find(f"{worker}-{place}") for place in range(50))


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    with Ledger(path) as ledger:
        ledger.keep("a", Entry(["whole"], (1, 1)))
    # A process that dies in the middle of a write leaves an open transaction.
    dying = sqlite3.connect(path, isolation_level=None)
    dying.execute("BEGIN IMMEDIATE")
    dying.execute("INSERT INTO answers VALUES ('b', '[\"half', 1, 1, 1)")
    dying.close()

    with Ledger(path) as ledger:
        assert ledger.find("a") == Entry(["whole"], (1, 1))
        assert ledger.find("b") is None


def test_a_damaged_file_and_one_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CorruptFileError, match=r"damaged\.sqlite is damaged.*delete it"):
        Ledger(damaged)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NudgeError, match=r"cannot keep answers.*checkpoint=False"):
        Ledger(tmp_path / "file" / "below")
