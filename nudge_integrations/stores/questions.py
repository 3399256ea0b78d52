"""Judged questions of a live store: embedded, with their answers by document id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
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
        embed_query: Embedder | Callable[[str], Any],
        store: LiveStore,
        show_progress: bool,
    ) -> Questions:
        """Embed the questions of a dataset that have an answer; the same text is one question.

        Raises:
            DataError: The vectors have not the dimension of the store's; found out by the first.
        """
        names = list(dataset.judged_queries)
        texts = {question_key(dataset.queries[name]): dataset.queries[name] for name in names}
        first, *others = texts.values()
        vectors = query_vectors([first], embed_query, show_progress)
        if vectors.shape[1] != store.dimension:
            raise DataError(
                f"embed_query gives vectors of {vectors.shape[1]} dimensions, and those in "
                f"{store.identity} have {store.dimension}: pass the embedding model that the "
                "store was filled with"
            )
        if others:
            rest = query_vectors(others, embed_query, show_progress)
            vectors = np.concatenate([vectors, rest])
        answers: dict[str, dict[str, int]] = {key: {} for key in texts}
        for name in names:
            mine = answers[question_key(dataset.queries[name])]
            for document, grade in dataset.qrels[name].items():
                id_ = store.canonical(document)
                if grade > 0:
                    # An id that cannot be one of this store is kept, to be named as missing.
                    mine[id_ or document] = max(grade, mine.get(id_ or document, 0))
        return cls(
            {
                key: TrainingQuestion(vector, answers[key])
                for key, vector in zip(texts, vectors, strict=True)
            },
            texts,
        )

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

    def answered_by(self, documents: Mapping[str, Any]) -> Questions:
        """Those with an answer among some documents."""
        kept = {
            key: each
            for key, each in self.asked.items()
            if any(name in documents for name in each.answers)
        }
        return Questions(kept, self.texts)


def query_embedder(embed_query: Any, show_progress: bool) -> Embedder | Callable[[str], Any]:
    """A function of one text as it is, or an embedder of any embedding model.

    Raises:
        DataError: Neither of these, or an async function.
        NudgeError: No model of that name can be loaded.
    """
    known = (is_langchain, is_llama_index, is_sentence_transformer)
    is_model = isinstance(embed_query, (str, Embedder)) or any(test(embed_query) for test in known)
    if is_model or not callable(embed_query) or inspect.isclass(embed_query):
        return as_embedder(embed_query, show_progress=show_progress)
    if inspect.iscoroutinefunction(embed_query):
        raise DataError(
            f"embed_query is async ({embed_query.__qualname__}): pass the embedding model itself, "
            "or its sync method"
        )
    function: Callable[[str], Any] = embed_query
    return function


def query_vectors(
    texts: list[str], embed_query: Embedder | Callable[[str], Any], show_progress: bool
) -> FloatMatrix:
    """Embed queries with what `query_embedder` gave.

    Raises:
        DataError: The function gives something that is no vector; the query is named.
    """
    if isinstance(embed_query, Embedder):
        return embed_query.embed_queries(texts)
    rows = [
        np.asarray(embed_query(text), np.float32)
        for text in tqdm(texts, "Embedding queries", delay=1, disable=not show_progress)
    ]
    wrong = [text for text, row in zip(texts, rows, strict=True) if row.shape != rows[0].shape]
    if wrong or rows[0].ndim != 1:
        raise DataError(
            f"embed_query must give one vector a text, always of one length; it gave shape "
            f"{rows[texts.index(wrong[0]) if wrong else 0].shape} for {(wrong or texts)[0]!r:.80}"
        )
    return as_matrix(rows, "query vectors", ids=texts)


def ids_of(questions: Sequence[Questions]) -> list[str]:
    """Every document that answers one of the questions, each once."""
    return list(
        dict.fromkeys(
            name for part in questions for each in part.asked.values() for name in each.answers
        )
    )


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
