"""Records of a tuning: rows with their originals, the run's facts, the questions in force.

Vectors are base64 of little-endian float32, every record has a checksum: nothing is pickled.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_integrations.stores.formats import FloatVector, same

_RECENT = 4
"""Tuned vectors of earlier runs that are still recognised, for rows that come from a backup."""


@dataclass(frozen=True)
class Entry:
    """A row that is tuned, or is about to be.

    Attributes:
        original: What to put back if the row holds `tuned`.
        tuned: What it holds, or will.
        known: Other vectors that this package left in the row, each with its original. More than
            one original is known if somebody replaced the row's vector between two runs.
    """

    original: FloatVector
    tuned: FloatVector
    known: tuple[tuple[FloatVector, FloatVector], ...] = ()

    def original_of(self, vector: FloatVector) -> FloatVector | None:
        """What to put back where the row holds `vector`; None if somebody else put it there."""
        pairs = ((self.tuned, self.original), *self.known)
        originals = [original for _, original in pairs]
        for held, original in (*pairs, *zip(originals, originals, strict=True)):
            if same(vector, held):
                return original
        return None

    def goal(self, held: FloatVector, back: bool) -> FloatVector | None:
        """Where a row that holds a vector shall go; None if the vector is somebody else's."""
        original = self.original_of(held)
        if original is None or back:
            return original
        # A vector from before somebody replaced the row came back: it is theirs again.
        return self.tuned if np.array_equal(original, self.original) else None

    @property
    def moves(self) -> bool:
        """Whether the tuned vector is another than the original."""
        return not np.array_equal(self.tuned, self.original)

    def then(self, original: FloatVector, current: FloatVector, tuned: FloatVector) -> Entry:
        """The entry of a further run that found the row at `current`."""
        kept: list[tuple[FloatVector, FloatVector]] = []
        recent = 0
        for held, back in ((current, original), (self.tuned, self.original), *self.known):
            again = np.array_equal(back, original)
            if any(np.array_equal(held, k) and np.array_equal(back, b) for k, b in kept):
                continue
            if again and (np.array_equal(held, original) or recent == _RECENT):
                continue
            recent += again
            kept.append((held, back))
        return Entry(original, tuned, tuple(kept))


@dataclass(frozen=True)
class TrainingQuestion:
    """A question that shaped the tuned vectors; its text is not kept.

    Attributes:
        vector: Its embedding.
        answers: Document id -> grade.
    """

    vector: FloatVector
    answers: Mapping[str, int]

    def without(self, ids: Collection[str]) -> TrainingQuestion:
        """The same, but for some answers."""
        answers = {name: grade for name, grade in self.answers.items() if name not in ids}
        return TrainingQuestion(self.vector, answers)

    def plus(self, answers: Mapping[str, int]) -> TrainingQuestion:
        """The same with further answers."""
        return TrainingQuestion(self.vector, {**answers, **self.answers})


def row_record(name: str, entry: Entry) -> str:
    """An entry as text."""
    parts = [entry.original, entry.tuned, *(part for pair in entry.known for part in pair)]
    return _sealed(name, ",".join(map(_encoded, parts)))


def facts_record(facts: Mapping[str, Any]) -> str:
    """Facts as text."""
    return _sealed("facts", json.dumps(dict(facts)))


def question_record(key: str, asked: TrainingQuestion) -> str:
    """A question as text."""
    return _sealed(key, f"{_encoded(asked.vector)},{json.dumps(dict(asked.answers))}")


def _sealed(key: str, content: str) -> str:
    return f"{_digest(key, content)}:{content}"


def _digest(key: str, content: str) -> str:
    return hashlib.sha256(
        f"{len(key)}:{key}:{content}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _encoded(vector: FloatVector) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def _decoded(text: str) -> FloatVector:
    vector: FloatVector = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return vector


def read_row(name: str, value: str) -> Entry:
    """What `row_record` made; a ValueError if it is damaged."""
    original, tuned, *more = map(_decoded, _unsealed(name, value).split(","))
    return Entry(original, tuned, tuple(zip(more[::2], more[1::2], strict=True)))


def read_facts(name: str, value: str) -> dict[str, Any]:
    """What `facts_record` made; a ValueError if it is damaged."""
    facts: dict[str, Any] = json.loads(_unsealed(name, value))
    return facts


def read_question(key: str, value: str) -> TrainingQuestion:
    """What `question_record` made; a ValueError if it is damaged."""
    vector, _, answers = _unsealed(key, value).partition(",")
    return TrainingQuestion(_decoded(vector), json.loads(answers))


def _unsealed(key: str, value: str) -> str:
    digest, _, content = value.partition(":")
    if digest != _digest(key, content):
        raise ValueError(f"the record of {key!r} does not match its checksum")
    return content
