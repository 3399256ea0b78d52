"""Judged questions of a live store: embedded, with their answers by document id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, unit_rows
from nudge_integrations.embedding import Embedder, as_embedder
from nudge_integrations.embedding.models import (
    is_langchain,
    is_llama_index,
    is_sentence_transformer,
)
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset, question_key
from nudge_integrations.stores.entries import TrainingQuestion
from nudge_integrations.stores.store import LiveStore

if TYPE_CHECKING:
    from nudge_integrations.methods import Judgments

_ENOUGH = 16
Embed = Callable[[list[str]], FloatMatrix]


@dataclass(frozen=True)
class Questions:
    """Questions with an answer, by `question_key`.

    Attributes:
        asked: Their vectors and answers.
        texts: Their texts, of those whose text is known.
    """

    asked: dict[str, TrainingQuestion]
    texts: dict[str, str]

    @classmethod
    def embed(
        cls,
        dataset: RelevanceDataset,
        embed: Embed,
        store: LiveStore,
    ) -> Questions:
        """Embed the questions of a dataset that have an answer; the same text is one question.

        Raises:
            DataError: The vectors have not the dimension of the store's; found out by the first.
        """
        names = list(dataset.judged_queries)
        texts = {question_key(dataset.queries[name]): dataset.queries[name] for name in names}
        first, *others = texts.values()
        vectors = embed([first])
        if vectors.shape[1] != store.dimension:
            raise DataError(
                f"embed_query gives vectors of {vectors.shape[1]} dimensions, and those in "
                f"{store.identity} have {store.dimension}: pass the embedding model that the "
                "store was filled with"
            )
        if others:
            vectors = np.concatenate([vectors, embed(others)])
        answers: dict[str, dict[str, int]] = {key: {} for key in texts}
        for name in names:
            mine = answers[question_key(dataset.queries[name])]
            for document, grade in dataset.qrels[name].items():
                id_ = store.canonical(document)
                if grade > 0:
                    # An id that cannot be one of this store is kept, to be named as missing.
                    mine[id_ or document] = max(grade, mine.get(id_ or document, 0))
        asked = map(TrainingQuestion, vectors, answers.values())
        return cls(dict(zip(texts, asked, strict=True)), texts)

    def judgments(self, row_of: Mapping[str, int]) -> Judgments:
        """Which of some documents answer them; answers elsewhere are left out."""
        from nudge_integrations.methods import Judgments

        known = [
            {row_of[name]: grade for name, grade in each.answers.items() if name in row_of}
            for each in self.asked.values()
        ]
        return Judgments.from_lists(
            [list(each) for each in known], len(row_of), [list(each.values()) for each in known]
        )

    def vectors(self) -> FloatMatrix:
        """Shape `(q, d)`."""
        return np.stack([each.vector for each in self.asked.values()])

    def answered_by(self, documents: Collection[str]) -> Questions:
        """Those with an answer among some documents."""
        known = set(documents)
        kept = {key: each for key, each in self.asked.items() if known & each.answers.keys()}
        return Questions(kept, self.texts)


def query_embedder(embed_query: Any, show_progress: bool) -> Embed:
    """Embeds texts by any embedding model, or by a function of one text.

    Raises:
        DataError: Neither of these, or an async function; or, when called, a function that gives
            something that is no vector; the query is named.
        NudgeError: No model of that name can be loaded.
    """
    known = (is_langchain, is_llama_index, is_sentence_transformer)
    is_model = isinstance(embed_query, (str, Embedder)) or any(test(embed_query) for test in known)
    if is_model or not callable(embed_query) or inspect.isclass(embed_query):
        return as_embedder(embed_query, show_progress=show_progress).embed_queries
    if inspect.iscoroutinefunction(embed_query):
        raise DataError(
            f"embed_query is async ({embed_query.__qualname__}): pass the embedding model itself, "
            "or its sync method"
        )

    def embed(texts: list[str]) -> FloatMatrix:
        bar = tqdm(texts, "Embedding queries", delay=1, disable=not show_progress)
        rows = [np.asarray(embed_query(text), np.float32) for text in bar]
        for text, row in zip(texts, rows, strict=True):
            if row.ndim != 1 or row.shape != rows[0].shape:
                raise DataError(
                    "embed_query must give one vector a text, always of one length; it gave shape "
                    f"{row.shape} for {text!r:.80}"
                )
        return as_matrix(rows, "query vectors", ids=texts)

    return embed


def ids_of(questions: Sequence[Questions]) -> list[str]:
    """Every document that answers one of the questions, each once."""
    asked = (each for part in questions for each in part.asked.values())
    return list(dict.fromkeys(name for each in asked for name in each.answers))


def answers_look_random(
    questions: Questions, row_of: Mapping[str, int], documents: FloatMatrix
) -> bool:
    """Whether answers are nearer to their questions than other questions' answers only by chance.

    Vectors of two models of one dimension have nothing to do with each other, and no error comes
    of it: each question's answer is then nearer than that of the next question in half of the
    cases. Up to two standard errors above half count as chance.

    Args:
        questions: Questions with an answer among the documents.
        row_of: Row of each document id.
        documents: Shape `(n, d)`.

    Returns:
        False also where there are fewer than 16 questions to tell by.
    """
    asked = list(questions.asked.values())
    own = np.array(
        [next(row_of[name] for name in each.answers if name in row_of) for each in asked]
    )
    others = np.roll(own, 1)
    units = unit_rows(documents)
    gaps = np.einsum("qd,qd->q", unit_rows(questions.vectors()), units[own] - units[others])
    gaps = gaps[own != others]
    return len(gaps) >= _ENOUGH and bool(np.mean(gaps > 0) <= 0.5 + 1 / np.sqrt(len(gaps)))
