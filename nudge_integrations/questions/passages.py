"""Documents, as questions are asked about them; and a search in whatever holds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from nudge_integrations.common.arrays import name_some, unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.text import described
from nudge_integrations.common.topk import search
from nudge_integrations.embedding import as_embedder
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import text_key
from nudge_integrations.relevance.documents import Lexical, in_hand, records_of

_log = logging.getLogger(__name__)

_RELATED = 0.5
"""Documents are related if this share of the words of one, by weight, is in the other."""
_SEARCHES = ("retrieve", "invoke", "__call__")  # LlamaIndex, LangChain, a function

Found = list[tuple[str, str]]
"""Ids and texts of documents, best first."""
Retrieve = Callable[[str], Found]


@dataclass(frozen=True)
class Passages:
    """Documents in their order.

    Attributes:
        texts: Document id -> text as it is embedded.
        shown: Document id -> text as the language model sees it, without metadata.
        sources: Document id -> what it is a part of; parts of one source stand in its order.
    """

    texts: dict[str, str]
    shown: dict[str, str]
    sources: dict[str, str | None]

    @classmethod
    def of(cls, documents: Any) -> Passages:
        """Read documents from whatever holds them; see `records_of`, stores included.

        Raises:
            DataError: None of these, no document, one without an id, or two with the same.
        """
        records = records_of(documents)
        blank = [each.id for each in records if not each.text.strip()]
        if blank:
            _log.warning("left out %d documents without text (%s)", len(blank), name_some(blank))
        records = [each for each in records if each.text.strip()]
        if not records:
            raise DataError("there are no documents to ask about")
        return cls(
            {each.id: each.text for each in records},
            {each.id: each.shown for each in records},
            {each.id: each.source for each in records},
        )

    @cached_property
    def order(self) -> list[str]:
        """Ids of the documents."""
        return list(self.texts)

    @cached_property
    def places(self) -> dict[str, int]:
        """Id -> place in the order."""
        return {name: place for place, name in enumerate(self.order)}

    def around(self, name: str) -> tuple[str, str]:
        """The texts before and after a document in its source; empty where there is none."""
        place, source = self.places[name], self.sources[name]

        def at(other: int) -> str:
            near = self.order[other] if 0 <= other < len(self.order) else None
            return self.shown[near] if near and source and self.sources[near] == source else ""

        return at(place - 1), at(place + 1)

    @cached_property
    def twins(self) -> dict[str, list[str]]:
        """Text key -> ids of all documents that show that text."""
        found: dict[str, list[str]] = {}
        for name, text in self.shown.items():
            if text.strip():
                found.setdefault(text_key(text), []).append(name)
        return found

    def asked(self, most: int | None, seed: int) -> list[str]:
        """Ids of the documents to ask about: one for each text, spread evenly over the order.

        Args:
            most: How many at most.
            seed: Where the spread begins.
        """
        found = [names[0] for names in self.twins.values()]
        if most is None or most >= len(found):
            return found
        # Parts of one source stand together, so an even step takes from each in proportion.
        step = len(found) / most
        begin = int(text_hash(f"spread:{seed}")[:8], 16) / 2**32 * step
        return [found[int(begin + place * step)] for place in range(most)]

    @cached_property
    def _words(self) -> Lexical:
        return Lexical(self.shown.values())

    def related(self, one: str, other: str) -> bool:
        """Whether two documents say much the same, so that one question can be about both."""
        if text_key(self.shown[one]) == text_key(self.shown[other]):
            return True
        return bool(self._words.overlap(self.shown[one])[self.places[other]] >= _RELATED)


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
