"""`RelevanceDataset`: what people ask, what there is to find, and which answers which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import check_answerable, checked
from nudge_integrations.relevance.formats import Formats
from nudge_integrations.relevance.splits import By, leaks, split_ids

_T = TypeVar("_T")
_Judged = Mapping[str, int] | Sequence[str] | AbstractSet[str]


@dataclass(frozen=True, init=False, repr=False)
class RelevanceDataset(Formats):
    """Queries, a corpus, and judgments of which documents answer which query. Read-only.

    >>> data = RelevanceDataset(
    ...     queries={"q1": "How do I undo it?", "q2": "Is it fast?"},
    ...     corpus={"d1": "revert() restores the original vectors.", "d2": "It takes seconds."},
    ...     qrels={"q1": {"d1": 2, "d2": 0}, "q2": ["d2"]},
    ... )
    >>> data
    RelevanceDataset(2 queries, 2 documents, 3 judgments)
    >>> data.answers("q1")
    ('d1',)

    Args:
        queries: Query id -> text.
        corpus: Document id -> text, as it is embedded. Empty means judgments only: documents are
            known by id, and judgments are not checked against them.
        qrels: Query id -> (document id -> grade). A grade is a whole number: 0 says that the
            document was looked at and is no answer, higher is better. A list of document ids, the
            shape of LlamaIndex, gives each of them grade 1. Queries may be without judgments.

    The attributes of these names are read-only copies, with every grade an int, and no entry in
    `qrels` for a query without judgments.

    Raises:
        DataError: An id that is not a string or is empty, a text that is not a string or is
            blank, a judgment for an unknown query or document, a grade that is negative or no
            whole number, no queries, or no answer at all. The id is named.
    """

    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def __init__(
        self, queries: Mapping[str, str], corpus: Mapping[str, str], qrels: Mapping[str, _Judged]
    ) -> None:
        texts, documents, judgments = checked(queries, corpus, qrels)
        self._set(
            MappingProxyType(texts),
            MappingProxyType(documents),
            MappingProxyType({name: MappingProxyType(of) for name, of in judgments.items()}),
        )

    def _set(
        self,
        queries: Mapping[str, str],
        corpus: Mapping[str, str],
        qrels: Mapping[str, Mapping[str, int]],
    ) -> None:
        object.__setattr__(self, "queries", queries)
        object.__setattr__(self, "corpus", corpus)
        object.__setattr__(self, "qrels", qrels)

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.queries)

    def __repr__(self) -> str:
        documents = f"{len(self.corpus)} documents" if self.corpus else "no corpus"
        judgments = sum(map(len, self.qrels.values()))
        return f"RelevanceDataset({len(self)} queries, {documents}, {judgments} judgments)"

    def __reduce__(self) -> tuple[Any, ...]:
        # copy.deepcopy, and a process pool, cannot copy read-only mappings by themselves.
        judgments = {name: dict(judged) for name, judged in self.qrels.items()}
        return RelevanceDataset, (dict(self.queries), dict(self.corpus), judgments)

    @cached_property
    def judged_queries(self) -> tuple[str, ...]:
        """Ids of the queries with at least one answer, in the order of `queries`."""
        return tuple(name for name in self.queries if any(self.qrels.get(name, {}).values()))

    def answers(self, query_id: str) -> tuple[str, ...]:
        """Ids of the documents that answer a query: those of grade 1 or higher.

        Raises:
            DataError: There is no such query.
        """
        self._check_known([query_id])
        return tuple(name for name, grade in self.qrels.get(query_id, {}).items() if grade > 0)

    def subset(self, query_ids: Iterable[str]) -> RelevanceDataset:
        """Keep some queries, in the order given, and their judgments; the corpus stays whole.

        Raises:
            DataError: There is no such query, or no answer is left.
        """
        wanted = list(query_ids)
        self._check_known(wanted)
        queries = {name: self.queries[name] for name in wanted}
        qrels = {name: self.qrels[name] for name in wanted if name in self.qrels}
        check_answerable(queries, qrels)
        # The parts were checked when this dataset was made: they are shared, not copied.
        part = object.__new__(RelevanceDataset)
        part._set(MappingProxyType(queries), self.corpus, MappingProxyType(qrels))
        return part

    def with_corpus(self, corpus: Mapping[str, str]) -> RelevanceDataset:
        """The same queries and judgments over another corpus (`{}` for judgments only).

        Raises:
            DataError: A text is bad, or a judgment names a document that is not in `corpus`.
        """
        return RelevanceDataset(self.queries, corpus, self.qrels)

    def merge(self, other: RelevanceDataset) -> RelevanceDataset:
        """Everything that stands in this dataset or in `other`, such as train + validation.

        Raises:
            DataError: The two give one id different texts, or one judgment different grades; or
                one has no corpus and judges a document that the other's corpus lacks.
        """
        qrels = {name: dict(judged) for name, judged in self.qrels.items()}
        for name, judged in other.qrels.items():
            conflict = f"query {name!r} has two grades for document"
            qrels[name] = _united(qrels.get(name, {}), judged, conflict)
        return RelevanceDataset(
            _united(self.queries, other.queries, "there are two texts for query"),
            _united(self.corpus, other.corpus, "there are two texts for document"),
            qrels,
        )

    def without_queries_of(self, other: RelevanceDataset) -> RelevanceDataset:
        """Drop the queries whose text stands in `other` too, under any id (see `text_key`).

        Raises:
            DataError: No query with an answer is left.
        """
        shared = {leak.second for leak in leaks(other, self)}
        kept = [name for name in self.queries if name not in shared]
        if shared and shared.issuperset(self.judged_queries):
            raise DataError(
                f"{name_some(sorted(shared))}: every query with an answer stands in the other "
                "dataset too; make the splits with RelevanceDataset.split()"
            )
        return self.subset(kept) if shared else self

    def split(
        self,
        fractions: Sequence[float] = (0.7, 0.1, 0.2),
        seed: int = 0,
        by: By = "query",
        together: Iterable[Collection[str]] = (),
    ) -> tuple[RelevanceDataset, ...]:
        """Cut the queries into datasets, such as train, validation and test, over one corpus.

        Queries with the same text (see `text_key`) are never cut apart. The cut depends on ids,
        texts, answers and the seed, not on the order of the mappings; each dataset has its
        queries sorted by id, and at least one with an answer.

        Args:
            fractions: Share of the queries for each dataset; positive, summing to 1.
            seed: Another seed cuts elsewhere.
            by: `"query"`, or `"document"` to keep queries together that share an answer, so that
                no answer in one dataset is an answer in another. Chains of shared answers can
                tie most queries together; the splits are uneven then, and a warning is logged.
            together: Groups of query ids that must not be cut apart either, such as those of
                `nudge_integrations.questions.near_duplicates`.

        Returns:
            One dataset for each fraction.

        Raises:
            DataError: Bad fractions, an unknown `by`, or too few queries: the message says how
                many are needed.
        """
        parts = split_ids(self.queries, self.corpus, self.qrels, fractions, seed, by, together)
        return tuple(self.subset(part) for part in parts)

    def folds(
        self, k: int = 5, seed: int = 0, by: By = "query"
    ) -> list[tuple[RelevanceDataset, RelevanceDataset]]:
        """Cut the queries into `k` parts for cross-validation; each is held out once.

        Args:
            k: Number of folds, 2 or more.
            seed: As for `split`.
            by: As for `split`.

        Returns:
            `k` pairs (train, held out), cut as `split` cuts.

        Raises:
            DataError: `k` is below 2, an unknown `by`, or too few queries.
        """
        if k < 2:
            raise DataError(f"k={k!r} folds leave nothing to train on; use k=2 or more")
        parts = split_ids(self.queries, self.corpus, self.qrels, [1 / k] * k, seed, by)
        return [
            (self.subset(sorted(set(self.queries).difference(part))), self.subset(part))
            for part in parts
        ]

    def _check_known(self, query_ids: Sequence[str]) -> None:
        unknown = [name for name in query_ids if name not in self.queries]
        if unknown:
            raise DataError(
                f"query {name_some(unknown)} is not among the {len(self)} queries; "
                "use ids of dataset.queries"
            )


def _united(first: Mapping[str, _T], second: Mapping[str, _T], conflict: str) -> dict[str, _T]:
    for name, value in second.items():
        if first.get(name, value) != value:
            raise DataError(
                f"{conflict} {name!r} in the datasets to merge, {first[name]!r:.80} and "
                f"{value!r:.80}; give one of them another id or make them the same"
            )
    return {**first, **second}
