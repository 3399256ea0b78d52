"""Vectors in half precision: read, tuned in float32, written as the store keeps them, put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from backends import Backend, LanceHalf, PostgresHalf, QdrantHalf
from test_plan import in_memory, opened, planned, quick_c

from nudge_integrations.errors import UnsupportedStoreError
from nudge_integrations.stores import open_store, status

Make = Callable[..., Backend]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("used", [LanceHalf, QdrantHalf, PostgresHalf])
def test_half_precision_comes_back_bit_for_bit(
    used: type[Backend], metric: str, make: Make
) -> None:
    backend = make(used, metric)
    held, data, store = opened(backend)
    # Qdrant's local mode keeps float32, whatever the collection says.
    half = np.float32 if used is QdrantHalf else np.float16
    assert store.numbers == half
    before, rest = store.read(data.ids), backend.rest()
    plan = planned(backend, held, data)
    data.vectors = np.stack([before[name] for name in data.ids])
    expected = in_memory(data, quick_c(metric="ndcg@10"), "dot" if metric == "dot" else "cosine")
    assert len(plan.vectors()) > 30
    for name, vector in plan.vectors().items():
        np.testing.assert_allclose(vector, expected[name], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(vector, vector.astype(half).astype(np.float32))
    outcome = plan.apply()
    assert outcome.written == plan.report.moved
    after = store.read(data.ids)
    for name, vector in plan.vectors().items():
        np.testing.assert_allclose(after[name], vector, rtol=0, atol=backend.rounding)
    assert plan.revert().written == plan.report.moved
    for name, vector in store.read(data.ids).items():
        np.testing.assert_allclose(vector, before[name], rtol=0, atol=backend.rounding)
    assert status(held, **backend.options).state == "untuned"
    assert backend.rest() == rest


def test_bytes_are_no_vectors_that_can_be_tuned(make: Make) -> None:
    from qdrant_client import models

    backend = make(QdrantHalf)
    backend.datatype = models.Datatype.UINT8  # type: ignore[attr-defined]
    held = backend.fill([backend.as_id("x")], np.ones((1, 4), np.float32))
    with pytest.raises(UnsupportedStoreError, match="uint8 numbers; only float32 and float16"):
        open_store(held, **backend.options)
