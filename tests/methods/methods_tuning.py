"""Problems that have something to find, and in which rounding decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from methods_oracle import (
    TOLERANCE,
    Array,
    Questions,
    moved_documents,
    random_documents,
    random_questions,
    score_matrix,
    top_grades,
    unit,
)

from nudge_integrations.methods import Fit, Method, NudgeM, NudgeN

STEPS = [0.0, 0.02, 0.1, 0.25, 0.5, 0.9]
LISTED = [0.3, 0.05, 0.05, 0.7]  # in any order, one twice
ALL_STEPS = sorted({*STEPS, *LISTED})
KINDS = [("n", "cosine"), ("n", "dot"), ("m", "dot")]
DEPTH = 10


@dataclass(frozen=True)
class Tuning:
    """A corpus, its questions and how they are to be used."""

    documents: Array
    train: Questions
    validation: Questions
    folds: Array
    kind: tuple[str, str]

    def rankings(self, train: Questions, held: Questions, steps: list[float]) -> Array | None:
        """Grades of the top documents, (steps, held, depth); None if rounding could change them."""
        method, similarity = self.kind
        found = []
        for step in steps:
            after = moved_documents(self.documents, train, step, method, similarity)
            scores = score_matrix(held.vectors, after, similarity)
            best, worst = (
                top_grades(scores, held.answers, DEPTH, sign * TOLERANCE) for sign in (1, -1)
            )
            if (best != worst).any():
                return None
            found.append(best)
        return np.array(found)

    def by_folds(self, steps: list[float]) -> Array | None:
        """The same for each training question, by vectors tuned without its fold."""
        result = np.zeros((len(steps), len(self.train.answers), DEPTH))
        for part in np.unique(self.folds):
            held = np.flatnonzero(self.folds == part)
            train = self.train.some(np.flatnonzero(self.folds != part))
            found = self.rankings(train, self.train.some(held), steps)
            if found is None:
                return None
            result[:, held] = found
        return result

    def fit(self, metric: str, steps: list[float] = STEPS, **options: Any) -> Fit:
        return self.method(metric=metric, steps=steps).fit(
            self.documents,
            self.train.vectors,
            self.train.judgments(len(self.documents)),
            similarity=self.kind[1],
            **options,
        )

    def method(self, **options: Any) -> Method:
        return {"n": NudgeN, "m": NudgeM}[self.kind[0]]("cpu", **options)

    def validation_set(self) -> tuple[Array, Any]:
        return self.validation.vectors, self.validation.judgments(len(self.documents))


def tuning(seed: int, kind: tuple[str, str], *, normalised: bool = False) -> Tuning:
    """A problem in which rounding decides nothing: the next one, where it does."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt])
        documents = random_documents(rng, int(rng.integers(8, 50)), 8, twice=0.0)
        asked_about = unit(documents + 0.4 * rng.normal(size=documents.shape))
        train, validation = (
            random_questions(rng, int(rng.integers(12, 30)), asked_about, noise=0.2)
            for _ in range(2)
        )
        if not normalised:
            documents *= rng.uniform(0.5, 2, (len(documents), 1)).astype(np.float32)
        folds = rng.permutation(len(train.answers)) % 3
        case = Tuning(documents, train, validation, folds, kind)
        if case.rankings(train, validation, ALL_STEPS) is None or case.by_folds(ALL_STEPS) is None:
            continue
        return case
    raise AssertionError("no problem without near ties")


def with_moved(documents: Array, fit: Fit) -> Array:
    result = documents.astype(np.float32)
    result[fit.rows] = fit.vectors
    return result
