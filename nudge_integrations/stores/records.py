"""Texts and metadata of the documents in a live store, for joining judgments to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nudge_integrations.errors import UnsupportedStoreError
from nudge_integrations.stores.open import open_store
from nudge_integrations.stores.store import LiveStore

_TEXTS = ("page_content", "text", "document", "content", "pk_text", "body")
_PAGE = 1000

Found = tuple[str, str, Mapping[str, Any]]
Rows = Iterator[tuple[Any, Mapping[str, Any]]]


def records(store: Any) -> Iterator[Found]:
    """Id, text and metadata of every document; the text is empty where the store keeps none.

    Args:
        store: Whatever `open_store` opens.

    Raises:
        UnsupportedStoreError: A kind of store that holds vectors only.
    """
    opened = open_store(store)
    if opened.kind in _ROWS:
        for name, fields in _ROWS[opened.kind](opened):
            yield _found(name, fields)
        return
    owner = store if opened is not store else opened.owner
    for name in ("get_by_ids", "get_nodes"):  # LangChain's stores, and LlamaIndex's
        if hasattr(owner, name):
            for each in getattr(owner, name)(list(opened.ids())):
                text = getattr(each, "page_content", None)
                text = each.get_content(metadata_mode="none") if text is None else text
                yield str(getattr(each, "node_id", None) or each.id), text, each.metadata
            return
    raise UnsupportedStoreError(
        f"{opened.identity} keeps no texts that can be read here; pass the documents or nodes"
    )


def _found(name: Any, fields: Mapping[str, Any]) -> Found:
    """A record out of the columns of a row, with nested metadata spread out."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        flat.update(value if isinstance(value, Mapping) else {key: value})
    text = next((flat[key] for key in _TEXTS if isinstance(flat.get(key), str)), "")
    if not text and isinstance(flat.get("_node_content"), str):  # LlamaIndex's own
        text = json.loads(flat["_node_content"]).get("text") or ""
    return str(name), text, flat


def _chroma(store: Any) -> Rows:
    for start in range(0, store.count(), _PAGE):
        page = store._collection.get(limit=_PAGE, offset=start, include=["documents", "metadatas"])
        for name, text, fields in zip(
            page["ids"], page["documents"], page["metadatas"], strict=True
        ):
            yield name, {**(fields or {}), "page_content": text}


def _qdrant(store: Any) -> Rows:
    offset: Any = None
    while True:
        points, offset = store._client.scroll(
            store._name, limit=_PAGE, offset=offset, with_payload=True, with_vectors=False
        )
        yield from ((point.id, point.payload or {}) for point in points)
        if offset is None:
            return


def _lance(store: Any) -> Rows:
    columns = [name for name in store._table.schema.names if name != store._vector]
    for batch in store._table.search().select(columns).to_batches(_PAGE):
        yield from ((row[store._id], row) for row in batch.to_pylist())


def _milvus(store: Any) -> Rows:
    schema = store._client.describe_collection(store._name)
    fields = [each["name"] for each in schema["fields"] if each["name"] != store._vector]
    fields += ["*"] if schema.get("enable_dynamic_field") else []
    pages = store._client.query_iterator(store._name, batch_size=_PAGE, output_fields=fields)
    try:
        while page := pages.next():
            for row in page:
                row.pop(store._vector, None)
                yield row[store._id], row
    finally:
        pages.close()


def _postgres(store: Any) -> Rows:
    yield from store.records()


_ROWS: Mapping[str, Callable[[LiveStore], Rows]] = {
    "Chroma": _chroma,
    "Qdrant": _qdrant,
    "LanceDB": _lance,
    "Milvus": _milvus,
    "PostgreSQL": _postgres,
}
