"""One corpus and its questions, on which many settings of NUDGE-C compete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, IntVector, norms, unit_rows
from nudge_integrations.evaluation.metrics import Metric, QueryTotals, score_rankings
from nudge_integrations.methods.bystanders import NEAREST, Bystanders, Ranking
from nudge_integrations.methods.contrast import Contrast, Setting
from nudge_integrations.methods.document_vectors import DocumentVectors
from nudge_integrations.methods.folds import Split
from nudge_integrations.methods.inputs import QuerySet, Similarity
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.tensors import tensor

_HOPELESS = 0.02  # a way that has fallen this far below its best does not come back


@dataclass(frozen=True)
class Contest:
    """Everything that a trial needs, made once.

    Attributes:
        documents: All documents, as unit rows.
        rows: Shape `(m,)`, int64, ascending: those that answer a question.
        contrast: Their flow.
        ranking: Ranks all documents for a question.
        show_progress: Whether long work draws a progress bar.
    """

    documents: DocumentVectors
    rows: IntVector
    contrast: Contrast
    ranking: Ranking
    show_progress: bool

    @classmethod
    def of(
        cls,
        documents: DocumentVectors,
        questions: QuerySet,
        similarity: Similarity,
        settings: Sequence[Setting],
        *,
        depth: int,
        device: torch.device,
        show_progress: bool,
    ) -> Contest:
        """Pass over the documents once, for all questions and settings.

        Args:
            documents: All documents, as unit rows.
            questions: All questions, those that only choose included.
            similarity: Under `"dot"` longer documents score higher, as in the store.
            settings: That will compete.
            depth: How deep rankings go.
            device: Where products are made.
            show_progress: Whether long work draws a progress bar.
        """
        judgments = questions.judgments.unique()
        rows = np.unique(judgments.documents)
        lengths, scale = np.ones(len(documents), np.float32), np.float32(1)
        if similarity == "dot":
            # Only their ratios rank; temperatures are meant for scores of cosine's size.
            scale = documents.lengths[rows].mean()
            lengths = documents.lengths / scale
        weights = torch.from_numpy(lengths).to(device)
        queries = tensor(unit_rows(questions.queries), device)
        beside = None
        if questions.beside is not None:
            scores = questions.beside
            if similarity == "dot":
                scores = scores / (norms(questions.queries)[:, None] * scale)
            beside = tensor(scores, device)
        others = Bystanders.of(
            queries,
            documents,
            weights,
            rows,
            beside,
            k=max(depth, NEAREST),
            show_progress=show_progress,
        )
        own = weights[torch.from_numpy(rows).to(device)]
        starts = tensor(documents.take(rows), device)
        compact = Judgments(
            judgments.indptr,
            np.searchsorted(rows, judgments.documents),
            judgments.grades,
            len(rows),
        )
        return cls(
            documents,
            rows,
            Contrast(
                queries,
                starts,
                own,
                compact,
                {each: others.log_sum(each) for each in {one.temperature for one in settings}},
            ),
            Ranking(queries, others, rows, own, judgments, depth),
            show_progress,
        )

    @property
    def judgments(self) -> Judgments:
        """Of all questions over the documents in `rows`, each named once a question."""
        return self.contrast.judgments

    def grades(
        self,
        splits: Sequence[Split],
        setting: Setting,
        times: Sequence[float],
        metric: Metric,
        bar: tqdm[None],
        *,
        to_the_end: bool = False,
    ) -> list[np.ndarray]:
        """Grades of what is ranked first, shape `(1 + times, asked, k)` for each split.

        Row 0 is of the documents where they stand. A way that turns out hopeless is not followed
        to its end, unless that is asked for: fewer rows come back.
        """
        result = []
        for train, asked in splits:
            totals = self.totals(asked)
            ranked = [self.ranking.grades(asked, self.contrast.starts)]
            best = _mean(metric, ranked[0], totals)
            for vectors in self.contrast.flow(train, setting, times):
                ranked.append(self.ranking.grades(asked, vectors))
                score = _mean(metric, ranked[-1], totals)
                best = max(best, score)
                if score < best - _HOPELESS and not to_the_end:
                    break
            result.append(np.stack(ranked))
            bar.update()
        return result

    def totals(self, asked: IntVector) -> QueryTotals:
        """What the metrics must know of some questions."""
        judged = self.judgments.select(asked)
        return QueryTotals.from_csr(judged.indptr, judged.grades)

    def move(
        self, train: IntVector, setting: Setting, times: Sequence[float]
    ) -> tuple[IntVector, FloatMatrix]:
        """Rows that move, and where they are at the last of the times, at the length they had."""
        *_, vectors = self.contrast.flow(train, setting, times)
        moves = self.judgments.select(train).touched()
        ends = vectors.cpu().numpy()[moves]
        rows = self.rows[moves]
        ends *= (self.documents.lengths[rows] / norms(ends))[:, None]
        return rows, ends


def _mean(metric: Metric, grades: np.ndarray, totals: QueryTotals) -> float:
    return float(score_rankings(metric, grades, totals).mean())
