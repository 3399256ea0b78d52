"""What a journal keeps of a document and of a question, and how it is written down."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from nudge_integrations.stores.store import FloatVector


@dataclass(frozen=True)
class Entry:
    """A row that was tuned, or is about to be.

    Attributes:
        original: What the store held at first.
        tuned: What it holds, or will.
        earlier: What it held in between, from an earlier tuning; None once that is exchanged.
    """

    original: FloatVector
    tuned: FloatVector
    earlier: FloatVector | None = None


@dataclass(frozen=True)
class Asked:
    """A question that shaped the tuned vectors; its text is not kept.

    Attributes:
        vector: Its embedding.
        answers: Document id -> grade.
    """

    vector: FloatVector
    answers: Mapping[str, int]


def row_of(name: str, entry: Entry) -> tuple[bytes, bytes, bytes | None, bytes]:
    """What stands in a row beside the id: the vectors, and a checksum."""
    original, tuned = bytes_of(entry.original), bytes_of(entry.tuned)
    earlier = None if entry.earlier is None else bytes_of(entry.earlier)
    return original, tuned, earlier, digest_of(name, original, tuned, earlier)


def digest_of(name: str, original: bytes, tuned: bytes, earlier: bytes | None) -> bytes:
    """Checksum of a row."""
    parts = (name.encode("utf-8", "surrogatepass"), original, tuned, earlier or b"")
    sizes = ",".join(str(len(part)) for part in parts).encode()
    return hashlib.sha256(b"".join((sizes, *parts))).digest()


def bytes_of(vector: FloatVector) -> bytes:
    """Little-endian float32."""
    return np.ascontiguousarray(vector, "<f4").tobytes()


def vector_of(data: bytes) -> FloatVector:
    """What `bytes_of` wrote."""
    return cast("FloatVector", np.frombuffer(data, "<f4").astype(np.float32))
