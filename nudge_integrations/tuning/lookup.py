"""Tuned vectors for document texts, for the embedding models of both frameworks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nudge_integrations.common.arrays import as_matrix
from nudge_integrations.common.text import described
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, ModelMismatchError

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors

Vectors = list[list[float]]


@dataclass
class TextLookup:
    """Gives document texts their tuned vectors, and embeds the rest with the base model.

    If the run has a field, the vectors of the rest move by it.

    Used in two steps, so that the base model can be awaited in between: embed `ask(texts)` with
    the base model, then hand its vectors to `answer`.

    Args:
        tuned: What a run produced; None leaves every text to the base model.
        unchecked: Whether the base model has yet to be compared with the one tuned for. That
            embeds one short text, once, before the first tuned vector is returned.
    """

    tuned: TunedVectors | None
    unchecked: bool

    def ask(self, texts: Sequence[str]) -> list[str]:
        """The texts that the base model has to embed, in order."""
        if self.tuned is None:
            return list(texts)
        rest = [text for text in texts if self.tuned.lookup(text) is None]
        return [*rest, PROBE_TEXT] if self._to_check(len(rest) < len(texts)) else rest

    def answer(self, texts: Sequence[str], base: Any, found: Vectors) -> Vectors:
        """The vector of each text.

        Args:
            texts: What `ask` was asked about.
            base: The base model, for its name.
            found: Its vectors for what `ask` returned.

        Raises:
            ModelMismatchError: The vectors were tuned for another model.
            DataError: The base model returned more or fewer vectors than it was given texts.
        """
        tuned = self.tuned
        asked = self.ask(texts)
        if len(found) != len(asked):
            raise DataError(
                f"the base model returned {len(found)} vectors for {len(asked)} texts; it must "
                "return one for each"
            )
        if tuned is None:
            return found
        found = list(found)
        known = [tuned.lookup(text) for text in texts]
        if self._to_check(any(vector is not None for vector in known)):
            from nudge_integrations.embedding.encoders import probed

            *found, probe = found
            tuned.check_model(probed(base, [probe]))
            self.unchecked = False
        width = tuned.vectors.shape[1]
        for vector in found:
            if len(vector) != width:
                raise ModelMismatchError(
                    f"the base model's vectors have {len(vector)} dimensions, the tuned ones have "
                    f"{width}; use the model that the vectors were tuned for"
                )
        if found and tuned.field is not None:
            base_vectors = as_matrix(found, "vectors from the base model", allow_zero=True)
            for row, vector in zip(*tuned.move(base_vectors), strict=True):
                found[row] = vector.tolist()
        new = iter(found)
        return [next(new) if vector is None else vector.tolist() for vector in known]

    def _to_check(self, any_known: bool) -> bool:
        moves_all = self.tuned is not None and self.tuned.field is not None
        return self.unchecked and (any_known or moves_all)


def as_tuned(value: Any) -> TunedVectors:
    """Refuse anything but what a run produced.

    Raises:
        DataError: An engine, a folder or anything else; the message says how to get there.
    """
    # Imported late, so that a store without tuned vectors loads faster.
    from nudge_integrations.tuning.tuned import TunedVectors

    if isinstance(value, TunedVectors):
        return value
    if isinstance(value, (str, os.PathLike)):
        remedy = f"TunedVectors.load({os.fspath(value)!r})"
    elif hasattr(value, "tuned"):
        remedy = f"the .tuned of this {type(value).__name__}"
    else:
        remedy = "engine.tuned, or TunedVectors.load(folder)"
    raise DataError(f"tuned vectors are needed, not {described(value)}: pass {remedy}")
