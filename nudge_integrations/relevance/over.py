"""Training, validation and test datasets over the documents that are to be tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.dataset import RelevanceDataset
from nudge_integrations.relevance.splits import check_leaks

PARTS = ("train_dataset", "val_dataset", "test_dataset")
"""What the engines call the datasets, for messages."""

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
    checked = [
        None if part is None else over(part, documents, name, id_of)
        for part, name in zip(given, PARTS, strict=True)
    ]
    return documents, (checked[0], checked[1], checked[2])


def with_holdout(datasets: Datasets, seed: int) -> Datasets:
    """The datasets; if there are no validation questions, some are taken from the training set."""
    train, validation, test = datasets
    if train is None or validation is not None:
        return datasets
    train, validation = train.split(_HOLDOUT, seed=seed)
    return train, validation, test


def over(
    dataset: RelevanceDataset, documents: Mapping[str, str], name: str, id_of: str
) -> RelevanceDataset:
    """The same questions over the documents that are tuned.

    Args:
        dataset: Judged questions.
        documents: Document id -> text.
        name: What the caller calls the dataset, for messages.
        id_of: What the caller calls the id of a document, for messages.

    Raises:
        DataError: A judgment of a document that is not there; the message says what to do.
    """
    try:
        return dataset.with_corpus(documents)
    except DataError as error:
        judged = dict.fromkeys(each for of_query in dataset.qrels.values() for each in of_query)
        strangers = ""
        if judged.keys().isdisjoint(documents):
            if name != PARTS[0] and dataset.corpus and _apart(dataset.corpus, documents):
                raise DataError(
                    f"{name} is about other documents: none of its {len(dataset.corpus)} is among "
                    f"the {len(documents)} that are tuned. Tuning moves the documents themselves, "
                    "so it is measured on questions about the same ones: put both datasets' "
                    "documents and questions together and cut them with RelevanceDataset.split()"
                ) from error
            strangers = (
                f". None of the {len(judged)} judged documents is there; documents are called "
                f"{name_some(list(documents))}: judgments must name each by {id_of}"
            )
        raise DataError(f"{name}: {error}{strangers}") from error


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return set(one.values()).isdisjoint(other.values())
