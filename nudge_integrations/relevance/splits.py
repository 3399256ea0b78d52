"""Cutting queries into splits so that nothing that belongs together is cut apart."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.leakage import text_key

_log = logging.getLogger(__name__)

By = Literal["query", "document"]


def split_ids(
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    fractions: Sequence[float],
    seed: int,
    by: By,
    together: Iterable[Collection[str]] = (),
) -> list[list[str]]:
    """Cut query ids into one list a fraction; see `RelevanceDataset.split`.

    Returns:
        Sorted ids, one list for each fraction, each with at least one query that has an answer.

    Raises:
        DataError: See `RelevanceDataset.split`.
    """
    _check_fractions(fractions)
    groups = _groups(queries, _keys_of(queries, corpus, qrels, by), together)
    answered = {query_id for query_id, judged in qrels.items() if any(judged.values())}
    # A group goes to the front when it can make a split usable; then the large ones, which are
    # hard to place. A hash rather than a generator: the same cut with every release of numpy.
    groups.sort(
        key=lambda group: (
            answered.isdisjoint(group),
            -len(group),
            text_hash(f"{seed}:{group[0]}"),
        )
    )
    usable = sum(not answered.isdisjoint(group) for group in groups)
    _check_enough(usable, len(fractions), len(queries), by)
    _warn_of_giant(groups, len(queries), fractions, by)
    return [sorted(part) for part in _deal(groups, usable, fractions)]


def _check_fractions(fractions: Sequence[float]) -> None:
    positive = all(math.isfinite(fraction) and fraction > 0 for fraction in fractions)
    if len(fractions) < 2 or not positive or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise DataError(
            f"fractions {tuple(fractions)!r} must be two or more positive numbers that sum to 1, "
            "such as (0.7, 0.1, 0.2)"
        )


def _check_enough(usable: int, parts: int, queries: int, by: By) -> None:
    if usable >= parts:
        return
    if by == "query":
        raise DataError(
            f"{parts} splits need {parts} queries with an answer and different texts, and there "
            f"are {usable} (of {queries} queries); add queries or ask for fewer splits"
        )
    raise DataError(
        f"{parts} splits by document need {parts} groups of queries that share no answer, and "
        f"the {queries} queries fall into {usable}; use by='query' or ask for fewer splits"
    )


def _warn_of_giant(
    groups: Sequence[Sequence[str]], queries: int, fractions: Sequence[float], by: By
) -> None:
    largest = max(map(len, groups))
    if largest / queries > max(fractions):
        _log.warning(
            "%.0f%% of the %d queries belong together and must stay in one split, so the splits "
            "are uneven%s",
            100 * largest / queries,
            queries,
            "; by='query' would cut them apart" if by == "document" else "",
        )


def _keys_of(
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    by: By,
) -> Callable[[str], Iterable[tuple[str, str]]]:
    """Give a function from a query id to whatever must not stand in two splits."""
    if by not in ("query", "document"):
        raise DataError(f"by={by!r} is unknown; use by='query' or by='document'")

    def by_query(query_id: str) -> Iterable[tuple[str, str]]:
        yield "query", text_key(queries[query_id])

    if by == "query":
        return by_query
    answers = {name for judged in qrels.values() for name, grade in judged.items() if grade > 0}
    # Documents with one text are one document to an embedding model, whatever their ids.
    document_keys = {
        name: ("text", text_key(corpus[name])) if corpus else ("id", name) for name in answers
    }

    def by_document(query_id: str) -> Iterable[tuple[str, str]]:
        yield from by_query(query_id)
        for document_id, grade in qrels.get(query_id, {}).items():
            if grade > 0:
                yield document_keys[document_id]

    return by_document


def _groups(
    queries: Iterable[str],
    keys_of: Callable[[str], Iterable[tuple[str, str]]],
    together: Iterable[Collection[str]],
) -> list[list[str]]:
    """Put queries that share a key, directly or through others, into one group (sorted ids)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[tuple[str, str], str] = {}
    ordered = sorted(queries)
    for query_id in ordered:
        parent[query_id] = query_id
        for key in keys_of(query_id):
            parent[root(query_id)] = root(owner.setdefault(key, query_id))
    for tied in together:
        known = sorted(name for name in tied if name in parent)
        for name in known[1:]:
            parent[root(name)] = root(known[0])
    groups: dict[str, list[str]] = {}
    for query_id in ordered:
        groups.setdefault(root(query_id), []).append(query_id)
    return list(groups.values())


def _deal(
    groups: Sequence[Sequence[str]], usable: int, fractions: Sequence[float]
) -> list[list[str]]:
    """Deal groups out, each to the part that stays emptiest for its fraction.

    The first `usable` groups leave no part empty.
    """
    parts: list[list[str]] = [[] for _ in fractions]
    for position, group in enumerate(groups):
        empty = [index for index, part in enumerate(parts) if not part]
        must_fill = empty and usable - position <= len(empty)
        size = len(group)
        chosen = min(
            empty if must_fill else range(len(parts)),
            key=lambda index: (len(parts[index]) + size) / fractions[index],
        )
        parts[chosen].extend(group)
    return parts
