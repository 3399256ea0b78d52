"""Training, validation and test datasets over the documents that are to be tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.dataset import RelevanceDataset
from nudge_integrations.relevance.splits import check_leaks

PARTS = ("train", "validation", "test")
"""What messages call the three datasets."""

Datasets = tuple[RelevanceDataset | None, RelevanceDataset | None, RelevanceDataset | None]

_HOLDOUT = (0.85, 0.15)


def over_documents(
    texts: Mapping[str, str] | None, sources: tuple[Any, Any, Any], *, called: str, id_of: str
) -> tuple[dict[str, str], Datasets]:
    """The documents, and the datasets over exactly these, checked against each other.

    Args:
        texts: Document id -> text; None for the corpus of the training dataset.
        sources: Training, validation and test questions; the latter two may be None.
        called: What the caller calls the documents, for messages.
        id_of: What the caller calls the id of a document, for messages.

    Raises:
        DataError: No training questions, no documents, or a judgment of one that is not there.
        LeakError: Two datasets share a question.
    """
    given = [None if each is None else RelevanceDataset.coerce(each) for each in sources]
    if given[0] is None:
        raise DataError("train_dataset is None; give judged questions to learn from")
    check_leaks(**{name: part for name, part in zip(PARTS, given, strict=True) if part})
    corpus = given[0].corpus
    documents = dict(corpus if texts is None else texts)
    if not documents:
        raise DataError(
            f"no documents to tune: {called} is empty; leave it out to take the {len(corpus)} "
            "documents of the training dataset"
            if corpus
            else "no documents to tune: the training dataset has no corpus, and no nodes or "
            "documents were given; give one of the two"
        )
    over = [
        None if part is None else _over(part, documents, name, id_of)
        for part, name in zip(given, PARTS, strict=True)
    ]
    return documents, (over[0], over[1], over[2])


def with_holdout(datasets: Datasets, seed: int) -> Datasets:
    """The datasets; if there are no validation questions, some are taken from the training set."""
    train, validation, test = datasets
    if train is None or validation is not None:
        return datasets
    train, validation = train.split(_HOLDOUT, seed=seed)
    return train, validation, test


def _over(
    dataset: RelevanceDataset, documents: Mapping[str, str], name: str, id_of: str
) -> RelevanceDataset:
    try:
        return dataset.with_corpus(documents)
    except DataError as error:
        judged = dict.fromkeys(each for of_query in dataset.qrels.values() for each in of_query)
        strangers = ""
        if judged.keys().isdisjoint(documents):
            strangers = (
                f". None of the {len(judged)} judged documents is there; documents are called "
                f"{name_some(list(documents))}: judgments must name each by {id_of}"
            )
        raise DataError(f"{name} dataset: {error}{strangers}") from error
