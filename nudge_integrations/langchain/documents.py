"""Copy, filter and serialize LangChain documents."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from langchain_core.documents import Document

from nudge_integrations.common.files import check_json
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import checked_documents

EXAMPLE = "Document(id='d1', page_content='...')"
"""Example document for error messages."""

Filter: TypeAlias = dict[str, Any] | Callable[[Document], bool] | None


def copied(document: Document, id_: str | None = None) -> Document:
    """A deep copy of `document`, under another id if one is given."""
    return Document(
        id=document.id if id_ is None else id_,
        page_content=document.page_content,
        metadata=copy.deepcopy(document.metadata),
    )


def with_ids(
    documents: Iterable[Document], ids: Sequence[str | None] | None = None
) -> tuple[list[Document], list[str]]:
    """Copies of documents, each with an id: the one in `ids`, else its own, else a new UUID.

    Returns:
        The copies and their texts.

    Raises:
        DataError: No documents, or another number of ids than of documents.
    """
    documents = checked_documents(documents, Document, EXAMPLE)
    if ids is not None and len(ids) != len(documents):
        raise DataError(
            f"{len(ids)} ids for {len(documents)} documents: give each document one id, or none"
        )
    given = ids if ids is not None else [None] * len(documents)
    copies = [
        copied(document, id_ or document.id or str(uuid.uuid4()))
        for document, id_ in zip(documents, given, strict=True)
    ]
    return copies, [each.page_content for each in copies]


def documents_of(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None = None
) -> list[Document]:
    """Documents from texts and their metadata.

    Raises:
        DataError: Another number of metadatas than of texts.
    """
    texts = list(texts)
    if metadatas and len(metadatas) != len(texts):
        raise DataError(
            f"{len(metadatas)} metadatas for {len(texts)} texts: give each text one, or none"
        )
    return [
        Document(page_content=text, metadata=metadata)
        for text, metadata in zip(texts, metadatas or [{} for _ in texts], strict=True)
    ]


def admits(filter: Filter) -> Callable[[Document], bool] | None:
    """Compile a filter into a predicate; None if it admits every document.

    Raises:
        DataError: A filter that is neither a function nor a dict of values to be equal to.
    """
    if filter is None or callable(filter):
        return filter
    if not isinstance(filter, dict):
        raise DataError(
            f"filter must be a dict of metadata or a function of a document, got {filter!r}"
        )
    for key, value in filter.items():
        if key.startswith("$") or isinstance(value, list | tuple | set) or _has_operator(value):
            raise DataError(
                f"filter {key}={value!r} is not supported: a dict asks for equal metadata only; "
                "pass a function of a document instead"
            )
    wanted = filter

    def equal(document: Document) -> bool:
        metadata = document.metadata
        return all(key in metadata and metadata[key] == wanted[key] for key in wanted)

    return equal if wanted else None


def _has_operator(value: Any) -> bool:
    return isinstance(value, dict) and any(str(key).startswith("$") for key in value)


def to_json(document: Document) -> dict[str, Any]:
    """A document as plain JSON.

    Raises:
        DataError: Metadata that would not come back from JSON as it is.
    """
    check_json(document.metadata, f"the metadata of document {document.id!r}")
    return document.model_dump(include={"id", "page_content", "metadata"})
