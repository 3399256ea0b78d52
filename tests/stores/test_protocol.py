"""Reading, searching and exchanging vectors, against every real store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backends import Backend

from nudge_integrations.errors import DataError
from nudge_integrations.stores import open_store
from nudge_integrations.stores.formats import same
from nudge_integrations.stores.store import LiveStore

D = 24
HOSTILE = [
    "it's",
    'a "quoted" id',
    "ünï-çødé 文書",
    "semi;colon -- drop",
    "per%cent_",
    "back\\slash",
]


def rows(count: int, seed: int = 0, metric: str = "cosine") -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
    if metric != "dot":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def filled(backend: Backend, count: int = 60) -> tuple[LiveStore, list[str], np.ndarray]:
    names = [backend.as_id(f"doc-{row}") for row in range(count)]
    vectors = rows(count, metric=backend.metric)
    store = open_store(backend.fill(names, vectors), **backend.options)
    return store, names, vectors


def expected_scores(metric: str, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    if metric == "cosine":
        queries, vectors = (
            each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, vectors)
        )
    if metric == "l2":
        return -((queries[:, None, :] - vectors[None, :, :]) ** 2).sum(axis=2)
    return queries @ vectors.T


def test_vectors_are_read_by_id_in_the_order_asked_for(
    kind: type[Backend], metric: str, make: Callable[..., Backend]
) -> None:
    store, names, vectors = filled(make(kind, metric))
    assert store.metric == metric
    assert store.dimension == D
    assert store.count() == len(names)
    assert sorted(store.ids()) == sorted(names)
    asked = [names[7], "no-such-id", names[3], names[7], names[0]]
    found = store.read(asked)
    assert list(found) == [names[7], names[3], names[0]]
    for name, row in ((names[7], 7), (names[3], 3), (names[0], 0)):
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], vectors[row], atol=1e-6)
    assert store.read([]) == {}
    assert store.read(["no-such-id", "12345678901234567890123"]) == {}


def test_scores_follow_one_contract(
    kind: type[Backend], metric: str, make: Callable[..., Backend]
) -> None:
    store, names, vectors = filled(make(kind, metric))
    queries = 1.7 * rows(5, seed=1)
    wanted = expected_scores(metric, queries, vectors)
    for exact in (False, True):
        for row, hits in enumerate(store.search(queries, 7, exact=exact)):
            order = np.argsort(-wanted[row])[:7]
            assert [name for name, _ in hits] == [names[each] for each in order]
            np.testing.assert_allclose(
                [score for _, score in hits], wanted[row, order], rtol=1e-4, atol=1e-5
            )
    assert [len(hits) for hits in store.search(queries, 1000)] == [len(names)] * 5


def test_only_the_vector_of_rows_that_are_there_is_exchanged(
    kind: type[Backend], metric: str, make: Callable[..., Backend]
) -> None:
    backend = make(kind, metric)
    store, names, _ = filled(backend)
    before, others = store.read(names), backend.rest()
    chosen = names[5:25]
    fresh = rows(20, seed=2, metric=metric)
    ghost = backend.as_id("ghost")
    both = [*chosen, *([ghost] if backend.changing else [])]
    store.write(
        both,
        np.concatenate([fresh, rows(len(both) - 20, seed=3)]),
        np.stack([before.get(name, np.ones(D, np.float32)) for name in both]),
    )
    after = store.read(names)
    for place, name in enumerate(chosen):
        assert same(after[name], fresh[place])
    for name in set(names) - set(chosen):
        np.testing.assert_array_equal(after[name], before[name])
    assert backend.rest() == others
    assert store.count() == len(names)
    left = store.write_exactly(
        chosen, np.stack([before[name] for name in chosen]), np.stack([after[n] for n in chosen])
    )
    assert not left or backend.rounding
    again = store.read(names)
    for name in names:
        if name in left:
            np.testing.assert_allclose(again[name], before[name], rtol=0, atol=backend.rounding)
        else:
            np.testing.assert_array_equal(again[name], before[name])


def test_ids_of_any_kind_and_batches_beyond_any_limit(
    kind: type[Backend], make: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(kind)
    extra = HOSTILE if backend.ids_of_any_kind else []
    names = [*extra, *(backend.as_id(f"doc-{row}") for row in range(40))]
    vectors = rows(len(names), metric=backend.metric)
    store = open_store(backend.fill(names, vectors), **backend.options)
    monkeypatch.setattr(store, "batch", 7)
    others = backend.rest()
    found = store.read([*reversed(names), *HOSTILE])
    assert list(found) == list(reversed(names))
    fresh = rows(len(names), seed=5, metric=backend.metric)
    store.write(names, fresh, np.stack([found[name] for name in names]))
    after = store.read(names)
    for place, name in enumerate(names):
        assert same(after[name], fresh[place]), name
    assert backend.rest() == others


def test_what_is_no_vector_is_refused_before_it_is_written(make: Callable[..., Backend]) -> None:
    from backends import LangChainMemory

    store, names, vectors = filled(make(LangChainMemory))
    bad: list[Any] = [
        np.full((1, D), np.nan, np.float32),
        np.zeros((1, D), np.float32),
        np.ones((1, D + 1), np.float32),
        np.ones((2, D), np.float32),
    ]
    for each in bad:
        with pytest.raises(DataError):
            store.write(names[:1], each, vectors[:1])
    with pytest.raises(DataError, match="different"):
        store.write([names[0]] * 2, vectors[:2], vectors[:2])
    with pytest.raises(DataError, match="dimensions"):
        store.search(np.ones((1, D + 1), np.float32), 3)
    with pytest.raises(DataError, match="at least 1"):
        store.search(np.ones((1, D), np.float32), 0)
    np.testing.assert_array_equal(store.read(names)[names[0]], vectors[0])
