"""What is known of a tuning goes to another place and comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from backends import Backend, Chroma, LangChainMemory
from test_plan import opened, planned

from nudge_integrations.errors import CorruptFileError, StoreError
from nudge_integrations.stores import export_journal, import_journal, revert, status

Make = Callable[..., Backend]


def test_from_a_folder_into_the_database(make: Make, tmp_path: Path) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    plan = planned(backend, held, data, journal=tmp_path / "mine")
    plan.apply()
    file = tmp_path / "originals.json"
    assert export_journal(held, file, journal=tmp_path / "mine") == plan.report.moved
    store.set_mark(None)  # the folder is lost with its machine
    damaged = tmp_path / "damaged.json"
    damaged.write_text(file.read_text("utf-8").replace("AA", "BB", 1), "utf-8")
    for wrong in (damaged, tmp_path / "empty.json"):
        wrong.write_text(wrong.read_text("utf-8") if wrong is damaged else "[]", "utf-8")
        with pytest.raises(CorruptFileError, match="no exported journal"):
            import_journal(held, wrong)
    assert status(held).state == "untuned"
    assert import_journal(held, file) == plan.report.moved
    told = status(held)
    assert (told.state, told.questions) == ("tuned", len(data.queries))
    with pytest.raises(StoreError, match="nothing was imported"):
        import_journal(held, file)
    revert(held)
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])
    with pytest.raises(StoreError, match="nothing to export"):
        export_journal(held, file)


def test_lists_of_a_store_in_memory_come_back_as_they_were(make: Make, tmp_path: Path) -> None:
    backend = make(LangChainMemory)
    held, data, _ = opened(backend)
    exact = {name: row["vector"] for name, row in held.store.items()}
    planned(backend, held, data).apply()
    export_journal(held, tmp_path / "originals.json")
    assert set(json.loads((tmp_path / "originals.json").read_text("utf-8"))) > {"list", "row"}
    again = make(LangChainMemory)
    copy = again.fill(data.ids, data.vectors)
    for name, row in held.store.items():
        copy.store[name] = {**copy.store[name], "vector": row["vector"]}
    import_journal(copy, tmp_path / "originals.json")
    revert(copy)
    assert {name: row["vector"] for name, row in copy.store.items()} == exact
