"""NUDGE-C: documents move to be chosen for their own questions, and for no others. Not the paper's.

`contrast.py` has the objective. Temperature, damping and the length of the way are chosen on
questions that were held out, and so is whether to move at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import parse_metric
from nudge_integrations.methods.base import REPORT_DEPTH, Method, Selection
from nudge_integrations.methods.bystanders import NEAREST
from nudge_integrations.methods.contest import Contest
from nudge_integrations.methods.contrast import Setting
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.folds import Folds, sample
from nudge_integrations.methods.inputs import QuerySet, Similarity
from nudge_integrations.methods.nudge_c_choice import choose

_TEMPERATURES = (0.02, 0.03, 0.05, 0.08)
_RIDGES = (float("inf"), 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)
_TIMES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2)
_MOST_QUESTIONS = 4096


class NudgeC(Method):
    """This package's own method, and its default: contrastive, and chosen with care.

    Documents with questions follow the gradient of the likelihood that each question picks its
    answers out of the whole corpus. The step is how long they do so, from 0 on. Vectors keep their
    length, so cosine and inner product both work.

    Args:
        device: See `Method`.
        metric: See `Method`; left out, `"ndcg@10"`.
        protect_unseen: The largest loss of the metric, estimated by folding the cross-validation
            by document, that questions about untouched documents may suffer. 0 protects them
            fully, infinity not at all.
        temperatures: To choose from; scores are divided by them.
        ridges: To choose from, up to infinity: the smaller, the less a document rises for what
            all questions have in common.
        shared: `folds`, `seed` and `show_progress` of `Method`.

    Raises:
        DataError: An argument out of range; it is named.

    Examples:
        >>> import numpy as np
        >>> documents = np.eye(3, dtype=np.float32)
        >>> train = {"q_embs": np.array([[0.6, 0.8, 0.0]], np.float32), "q_ans_indx": [[0]]}
        >>> first = NudgeC().finetune_embeddings(documents, train, gamma=0.4)[0]
        >>> [round(float(value), 2) for value in first]
        [0.98, 0.21, 0.0]
    """

    name = "nudge-c"
    keeps_length = True
    largest_step = 100.0

    def __init__(
        self,
        device: Any = None,
        *,
        metric: str | None = None,
        protect_unseen: float = 0.05,
        temperatures: Sequence[float] = _TEMPERATURES,
        ridges: Sequence[float] = _RIDGES,
        **shared: Any,
    ) -> None:
        super().__init__(device, metric=metric, **shared)
        number = isinstance(protect_unseen, (int, float, np.number))
        if not number or not protect_unseen >= 0:
            raise DataError(
                f"protect_unseen must be a number, at least 0 (such as 0.05), got "
                f"{protect_unseen!r}"
            )
        for name, values in (("temperatures", temperatures), ("ridges", ridges)):
            if len(values) == 0 or not all(value > 0 for value in values):
                raise DataError(f"{name} must be numbers above 0, got {values!r}")
        self.protect_unseen = float(protect_unseen)
        self.settings = [
            Setting(float(temperature), float(ridge))
            for ridge in ridges
            for temperature in temperatures
        ]

    @property
    def nearest(self) -> int:
        """How many of the nearest still documents of a query stand for all others."""
        return max(self.depth, NEAREST)

    def _read(self, corpus: Any, similarity: Similarity) -> DocumentVectors:  # noqa: ARG002
        return DocumentVectors(corpus, unit=True)

    def _tuned(
        self,
        documents: DocumentVectors,
        train: QuerySet,
        validation: QuerySet | None,
        selection: Selection,
        similarity: Similarity,
        gamma: float | None,
        groups: IntVector | None,
    ) -> Fit:
        metric = self.metric or parse_metric("ndcg@10")
        every = train if validation is None else train.and_those_of(validation)
        rows = np.arange(len(every.queries))
        known, extra = rows[: len(train.queries)], rows[len(train.queries) :]
        first, second = (
            sample(every.judgments, part, _MOST_QUESTIONS, self.seed) for part in (known, extra)
        )
        asked = np.concatenate([first, second])
        contest = self._contest(documents, every.some(asked), similarity, self.settings, metric.k)
        trained = np.arange(len(first))
        labels = self._folds(len(rows), groups)[asked]
        folds = Folds.of(
            contest.judgments,
            labels,
            None if validation is None else trained,
            trained if selection == "holdout" else np.arange(len(asked)),
            folds=self.folds,
            seed=self.seed,
        )
        found = choose(
            contest,
            folds,
            self.settings,
            _TIMES if gamma is None else _way(gamma),
            labels,
            metric,
            protect_unseen=self.protect_unseen,
            fixed=gamma is not None,
        )
        moved, vectors = np.zeros(0, np.int64), np.zeros((0, documents.dimension), np.float32)
        if found.step:
            final = sample(every.judgments, known if selection == "holdout" else rows, len(rows), 0)
            if not np.array_equal(final, asked):
                contest = self._contest(
                    documents, every.some(final), similarity, [found.setting], 1
                )
            moved, vectors = contest.move(np.arange(len(final)), found.setting, _way(found.step))
        held_out, unseen = (
            each and replace(each, queries=asked[each.queries])
            for each in (found.held_out, found.unseen)
        )
        return Fit(
            method=self.name,
            step=found.step,
            rows=moved,
            vectors=vectors,
            reason=found.reason,
            curve=found.curve,
            held_out=held_out,
            unseen=unseen,
        )

    def _contest(
        self,
        documents: DocumentVectors,
        questions: QuerySet,
        similarity: Similarity,
        settings: Sequence[Setting],
        depth: int,
    ) -> Contest:
        return Contest.of(
            documents,
            questions,
            similarity,
            settings,
            depth=max(depth, REPORT_DEPTH),
            device=self.device,
            show_progress=self.show_progress,
        )

    def _like_nudge_ft(
        self,
        vectors: FloatMatrix,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,  # noqa: ARG002
        gamma: float | Sequence[float] | None,
    ) -> tuple[IntVector, FloatMatrix]:
        if gamma is not None and not isinstance(gamma, str) and np.ndim(gamma) > 0:
            raise DataError("NUDGE-C takes one gamma, or chooses among its own: leave gamma out")
        fixed = None if gamma is None else self._one_step(gamma)
        selection: Selection = "cross-validation" if validation is None else "holdout"
        documents = self._read(vectors, "dot")
        fit = self._tuned(documents, train, validation, selection, "dot", fixed, None)
        return fit.rows, fit.vectors


def _way(step: float) -> tuple[float, ...]:
    """The steps on the way to `step`, which itself is the last one."""
    return (*(time for time in _TIMES if time < step), step) if step else ()
