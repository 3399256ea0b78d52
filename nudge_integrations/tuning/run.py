"""Embedded texts and questions in, tuned vectors and a report out. Knows no framework."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nudge_integrations.common import topk
from nudge_integrations.common.arrays import FloatMatrix, IntVector, unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import Embedder
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import (
    EvaluationReport,
    Turns,
    compare,
    evaluate_rankings,
    with_rankings,
)
from nudge_integrations.relevance import RelevanceDataset, question_key
from nudge_integrations.tuning.held_out import METRICS, held_out_report, notes_on
from nudge_integrations.tuning.tuned import TunedVectors

if TYPE_CHECKING:
    from nudge_integrations.methods import Fit, Judgments, Method


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

    def about(self, documents: Collection[str]) -> set[str]:
        """Ids of the questions with an answer among the documents."""
        wanted = set(documents)
        answers = zip(self.ids, self.answers(), strict=True)
        return {name for name, each in answers if not wanted.isdisjoint(each)}

    def judgments(self, corpus: Corpus) -> Judgments:
        """Which distinct texts answer them."""
        from nudge_integrations.methods import Judgments

        number = dict(zip(corpus.ids, corpus.texts.tolist(), strict=True))
        answers = self.answers()
        return Judgments.from_lists(
            [[number[doc] for doc in each] for each in answers],
            len(corpus.firsts),
            [list(each.values()) for each in answers],
        ).unique()


def unique_texts(documents: Iterable[tuple[str, str]], what: str) -> dict[str, str]:
    """Document id -> text.

    Raises:
        DataError: Two documents share an id.
    """
    texts: dict[str, str] = {}
    for name, text in documents:
        if name in texts:
            raise DataError(f"two {what} have the id {name!r}; give each its own")
        texts[name] = text
    return texts


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
    parts = [train, validation] if validation else [train]
    judged = [part.judgments(corpus) for part in parts]
    fit = method.fit(
        corpus.vectors[corpus.firsts],
        train.vectors,
        judged[0],
        validation=(validation.vectors, judged[1]) if validation else None,
        selection=selection,
        similarity=metric,
        gamma=gamma,
        groups=_groups(parts, method),
    )
    place = np.full(len(corpus.firsts), -1, np.int64)
    place[fit.rows] = np.arange(len(fit.rows))
    moved = np.flatnonzero(place[corpus.texts] >= 0)
    originals, vectors = corpus.vectors[moved], fit.vectors[place[corpus.texts[moved]]]
    facts = {"moved": len(moved), "documents": len(corpus.ids)}
    shaping = parts if selection != "holdout" else [train]
    return TunedVectors(
        ids=tuple(corpus.ids[row] for row in moved),
        vectors=vectors,
        originals=originals,
        text_hashes=tuple(corpus.hashes[row] for row in moved),
        metric=metric,
        method=fit.method,
        step=fit.step,
        model=embedder.fingerprint,
        report=_report(fit, parts, judged, turns=Turns.between(originals, vectors), **facts),
        field=fit.field,
        labelled=() if fit.field is None else _labelled(corpus, moved, shaping),
    )


def _groups(parts: list[Questions], method: Method) -> IntVector:
    """The fold of each question: those with the same words share one."""
    from nudge_integrations.methods.folds import fold_numbers

    keys = [question_key(part.dataset.queries[name]) for part in parts for name in part.ids]
    return fold_numbers(keys, method.seed, method.folds)


def _report(
    fit: Fit, parts: list[Questions], judged: list[Judgments], **facts: Any
) -> EvaluationReport | None:
    # Two parts may use one id for different questions.
    asked = [(name, part.dataset.queries[name]) for part in parts for name in part.ids]
    # Over distinct texts, as they were ranked: an answer that is there twice counts once.
    grades = [row for each in judged for row in np.split(each.grades, each.indptr[1:-1])]
    names, validation = [name for name, _ in asked], sum(len(part.ids) for part in parts[1:])
    return held_out_report(fit, names, grades, validation, queries=dict(asked), **facts)


def _labelled(corpus: Corpus, moved: IntVector, shaping: list[Questions]) -> tuple[str, ...]:
    """Ids of the moved documents whose text answers a question that shaped the vectors."""
    taught = {doc for part in shaping for answers in part.answers() for doc in answers}
    texts = corpus.texts[[name in taught for name in corpus.ids]]
    return tuple(corpus.ids[row] for row in moved[np.isin(corpus.texts[moved], texts)])


def measure(
    tuned: TunedVectors,
    ids: Sequence[str],
    vectors: FloatMatrix,
    questions: Questions,
    *,
    judged_on: str,
    added: Collection[str] | None = None,
    reason: str = "",
) -> EvaluationReport:
    """Rank every document for some questions, before and after.

    Args:
        tuned: What a run produced.
        ids: Ids of all documents.
        vectors: Their base vectors, shape `(len(ids), d)`.
        questions: What to ask.
        judged_on: What the questions are, for the report.
        added: Ids of the documents that were added after tuning. None where that is not known:
            those count that move now and did not in the run.
        reason: Why the step was chosen, where the run has no report that says so.
    """
    qrels = {name: questions.dataset.qrels[name] for name in questions.ids}
    after = tuned.apply(ids, vectors)
    moved = np.flatnonzero((after != vectors).any(axis=1))
    rankings = [_rank(each, ids, questions, tuned.metric) for each in (vectors, after)]
    scores = [evaluate_rankings(each, qrels, METRICS, corpus=ids) for each in rankings]
    if added is None:
        added = {ids[row] for row in moved.tolist()}.difference(tuned.ids)
    labelled = tuned.ids if tuned.field is None else tuned.labelled
    chosen = tuned.report
    report = compare(
        *scores,
        # Where nothing moved, no question differs from another.
        seen=questions.about(labelled) if len(tuned) else None,
        new=questions.about(added) if len(tuned) else None,
        judged_on=judged_on,
        queries=questions.dataset.queries,
        method=tuned.method.upper(),
        step=tuned.step,
        step_reason=chosen.step_reason if chosen else reason,
        moved=len(moved),
        documents=len(ids),
        turns=Turns.between(vectors[moved], after[moved]),
        curve=chosen.curve if chosen else (),
        notes=notes_on(len(questions.ids)),
        unseen_estimate=chosen.unseen_estimate if chosen else None,
    )
    return with_rankings(report, *rankings, qrels=qrels, texts=questions.dataset.corpus)


def _rank(
    vectors: FloatMatrix, ids: Sequence[str], questions: Questions, metric: str
) -> dict[str, list[str]]:
    asked = questions.vectors
    if metric == "cosine":
        vectors, asked = unit_rows(vectors), unit_rows(asked)
    rows, _ = topk.search(asked, vectors, _DEPTH)
    found = ([ids[row] for row in each] for each in rows.tolist())
    return dict(zip(questions.ids, found, strict=True))
