"""Which questions a trial tunes on, and which it then asks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.methods.judgments import Judgments

Split = tuple[IntVector, IntVector]
"""Questions to tune on, and questions to ask."""


@dataclass(frozen=True)
class Folds:
    """Trials by question, and trials by document.

    Attributes:
        by_question: Each answered question is asked once, of vectors tuned without it.
        by_document: The questions about some documents leave together, so that what is asked is
            about documents that nothing touched.
    """

    by_question: list[Split]
    by_document: list[Split]

    @classmethod
    def of(
        cls,
        judgments: Judgments,
        labels: IntVector,
        trained: IntVector | None,
        *,
        hold_out: bool,
        folds: int,
    ) -> Folds:
        """Cut the questions.

        Args:
            judgments: Of all questions, each answered.
            labels: Shape `(q,)`: fold of each question.
            trained: Questions to tune on where the others are validation questions; None for
                cross-validation.
            hold_out: Whether validation questions take no part in the final run; otherwise
                cross-validation over all questions joins the validation questions.
            folds: Number of folds by document.
        """
        everyone = np.arange(judgments.n_queries)
        splits = [] if trained is None else [(trained, np.setdiff1d(everyone, trained))]
        if trained is None or not hold_out:
            masks = [labels == label for label in np.unique(labels)]
            splits += [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
        pool = trained if trained is not None and hold_out else everyone
        return cls(
            [split for split in splits if len(split[0]) and len(split[1])],
            _by_document(judgments, pool, labels, folds),
        )


def sample(judgments: Judgments, rows: IntVector, most: int, seed: int) -> IntVector:
    """At most so many of these questions, ascending; those without an answer are left out."""
    answered = rows[judgments.counts[rows] > 0]
    if len(answered) <= most:
        return answered
    return np.sort(np.random.default_rng(seed).choice(answered, most, replace=False))


def fold_numbers(keys: Sequence[str], seed: int, folds: int) -> IntVector:
    """Fold of each question: the same key the same fold, whatever the order of the questions."""
    seeded = {key: hashlib.sha256(f"{seed} {key}".encode()).digest() for key in keys}
    order = {key: place for place, key in enumerate(sorted(seeded, key=seeded.__getitem__))}
    return np.array([order[key] % folds for key in keys], dtype=np.int64)


def touched(judgments: Judgments, train: IntVector, asked: IntVector) -> np.ndarray:
    """Which of the questions asked have an answer that the training questions move."""
    return judgments.select(asked).answered_in(judgments.select(train).touched())


def _by_document(
    judgments: Judgments, pool: IntVector, labels: IntVector, folds: int
) -> list[Split]:
    # By the folds of its questions, so that no order of questions or documents changes anything.
    label = np.full(judgments.n_documents, -1)
    label[judgments.documents] = 0
    np.add.at(label, judgments.documents, labels[judgments.query_of_entry])
    label = np.where(label >= 0, label % folds, -1)
    about = judgments.select(pool)
    splits = []
    for part in range(folds):
        leaves = about.answered_in(label == part)
        train, asked = pool[~leaves], pool[leaves]
        asked = asked[~touched(judgments, train, asked)]
        if len(train) and len(asked):
            splits.append((train, asked))
    return splits
