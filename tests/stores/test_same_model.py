"""A store that another model of the same dimension filled is noticed; the right one never is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from nudge_integrations.stores import tune
from nudge_integrations.stores.entries import TrainingQuestion
from nudge_integrations.stores.questions import Questions, answers_look_random

TOPICS = 60


def looks_random(seed: int, noise: float, turned: bool, count: int = TOPICS) -> bool:
    rng = np.random.default_rng(seed)
    documents = rng.standard_normal((count, 24)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((24, 24)))[0] if turned else np.eye(24)
    asked = (documents + noise * rng.standard_normal(documents.shape)) @ turn
    questions = Questions(
        {f"q{row}": TrainingQuestion(vector, {f"d{row}": 1}) for row, vector in enumerate(asked)},
        {},
    )
    return answers_look_random(questions, {f"d{row}": row for row in range(count)}, documents)


@given(st.integers(0, 10_000), st.floats(0.0, 1.5))
def test_the_right_model_is_never_taken_for_another(seed: int, noise: float) -> None:
    assert not looks_random(seed, noise, turned=False)


def test_another_model_is_noticed_nearly_always() -> None:
    noticed = [looks_random(seed, 0.3, turned=True) for seed in range(200)]
    assert sum(noticed) >= 185  # two standard errors: 195 are expected


@pytest.mark.parametrize("turned", [False, True])
def test_a_few_questions_tell_nothing(turned: bool) -> None:
    assert not looks_random(1, 0.3, turned=turned, count=15)


class Vectors(Embeddings):
    """Texts that begin alike lie near each other; each seed is a model of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        topic, words = text.split(" ", 1)
        own = np.random.default_rng([self.seed, int(topic)]).standard_normal(24)
        rest = np.random.default_rng([self.seed, len(words)]).standard_normal(24)
        found: list[float] = (own + 0.3 * rest).tolist()
        return found


@pytest.mark.parametrize("seed", [0, 1])
def test_the_plan_warns(seed: int, journals: Any) -> None:
    store = InMemoryVectorStore(Vectors(0))
    store.add_documents([Document(id=f"d{row}", page_content=f"{row} text") for row in range(40)])
    judged = {
        "queries": {f"q{row}": f"{row} question" for row in range(40)},
        "corpus": {},
        "relevant_docs": {f"q{row}": [f"d{row}"] for row in range(40)},
    }
    plan = tune(store, judged, embed_query=Vectors(seed), show_progress=False)

    assert plan.report.strange is (seed == 1)
    assert ("WARNING: answers are no nearer" in str(plan.report)) is (seed == 1)
