"""A search in whatever holds documents, for questions whose answers are not known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.common.text import described
from nudge_integrations.common.topk import search
from nudge_integrations.embedding import as_embedder
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.documents import in_hand, records_of
from nudge_integrations.relevance.lexical import Lexical

_SEARCHES = ("retrieve", "invoke", "__call__")  # LlamaIndex, LangChain, a function

Found = list[tuple[str, str]]
"""Ids and texts of documents, best first."""
Retrieve = Callable[[str], Found]


def searcher(
    source: Any, embed_model: Any, queries: list[str], depth: int
) -> tuple[dict[str, str], Retrieve]:
    """The texts of the corpus, if it was given, and a search."""
    # LangChain's stores have `as_retriever` too, and come first.
    if hasattr(source, "similarity_search"):
        return {}, lambda query: _documents(source.similarity_search(query, k=depth))
    if hasattr(source, "as_retriever") and not hasattr(source, "retrieve"):
        source = source.as_retriever(similarity_top_k=depth)
    ask = next(filter(None, (getattr(source, name, None) for name in _SEARCHES)), None)
    if ask is not None:
        return {}, lambda query: _documents(ask(query))
    if embed_model is None:
        raise DataError(f"embed_model is needed to search {described(source)}; or give a retriever")
    records = records_of(source)
    if not records:
        raise DataError("there are no documents to search in")
    embedder = as_embedder(embed_model)
    vectors = unit_rows(
        embedder.embed_documents([each.text for each in records], [each.id for each in records])
    )
    rows, _ = search(unit_rows(embedder.embed_queries(queries)), vectors, min(depth, len(records)))
    near = dict(zip(queries, rows.tolist(), strict=True))
    words = Lexical(each.shown for each in records)

    def retrieve(query: str) -> Found:
        both = zip_longest(near[query], words.search(query, depth))
        mixed = dict.fromkeys(row for pair in both for row in pair if row is not None)
        return [(records[row].id, records[row].shown) for row in mixed][:depth]

    return {each.id: each.text for each in records} if in_hand(source) else {}, retrieve


def _documents(found: Iterable[Any]) -> Found:
    """Documents, nodes, or pairs of id and text."""
    shown: Found = []
    for each in found:
        node = getattr(each, "node", each)
        if isinstance(node, tuple):
            name, text = node
        elif hasattr(node, "node_id"):
            name, text = node.node_id, node.get_content(metadata_mode="none")
        else:
            name = getattr(node, "id", None) or getattr(node, "metadata", {}).get("_id")
            text = getattr(node, "page_content", "")
        if not name:
            raise DataError(
                f"the search found a document without an id ({text[:40]!r}); judgments name "
                "documents by id, so give each one"
            )
        shown.append((str(name), str(text)))
    return shown
