"""Documents, as questions are asked about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.files import text_hash
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import text_key
from nudge_integrations.relevance.records import records_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Passages:
    """Documents in their order.

    Attributes:
        texts: Document id -> text as it is embedded.
        shown: Document id -> text as the language model sees it: without metadata.
        sources: Document id -> what it is a part of; documents of one source stand in its order.
    """

    texts: dict[str, str]
    shown: dict[str, str]
    sources: dict[str, str]

    @classmethod
    def of(cls, documents: Any) -> Passages:
        """Read documents out of whatever holds them; see `records_of`, stores included.

        Raises:
            DataError: None of these, no document, one without an id, or two with the same.
        """
        if isinstance(documents, Passages):
            return documents
        records = records_of(documents, stores=True)
        found = cls(
            {each.id: each.text for each in records},
            {each.id: each.shown for each in records},
            {each.id: each.source for each in records if each.source is not None},
        )
        blank = [name for name, text in found.texts.items() if not str(text).strip()]
        for name in blank:
            del found.texts[name], found.shown[name]
        if blank:
            _log.warning("left out %d documents without text (%s)", len(blank), name_some(blank))
        if not found.texts:
            raise DataError("there are no documents to ask about")
        return found

    def around(self, name: str, places: Mapping[str, int], order: Sequence[str]) -> tuple[str, str]:
        """The texts before and after a document in its source; empty where there is none."""
        found = []
        for step in (-1, 1):
            place = places[name] + step
            other = order[place] if 0 <= place < len(order) else None
            source = self.sources.get(name)
            near = other is not None and source is not None and self.sources.get(other) == source
            found.append(self.shown[other] if near and other is not None else "")
        return found[0], found[1]

    def asked(self, most: int | None, seed: int) -> list[str]:
        """Ids of the documents to ask about: one for each text, spread evenly over the order.

        Args:
            most: How many at most.
            seed: Where the spread begins.
        """
        names: dict[str, str] = {}
        for name, text in self.shown.items():
            if text.strip():
                names.setdefault(text_key(text), name)
        found = list(names.values())
        if most is None or most >= len(found):
            return found
        # Parts of one source stand together, so an even step takes from each in proportion.
        step = len(found) / most
        begin = int(text_hash(f"spread:{seed}")[:8], 16) / 2**32 * step
        return [found[int(begin + place * step)] for place in range(most)]

    def twins(self) -> dict[str, list[str]]:
        """Text key -> ids of all documents that show that text."""
        found: dict[str, list[str]] = {}
        for name, text in self.shown.items():
            found.setdefault(text_key(text), []).append(name)
        return found
