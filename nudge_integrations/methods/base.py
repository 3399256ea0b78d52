"""What every method shares: the arguments, the trials, and nudge-ft's call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from nudge_integrations.arrays import FloatMatrix, IntVector, as_matrix, unit_rows
from nudge_integrations.errors import DataError
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.inputs import (
    QuerySet,
    check_judgments,
    checked_count,
    checked_device,
    checked_groups,
    checked_metric,
    checked_steps,
    read_set,
)
from nudge_integrations.methods.judgments import Judgments, concatenate
from nudge_integrations.methods.kernels import Kernel, checked_kernel
from nudge_integrations.methods.paths import Float64, Path
from nudge_integrations.methods.problem import Problem, Similarity
from nudge_integrations.methods.step import Choice, choose_step, exact_step
from nudge_integrations.metrics import parse_metric

Selection = Literal["cross-validation", "holdout"]
REPORT_DEPTH = 10


class Method(ABC):
    """A way to move document vectors towards the questions that they answer.

    Args:
        device: Where products are made: anything that `torch.device` takes. Left out: CUDA where
            there is one, else the CPU.
        metric: What the step is chosen to raise, such as `"ndcg@10"`, `"recall@5"`, `"mrr@10"`.
            Left out: `"ndcg@10"` in `fit`, nudge-ft's capped recall in `finetune_embeddings`.
        steps: Steps to choose from, the paper's gamma. Left out: a fine grid. `"exact"`: the best
            of all steps up to the end of that grid, for metrics of the first place such as
            `"hit_rate@1"` (its default).
        folds: Number of folds of the cross-validation.
        seed: Decides which questions make up a fold.
        show_progress: Whether long passes over the documents draw a progress bar.
        kernel: `"torch"`: plain operations, on any device. `"triton"`: one fused kernel, on an
            NVIDIA GPU only; tested in Triton's interpreter, not yet measured on a GPU.

    Raises:
        DataError: An argument out of range; it is named.
    """

    name: ClassVar[str]
    keeps_length: ClassVar[bool]
    """Whether a vector keeps its length, so that cosine ranks it as the method meant."""
    largest_step: ClassVar[float]

    def __init__(
        self,
        device: Any = None,
        *,
        metric: str | None = None,
        steps: Sequence[float] | Literal["exact"] | None = None,
        folds: int = 5,
        seed: int = 0,
        show_progress: bool = False,
        kernel: Kernel = "torch",
    ) -> None:
        self.device = checked_device(device)
        self.kernel = checked_kernel(kernel, self.device)
        self.exact = isinstance(steps, str) and steps == "exact"
        self.metric = checked_metric(metric, self.exact)
        if steps is None or self.exact:
            self.steps = self._grid()
        else:
            self.steps = checked_steps(steps, self.largest_step)
        self.folds = checked_count(folds, "folds", 2)
        self.seed = checked_count(seed, "seed", 0)
        self.show_progress = show_progress

    @staticmethod
    @abstractmethod
    def _grid() -> Float64:
        """The default steps."""

    def check_similarity(self, similarity: str) -> None:
        """Refuse a similarity by which this method's vectors would rank wrongly.

        Raises:
            DataError: `similarity` is neither `"cosine"` nor `"dot"`.
            MetricMismatchError: The method's vectors do not fit it.
        """
        if similarity not in get_args(Similarity):
            known = " or ".join(map(repr, get_args(Similarity)))
            raise DataError(f"unknown similarity {similarity!r}: give {known}")

    @abstractmethod
    def path(self, units: FloatMatrix, targets: FloatMatrix) -> Path:
        """Paths of documents with unit vectors `units` towards unit directions `targets`."""

    def fit(
        self,
        corpus: npt.NDArray[Any] | Iterable[npt.NDArray[Any]],
        queries: npt.NDArray[Any],
        judgments: Judgments,
        *,
        validation: tuple[npt.NDArray[Any], Judgments] | None = None,
        selection: Selection = "cross-validation",
        similarity: Similarity = "cosine",
        gamma: float | None = None,
        groups: IntVector | None = None,
    ) -> Fit:
        """Tune document vectors.

        With `selection="cross-validation"` the step is chosen on `validation` where it is given,
        by cross-validation over `queries` where not, and the directions finally use every
        judgment there is. `selection="holdout"` is the paper's protocol: the step is chosen on
        `validation`, which then plays no further part.

        Args:
            corpus: Shape `(n, d)`: document vectors, of any length but zero; may be memory-mapped,
                or a list of arrays one after the other. Only those that move are held in memory.
            queries: Shape `(q, d)`: training queries.
            judgments: Which documents answer them.
            validation: Validation queries, shape `(v, d)`, and their judgments.
            selection: See above.
            similarity: How the store ranks: `"cosine"`, or `"dot"` for the raw inner product.
            gamma: A fixed step: nothing is chosen; held-out questions only measure it.
            groups: Shape `(q,)` or `(q + v,)`: fold of each query; drawn from the seed if left
                out. Questions with the same text belong into the same group.

        Raises:
            DataError: Vectors or judgments that do not fit; the offending one is named.
            MetricMismatchError: NUDGE-M under cosine.
        """
        self.check_similarity(similarity)
        problem = Problem(self, corpus, similarity)
        count, width = len(problem.vectors), problem.vectors.dimension
        queries = as_matrix(queries, "training query vectors", dimension=width)
        check_judgments(queries, judgments, count, "training")
        if selection not in get_args(Selection):
            known = " or ".join(map(repr, get_args(Selection)))
            raise DataError(f"unknown selection {selection!r}: give {known}")
        if selection == "holdout" and validation is None and gamma is None:
            raise DataError("selection='holdout' needs validation queries, or a fixed gamma")
        if validation is not None:
            held = as_matrix(validation[0], "validation query vectors", dimension=width)
            check_judgments(held, validation[1], count, "validation")
        train = QuerySet(queries, judgments)
        fixed = None if gamma is None else self._one_step(gamma)
        held_out = None if validation is None else QuerySet(held, validation[1])
        choice, reason = self._choose(problem, train, held_out, fixed, groups)
        step = choice.step if choice else fixed or 0.0
        if held_out is not None and selection == "cross-validation":
            train = QuerySet(
                np.concatenate([queries, held_out.queries]),
                concatenate(judgments, held_out.judgments),
            )
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

    def finetune_embeddings(
        self,
        embeddings: npt.NDArray[Any],
        train_set: Mapping[str, Any],
        val_set: Mapping[str, Any] | None = None,
        nontrain_embeddings: npt.NDArray[Any] | None = None,
        val_batch_size: int = 256,
        val_k: int = 1,
        gamma: float | Sequence[float] | None = None,
    ) -> FloatMatrix:
        """Tune as nudge-ft 0.1.2 does: the same arguments, the same choices, the same result.

        Args:
            embeddings: Shape `(n, d)`: document vectors; scaled to unit length, as in nudge-ft.
            train_set: `{"q_embs": (q, d), "q_ans_indx": a list of document rows a query}`.
            val_set: The same for validation. Left out: cross-validation on `train_set`.
            nontrain_embeddings: Shape `(r, d)`: more documents that answer no question here;
                they only compete. Not needed to save memory any more.
            val_batch_size: Taken for nudge-ft's sake; memory is bounded anyway.
            val_k: The step is chosen by hits in the top `val_k` / min(answers, `val_k`), unless
                the method was made with a metric of its own.
            gamma: A fixed step, or the steps to choose from. Left out: nudge-ft's.

        Returns:
            Shape `(n, d)`, float32: tuned document vectors.

        Raises:
            DataError: Vectors, answers or steps that do not fit; the offending one is named.
        """
        corpus = as_matrix(embeddings, "embeddings")
        count, width = corpus.shape
        val_k = checked_count(val_k, "val_k", 1)
        checked_count(val_batch_size, "val_batch_size", 1)
        vectors = unit_rows(corpus)
        if nontrain_embeddings is not None:
            others = as_matrix(
                nontrain_embeddings, "nontrain_embeddings", dimension=width, allow_empty=True
            )
            vectors = np.concatenate([vectors, unit_rows(others)])
        train = read_set(train_set, count, width, "train_set").on(len(vectors))
        validation = None
        if val_set is not None:
            validation = read_set(val_set, count, width, "val_set").on(len(vectors))
        problem = Problem(self, vectors, "dot")
        with ThreadPoolExecutor(1) as beside:
            # Fresh memory is slow to come by, and this needs no processor to speak of.
            copying = beside.submit(vectors[:count].copy)
            step = self._like_nudge_ft(problem, train, validation, val_k, gamma)
            rows, moved = problem.move(train, step)
            result: FloatMatrix = copying.result()
        result[rows] = moved
        return result

    def _like_nudge_ft(
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
            kernel=self.kernel,
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
        if self.exact and fixed is None:
            steps = np.union1d(steps, exact_step(trials, float(steps[-1])))
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

    def _one_step(self, gamma: Any) -> float:
        return float(checked_steps([gamma], self.largest_step)[-1])

    def _folds(self, count: int, groups: IntVector | None) -> IntVector:
        if groups is not None:
            return checked_groups(groups, count)
        return np.random.default_rng(self.seed).permutation(count) % min(self.folds, count)
