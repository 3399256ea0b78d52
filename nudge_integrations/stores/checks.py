"""What is refused before a question is embedded for a live store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError, MetricMismatchError, StoreError
from nudge_integrations.relevance import RelevanceDataset
from nudge_integrations.stores.store import LiveStore

if TYPE_CHECKING:
    from nudge_integrations.methods import Method

_FEW = 100


def check_filled(store: LiveStore) -> int:
    """How many vectors the store holds.

    Raises:
        StoreError: None.
    """
    count = store.count()
    if not count:
        raise StoreError(f"{store.identity} is empty: add documents first")
    return count


def check_ranking(method: Method, store: LiveStore) -> None:
    """Refuse a method whose vectors the store would rank wrongly.

    Raises:
        MetricMismatchError: NUDGE-M, and a store that does not rank by the inner product.
    """
    if not method.keeps_length and store.metric != "dot":
        raise MetricMismatchError(
            f"{method.name.upper()} gives vectors of other lengths, and {store.identity} ranks by "
            f"{store.metric}: use method='c' or 'n', or a store that ranks by the inner product"
        )


def check_there(store: LiveStore, datasets: list[RelevanceDataset]) -> None:
    """Refuse judgments of another store's documents before a question is embedded.

    As a rule the first few ids tell, so that hardly anything is read twice.
    """
    judged = (dataset.qrels[name] for dataset in datasets for name in dataset.judged_queries)
    labelled = list(dict.fromkeys(id_ for each in judged for id_, grade in each.items() if grade))
    for start in range(0, len(labelled), _FEW):
        if store.read(labelled[start : start + _FEW]):
            return
    raise strangers(labelled, store)


def strangers(labelled: list[str], store: LiveStore) -> DataError:
    """The error about answers of which a store has none."""
    return DataError(
        f"none of the {len(labelled)} answers ({name_some(labelled)}) is in {store.identity}, "
        f"whose ids are such as {name_some(list(itertools.islice(store.ids(), 1)))}: do the "
        "judgments name documents by the ids of this store? LangChain's ids are those that "
        "add_documents returned, LlamaIndex's are node ids"
    )


def no_such(where: str, what: str, name: str, there: Sequence[str]) -> StoreError:
    """The error about a collection that a database does not have."""
    if not there:
        return StoreError(f"{where} has no {what} {name!r}: it is empty; check the place")
    return StoreError(
        f"{where} has no {what} {name!r}: it has {name_some(sorted(there))}"
        f"{did_you_mean(name, there)}"
    )
