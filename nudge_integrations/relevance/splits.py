"""Split queries, keeping related ones together; find queries that two splits share."""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, Protocol

from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError, LeakError

_log = logging.getLogger(__name__)

_SHOWN_QUERIES = 3
_SHOWN_CHARACTERS = 60

By = Literal["query", "document"]


class HasQueries(Protocol):
    """A dataset, as far as its queries go."""

    @property
    def queries(self) -> Mapping[str, str]:
        """Query id -> text."""


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
    positive = all(math.isfinite(fraction) and fraction > 0 for fraction in fractions)
    if len(fractions) < 2 or not positive or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise DataError(
            f"fractions {tuple(fractions)!r} must be two or more positive numbers that sum to 1, "
            "such as (0.7, 0.1, 0.2)"
        )
    if by not in ("query", "document"):
        raise DataError(f"by={by!r} is unknown; use by='query' or by='document'")
    keys: dict[str, list[Hashable]] = {
        name: [("query", text_key(text))] for name, text in queries.items()
    }
    if by == "document":
        for name, judged in qrels.items():
            for each in (each for each, grade in judged.items() if grade > 0):
                # Documents with one text are one document to an embedding model.
                keys[name].append(("text", text_key(corpus[each])) if corpus else ("id", each))
    for place, tied in enumerate(together):
        for name in keys.keys() & set(tied):
            keys[name].append(("together", place))
    groups = _groups(keys)
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
    if usable < len(fractions):
        raise DataError(_too_few(usable, len(fractions), len(queries), by))
    largest = max(map(len, groups))
    if largest / len(queries) > max(fractions):
        _log.warning(
            "%.0f%% of the %d queries belong together and must stay in one split, so the splits "
            "are uneven%s",
            100 * largest / len(queries),
            len(queries),
            "; by='query' would cut them apart" if by == "document" else "",
        )
    return [sorted(part) for part in _deal(groups, usable, fractions)]


def _too_few(usable: int, parts: int, queries: int, by: By) -> str:
    if by == "query":
        return (
            f"{parts} splits need {parts} queries with an answer and different texts, and there "
            f"are {usable} (of {queries} queries); add queries or ask for fewer splits"
        )
    return (
        f"{parts} splits by document need {parts} groups of queries that share no answer, and "
        f"the {queries} queries fall into {usable}; use by='query' or ask for fewer splits"
    )


def _groups(keys: Mapping[str, Iterable[Hashable]]) -> list[list[str]]:
    """Put queries that share a key, directly or through others, into one group (sorted ids)."""
    parent = {name: name for name in sorted(keys)}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[Hashable, str] = {}
    for name in parent:
        for key in keys[name]:
            parent[root(name)] = root(owner.setdefault(key, name))
    groups: dict[str, list[str]] = {}
    for name in parent:
        groups.setdefault(root(name), []).append(name)
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


class Leak(NamedTuple):
    """A query that two datasets share."""

    first: str
    """Id of the query in the first dataset."""
    second: str
    """Id of the query in the second dataset."""
    text: str
    """Its text, as the second dataset has it."""


def text_key(text: str) -> str:
    r"""What makes two texts the same question: all but letter case, white space and code points.

    The text in Unicode normal form NFKC, case-folded, each run of white space one space.

    >>> text_key("  What IS\nNUDGE? ") == text_key("what is nudge?")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Case folding can undo the normal form, so it is made again.
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def question_key(text: str) -> str:
    """A name for all writings of one question that does not tell the text: hash of `text_key`."""
    return text_hash(text_key(text))


def leaks(first: HasQueries, second: HasQueries) -> list[Leak]:
    """Find the queries of `second` that stand in `first` too, under any id (see `text_key`).

    Args:
        first: One dataset, such as the training queries.
        second: Another, such as the test queries.

    Returns:
        One `Leak` for each leaking query of `second`, in the order of `second`. Where several
        queries of `first` have the text, the first of them is named.
    """
    known: dict[str, str] = {}
    for query_id, text in first.queries.items():
        known.setdefault(text_key(text), query_id)
    found = ((known.get(text_key(text)), name, text) for name, text in second.queries.items())
    return [Leak(other, name, text) for other, name, text in found if other is not None]


def check_leaks(**datasets: HasQueries) -> None:
    """Make sure that no two datasets share a query.

    Args:
        **datasets: The datasets under the names that the message shall use, such as
            `train=..., validation=..., test=...`.

    Raises:
        LeakError: At least two share a query. Every pair of datasets that does is named, each
            with some of its leaking queries.
    """
    problems, remedies = [], []
    for (name, first), (other_name, second) in combinations(datasets.items(), 2):
        found = leaks(first, second)
        if found:
            problems.append(
                f"{other_name!r} shares {len(found)} of its {len(second.queries)} queries with "
                f"{name!r}: {_shown(found)}"
            )
            remedies.append(f"{other_name}.without_queries_of({name})")
    if problems:
        raise LeakError(
            f"{'; '.join(problems)}. Drop them with {', '.join(remedies)} (RelevanceDataset.coerce "
            "reads other kinds of datasets), or make the splits with RelevanceDataset.split(), "
            "which never cuts a query apart"
        )


def _shown(found: Sequence[Leak]) -> str:
    names = []
    for leak in found[:_SHOWN_QUERIES]:
        text = " ".join(leak.text.split())
        text = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        names.append(f"{leak.second!r} (there {leak.first!r}: {text!r})")
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
