"""Texts and metadata of the documents in a live store, for joining judgments to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nudge_integrations.stores.open import open_store

_TEXTS = ("page_content", "text", "document", "content", "pk_text", "body")


def records(store: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Id, text and metadata of every document; the text is empty where the store keeps none.

    Args:
        store: Whatever `open_store` opens.

    Raises:
        UnsupportedStoreError: A kind of store that holds vectors only.
    """
    for name, fields in open_store(store).records():
        flat: dict[str, Any] = {}
        for key, value in fields.items():  # nested metadata is spread out
            flat.update(value if isinstance(value, Mapping) else {key: value})
        text = next((flat[key] for key in _TEXTS if isinstance(flat.get(key), str)), "")
        if not text and isinstance(flat.get("_node_content"), str):  # LlamaIndex's own
            text = json.loads(flat["_node_content"]).get("text") or ""
        yield name, text, flat
