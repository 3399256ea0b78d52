"""Which documents answer which queries, as compressed sparse rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import IntVector
from nudge_integrations.errors import DataError


@dataclass(frozen=True)
class Judgments:
    """Relevance judgments of `n_queries` queries over `n_documents` documents (CSR).

    Attributes:
        indptr: Shape `(n_queries + 1,)`, int64: query `i` owns entries `indptr[i]:indptr[i + 1]`.
        documents: Shape `(entries,)`, int64: row of the judged document.
        grades: Shape `(entries,)`, float32, above 0: 1 unless judgments are graded.
        n_documents: Number of documents.
    """

    indptr: IntVector
    documents: IntVector
    grades: npt.NDArray[np.float32]
    n_documents: int

    @classmethod
    def from_lists(
        cls,
        answers: Sequence[Sequence[int]],
        n_documents: int,
        grades: Sequence[Sequence[float]] | None = None,
        what: str = "queries",
    ) -> Judgments:
        """Build from one list of document rows a query (nudge-ft's `q_ans_indx`).

        Args:
            answers: For each query, the rows of the documents that answer it.
            n_documents: Number of documents.
            grades: Grades, shaped like `answers`; 1 each when left out.
            what: What the queries are, for error messages.

        Raises:
            DataError: A row outside `0 .. n_documents - 1`, or not an integer; grades that are
                not one finite number above 0 an answer.
        """
        counts = _lengths(answers, what)
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        flat: list[Any] = [row for rows in answers for row in rows]
        values = np.asarray(flat)
        if len(flat) and values.dtype.kind not in "iu":
            raise DataError(
                f"{what}: answers must be integer rows of the document matrix, got "
                f"{values.dtype}; map document ids to rows first"
            )
        documents = values.astype(np.int64)
        outside = np.flatnonzero((documents < 0) | (documents >= n_documents))
        if len(outside):
            query = int(np.searchsorted(indptr, outside[0], side="right")) - 1
            raise DataError(
                f"{what}: query {query} names document {int(documents[outside[0]])}, but the "
                f"documents are numbered 0 to {n_documents - 1}"
            )
        flat_grades = np.ones(len(documents), np.float32)
        if grades is not None:
            if not np.array_equal(_lengths(grades, what), counts):
                raise DataError(f"{what}: grades must be shaped like the answers, one for each")
            flat_grades = np.array([grade for row in grades for grade in row], np.float32)
        wrong = np.flatnonzero(~((flat_grades > 0) & (flat_grades < np.inf)))
        if len(wrong):
            query = int(np.searchsorted(indptr, wrong[0], side="right")) - 1
            raise DataError(
                f"{what}: query {query} gives document {int(documents[wrong[0]])} the grade "
                f"{flat_grades[wrong[0]]:g}; leave out what is not relevant, grade the rest above 0"
            )
        return cls(indptr, documents, flat_grades, n_documents)

    @property
    def n_queries(self) -> int:
        """Number of queries, those without an answer included."""
        return len(self.indptr) - 1

    @property
    def counts(self) -> IntVector:
        """Number of judged documents of each query, shape `(n_queries,)`."""
        return np.diff(self.indptr)

    @property
    def query_of_entry(self) -> IntVector:
        """The query that owns each entry, shape `(entries,)`."""
        return np.repeat(np.arange(self.n_queries, dtype=np.int64), self.counts)

    def select(self, queries: npt.NDArray[Any]) -> Judgments:
        """The judgments of some queries (row numbers or a mask), in that order."""
        rows = np.arange(self.n_queries)[queries]
        counts = self.counts[rows]
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        entries = np.repeat(self.indptr[rows] - indptr[:-1], counts) + np.arange(indptr[-1])
        return Judgments(indptr, self.documents[entries], self.grades[entries], self.n_documents)

    def unique(self) -> Judgments:
        """The same with each document named once a query (the highest grade), rows ascending."""
        order = np.lexsort((-self.grades, self.documents, self.query_of_entry))
        query, document = self.query_of_entry[order], self.documents[order]
        first = np.ones(len(order), bool)
        first[1:] = (query[1:] != query[:-1]) | (document[1:] != document[:-1])
        counts = np.bincount(query[first], minlength=self.n_queries)
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        return Judgments(indptr, document[first], self.grades[order][first], self.n_documents)

    def grades_of(self, queries: IntVector, documents: IntVector) -> npt.NDArray[np.float32]:
        """Grades of documents for queries, 0 for what is not judged; `self` must be `unique()`.

        Args:
            queries: Shape `(q,)`: which queries.
            documents: Shape `(q, k)`: documents to look up for each.
        """
        known = self.query_of_entry * np.int64(self.n_documents) + self.documents
        wanted = queries[:, None] * np.int64(self.n_documents) + documents
        if not len(known):
            return np.zeros(wanted.shape, np.float32)
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[place] == wanted, self.grades[place], np.float32(0))

    def answered_in(self, documents: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which queries have an answer among `documents`, a mask of shape `(n_documents,)`."""
        mask = np.zeros(self.n_queries, bool)
        mask[self.query_of_entry[documents[self.documents]]] = True
        return mask

    def touched(self) -> npt.NDArray[np.bool_]:
        """Which documents answer at least one query, shape `(n_documents,)`."""
        mask = np.zeros(self.n_documents, bool)
        mask[self.documents] = True
        return mask


def _lengths(lists: Sequence[Sequence[Any]], what: str) -> IntVector:
    try:
        return np.array([len(each) for each in lists], dtype=np.int64)
    except TypeError as error:
        raise DataError(f"{what}: give one list a query, [] for none: {error}") from error


def concatenate(first: Judgments, second: Judgments) -> Judgments:
    """The judgments of the queries of `first`, then those of `second`."""
    return Judgments(
        np.concatenate([first.indptr, second.indptr[1:] + first.indptr[-1]]),
        np.concatenate([first.documents, second.documents]),
        np.concatenate([first.grades, second.grades]),
        first.n_documents,
    )
