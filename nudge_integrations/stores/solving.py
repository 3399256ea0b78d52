"""From a live store and judged questions to tuned vectors: what is read, searched and worked out.

Only documents with questions move. All others matter by their nearest to a few questions alone,
and these the store's own search gives. So the cost depends on the judgments, not on the store.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, norms
from nudge_integrations.embedding import Embedder, as_embedder
from nudge_integrations.embedding.models import (
    is_langchain,
    is_llama_index,
    is_sentence_transformer,
)
from nudge_integrations.errors import DataError, UnsupportedStoreError
from nudge_integrations.relevance import RelevanceDataset, question_key
from nudge_integrations.stores.entries import Asked
from nudge_integrations.stores.store import LiveStore, scores_of

if TYPE_CHECKING:
    from nudge_integrations.methods import Judgments

_EQUAL_LENGTHS = 1e-3
_FEW = 4
_BLOCK = 256  # queries between two steps of the progress bar


@dataclass(frozen=True)
class Questions:
    """Questions with an answer, by `question_key`.

    Attributes:
        asked: Their vectors and answers.
        texts: Their texts, of those whose text is known.
    """

    asked: dict[str, Asked]
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
                if grade > 0:
                    mine[document] = max(grade, mine.get(document, 0))
        return cls(
            {key: Asked(vector, answers[key]) for key, vector in zip(texts, vectors, strict=True)},
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


@dataclass(frozen=True)
class Nearby:
    """The nearest documents that no question moves.

    Attributes:
        scores: Shape `(q, k)`, float32: cosines, or inner products; best first, -inf for none.
        searches: How many queries were asked of the store.
        hits: How many ids and scores it gave.
        vectors_read: How many vectors were read instead.
    """

    scores: FloatMatrix
    searches: int = 0
    hits: int = 0
    vectors_read: int = 0


def nearby(
    store: LiveStore,
    vectors: FloatMatrix,
    left_out: Mapping[str, Any],
    k: int,
    as_scores: Callable[[FloatMatrix, FloatMatrix], FloatMatrix],
    show_progress: bool,
) -> Nearby:
    """Search for the `k` nearest of each query that are not left out, deeper where need be.

    Where almost everything is left out, the few others are read instead: to find them among the
    hits, all of the store would have to be hit.

    Args:
        store: To ask.
        vectors: Shape `(q, d)`: queries.
        left_out: Ids that do not count.
        k: How many a query.
        as_scores: Makes the method's scores of the store's, see `scale_of`.
        show_progress: Whether to draw a progress bar.
    """
    count = store.count()
    if count - len(left_out) <= max(k, len(vectors) // _FEW):
        return _by_reading(store, vectors, left_out, k, as_scores)
    result = np.full((len(vectors), k), -np.inf, np.float32)
    searches = hits = 0
    bar = tqdm(
        total=len(vectors), desc="Searching", unit="query", delay=1, disable=not show_progress
    )
    with bar:
        for start in range(0, len(vectors), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(vectors)))
            bar.update(len(rows))
            deep = min(count, k + min(len(left_out), k // 4 + 10))
            while len(rows):
                found = store.search(vectors[rows], max(1, deep))
                searches, hits = searches + len(rows), hits + sum(map(len, found))
                short = []
                for row, each in zip(rows.tolist(), found, strict=True):
                    scores = [score for name, score in each if name not in left_out][:k]
                    result[row] = -np.inf
                    result[row, : len(scores)] = scores
                    if len(scores) < k and len(each) >= deep and deep < count:
                        short.append(row)
                rows, deep = np.array(short, np.int64), min(count, 2 * deep)
    return Nearby(as_scores(result, vectors), searches, hits)


def _by_reading(
    store: LiveStore,
    vectors: FloatMatrix,
    left_out: Mapping[str, Any],
    k: int,
    as_scores: Callable[[FloatMatrix, FloatMatrix], FloatMatrix],
) -> Nearby:
    others = list(store.read([name for name in store.ids() if name not in left_out]).values())
    result = np.full((len(vectors), k), -np.inf, np.float32)
    if others:
        matrix = np.stack(others)
        for start in range(0, len(vectors), _BLOCK):
            rows = slice(start, start + _BLOCK)
            best = -np.sort(-scores_of(store.metric, vectors[rows], matrix), axis=1)[:, :k]
            result[rows, : best.shape[1]] = best
    return Nearby(as_scores(result, vectors), vectors_read=len(others))


def scale_of(
    store: LiveStore, documents: FloatMatrix
) -> Callable[[FloatMatrix, FloatMatrix], FloatMatrix]:
    """How the store's scores become what a method takes: cosines under cosine and l2.

    Raises:
        UnsupportedStoreError: An l2 store with vectors of different lengths, in which a nearer
            direction need not be nearer.
    """
    if store.metric != "l2":
        return lambda scores, _: scores
    lengths = norms(documents)
    length = float(lengths.mean())
    if float(np.ptp(lengths)) > _EQUAL_LENGTHS * length:
        raise UnsupportedStoreError(
            f"{store.identity} ranks by l2, and its vectors have lengths from {lengths.min():.4g} "
            f"to {lengths.max():.4g}: tuning turns vectors, which ranks by l2 only if all have one "
            "length; normalise them before they are stored, or use cosine"
        )

    def cosines(scores: FloatMatrix, queries: FloatMatrix) -> FloatMatrix:
        sizes = norms(queries)[:, None].astype(np.float64)
        found = (sizes**2 + length**2 + scores) / (2 * sizes * length)
        return found.astype(np.float32)

    return cosines


def ids_of(questions: Sequence[Questions]) -> list[str]:
    """Every document that answers one of the questions, each once."""
    return list(
        dict.fromkeys(
            name for part in questions for each in part.asked.values() for name in each.answers
        )
    )
