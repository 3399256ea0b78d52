"""A saved store, whatever it holds: what is exchanged, what is left alone, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.common.files import load_arrays, save_arrays
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.errors import CorruptFileError
from nudge_integrations.tuning.saved import apply_to_saved, revert_in_saved
from nudge_integrations.tuning.tuned import TunedVectors

DIMENSION = 3
KIND = "langchain vector store"

_row = st.lists(
    st.floats(-4, 4, width=32).filter(lambda value: abs(value) > 2**-10),
    min_size=DIMENSION,
    max_size=DIMENSION,
)


@st.composite
def stores_and_runs(draw):
    """Vectors by id in a store, and a run whose originals are some of them, or are not."""
    stored = draw(st.dictionaries(st.sampled_from("abcdefgh"), _row, min_size=1))
    moved = draw(st.lists(st.sampled_from("abcdefghxyz"), unique=True))
    originals = [
        stored[name] if name in stored and draw(st.booleans()) else draw(_row) for name in moved
    ]
    tuned = [draw(_row) for _ in moved]
    return stored, moved, originals, tuned


def as_run(ids, originals, vectors) -> TunedVectors:
    return TunedVectors(
        ids=tuple(ids),
        vectors=np.array(vectors, np.float32).reshape(-1, DIMENSION),
        originals=np.array(originals, np.float32).reshape(-1, DIMENSION),
        text_hashes=tuple(f"hash of {name}" for name in ids),
        metric="cosine",
        method="nudge-n",
        step=0.5,
        model=ModelFingerprint("a model", None, np.ones(DIMENSION, np.float32)),
    )


def save_store(folder: str | Path, stored) -> Path:
    path = Path(folder, "vector_store.safetensors")
    facts = {"metric": "cosine", "documents": [{"id": name} for name in stored]}
    save_arrays(path, KIND, 2, facts, {"vectors": np.array(list(stored.values()), np.float32)})
    return path


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@given(stores_and_runs())
def test_every_document_of_the_run_is_exchanged_or_accounted_for(case):
    stored, moved, originals, vectors = case
    run = as_run(moved, originals, vectors)
    with TemporaryDirectory() as folder:
        path = save_store(folder, stored)
        result = apply_to_saved(folder, run)
        after = dict(zip(stored, load_arrays(path, KIND, 2)[1]["vectors"], strict=True))
    fits = {
        name
        for name, original in zip(moved, originals, strict=True)
        if name in stored and np.float32(stored[name]).tobytes() == np.float32(original).tobytes()
    }
    tuned = dict(zip(moved, vectors, strict=True))
    for name, row in after.items():
        assert row.tobytes() == np.float32(tuned[name] if name in fits else stored[name]).tobytes()
    assert result.changed == len(fits)
    left = [*result.already, *result.absent, *result.different]
    assert sorted(left) == sorted(set(moved) - fits)
    assert set(result.absent) == set(moved) - set(stored)
    assert all(np.array_equal(np.float32(stored[n]), np.float32(tuned[n])) for n in result.already)
    assert (result.documents, result.metric, result.path) == (len(stored), "cosine", path)


@given(stores_and_runs())
def test_back_is_every_byte_of_every_file(case):
    stored, moved, _, vectors = case
    moved = [name for name in moved if name in stored]
    run = as_run(moved, [stored[name] for name in moved], vectors[: len(moved)])
    with TemporaryDirectory() as folder:
        save_store(folder, stored)
        before = contents(folder)
        assert apply_to_saved(folder, run).changed == len(moved)
        assert revert_in_saved(folder, run).changed == len(moved)
        assert contents(folder) == before


def test_nothing_is_written_where_nothing_changes(tmp_path):
    path = save_store(tmp_path, {"a": [1, 0, 0]})
    stamp = path.stat().st_mtime_ns
    result = apply_to_saved(tmp_path, as_run(["a", "b"], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2))
    assert (result.changed, result.different, result.absent) == (0, ("a",), ("b",))
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("manifest", "rows"),
    [
        ({"metric": "cosine"}, 1),
        ({"metric": "cosine", "documents": [{"name": "a"}]}, 1),
        ({"metric": "cosine", "documents": [{"id": "a"}]}, 2),
        ({"metric": "cosine", "documents": [{"id": "a"}, {"id": "a"}]}, 2),
        ({"metric": "euclid", "documents": [{"id": "a"}]}, 1),
        ({"documents": [{"id": "a"}]}, 1),
    ],
    ids=["no documents", "no ids", "too few ids", "an id twice", "another metric", "no metric"],
)
def test_a_store_that_makes_no_sense_is_refused(tmp_path, manifest, rows):
    path = tmp_path / "vector_store.safetensors"
    save_arrays(path, KIND, 2, manifest, {"vectors": np.ones((rows, DIMENSION), np.float32)})
    before = contents(tmp_path)
    with pytest.raises(CorruptFileError, match="was edited"):
        apply_to_saved(path, as_run(["a"], [[1, 1, 1]], [[0, 1, 0]]))
    assert contents(tmp_path) == before


def test_a_store_of_a_newer_release_is_refused(tmp_path):
    path = tmp_path / "vector_store.safetensors"
    save_arrays(path, KIND, 99, {"metric": "cosine", "documents": []}, {})
    with pytest.raises(CorruptFileError, match="layout version 99"):
        apply_to_saved(path, as_run([], [], []))


@pytest.mark.parametrize("content", ["", "[]", '{"kind": 3}', json.dumps({"other": 1})])
def test_any_other_json_is_refused(tmp_path, content):
    path = tmp_path / "vector_store.safetensors"
    path.write_text(content)
    for named in (path, tmp_path):
        with pytest.raises(CorruptFileError, match="is no saved NudgeVectorStore"):
            apply_to_saved(named, as_run([], [], []))
