"""One collection with many tenants: each is tuned and reverted as if it were alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backends import (
    Backend,
    Chroma,
    Faiss,
    Lance,
    LangChainMemory,
    LlamaIndexMemory,
    Milvus,
    NudgeLangChain,
    NudgeLlamaIndex,
    Postgres,
    Qdrant,
    tenant_of,
)
from test_plan import opened, planned
from world import World

from nudge_integrations import RelevanceDataset
from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.stores import open_store, recover, revert, status
from nudge_integrations.stores.formats import same

Make = Callable[..., Backend]
KINDS = [
    *(LangChainMemory, NudgeLangChain, LlamaIndexMemory, NudgeLlamaIndex),
    *(Chroma, Qdrant, Lance, Milvus, Postgres),
]


def of_tenant(data: World, tenant: str) -> tuple[list[str], RelevanceDataset]:
    """The tenant's documents, and the questions that they answer."""
    asked = [name for name, answers in data.answers.items() if tenant_of(answers[0]) == tenant]
    return [name for name in data.ids if tenant_of(name) == tenant], data.dataset(asked)


@pytest.mark.parametrize("used", KINDS, ids=[kind.name for kind in KINDS])
def test_two_tenants_do_not_touch_each_other(used: type[Backend], make: Make) -> None:
    backend = make(used)
    held, data, store = opened(backend)
    before, rest = store.read(data.ids), backend.rest()
    tuned: dict[str, dict[str, np.ndarray]] = {}
    asked = {}
    for tenant in "ab":
        ids, dataset = of_tenant(data, tenant)
        asked[tenant] = len(dataset.queries)
        plan = planned(backend, held, data, dataset=dataset, filter=backend.filter(tenant))
        assert plan.report.documents == len(ids)
        assert plan.report.earlier_questions == 0
        assert len(plan.vectors()) > 10
        assert set(plan.vectors()) <= set(ids)
        assert plan.apply().written == plan.report.moved
        tuned |= {tenant: store.read(ids)}
        # As if the tenant had a store of its own.
        alone = make(used)
        alone.folder = backend.folder / tenant
        alone.folder.mkdir()
        own = alone.fill(ids, data.vectors[[data.ids.index(name) for name in ids]])
        for name, vector in planned(alone, own, data, dataset=dataset).vectors().items():
            np.testing.assert_allclose(plan.vectors()[name], vector, atol=1e-6)
    now = store.read(data.ids)
    for name in data.ids:
        assert same(now[name], tuned[tenant_of(name)][name])
    told = status(held, **backend.options)
    assert (told.state, told.questions) == ("tuned", sum(asked.values()))
    done = revert(held, filter=backend.filter("a"), **backend.options)
    assert done.written > 10
    now = store.read(data.ids)
    for name in data.ids:
        expected = before[name] if tenant_of(name) == "a" else tuned["b"][name]
        np.testing.assert_allclose(now[name], expected, rtol=0, atol=backend.rounding)
    told = status(held, **backend.options)
    assert (told.state, told.questions) == ("tuned", asked["b"])
    revert(held, filter=backend.filter("b"), **backend.options)
    for name, vector in store.read(data.ids).items():
        np.testing.assert_allclose(vector, before[name], rtol=0, atol=backend.rounding)
    assert status(held, **backend.options).state == "untuned"
    assert backend.rest() == rest


def test_a_question_that_both_tenants_ask_stays_in_force_for_each(make: Make) -> None:
    backend = make(Chroma)
    held, data, _ = opened(backend)
    asked = {}
    for tenant in "ab":
        ids, own = of_tenant(data, tenant)
        given = {
            "queries": {**own.queries, "q0": "question q0"},
            "qrels": {**own.qrels, "q0": own.qrels.get("q0", {ids[-1]: 1})},
        }
        asked[tenant] = len(given["queries"])
        planned(backend, held, data, dataset=given, filter=backend.filter(tenant)).apply()
    assert status(held).questions == sum(asked.values()) - 1
    for tenant in "ab":
        _, own = of_tenant(data, tenant)
        more = data.dataset(list(own.queries)[-1:])
        again = planned(backend, held, data, dataset=more, filter=backend.filter(tenant))
        assert again.report.questions == asked[tenant]
        assert again.report.missing == ()
    revert(held, filter=backend.filter("b"))
    assert status(held).questions == asked["a"]
    revert(held)
    assert status(held).state == "untuned"


def test_a_whole_run_after_the_tenants_starts_from_the_originals(make: Make) -> None:
    backend = make(LangChainMemory)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    for tenant in "ab":
        _, dataset = of_tenant(data, tenant)
        planned(backend, held, data, dataset=dataset, filter=backend.filter(tenant)).apply()
    plain = make(LangChainMemory)
    expected = planned(plain, plain.fill(data.ids, data.vectors), data).vectors()
    whole = planned(backend, held, data, dataset=data.part(0, 1))
    assert whole.report.earlier_questions == len(data.queries) - 1
    for name, vector in whole.vectors().items():
        np.testing.assert_allclose(vector, expected[name], atol=1e-6)
    whole.apply()
    whole.revert()
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])


def test_an_interrupted_run_is_ended_before_a_tenant_is_reverted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(LangChainMemory)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    monkeypatch.setattr("nudge_integrations.stores.exchange._BATCH", 10)
    plan = planned(backend, held, data)

    def stop(done: int, total: int) -> None:
        assert total == plan.report.moved
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan.apply(after_batch=stop)
    with pytest.raises(StoreError, match=r"interrupted.*recover\(\) first; nothing was changed"):
        revert(held, filter=backend.filter("a"))
    recover(held, show_progress=False)
    revert(held, filter=backend.filter("a"))
    assert status(held).state == "tuned"
    revert(held, filter=backend.filter("b"))
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])
    with pytest.raises(DataError, match="pause must be 0 to 20 seconds"):
        plan.apply(pause=60)


@pytest.mark.parametrize(
    ("used", "wrong", "words"),
    [
        (LangChainMemory, "tenant = 'a'", "function of a document's metadata"),
        (Chroma, "tenant = 'a'", "where dictionary"),
        (Qdrant, {"tenant": "a"}, r"models\.Filter"),
        (Lance, {"tenant": "a"}, "SQL text"),
        (Milvus, {"tenant": "a"}, "must be text"),
        (Postgres, {"tenant": "a"}, "condition in SQL"),
        (Postgres, "tenant = ", "condition in SQL"),
        (Postgres, ("tenant = %s", []), "condition in SQL"),
        (Postgres, "nothing = 'a'", "condition in SQL"),
        (Faiss, "tenant = 'a'", "no metadata"),
    ],
)
def test_a_filter_of_another_form_is_refused(
    used: type[Backend], wrong: Any, words: str, make: Make
) -> None:
    backend = make(used)
    held, data, _ = opened(backend)
    with pytest.raises(DataError, match=words):
        planned(backend, held, data, filter=wrong)


def test_filters_are_taken_as_text_too(make: Make) -> None:
    for used, text in (
        (Chroma, '{"tenant": "a"}'),
        (Qdrant, '{"must": [{"key": "metadata.tenant", "match": {"value": "a"}}]}'),
    ):
        backend = make(used)
        held, data, store = opened(backend)
        ids, _ = of_tenant(data, "a")
        assert sorted(store.within(text).ids()) == sorted(ids)
        assert open_store(held, **backend.options).within(text).count() == len(ids)
    ghost = {"queries": {"q": "question q0"}, "qrels": {"q": {data.ids[-1]: 1}}}
    other = "b" if tenant_of(data.ids[-1]) == "a" else "a"
    with pytest.raises(DataError, match="none of the"):
        planned(backend, held, data, dataset=ghost, filter=backend.filter(other))
