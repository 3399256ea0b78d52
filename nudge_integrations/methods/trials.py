"""Trials: tune on some questions, ask others, and remember what was ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.evaluation.metrics import Metric, QueryTotals, score_rankings
from nudge_integrations.methods.flow import Flow, Setting
from nudge_integrations.methods.folds import Folds, Split, touched
from nudge_integrations.methods.paths import Float64
from nudge_integrations.methods.pool import Pool

_HARMFUL = 0.05  # what no bound would bear
_HOPELESS = 0.02  # stop once the score drops this far below its best


@dataclass
class Trials:
    """Runs trials, and remembers them.

    Attributes:
        pool: Documents and questions.
        folds: Which questions are held out of what.
        times: To look at, ascending, above 0.
        metric: The score to raise.
        bar: Shows progress.
    """

    pool: Pool
    folds: Folds
    times: Sequence[float]
    metric: Metric
    bar: tqdm[None]
    _known: dict[tuple[int, Setting], np.ndarray] = field(default_factory=dict)

    def grades(self, splits: Sequence[Split], setting: Setting) -> np.ndarray:
        """Grades of what is ranked first, shape `(1 + times, asked, depth)`, split by split.

        Row 0 is of the documents where they stand.
        """
        return np.concatenate([self._of_split(split, setting) for split in splits], axis=1)

    def scores(self, splits: Sequence[Split], setting: Setting) -> Float64:
        """Score of each question asked, shape `(1 + times, asked)`."""
        totals = self.totals(asked_in(splits))
        grades = self.grades(splits, setting)
        return np.stack([score_rankings(self.metric, each, totals) for each in grades])

    def totals(self, asked: IntVector) -> QueryTotals:
        """What the metrics must know of some questions."""
        judged = self.pool.ground.judgments.select(asked)
        return QueryTotals.from_csr(judged.indptr, judged.grades)

    def _of_split(self, split: Split, setting: Setting) -> np.ndarray:
        key = id(split[0]), setting
        if key not in self._known:
            self._known[key] = self._run(split, setting)
            self.bar.update()
        return self._known[key]

    def _run(self, split: Split, setting: Setting) -> np.ndarray:
        train, asked = split
        totals = self.totals(asked)
        ranked = [self.pool.grades(asked, self.pool.ground.documents)]
        first = best = float(score_rankings(self.metric, ranked[0], totals).mean())
        # What unseen questions lose is told in full, as it bounds the step.
        unseen = not touched(self.pool.ground.judgments, train, asked).any()
        flow = Flow(self.pool.ground, train, setting)
        for _ in flow.run(self.times):
            ranked.append(self.pool.grades(asked, flow.documents_now()))
            score = float(score_rankings(self.metric, ranked[-1], totals).mean())
            best = max(best, score)
            if score < (first - _HARMFUL if unseen else best - _HOPELESS):
                break
        # What was not followed to its end counts as no better than where it was left.
        ranked += [ranked[-1]] * (1 + len(self.times) - len(ranked))
        return np.stack(ranked)


def asked_in(splits: Sequence[Split]) -> IntVector:
    """The questions that some trials ask, trial by trial."""
    return np.concatenate([np.zeros(0, np.int64), *(asked for _, asked in splits)])
