"""Planning, applying, reverting: the same in every real store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend, Chroma, Lance, LangChainMemory, Postgres, Qdrant
from world import World, world

from nudge_integrations import NudgeC, NudgeN
from nudge_integrations.errors import (
    DataError,
    LeakError,
    MetricMismatchError,
    StoreBusyError,
    StoreError,
    UnsupportedStoreError,
)
from nudge_integrations.methods import Judgments
from nudge_integrations.methods.folds import fold_numbers
from nudge_integrations.relevance import question_key
from nudge_integrations.stores import open_store, recover, revert, status, tune
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.formats import same
from nudge_integrations.stores.plan import Plan
from nudge_integrations.stores.store import LiveStore


def opened(backend: Backend, **named: Any) -> tuple[Any, World, LiveStore]:
    data = world(backend.as_id, units=backend.metric != "dot", **named)
    held = backend.fill(data.ids, data.vectors)
    return held, data, open_store(held, **backend.options)


def planned(backend: Backend, held: Any, data: World, **options: Any) -> Plan:
    dataset = options.pop("dataset", None) or data.dataset()
    if not {"method", "gamma"} & set(options):
        options["method"] = quick_c(metric="ndcg@10")
    return tune(
        held,
        dataset,
        embed_query=data.embed,
        show_progress=False,
        store_options=backend.options,
        **options,
    )


def in_memory(data: World, method: Any, similarity: str) -> dict[str, np.ndarray]:
    """Where the whole corpus in memory would go."""
    place = {name: row for row, name in enumerate(data.ids)}
    judged = Judgments.from_lists(
        [[place[name] for name in each] for each in data.answers.values()], len(data.ids)
    )
    keys = [question_key(f"question {name}") for name in data.queries]
    fit = method.fit(
        data.vectors,
        np.stack(list(data.queries.values())),
        judged,
        similarity=similarity,
        groups=fold_numbers(keys, method.seed, method.folds),
    )
    return {data.ids[row]: vector for row, vector in zip(fit.rows, fit.vectors, strict=True)}


def quick_c(**named: Any) -> NudgeC:
    """NUDGE-C with few settings to choose from."""
    return NudgeC(temperatures=[0.05], ridges=[float("inf"), 3.0], **named)


@pytest.mark.parametrize("method", [NudgeN, quick_c])
def test_a_store_is_tuned_as_the_whole_corpus_in_memory_would_be_and_put_back(
    method: Any, kind: type[Backend], metric: str, make: Callable[..., Backend]
) -> None:
    backend = make(kind, metric)
    held, data, store = opened(backend)
    before, rest = store.read(data.ids), backend.rest()
    plan = planned(backend, held, data, method=method(metric="ndcg@10"))
    assert store.read(data.ids).keys() == before.keys()
    for name, vector in store.read(data.ids).items():
        # Qdrant's local mode rounds what it holds while it searches.
        np.testing.assert_allclose(vector, before[name], rtol=0, atol=backend.rounding)
    expected = in_memory(data, method(metric="ndcg@10"), "dot" if metric == "dot" else "cosine")
    assert len(expected) > 30
    assert set(plan.vectors()) == set(expected)

    outcome = plan.apply()
    assert outcome.written == plan.report.cost.vectors_to_write == len(expected)
    assert (outcome.changed, outcome.gone) == ((), ())
    after = store.read(data.ids)
    for name in data.ids:
        if name in expected:
            np.testing.assert_allclose(after[name], expected[name], atol=1e-5 * 8)
        else:
            np.testing.assert_allclose(after[name], before[name], rtol=0, atol=backend.rounding)
    assert backend.rest() == rest
    wanted = data.vectors.copy()
    for row, name in enumerate(data.ids):
        wanted[row] = expected.get(name, wanted[row])
    asked = next(iter(data.queries.values()))
    best = _ranking(wanted, asked, metric)[:5]
    assert [name for name, _ in store.search(asked[None], 5)[0]] == [data.ids[row] for row in best]
    found = backend.found(asked, 5)
    assert found is None or found == [data.ids[row] for row in best]

    done = plan.revert()
    assert done.written == len(expected)
    restored = store.read(data.ids)
    for name in data.ids:
        np.testing.assert_allclose(restored[name], before[name], rtol=0, atol=backend.rounding)
    assert not done.rounded or backend.rounding
    assert backend.rest() == rest
    assert status(held, **backend.options).state == "untuned"


def _ranking(vectors: np.ndarray, asked: np.ndarray, metric: str) -> list[int]:
    if metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric == "l2":
        return np.argsort(((vectors - asked) ** 2).sum(axis=1)).tolist()
    return np.argsort(-(vectors @ asked)).tolist()


def test_rows_changed_or_deleted_since_the_plan_are_left_alone(
    changing: type[Backend], make: Callable[..., Backend]
) -> None:
    backend = make(changing)
    held, data, store = opened(backend)
    plan = planned(backend, held, data)
    moved = list(plan.vectors())
    replaced, deleted = moved[:3], moved[3:6]
    fresh = data.vectors[:3][::-1].copy()
    backend.put(replaced, fresh)
    backend.delete(deleted)
    outcome = plan.apply()
    assert sorted(outcome.changed) == sorted(replaced)
    assert sorted(outcome.gone) == sorted(deleted)
    assert outcome.written == len(moved) - 6
    after = store.read(moved)
    assert not set(deleted) & set(after)
    for name, vector in zip(replaced, fresh, strict=True):
        assert same(after[name], vector)
    # A row that was put anew after tuning keeps its new vector through the revert.
    backend.put(moved[6:7], fresh[:1])
    backend.delete(moved[7:8])
    done = plan.revert()
    assert list(done.changed) == moved[6:7]
    assert list(done.gone) == moved[7:8]
    assert done.written == len(moved) - 8
    assert store.count() == len(data.ids) - 4


def test_small_tunings_equal_one_large_one(make: Callable[..., Backend]) -> None:
    once, often = make(Lance), make(Lance)
    often.folder = once.folder / "other"
    held, data, _ = opened(once)
    again, _, store = opened(often)
    once.put(["new"], data.vectors[:1] * -1)
    planned(once, held, data, gamma=0.8).apply()
    for first in range(0, 110, 11):
        if first == 55:  # a document that comes meanwhile moves with the next run
            often.put(["new"], data.vectors[:1] * -1)
        part = data.part(first, first + 11)
        planned(often, again, data, dataset=part, gamma=0.8).apply()
    one, many = (
        open_store(each, **backend.options).read([*data.ids, "new"])
        for each, backend in ((held, once), (again, often))
    )
    for name in one:
        assert same(many[name], one[name])
    report = status(again)
    assert (report.state, report.questions) == ("tuned", len(data.queries))
    fresh = planned(often, again, data, dataset=data.part(0, 11), gamma=0.8, fresh=True, reach=0)
    assert fresh.report.questions == 11
    assert fresh.report.moved < 12
    fresh.apply()
    assert status(again).questions == 11
    assert revert(again).written == fresh.report.moved
    for name, vector in store.read([*data.ids, "new"]).items():
        original = -data.vectors[0] if name == "new" else data.vectors[data.ids.index(name)]
        assert same(vector, original)


def test_a_later_process_reverts_what_it_finds_in_the_journal(
    make: Callable[..., Backend], journals: Path
) -> None:
    backend = make(Lance)
    held, data, store = opened(backend)
    before = store.read(data.ids)
    planned(backend, held, data).apply()
    backend.put(["later"], data.vectors[:1])
    assert status(held, **backend.options).tuned > 30
    assert revert(held, show_progress=False, **backend.options).written > 30
    for name, vector in store.read(data.ids).items():
        np.testing.assert_array_equal(vector, before[name])
    assert not journals.exists()
    with pytest.raises(StoreError, match="never tuned"):
        revert(held, journal=journals / "elsewhere", **backend.options)


def test_a_second_tuning_at_the_same_time_is_refused(make: Callable[..., Backend]) -> None:
    backend = make(Chroma)
    held, data, store = opened(backend)
    plan = planned(backend, held, data)
    with sidecar_of(store).lock():
        for attempt in (plan.apply, lambda: recover(held, undo=True)):
            with pytest.raises((StoreBusyError, StoreError), match=r"right now|never tuned"):
                attempt()
    other = planned(backend, held, data, gamma=0.4)
    plan.apply()
    with pytest.raises(StoreError, match="make the plan again"):
        other.apply()
    with sidecar_of(store).lock(), pytest.raises(StoreBusyError, match="right now"):
        revert(held)
    assert plan.apply().written == plan.report.moved


def test_what_cannot_be_tuned_is_refused_before_anything_is_read(
    make: Callable[..., Backend],
) -> None:
    backend = make(Chroma)
    held, data, _ = opened(backend)
    with pytest.raises(MetricMismatchError, match="NUDGE-M"):
        planned(backend, held, data, method="m")
    with pytest.raises(DataError, match="none of the 1 answers"):
        planned(
            backend, held, data, dataset={"queries": {"q0": "question q0"}, "qrels": {"q0": ["x"]}}
        )
    with pytest.raises(LeakError):
        planned(backend, held, data, val_dataset=data.part(0, 5))
    with pytest.raises(DataError, match="unknown argument 'lr'"):
        planned(backend, held, data, lr=1)
    with pytest.raises(UnsupportedStoreError, match="is no store"):
        open_store(object())
    with pytest.raises(DataError, match="no option 'collection'"):
        open_store(held, collection="x")
    with pytest.raises(DataError, match="dimensions"):
        tune(held, data.dataset(), embed_query=lambda _: [1.0, 2.0], show_progress=False)
    lengths = make(Lance, "l2")
    uneven = lengths.fill(data.ids, data.vectors * np.linspace(1, 2, len(data.ids))[:, None])
    with pytest.raises(UnsupportedStoreError, match="one length"):
        planned(lengths, uneven, data)


def test_nudge_m_moves_by_the_inner_product_alone(make: Callable[..., Backend]) -> None:
    backend = make(Qdrant, "dot")
    held, data, store = opened(backend)
    plan = planned(backend, held, data, method="m")
    plan.apply()
    assert plan.report.moved > 30
    lengths = np.linalg.norm(np.stack(list(store.read(list(plan.vectors())).values())), axis=1)
    assert np.ptp(lengths) > 0.1


def test_the_report_tells_what_would_happen(make: Callable[..., Backend]) -> None:
    backend = make(Chroma)
    held, data, _ = opened(backend)
    dataset = data.dataset()
    with_ghost = {
        "queries": {**dataset.queries, "g": "question q0 again"},
        "qrels": {**dataset.qrels, "g": {"ghost": 1}},
    }
    data.queries["q0 again"] = data.queries["q0"]
    report = planned(backend, held, data, dataset=with_ghost).report
    assert report.missing == ("ghost",)
    assert report.documents == len(data.ids)
    assert report.quality is not None
    assert (report.quality.row().difference or 0) > 0.02
    assert 0 < report.median_angle <= report.largest_angle < 180
    assert report.recall is not None
    assert report.recall > 0.95
    cost = report.cost
    budget = (report.labelled + report.questions * 101) * (cost.dimension * 4 + 200)
    assert cost.bytes_read <= budget
    text = str(report)
    for piece in ("Nothing was written", "'ghost'", "recall@10", "degrees", "ndcg@10"):
        assert piece in text


def test_validation_questions_choose_and_then_shape(make: Callable[..., Backend]) -> None:
    backend = make(LangChainMemory)
    held, data, _ = opened(backend)
    plan = planned(
        backend, held, data, dataset=data.part(0, 80), val_dataset=data.part(80, 110), reach=0
    )
    assert plan.report.quality is not None
    assert "30 validation questions" in plan.report.quality.judged_on
    answered = {name for each in data.answers.values() for name in each}
    assert set(plan.vectors()) == answered
    held_out = planned(
        backend,
        held,
        data,
        dataset=data.part(0, 80),
        val_dataset=data.part(80, 110),
        selection="holdout",
        reach=0,
    )
    assert len(held_out.vectors()) < len(answered)


async def test_async_twins(make: Callable[..., Backend]) -> None:
    from nudge_integrations.stores import atune

    backend = make(LangChainMemory)
    held, data, _ = opened(backend)
    plan = await atune(held, data.dataset(), embed_query=data.embed, show_progress=False)
    assert (await plan.aapply()).written == (await plan.arevert()).written > 30


def test_a_plan_that_moves_nothing_writes_nothing(
    make: Callable[..., Backend], journals: Path
) -> None:
    backend = make(Chroma)
    held, data, _ = opened(backend)
    plan = planned(backend, held, data, gamma=0.0)
    assert plan.report.moved == 0
    assert "nothing to change" in plan.apply().action
    assert plan.revert().written == 0
    assert not journals.exists() or not list(journals.glob("*.sqlite3"))


def test_secrets_stay_secret(
    make: Callable[..., Backend],
    postgres_url: str,
    journals: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import psycopg

    backend = make(Postgres)
    held, data, _ = opened(backend)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter2secret'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    url = postgres_url.replace("postgres:@", "reader:hunter2secret@")
    address = f"{url}#{held.rpartition('#')[2]}"
    caplog.set_level(logging.DEBUG)
    plan = planned(backend, address, data)
    assert plan.report.moved > 30
    from nudge_integrations.errors import ReadOnlyStoreError

    with pytest.raises(ReadOnlyStoreError, match="nothing was changed") as refused:
        plan.apply()
    assert status(address, **backend.options).state == "untuned"
    with pytest.raises(StoreError) as lost:
        open_store(f"{url}#no_such_table")
    with pytest.raises(StoreError) as away:
        open_store("postgresql://reader:hunter2secret@127.0.0.1:1/db#docs")
    texts = [str(refused.value), str(lost.value), str(away.value), repr(plan), str(plan)]
    texts += [caplog.text, *(str(each) for each in _chain(refused.value))]
    assert not any("hunter2secret" in text for text in texts)
    for file in journals.glob("*"):
        assert b"hunter2secret" not in file.read_bytes()


def _chain(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found
