"""When two queries are the same question, and whether two splits share one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import LeakError

if TYPE_CHECKING:
    from nudge_integrations.relevance.dataset import RelevanceDataset

_SHOWN_QUERIES = 3
_SHOWN_CHARACTERS = 60


class Leak(NamedTuple):
    """One query that stands in two datasets."""

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


def leaks(first: RelevanceDataset, second: RelevanceDataset) -> list[Leak]:
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


def check_leaks(**datasets: RelevanceDataset) -> None:
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
                f"{other_name!r} shares {len(found)} of its {len(second)} queries with {name!r}: "
                f"{_shown(found)}"
            )
            remedies.append(f"{other_name}.without_queries_of({name})")
    if problems:
        raise LeakError(
            f"{'; '.join(problems)}. Drop them with {', '.join(remedies)}, or make the splits "
            "with RelevanceDataset.split(), which never cuts a query apart"
        )


def _shown(found: Sequence[Leak]) -> str:
    names = []
    for leak in found[:_SHOWN_QUERIES]:
        text = " ".join(leak.text.split())
        if len(text) > _SHOWN_CHARACTERS:
            text = f"{text[:_SHOWN_CHARACTERS]}…"
        names.append(f"{leak.second!r} (there {leak.first!r}: {text!r})")
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
