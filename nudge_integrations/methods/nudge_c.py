"""NUDGE-C: documents move to be chosen for their own questions, and take their neighbours along.

`flow.py` has the objective, `field.py` how a move spreads. Temperature, damping, width of the
field and the length of the way are chosen on questions that were held out, and so is whether to
move at all. It is this package's own method, not the paper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import parse_metric
from nudge_integrations.methods.base import REPORT_DEPTH, Method, Selection
from nudge_integrations.methods.choice import NEAREST, TIMES, Grid, choose
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.field import Field
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.flow import Flow, moved_by
from nudge_integrations.methods.folds import Folds, sample
from nudge_integrations.methods.inputs import QuerySet, Similarity
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.pool import Pool
from nudge_integrations.methods.trials import Trials

_TEMPERATURES = (0.02, 0.03, 0.05, 0.08)
_RIDGES = (float("inf"), 100.0, 30.0, 10.0)
_MOST_QUESTIONS = 4096
_CHUNKS = 3


class NudgeC(Method):
    """This package's own method, and its default: contrastive, and chosen with care.

    Documents follow the gradient of the likelihood that each question picks its answers, and
    documents nearby follow them in part, labelled or not. The step is how long they do so, from 0
    on; one unit moves documents with questions by 0.08 on average at first. Vectors keep their
    length, so cosine and inner product both work.

    Args:
        device: See `Method`.
        metric: See `Method`; left out, `"ndcg@10"`.
        protect_unseen: The largest loss of the metric, estimated by folding the cross-validation
            by document, that questions about documents without training questions may suffer. 0
            protects them fully, infinity not at all. Where fewer than a tenth of the documents
            near the questions have none of their own, the bound widens in proportion.
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
        >>> first = NudgeC().finetune_embeddings(documents, train, gamma=4)[0]
        >>> [round(float(value), 2) for value in first]
        [0.98, 0.19, 0.0]
    """

    name = "nudge-c"
    keeps_length = True
    largest_step = 100.0

    def __init__(
        self,
        device: Any = None,
        *,
        metric: str | None = None,
        protect_unseen: float = 0.02,
        temperatures: Sequence[float] = _TEMPERATURES,
        ridges: Sequence[float] = _RIDGES,
        **shared: Any,
    ) -> None:
        super().__init__(device, metric=metric, **shared)
        number = isinstance(protect_unseen, (int, float, np.number))
        if not number or not protect_unseen >= 0:
            raise DataError(
                f"protect_unseen must be a number, at least 0 (such as 0.02), got "
                f"{protect_unseen!r}"
            )
        for name, values in (("temperatures", temperatures), ("ridges", ridges)):
            if len(values) == 0 or not all(value > 0 for value in values):
                raise DataError(f"{name} must be numbers above 0, got {values!r}")
        self.protect_unseen = float(protect_unseen)
        self.temperatures = tuple(map(float, temperatures))
        self.ridges = tuple(map(float, ridges))

    @property
    def nearest(self) -> int:
        """How many of the nearest other documents of a query stand for all others."""
        return max(self.depth, 100)

    @property
    def around(self) -> int:
        """How many of the nearest documents of a query take part themselves, and may move."""
        return 2 * max(NEAREST)

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
        every = train if validation is None else train.and_those_of(validation)
        rows = np.arange(len(every.queries))
        known, extra = rows[: len(train.queries)], rows[len(train.queries) :]
        first, second = (
            sample(every.judgments, part, _MOST_QUESTIONS, self.seed) for part in (known, extra)
        )
        asked = np.concatenate([first, second])
        metric = self.metric or parse_metric("ndcg@10")
        pool = self._pool(documents, every.some(asked), similarity, max(metric.k, REPORT_DEPTH))
        labels = self._folds(len(rows), groups)[asked]
        folds = Folds.of(
            pool.ground.judgments,
            labels,
            None if validation is None else np.arange(len(first)),
            hold_out=selection == "holdout",
            folds=self.folds,
        )
        times = TIMES if gamma is None else steps_up_to(gamma)
        files = _in_whole_files(pool.ground.judgments)
        grid = Grid(self.temperatures, self.ridges, any_answer=bool(files))
        with tqdm(desc="Choosing", unit="trial", delay=1, disable=not self.show_progress) as bar:
            trials = Trials(pool, folds, times, metric, bar)
            found = choose(
                *(trials, grid, labels),
                protect_unseen=self.protect_unseen,
                fixed=gamma is not None,
            )
        field = None
        if found.step:
            final = known if selection == "holdout" else rows
            final = sample(every.judgments, final, len(rows), 0)
            if not np.array_equal(final, asked):
                pool = self._pool(documents, every.some(final), similarity, found.setting.nearest)
            flow = Flow(pool.ground, np.arange(len(final)), found.setting, rough=False)
            field = moved_by(flow, steps_up_to(found.step))
        moved, vectors = self._moved(documents, field)
        held_out, unseen = (
            each and replace(each, queries=asked[each.queries])
            for each in (found.held_out, found.unseen)
        )
        return Fit(
            method=self.name,
            step=found.step,
            rows=moved,
            vectors=vectors,
            reason=_about_files(files) + found.reason,
            curve=found.curve,
            held_out=held_out,
            unseen=unseen,
            field=field,
        )

    def _pool(
        self, documents: DocumentVectors, questions: QuerySet, similarity: Similarity, depth: int
    ) -> Pool:
        return Pool.of(
            *(documents, questions, similarity),
            depth=depth,
            device=self.device,
            show_progress=self.show_progress,
        )

    def _moved(
        self, documents: DocumentVectors, field: Field | None
    ) -> tuple[IntVector, FloatMatrix]:
        """Move every document by the field, block by block."""
        rows, vectors = [np.zeros(0, np.int64)], [np.zeros((0, documents.dimension), np.float32)]
        for start, block in documents.blocks():
            if field is None:
                break
            where, ends = field.move(block)
            ends *= documents.lengths[where + start][:, None]
            rows.append(where + start)
            vectors.append(ends)
        return np.concatenate(rows), np.concatenate(vectors)

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


def _in_whole_files(judgments: Judgments) -> int:
    """How many documents are marked together with others, as the chunks of a file are; else 0.

    Chunks of a file are asked the same questions, several of them, and these have no other
    answers. It must be so for most questions.
    """
    order = np.argsort(judgments.documents, kind="stable")
    documents = judgments.documents[order]
    starts = np.flatnonzero(np.diff(documents, prepend=-1))
    asked = np.split(judgments.query_of_entry[order], starts[1:])
    sharing = Counter(each.tobytes() for each in asked if len(each) > 1)
    together = np.zeros(judgments.n_documents, bool)
    together[documents[starts]] = [sharing[each.tobytes()] >= _CHUNKS for each in asked]
    apart = judgments.answered_in(~together) | (judgments.counts == 0)
    return int(together.sum()) if apart.sum() < judgments.n_queries / 2 else 0


def _about_files(count: int) -> str:
    if not count:
        return ""
    return (
        f"{count:,} documents share all their questions with others, as the chunks of a file do, "
        "so each question credits its best chunk, and scores count any chunk as a hit; "
    )


def steps_up_to(step: float) -> tuple[float, ...]:
    """The steps on the way to `step`, which itself is the last one."""
    return (*(time for time in TIMES if time < step), step) if step else ()
