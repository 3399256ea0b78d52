"""What every method shares: the arguments, their checks, and nudge-ft's call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import (
    FloatMatrix,
    IntVector,
    as_matrix,
    checked_count,
    unit_rows,
)
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import Metric, parse_metric
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.inputs import (
    QuerySet,
    Similarity,
    check_judgments,
    checked_device,
    checked_groups,
    checked_steps,
    read_set,
    with_neighbours,
)
from nudge_integrations.methods.judgments import Judgments

Selection = Literal["cross-validation", "holdout"]
REPORT_DEPTH = 10


class Method(ABC):
    """A way to move document vectors towards the questions that they answer.

    Args:
        device: Where products are made: anything that `torch.device` takes. Left out: CUDA where
            there is one, else the CPU.
        metric: What the step is chosen to raise, such as `"ndcg@10"`, `"recall@5"`, `"mrr@10"`.
            Left out: `"ndcg@10"` in `fit`, nudge-ft's capped recall in `finetune_embeddings`.
        folds: Number of folds of the cross-validation.
        seed: Decides which questions make up a fold.
        show_progress: Whether long passes over the documents draw a progress bar.

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
        metric: str | Metric | None = None,
        folds: int = 5,
        seed: int = 0,
        show_progress: bool = False,
    ) -> None:
        self.device = checked_device(device)
        self.metric = None if metric is None else parse_metric(metric)
        self.folds = checked_count(folds, "folds", 2)
        self.seed = checked_count(seed, "seed", 0)
        self.show_progress = show_progress

    @property
    def depth(self) -> int:
        """How deep a ranking it looks at."""
        return max(self.metric.k if self.metric else 0, REPORT_DEPTH)

    @property
    def nearest(self) -> int:
        """How many of the nearest still documents of a query stand for all others."""
        return self.depth

    @property
    def around(self) -> int:
        """How many of the nearest documents of a query take part themselves, and may move."""
        return 0

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
    def _read(self, corpus: Any, similarity: Similarity) -> DocumentVectors:
        """The documents as the method looks at them."""

    @abstractmethod
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
        """`fit` with arguments that are known to be good."""

    @abstractmethod
    def _like_nudge_ft(
        self,
        vectors: FloatMatrix,
        train: QuerySet,
        validation: QuerySet | None,
        val_k: int,
        gamma: float | Sequence[float] | None,
    ) -> tuple[IntVector, FloatMatrix]:
        """`finetune_embeddings` on unit vectors: rows that move, and where to."""

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
        neighbours: npt.NDArray[Any] | None = None,
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
            neighbours: Shape `(q, k)` or `(q + v, k)`: for each query the scores of the nearest
                documents that are not in `corpus`, as a store's search gives them (by
                `similarity`, of the query as it is); `-inf` where there are fewer. None of them
                may answer a query. `nearest` of them give what the whole corpus would.

        Raises:
            DataError: Vectors or judgments that do not fit; the offending one is named.
            MetricMismatchError: NUDGE-M under cosine.
        """
        self.check_similarity(similarity)
        documents = self._read(corpus, similarity)
        count, width = len(documents), documents.dimension
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
        held_out = None if validation is None else QuerySet(held, validation[1])
        if neighbours is not None:
            train, held_out = with_neighbours(train, held_out, neighbours)
        fixed = None if gamma is None else self._one_step(gamma)
        return self._tuned(documents, train, held_out, selection, similarity, fixed, groups)

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
        """Tune by nudge-ft 0.1.2's call; NUDGE-M and NUDGE-N choose and answer as it does.

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
        with ThreadPoolExecutor(1) as thread:
            # Fresh memory is slow to come by, and this needs no processor to speak of.
            copying = thread.submit(vectors[:count].copy)
            rows, moved = self._like_nudge_ft(vectors, train, validation, val_k, gamma)
            result: FloatMatrix = copying.result()
        result[rows] = moved
        return result

    def _one_step(self, gamma: Any) -> float:
        return float(checked_steps([gamma], self.largest_step)[-1])

    def _folds(self, count: int, groups: IntVector | None) -> IntVector:
        if groups is not None:
            return checked_groups(groups, count)
        return np.random.default_rng(self.seed).permutation(count) % min(self.folds, count)
