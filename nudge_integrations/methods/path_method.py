"""Methods that move documents along a path: two products give the scores of every step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.evaluation.metrics import parse_metric
from nudge_integrations.methods.base import REPORT_DEPTH, Method, Selection
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.inputs import (
    QuerySet,
    Similarity,
    checked_steps,
)
from nudge_integrations.methods.paths import Float64, Path
from nudge_integrations.methods.problem import Problem
from nudge_integrations.methods.step import Choice, choose_step


class PathMethod(Method):
    """A method of the paper's kind; see `Method` for the arguments that all share.

    Args:
        device: See `Method`.
        steps: Steps (the paper's gamma) to choose from. Defaults to a fine grid.
        shared: `metric`, `folds`, `seed` and `show_progress` of `Method`.

    Raises:
        DataError: An argument out of range; it is named.
    """

    def __init__(
        self,
        device: Any = None,
        *,
        steps: Sequence[float] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(device, **shared)
        if steps is None:
            self.steps = self._grid()
        else:
            self.steps = checked_steps(steps, self.largest_step)

    @staticmethod
    @abstractmethod
    def _grid() -> Float64:
        """The default steps."""

    @abstractmethod
    def path(self, units: FloatMatrix, targets: FloatMatrix) -> Path:
        """Paths of documents with unit vectors `units` towards unit directions `targets`."""

    def _read(self, corpus: Any, similarity: Similarity) -> DocumentVectors:
        return DocumentVectors(corpus, unit=similarity == "cosine")

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
        problem = Problem(self, self.path, documents, similarity)
        choice, reason = self._choose(problem, train, validation, gamma, groups)
        step = choice.step if choice else gamma or 0.0
        if validation is not None and selection == "cross-validation":
            train = train.and_those_of(validation)
        rows, vectors = problem.move(train, step)
        return Fit(
            method=self.name,
            step=step,
            rows=rows,
            vectors=vectors,
            reason=reason,
            curve=choice.curve if choice else (),
            held_out=choice.held_out if choice else None,
        )

    def _like_nudge_ft(
        self,
        vectors: FloatMatrix,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,
        gamma: float | Sequence[float] | None,
    ) -> tuple[IntVector, FloatMatrix]:
        problem = Problem(self, self.path, DocumentVectors.of(vectors), "dot")
        step = self._parity_step(problem, train, validation, val_k, gamma)
        return problem.move(train, step)

    def _parity_step(
        self,
        problem: Problem,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,
        gamma: float | Sequence[float] | None,
    ) -> float:
        """The step that nudge-ft chooses."""
        if gamma is None:
            steps = self._parity_steps()
        elif isinstance(gamma, str) or np.ndim(gamma) == 0:
            return self._one_step(gamma)
        else:
            steps = checked_steps(gamma, self.largest_step)  # type: ignore[arg-type]
        metric = self.metric or parse_metric(f"recall_cap@{val_k}")
        chooser = type(self)(
            self.device,
            metric=str(metric),
            steps=steps.tolist(),
            folds=self.folds,
            seed=self.seed,
        )
        choice, _ = chooser._choose(problem, train, validation, None, None, metric.k)
        return choice.step if choice else 0.0

    @abstractmethod
    def _parity_steps(self) -> Float64:
        """Steps that nudge-ft chooses from."""

    def _choose(
        self,
        problem: Problem,
        train: QuerySet,
        validation: QuerySet | None,
        fixed: float | None,
        groups: IntVector | None,
        report_depth: int = REPORT_DEPTH,
    ) -> tuple[Choice | None, str]:
        """The step, with what it does to questions held out; None where there are none."""
        metric = self.metric or parse_metric("ndcg@10")
        depth = max(metric.k, report_depth)
        steps = self.steps if fixed is None else checked_steps([fixed], self.largest_step)
        count = len(train.queries) + (len(validation.queries) if validation else 0)
        fold = self._folds(count, groups)
        asked = f"step {fixed:g} was asked for" if fixed is not None else ""
        trials = list(problem.trials(train, validation, fold, float(steps[-1]), depth))
        if not trials:
            nothing = "no answered question was left to choose a step on, so step 0"
            return None, asked or nothing
        choice = choose_step(trials, steps, metric, fold, depth, fixed)
        if asked:
            return choice, asked
        how = f"by cross-validation in {len(trials)} parts"
        if validation:
            how = f"on {len(validation.queries)} validation questions"
        if choice.step == 0:
            return choice, f"no step raised {metric} {how}, so vectors are unchanged"
        return choice, (
            f"step {choice.step:g} was best {how}: {metric} {choice.base_score:.4f} "
            f"-> {choice.best_score:.4f}"
        )
