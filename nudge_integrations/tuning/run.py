"""Embedded texts and questions in, tuned vectors and a report out. Knows no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nudge_integrations.common import topk
from nudge_integrations.common.arrays import FloatMatrix, IntVector, unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import Embedder
from nudge_integrations.evaluation import (
    EvaluationReport,
    Turns,
    compare,
    evaluate_rankings,
    with_rankings,
)
from nudge_integrations.relevance import RelevanceDataset, question_key
from nudge_integrations.tuning.held_out import REPORT_METRICS, held_out_report, notes_on
from nudge_integrations.tuning.tuned import TunedVectors

if TYPE_CHECKING:
    from nudge_integrations.methods import Judgments, Method

_DEPTH = 100


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents with their base vectors; those with the same text are tuned as one.

    Attributes:
        ids: Document ids, in the caller's order.
        hashes: `files.text_hash` of each text.
        vectors: Shape `(n, d)`, float32: the base model's vectors.
        texts: Shape `(n,)`: number of the distinct text of each document.
        firsts: Shape `(u,)`: row of the first document with each distinct text.
    """

    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    vectors: FloatMatrix
    texts: IntVector
    firsts: IntVector

    @classmethod
    def embed(cls, texts: Mapping[str, str], embedder: Embedder) -> Corpus:
        """Embed documents.

        Raises:
            DataError: A text or the vector that it gets cannot be used; the id is named.
        """
        ids = tuple(texts)
        vectors = embedder.embed_documents(list(texts.values()), ids)
        hashes = tuple(text_hash(text) for text in texts.values())
        number: dict[str, int] = {}
        of_document = np.array([number.setdefault(name, len(number)) for name in hashes])
        _, firsts = np.unique(of_document, return_index=True)
        return cls(ids, hashes, vectors, of_document, firsts)

    def text_of(self) -> dict[str, int]:
        """Number of the distinct text of each document id."""
        return dict(zip(self.ids, self.texts.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions that have an answer, with their vectors.

    Attributes:
        dataset: Where they come from.
        ids: Their ids.
        vectors: Shape `(q, d)`, float32.
    """

    dataset: RelevanceDataset
    ids: tuple[str, ...]
    vectors: FloatMatrix

    @classmethod
    def embed(cls, dataset: RelevanceDataset, embedder: Embedder) -> Questions:
        """Embed the questions of a dataset that have an answer."""
        ids = tuple(dataset.judged_queries)
        texts = [dataset.queries[name] for name in ids]
        return cls(dataset, ids, embedder.embed_queries(texts, ids))

    def answers(self) -> list[dict[str, int]]:
        """Document id -> grade of the answers of each question."""
        judged = (self.dataset.qrels[name] for name in self.ids)
        return [{doc: grade for doc, grade in each.items() if grade > 0} for each in judged]

    def judgments(self, corpus: Corpus) -> Judgments:
        """Which distinct texts answer them."""
        from nudge_integrations.methods import Judgments

        number, answers = corpus.text_of(), self.answers()
        return Judgments.from_lists(
            [[number[doc] for doc in each] for each in answers],
            len(corpus.firsts),
            [list(each.values()) for each in answers],
        ).unique()


def tune(
    corpus: Corpus,
    train: Questions,
    validation: Questions | None,
    embedder: Embedder,
    *,
    method: Method,
    metric: Literal["cosine", "dot"],
    selection: Literal["cross-validation", "holdout"],
    gamma: float | None,
) -> TunedVectors:
    """Tune the vectors of a corpus, with a report on the questions that were held out.

    Args:
        corpus: The documents.
        train: Training questions.
        validation: Questions to choose the step on; cross-validation where there are none.
        embedder: What embedded them.
        method: How documents move.
        metric: How the store ranks.
        selection: See `Method.fit`.
        gamma: A fixed step.
    """
    from nudge_integrations.methods.folds import fold_numbers

    parts = [train, validation] if validation else [train]
    judged = [part.judgments(corpus) for part in parts]
    names = [name for part in parts for name in part.ids]
    queries = {name: text for part in parts for name, text in part.dataset.queries.items()}
    keys = [question_key(part.dataset.queries[name]) for part in parts for name in part.ids]
    fit = method.fit(
        corpus.vectors[corpus.firsts],
        train.vectors,
        judged[0],
        validation=(validation.vectors, judged[1]) if validation else None,
        selection=selection,
        similarity=metric,
        gamma=gamma,
        groups=fold_numbers(keys, method.seed, method.folds),
    )
    shaping = [train] if selection == "holdout" else parts
    place = np.full(len(corpus.firsts), -1, np.int64)
    place[fit.rows] = np.arange(len(fit.rows))
    moved = np.flatnonzero(place[corpus.texts] >= 0)
    # Over distinct texts, as they were ranked: an answer that is there twice counts once.
    report = held_out_report(
        fit,
        names,
        [row for each in judged for row in np.split(each.grades, each.indptr[1:-1])],
        validation=len(validation.ids) if validation else 0,
        queries=queries,
        moved=len(moved),
        documents=len(corpus.ids),
    )
    return TunedVectors(
        ids=tuple(corpus.ids[row] for row in moved),
        vectors=fit.vectors[place[corpus.texts[moved]]],
        originals=corpus.vectors[moved],
        text_hashes=tuple(corpus.hashes[row] for row in moved),
        metric=metric,
        method=fit.method,
        step=fit.step,
        model=embedder.fingerprint,
        report=report,
        field=fit.field,
        labelled=_labelled(shaping, moved, corpus) if fit.field is not None else (),
    )


def _labelled(shaping: Sequence[Questions], moved: IntVector, corpus: Corpus) -> tuple[str, ...]:
    """Ids of the moved documents whose text answers a question that shaped the vectors."""
    number = corpus.text_of()
    texts = {number[name] for part in shaping for each in part.answers() for name in each}
    return tuple(corpus.ids[row] for row in moved if corpus.texts[row] in texts)


def measure(
    tuned: TunedVectors,
    corpus: Corpus,
    questions: Questions,
    *,
    judged_on: str,
    curve: tuple[tuple[float, float], ...] = (),
    reason: str = "",
) -> EvaluationReport:
    """Rank every document for some questions, before and after.

    Args:
        tuned: What a run produced.
        corpus: Every document.
        questions: What to ask.
        judged_on: What the questions are, for the report.
        curve: Steps that were tried, with their scores.
        reason: Why the step was chosen.
    """
    qrels = {name: questions.dataset.qrels[name] for name in questions.ids}
    rankings = [
        _rank(vectors, corpus.ids, questions, tuned.metric)
        for vectors in (corpus.vectors, tuned.apply(corpus.ids, corpus.vectors))
    ]
    scores = [
        evaluate_rankings(each, qrels, REPORT_METRICS, corpus=corpus.ids) for each in rankings
    ]
    seen = None  # where nothing moved, no question differs from another
    if len(tuned):
        labelled = set(tuned.labelled or tuned.ids)
        answers = zip(questions.ids, questions.answers(), strict=True)
        seen = {name for name, each in answers if not each.keys().isdisjoint(labelled)}
    report = compare(
        *scores,
        seen=seen,
        judged_on=judged_on,
        queries=questions.dataset.queries,
        method=tuned.method.upper(),
        step=tuned.step,
        step_reason=reason,
        moved=len(tuned),
        documents=len(corpus.ids),
        turns=Turns.between(tuned.originals, tuned.vectors),
        curve=curve,
        notes=notes_on(len(questions.ids)),
    )
    return with_rankings(report, *rankings, qrels=qrels, texts=questions.dataset.corpus)


def _rank(
    vectors: FloatMatrix, ids: tuple[str, ...], questions: Questions, metric: str
) -> dict[str, list[str]]:
    asked = questions.vectors
    if metric == "cosine":
        vectors, asked = unit_rows(vectors), unit_rows(asked)
    rows, _ = topk.search(asked, vectors, _DEPTH)
    return {
        name: [ids[row] for row in found]
        for name, found in zip(questions.ids, rows.tolist(), strict=True)
    }
