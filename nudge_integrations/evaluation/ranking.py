"""Scores from rankings made here: of vectors, exactly, or of a retriever, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from nudge_integrations.common import topk
from nudge_integrations.common.arrays import FloatMatrix, IntVector, as_matrix, unit_rows
from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation.metrics import Metric
from nudge_integrations.evaluation.scores import (
    DEFAULT_METRICS,
    Scores,
    check_retrieved,
    evaluate_rankings,
    parse_metrics,
)


def search(
    queries: npt.NDArray[Any],
    embeddings: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    k: int = 10,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
) -> tuple[IntVector, FloatMatrix]:
    """Find the documents nearest to each query, exactly.

    Args:
        queries: Query vectors, shape `(q, d)`.
        embeddings: Document vectors, shape `(n, d)`; or several such arrays, such as the tuned
            vectors and those of documents that never move, whose rows are numbered on. One array
            is held in memory at a time, so shards may be memory-mapped files.
        k: How many documents to find, at least 1.
        similarity: `"cosine"`, or `"dot"` for the inner product (NUDGE-M's vectors need it).

    Returns:
        Row numbers, int64, and similarities, float32; both of shape `(q, min(k, n))`, best first,
        equal similarities by ascending row.

    Raises:
        DataError: Vectors that do not fit, `k` below 1, or an unknown similarity.
    """
    if similarity not in ("cosine", "dot"):
        raise DataError(f"similarity must be 'cosine' or 'dot', got {similarity!r}")
    asked = as_matrix(queries, "queries")
    scaled = unit_rows if similarity == "cosine" else np.asarray
    best, start = topk.nothing(len(asked)), 0
    for part in _parts(embeddings):
        rows = scaled(as_matrix(part, "embeddings", dimension=asked.shape[1]))
        best = topk.merged(best, topk.search(scaled(asked), rows, k), k, start)
        start += len(rows)
    return best


def evaluate(
    embeddings: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    test_set: Mapping[str, Any],
    metrics: str | Sequence[str | Metric] = DEFAULT_METRICS,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
) -> Scores:
    """Rank all documents for each query, exactly, and score the rankings.

    Args:
        embeddings: Document vectors, shape `(n, d)`, or several such arrays as for `search`.
        test_set: Queries and answers in nudge-ft's form: `{"q_embs": array (q, d),
            "q_ans_indx": one list of document rows per query}`; every answer has grade 1. Add
            `"grades"`, shaped like `"q_ans_indx"`, to grade them.
        metrics: One metric such as `"ndcg@10"`, or several.
        similarity: `"cosine"`, or `"dot"` for the inner product (NUDGE-M's vectors need it).

    Returns:
        Scores of the queries that have answers; their ids are the row numbers, as text.

    Raises:
        DataError: Vectors or answers that do not fit, or an unknown metric or similarity.
    """
    for key in ("q_embs", "q_ans_indx"):
        if not isinstance(test_set, Mapping) or key not in test_set:
            raise DataError(f"test_set must be a dict with 'q_embs' and 'q_ans_indx'; no {key!r}")
    wanted = parse_metrics(metrics)
    if not wanted:
        raise DataError("no metric was given; pass one such as 'ndcg@10'")
    parts = [as_matrix(part, "embeddings") for part in _parts(embeddings)]
    queries = as_matrix(test_set["q_embs"], "q_embs", dimension=parts[0].shape[1])
    count = sum(map(len, parts))
    qrels = _qrels(test_set["q_ans_indx"], test_set.get("grades"), len(queries), count)
    rows, _ = search(queries, parts, max(metric.k for metric in wanted), similarity=similarity)
    rankings = {str(query): [str(row) for row in found] for query, found in enumerate(rows)}
    every = [row for ranking in rankings.values() for row in ranking]  # all of them exist
    return evaluate_rankings(rankings, qrels, wanted, corpus=every)


def _parts(embeddings: Any) -> Sequence[Any]:
    several = isinstance(embeddings, list | tuple) and embeddings and np.ndim(embeddings[0]) == 2
    return embeddings if several else [embeddings]


def _qrels(
    answers: Sequence[Sequence[int]],
    grades: Sequence[Sequence[float]] | None,
    queries: int,
    documents: int,
) -> dict[str, dict[str, float]]:
    counts = _lengths(answers, "q_ans_indx")
    if len(answers) != queries:
        raise DataError(f"{queries} q_embs, but q_ans_indx of {len(answers)} queries")
    if grades is not None and _lengths(grades, "grades") != counts:
        raise DataError("grades must have one grade for each document in q_ans_indx")
    qrels: dict[str, dict[str, float]] = {}
    for query, rows in enumerate(answers):
        for row in rows:
            if not (isinstance(row, int | np.integer) and 0 <= row < documents):
                raise DataError(
                    f"query {query} names document {row!r}, but the documents are numbered 0 to "
                    f"{documents - 1}"
                )
        graded = np.ones(len(rows)) if grades is None else np.asarray(grades[query], np.float64)
        if not np.isfinite(graded).all():
            raise DataError(f"grades of query {query} must be finite, got {graded.tolist()}")
        names = (str(int(row)) for row in rows)
        qrels[str(query)] = dict(zip(names, graded.tolist(), strict=True))
    return qrels


def _lengths(lists: Sequence[Sequence[Any]], what: str) -> list[int]:
    try:
        return [len(each) for each in lists]
    except TypeError as error:
        raise DataError(f"{what} must have one list per query, [] for none: {error}") from error


class Judged(Protocol):
    """What a trial needs of a dataset."""

    @property
    def queries(self) -> Mapping[str, str]:
        """Query id -> text."""

    @property
    def corpus(self) -> Mapping[str, str]:
        """Document id -> text; may be empty."""

    @property
    def qrels(self) -> Mapping[str, Mapping[str, int]]:
        """Query id -> document id -> grade."""

    @property
    def judged_queries(self) -> Sequence[str]:
        """Ids of the queries with an answer."""


class RetrieverTrial:
    """The judged questions, and what a retriever of some framework found for each.

    A retrieved document may have several ids (its own, one that its store keeps in the metadata,
    its parent's). One kind of id is used for all documents: the first kind, unless only another
    one occurs in the dataset.

    Args:
        dataset: The judged questions.
        metrics: Such as `"ndcg@10"`.
        remedy: What to do if no retrieved id is in the dataset, for the message.

    Raises:
        DataError: A metric is unknown.
    """

    def __init__(self, dataset: Judged, metrics: str | Sequence[str], remedy: str) -> None:
        self._metrics = parse_metrics(metrics)
        self._dataset, self._remedy = dataset, remedy
        self._found: dict[str, list[Mapping[str, str]]] = {}

    def questions(self, show_progress: bool = False) -> Iterator[tuple[str, str]]:
        """Id and text of each judged question, behind a progress bar if wanted."""
        from tqdm import tqdm

        names = self._dataset.judged_queries
        for name in tqdm(names, desc="Retrieving", disable=not show_progress):
            yield name, self._dataset.queries[name]

    def add(self, query_id: str, hits: Iterable[Mapping[str, str]]) -> None:
        """Keep what was found for a question: for each document, best first, its ids by kind."""
        self._found[query_id] = list(hits)

    def scores(self) -> Scores:
        """Score what was found.

        Raises:
            DataError: Documents were retrieved, and none of their ids is in the dataset.
        """
        judged = self._dataset
        known = set(judged.corpus or (doc for row in judged.qrels.values() for doc in row))
        hits = [hit for found in self._found.values() for hit in found]
        kinds = dict.fromkeys(kind for hit in hits for kind in hit)
        met = [kind for kind in kinds if any(hit.get(kind) in known for hit in hits)]
        kind = next(iter([*met, *kinds]), "")
        rankings = {
            name: [hit.get(kind) or next(iter(hit.values())) for hit in found]
            for name, found in self._found.items()
        }
        check_retrieved(rankings, known, self._remedy)
        texts = judged.queries
        return evaluate_rankings(rankings, judged.qrels, self._metrics, corpus=known, texts=texts)


def check_retriever(retriever: Any, method: str, instead: Mapping[str, str]) -> None:
    """Refuse an object that is not a retriever of the framework.

    Args:
        retriever: The object.
        method: The method by which the framework's retrievers are asked.
        instead: What to pass, keyed by the attribute that gives the object away.

    Raises:
        DataError: It has no such method.
    """
    if not hasattr(retriever, method) or isinstance(retriever, type):
        known = [remedy for name, remedy in instead.items() if hasattr(retriever, name)]
        raise DataError(
            f"a retriever is needed, not {described(retriever)}: pass "
            f"{known[0] if known else 'what as_retriever() of an index or a store returns'}"
        )
