"""Documents, whatever holds them: a mapping, a dataset, documents or nodes, a store."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError

_GIVE = "give a list of LangChain documents or LlamaIndex nodes, or a mapping from id to text"


@dataclass(frozen=True)
class Record:
    """A document.

    Attributes:
        id: Its id.
        text: As it is embedded.
        shown: As people read it: without the metadata that LlamaIndex embeds, too.
        source: What it is a part of; None if that is not known.
        metadata: Whatever else is known.
    """

    id: str
    text: str
    shown: str
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def records_of(documents: Any, stores: bool = False) -> list[Record]:
    """Documents out of whatever holds them.

    Args:
        documents: LangChain `Document`s with ids, LlamaIndex nodes, a mapping from id to text, or
            anything with a `corpus`, such as a `RelevanceDataset`.
        stores: Whether it may also be anything that `open_store` opens.

    Raises:
        DataError: None of these, a document without an id, or two with the same.
    """
    documents = getattr(documents, "corpus", documents)
    if isinstance(documents, Mapping):
        return [Record(name, text, text) for name, text in documents.items()]
    if isinstance(documents, Sequence) and not isinstance(documents, (str, bytes)):
        found = [_record(place, each) for place, each in enumerate(documents)]
        names = set()
        for each in found:
            if each.id in names:
                raise DataError(f"two documents have the id {each.id!r}; give each its own")
            names.add(each.id)
        return found
    address = isinstance(documents, str) and "#" in documents
    if stores and (address or not isinstance(documents, (str, bytes, int, float, type(None)))):
        # Stores are in a room above this one, and load when somebody brings one.
        opened = importlib.import_module("nudge_integrations.stores.records")
        records: list[Record] = [
            Record(name, text, text, metadata=metadata)
            for name, text, metadata in opened.records(documents)
        ]
        return records
    raise DataError(f"no documents: {described(documents)}; {_GIVE}")


def _record(place: int, document: Any) -> Record:
    if hasattr(document, "node_id"):
        name, source = document.node_id, document.ref_doc_id
        text = document.get_content(metadata_mode="embed")
        shown = document.get_content(metadata_mode="none")
    elif hasattr(document, "page_content"):
        name, source = document.id, document.metadata.get("source")
        text = shown = document.page_content
    else:
        raise DataError(f"document {place} is {described(document)}: {_GIVE}")
    if not name:
        raise DataError(
            f"document {place} ({shown[:40]!r}) has no id; judgments name documents by id, so "
            "make it Document(id=..., page_content=...)"
        )
    return Record(name, text, shown, None if source is None else str(source), document.metadata)
