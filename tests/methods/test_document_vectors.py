"""Vectors that come in any type, in pieces, or from a file: the same as the whole float32 array."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.methods import Judgments, NudgeM, NudgeN, document_vectors
from nudge_integrations.methods.document_vectors import DocumentVectors


def random_vectors(seed: int, count: int, width: int = 6) -> Any:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


class Shards:
    """Starts anew each time."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def __iter__(self) -> Any:
        return iter(self.parts)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    st.integers(1, 7),
    st.booleans(),
    st.sampled_from(["array", "list", "shards"]),
)
def test_pieces_of_any_size_are_the_whole(
    seed: int, sizes: list[int], block: int, unit: bool, kind: str
) -> None:
    whole = random_vectors(seed, sum(sizes))
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    source = {"array": whole, "list": parts, "shards": Shards(parts)}[kind]
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True) if unit else whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_vectors, "_BLOCK_ROWS", block)
        vectors = DocumentVectors(source, unit=unit)
        starts, blocks = zip(*vectors.blocks(), strict=True)
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(whole)) < 0.5)
    assert (len(vectors), vectors.dimension) == whole.shape
    assert all(len(each) <= block for each in blocks)
    assert list(starts) == np.cumsum([0, *(len(each) for each in blocks[:-1])]).tolist()
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-6)
    np.testing.assert_allclose(vectors.take(rows), expected[rows], rtol=1e-6)
    np.testing.assert_allclose(vectors.longest, np.linalg.norm(expected, axis=1).max(), rtol=1e-6)


def judged(seed: int, documents: Any) -> tuple[Any, Judgments]:
    """Eight questions for each of five documents, all of them to the same side of it."""
    rng = np.random.default_rng(seed)
    answers = np.repeat(rng.choice(50, 5, replace=False), 8)
    side = rng.standard_normal((50, documents.shape[1]))[answers]
    noise = 0.3 * rng.standard_normal(side.shape)
    queries = (documents[answers] + 1.5 * side + noise).astype(np.float32)
    return queries, Judgments.from_lists([[int(row)] for row in answers], len(documents))


@pytest.mark.parametrize("method", [NudgeN, NudgeM])
@pytest.mark.parametrize("kind", ["float16", "float64", "mapped", "list", "shards"])
def test_a_tuning_does_not_depend_on_where_vectors_come_from(
    method: Any, kind: str, tmp_path: Path
) -> None:
    whole = random_vectors(0, 300).astype(np.float16).astype(np.float32)
    queries, judgments = judged(1, whole)
    if kind == "mapped":
        np.save(tmp_path / "documents.npy", whole.astype(np.float16))
        source: Any = np.load(tmp_path / "documents.npy", mmap_mode="r")
    else:
        parts = np.split(whole, [7, 200])
        source = {"list": parts, "shards": Shards(parts)}.get(kind)
        source = whole.astype(kind) if source is None else source
    similarity = "cosine" if method is NudgeN else "dot"
    expected, found = (
        method("cpu").fit(each, queries, judgments, similarity=similarity)
        for each in (whole, source)
    )
    assert found.step == expected.step > 0
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_a_mapped_corpus_of_another_type_and_length_is_never_held_whole(tmp_path: Path) -> None:
    """50,000 vectors that must be converted and scaled: 20 MB in float32, of which few move."""
    path = tmp_path / "documents.npy"
    np.save(path, 3 * random_vectors(0, 50_000, 100).astype(np.float16))
    documents = np.load(path, mmap_mode="r")
    queries, judgments = judged(1, documents)
    tracemalloc.start()
    try:
        NudgeN("cpu").fit(documents, queries, judgments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (iter([np.ones((2, 3), np.float32)]), "starts anew"),
        ([np.ones((2, 3)), np.ones((2, 4))], "4 dimensions, but 3"),
        ([np.ones((2, 3)), np.full((2, 3), np.nan)], "row 2, 3;"),
        ([np.ones((5, 3)), np.zeros((1, 3))], "row 5 "),
        ([np.ones((0, 3))], "empty"),
        ([], "2D array"),
    ],
)
def test_what_cannot_be_used_is_named(source: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        DocumentVectors(source)
