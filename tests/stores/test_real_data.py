"""Real questions and documents, in every kind of store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import (
    Backend,
    Chroma,
    FaissMapped,
    Lance,
    LangChainChroma,
    LangChainMilvus,
    LangChainPostgres,
    LangChainQdrant,
    LlamaIndexFaiss,
    Milvus,
    Postgres,
    Qdrant,
)

from nudge_integrations import NudgeN, RelevanceDataset
from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings
from nudge_integrations.methods import Judgments
from nudge_integrations.methods.folds import fold_numbers
from nudge_integrations.relevance import question_key
from nudge_integrations.stores import open_store, tune

pytestmark = pytest.mark.slow
KINDS = [
    *(Chroma, LangChainChroma, Qdrant, LangChainQdrant, Lance, Postgres, LangChainPostgres),
    *(Milvus, LangChainMilvus, FaissMapped, LlamaIndexFaiss),
]
ASKED = 40
METHODS = {
    "covidqa_passages": lambda: NudgeN(metric="ndcg@10"),  # the field: tests/stores/test_plan.py
    "nfcorpus": lambda: NudgeN(metric="ndcg@10"),
}


class Real:
    """A data set with ready vectors; where a text stands twice, its later copies are left out."""

    def __init__(self, folder: Path) -> None:
        made = folder / "embeddings" / "all-MiniLM-L6-v2"
        ids, texts = [], []
        with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                ids.append(row["_id"])
                texts.append(f"{row.get('title', '')} {row['text']}")
        first = sorted(set({text: row for row, text in reversed(list(enumerate(texts)))}.values()))
        self.ids = [ids[row] for row in first]
        # They were kept in half precision; l2 stores want one length.
        self.vectors = unit_rows(np.load(made / "corpus.npy").astype(np.float32)[first])
        with (folder / "queries.jsonl").open(encoding="utf-8") as file:
            names = [json.loads(line)["_id"] for line in file]
        self.queries = dict(
            zip(names, np.load(made / "queries.npy").astype(np.float32), strict=True)
        )
        known = set(self.ids)
        self.parts: dict[str, RelevanceDataset] = {}
        for split in ("train", "test"):
            data = RelevanceDataset.from_beir(folder, split, corpus=False)
            qrels = {
                name: {doc: grade for doc, grade in judged.items() if doc in known}
                for name, judged in data.qrels.items()
            }
            self.parts[split] = RelevanceDataset(data.queries, {}, qrels)

    def vector(self, dataset: RelevanceDataset) -> Callable[[str], np.ndarray]:
        of_text = {text: self.queries[name] for name, text in dataset.queries.items()}
        return of_text.__getitem__

    def in_memory(self, method: Any, similarity: Any) -> dict[str, np.ndarray]:
        train = self.parts["train"]
        place = {name: row for row, name in enumerate(self.ids)}
        # As the store sees them: one question a text, in the order of their keys.
        keys: dict[str, dict[str, int]] = {}
        vectors: dict[str, np.ndarray] = {}
        for name in train.judged_queries:
            key = question_key(train.queries[name])
            vectors.setdefault(key, self.queries[name])
            answers = keys.setdefault(key, {})
            for doc, grade in train.qrels[name].items():
                if grade > 0:
                    answers[doc] = max(grade, answers.get(doc, 0))
        order = sorted(keys)
        judged = Judgments.from_lists(
            [[place[doc] for doc in keys[key]] for key in order],
            len(self.ids),
            [list(keys[key].values()) for key in order],
        )
        fit = method.fit(
            self.vectors,
            np.stack([vectors[key] for key in order]),
            judged,
            similarity=similarity,
            groups=fold_numbers(order, method.seed, method.folds),
        )
        return {self.ids[row]: vector for row, vector in zip(fit.rows, fit.vectors, strict=True)}


@pytest.fixture(scope="module", params=sorted(METHODS))
def real(request: pytest.FixtureRequest, data_dir: Path) -> tuple[str, Real, dict[str, Any]]:
    """A data set, and where the whole corpus in memory goes."""
    data = Real(data_dir / request.param)
    expected = {name: data.in_memory(METHODS[request.param](), name) for name in ("cosine", "dot")}
    return request.param, data, expected


@pytest.mark.parametrize("used", KINDS, ids=[kind.name for kind in KINDS])
def test_a_store_gives_what_memory_gives(
    real: tuple[str, Real, dict[str, Any]],
    used: type[Backend],
    make: Callable[..., Backend],
) -> None:
    name, data, by_similarity = real
    backend = make(used)
    ids = [backend.as_id(each) for each in data.ids]
    theirs = dict(zip(data.ids, ids, strict=True))
    held = backend.fill(ids, data.vectors)
    store = open_store(held, **backend.options)
    before = store.read(ids)
    train = data.parts["train"]
    plan = tune(
        store,
        RelevanceDataset(
            train.queries,
            {},
            {
                asked: {theirs[doc]: grade for doc, grade in judged.items()}
                for asked, judged in train.qrels.items()
            },
        ),
        embed_query=data.vector(train),
        method=METHODS[name](),
        show_progress=False,
    )
    expected = by_similarity["dot" if store.metric == "dot" else "cosine"]
    assert len(expected) > 400
    assert plan.report.moved == len(expected)
    plan.apply()
    after = store.read(ids)
    for doc, id_ in theirs.items():
        np.testing.assert_allclose(after[id_], expected.get(doc, before[id_]), atol=1e-5)

    test = data.parts["test"]
    asked = list(test.judged_queries)[:ASKED]
    vectors = np.stack([data.queries[each] for each in asked])
    tuned = np.stack(
        [expected.get(doc, row) for doc, row in zip(data.ids, data.vectors, strict=True)]
    )
    tuned /= np.linalg.norm(tuned, axis=1, keepdims=True)
    wanted = np.argsort(-(vectors @ tuned.T), axis=1, kind="stable")[:, :10]
    scores = []
    for rows in ([[ids[row] for row in each] for each in wanted], _found(backend, store, vectors)):
        grades = [
            [test.qrels[one].get(data.ids[ids.index(id_)], 0) for id_ in each]
            for one, each in zip(asked, rows, strict=True)
        ]
        totals = QueryTotals.from_grades(
            [np.array(list(test.qrels[one].values()), np.float32) for one in asked]
        )
        scores.append(score_rankings("ndcg@10", np.array(grades, np.float32), totals).mean())
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)
    done = plan.revert()
    for id_, vector in store.read(ids).items():
        np.testing.assert_allclose(vector, before[id_], rtol=0, atol=backend.rounding)
    assert done.written == len(expected)


def _found(backend: Backend, store: Any, vectors: np.ndarray) -> list[list[str]]:
    """By the framework's own wrapper where there is one."""
    first = backend.found(vectors[0], 10)
    if first is None:
        return [[name for name, _ in hits] for hits in store.search(vectors, 10)]
    return [first, *(backend.found(vector, 10) or [] for vector in vectors[1:])]
