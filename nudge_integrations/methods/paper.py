"""The paper's two methods (arXiv 2409.02343): every document moves along a path of its own.

Two products per query and document give its score at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.errors import MetricMismatchError
from nudge_integrations.evaluation.metrics import Metric, parse_metric
from nudge_integrations.methods.base import REPORT_DEPTH, Method, Selection
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.inputs import QuerySet, Similarity, checked_steps
from nudge_integrations.methods.paths import AdditionPath, Float64, Path, RotationPath
from nudge_integrations.methods.problem import Problem
from nudge_integrations.methods.step import Choice, choose_step
from nudge_integrations.methods.sweep import most_covered, winning_intervals


class PathMethod(Method):
    """What NUDGE-N and NUDGE-M share.

    Args:
        device: See `Method`.
        steps: Steps (the paper's gamma) to choose from. Defaults to a fine grid.
        shared: `metric`, `folds`, `seed` and `show_progress` of `Method`.

    Raises:
        DataError: An argument out of range; it is named.
    """

    _grid: ClassVar[Float64]
    _parity_grid: ClassVar[Float64]
    """The steps that nudge-ft chooses from."""
    _path: ClassVar[Callable[[FloatMatrix, FloatMatrix], Path]]

    def __init__(
        self, device: Any = None, *, steps: Sequence[float] | None = None, **shared: Any
    ) -> None:
        super().__init__(device, **shared)
        self.steps = self._grid if steps is None else checked_steps(steps, self.largest_step)

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
        problem = Problem(self, self._path, documents, similarity)
        metric = self.metric or parse_metric("ndcg@10")
        steps = self.steps if gamma is None else checked_steps([gamma], self.largest_step)
        depth = max(metric.k, REPORT_DEPTH)
        choice = self._choose(problem, train, validation, steps, metric, depth, groups, gamma)
        step = choice.step if choice else gamma or 0.0
        if validation is not None and selection == "cross-validation":
            train = train.and_those_of(validation)
        rows, vectors = problem.move(train, step)
        return Fit(
            method=self.name,
            step=step,
            rows=rows,
            vectors=vectors,
            reason=_reason(choice, metric, validation, gamma),
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
        problem = Problem(self, self._path, DocumentVectors.of(vectors), "dot")
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
            steps = self._parity_grid
        elif isinstance(gamma, str) or np.ndim(gamma) == 0:
            return self._one_step(gamma)
        else:
            steps = checked_steps(gamma, self.largest_step)  # type: ignore[arg-type]
        metric = self.metric or parse_metric(f"recall_cap@{val_k}")
        choice = self._choose(problem, train, validation, steps, metric, metric.k)
        return choice.step if choice else 0.0

    def _choose(
        self,
        problem: Problem,
        train: QuerySet,
        validation: QuerySet | None,
        steps: Float64,
        metric: Metric,
        depth: int,
        groups: IntVector | None = None,
        fixed: float | None = None,
    ) -> Choice | None:
        """The step, with what it does to held-out questions; None where there are none."""
        count = len(train.queries) + (len(validation.queries) if validation else 0)
        fold = self._folds(count, groups)
        trials = list(problem.trials(train, validation, fold, float(steps[-1]), depth))
        return choose_step(trials, steps, metric, fold, depth, fixed) if trials else None


def _reason(
    choice: Choice | None, metric: Metric, validation: QuerySet | None, fixed: float | None
) -> str:
    if fixed is not None:
        return f"step {fixed:g} was asked for"
    if choice is None:
        return "no answered question was left to choose a step on, so step 0"
    how = f"by cross-validation in {choice.n_trials} parts"
    if validation:
        how = f"on {len(validation.queries)} validation questions"
    if choice.step == 0:
        return f"no step raised {metric} {how}, so vectors are unchanged"
    return (
        f"step {choice.step:g} was best {how}: {metric} {choice.base_score:.4f} "
        f"-> {choice.best_score:.4f}"
    )


class NudgeN(PathMethod):
    """The paper's NUDGE-N: vectors keep their length, so cosine and inner product both work.

    The step is the paper's gamma, within 0 .. 2: a document turns by at most
    `arccos(1 - gamma / 2)`, and never past its questions.

    Examples:
        >>> import numpy as np
        >>> documents = np.eye(3, dtype=np.float32)
        >>> train = {"q_embs": np.array([[0.6, 0.8, 0.0]], np.float32), "q_ans_indx": [[0]]}
        >>> first = NudgeN().finetune_embeddings(documents, train, gamma=0.1)[0]
        >>> [round(float(value), 2) for value in first]
        [0.95, 0.31, 0.0]
    """

    name = "nudge-n"
    keeps_length = True
    largest_step = 2.0
    # Even in the angle, 0.03 rad apart: gamma itself grows with its square.
    _grid = np.asarray(2 - 2 * np.cos(0.03 * np.arange(41, dtype=np.float64)))
    _parity_grid = 0.02 * np.arange(25)
    _path = RotationPath.between


class NudgeM(PathMethod):
    """The paper's NUDGE-M: `x + gamma h`. Vectors grow, so only the inner product ranks them.

    In a store that ranks by cosine or by distance its vectors would be silently wrong; there this
    package refuses them. `finetune_embeddings` takes the step from an exact sweep, as nudge-ft
    does; `fit` takes it from a grid, by the metric asked for.
    """

    name = "nudge-m"
    keeps_length = False
    largest_step = float("inf")
    _grid = _parity_grid = 0.02 * np.arange(76)
    _path = AdditionPath.between

    def check_similarity(self, similarity: str) -> None:
        """Refuse any similarity but the inner product.

        Raises:
            MetricMismatchError: `similarity` is not `"dot"`.
        """
        super().check_similarity(similarity)
        if similarity != "dot":
            raise MetricMismatchError(
                f"NUDGE-M's vectors are not of unit length: under {similarity!r} they rank "
                "wrongly; use metric='dot', or NUDGE-N (method='n')"
            )

    def _parity_step(
        self,
        problem: Problem,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,
        gamma: float | Sequence[float] | None,
    ) -> float:
        if gamma is not None or validation is None or val_k != 1 or self.metric is not None:
            return super()._parity_step(problem, train, validation, val_k, gamma)
        moved = problem.paths(train)
        return most_covered(
            *winning_intervals(
                *(validation.queries, problem.vectors, validation.judgments),
                *(moved.rows, moved.targets, self.device),
                starts=moved.starts,
            )
        )
