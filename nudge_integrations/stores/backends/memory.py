"""Stores whose vectors live in this process: LangChain's, LlamaIndex's, and this package's.

What is known of a tuning is kept inside the object, and in what the object saves: after saving and
loading it is still known to be tuned, and can still be reverted.
"""

from __future__ import annotations

import contextlib
import json
import threading
import weakref
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, unit_rows
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.common.topk import search
from nudge_integrations.errors import DataError
from nudge_integrations.stores.entries import Entry, facts_record, row_record
from nudge_integrations.stores.formats import Hits
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore

_NOTE = "__nudge__"
_BY_DOCUMENT = {"row", "list"}
_HOMES = 3  # documents that carry what is known of the run
Notes = dict[str, dict[str, str]]


class _State:
    """What belongs to one store object in this process, which need not be hashable."""

    def __init__(self) -> None:
        self.lock, self.notes = threading.Lock(), Notes()

    @classmethod
    def of(cls, owner: Any) -> _State:
        if id(owner) not in _states:
            _states[id(owner)] = cls()
            weakref.finalize(owner, _states.pop, id(owner), None)
        return _states[id(owner)]


_states: dict[int, _State] = {}


class MemoryStore(LiveStore):
    """Vectors in this process, searched exactly; filters are functions of a document's metadata.

    Args:
        owner: The store object that holds them.
    """

    exact = True

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.identity = f"{type(owner).__name__} in memory"
        self.uid = f"{self.kind} {id(owner)}"

    @abstractmethod
    def _vectors(self) -> dict[str, Any]:
        """Every vector by id, as of now."""

    @abstractmethod
    def notes(self) -> Notes:
        """What is kept of the tuning, kind -> key -> value."""

    @abstractmethod
    def keep(self, notes: Notes) -> None:
        """Keep it inside the object."""

    def sidecar(self) -> Sidecar:
        """Inside the object."""
        return ObjectSidecar(self, f"the {type(self.owner).__name__} itself; it saves them, too")

    def _as_filter(self, chosen: Any) -> set[str]:
        """Ids of the documents that pass, as of now."""
        if not callable(chosen):
            raise DataError(
                f"filter= for {self.identity} must be a function of a document's metadata, got "
                f"{chosen!r:.80}"
            )
        return {name for name, fields in self._metadata() if chosen(fields)}

    def _metadata(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return self.records()

    def _inside(self) -> dict[str, Any]:
        """The vectors that the filter lets through."""
        vectors = self._vectors()
        if self.filter is None:
            return vectors
        return {name: each for name, each in vectors.items() if name in self.filter}

    def _matrix(self) -> tuple[list[str], FloatMatrix]:
        """Ids and vectors, shape `(n, d)`."""
        vectors = self._inside()
        return list(vectors), np.array(list(vectors.values()), np.float32)

    @property
    def dimension(self) -> int:
        """Number of dimensions of most vectors."""
        sizes = Counter(map(len, self._vectors().values()))
        return sizes.most_common(1)[0][0] if sizes else 0

    def count(self) -> int:
        """Number of vectors."""
        return len(self._inside())

    def ids(self) -> Iterator[str]:
        """Every id."""
        return iter(self._inside())

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        vectors = self._inside()
        return [(name, vectors[name]) for name in ids if name in vectors]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        names, matrix = self._matrix()
        if not names:
            return [[] for _ in vectors]
        if self.metric == "cosine":
            vectors, matrix = unit_rows(vectors), unit_rows(matrix)
        rows, scores = search(vectors, matrix, min(k, len(names)))
        return [
            [(names[row], score) for row, score in zip(found, values, strict=True)]
            for found, values in zip(rows.tolist(), scores.tolist(), strict=True)
        ]


class ObjectSidecar(Sidecar):
    """Records inside a store object."""

    store: MemoryStore
    kinds = ("list", *Sidecar.kinds)

    def _load(self, kind: str) -> Mapping[str, str]:
        return dict(self.store.notes().get(kind, {}))

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        kept = self.store.notes()
        self.store.keep({**kept, kind: {**kept.get(kind, {}), **records}})

    def _drop(self, kind: str, keys: list[str]) -> None:
        kept, gone = self.store.notes(), set(keys)
        left = {key: value for key, value in kept.get(kind, {}).items() if key not in gone}
        self.store.keep({**kept, kind: left})

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold a lock of this process."""
        lock = _State.of(self.store.owner).lock
        if not lock.acquire(blocking=False):
            raise self._busy()
        try:
            yield lambda: None
        finally:
            lock.release()


class IndexStore(MemoryStore):
    """A `NudgeVectorStore` of either framework."""

    kind = "nudge-integrations"

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.metric = self._index.metric

    @property
    def _index(self) -> ExactIndex:
        index: ExactIndex = self.owner._index
        return index

    def notes(self) -> Notes:
        """Beside the vectors; or what the engine that filled the store knows of its run."""
        index, kept = self._index, dict(self._index.notes)
        if index.moves.bases and "facts" not in kept:
            now = self._vectors()
            kept["row"] = {
                name: row_record(name, Entry(base, now[name]))
                for name, base in dict(index.moves.bases).items()
                if name in now
            }
            facts = {"state": "applied", "epoch": index.moves.run, "token": index.moves.run}
            kept["facts"] = {"facts": facts_record(facts)}
        return kept

    def keep(self, notes: Notes) -> None:
        """Beside the vectors."""
        self._index.notes = {kind: each for kind, each in notes.items() if each}
        self._index.moves.forget(set(self._index.moves.bases) - set(notes.get("row", ())))

    def _vectors(self) -> dict[str, Any]:
        return dict(zip(*self._index.state(), strict=True))

    def _matrix(self) -> tuple[list[str], FloatMatrix]:
        return self._index.state() if self.filter is None else super()._matrix()

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        self._index.replace(ids, expected, vectors)


class ListStore(MemoryStore):
    """A framework's own store that keeps lists of floats, which hold more digits than float32.

    So the list itself is kept beside the tuned one, and put back as the object that it was.
    """

    metric = "cosine"

    @abstractmethod
    def _put(self, name: str, vector: list[float]) -> None:
        """Replace the vector of a row."""

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        lists, kept = self._vectors(), self.notes()
        exact = dict(kept.get("list", {}))
        for row, name in enumerate(ids):
            held = np.array(lists.get(name, ()), np.float32)
            if not np.array_equal(held, expected[row]):
                continue
            original = json.loads(exact.get(name, "[]"))
            if np.array_equal(np.array(original, np.float32), vectors[row]):
                new = original
                del exact[name]
            else:
                new = vectors[row].tolist()
                # What this package wrote has no more digits than float32.
                if list(lists[name]) != held.tolist():
                    exact[name] = json.dumps(list(lists[name]))
            with contextlib.suppress(KeyError):  # deleted meanwhile
                self._put(name, new)
        self.keep({**kept, "list": exact})


class LlamaIndexMemoryStore(ListStore):
    """LlamaIndex's `SimpleVectorStore`: notes stand in its metadata, under no node's id."""

    kind = "LlamaIndex SimpleVectorStore"

    def _vectors(self) -> dict[str, Any]:
        return dict(self.owner.data.embedding_dict)

    def _put(self, name: str, vector: list[float]) -> None:
        self.owner.data.embedding_dict[name] = vector

    def _metadata(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        metadata = self.owner.data.metadata_dict
        return [(name, metadata.get(name, {})) for name in self._vectors()]

    def notes(self) -> Notes:
        """Saved with the metadata."""
        return dict(self.owner.data.metadata_dict.get(_NOTE, {}))

    def keep(self, notes: Notes) -> None:
        """Saved with the metadata."""
        self.owner.data.metadata_dict[_NOTE] = {kind: each for kind, each in notes.items() if each}


class LangChainMemoryStore(ListStore):
    """LangChain's `InMemoryVectorStore`.

    All that it saves are documents, so each tuned document carries its own notes, and some carry
    those of the run.
    """

    kind = "LangChain InMemoryVectorStore"

    def _vectors(self) -> dict[str, Any]:
        return {name: each["vector"] for name, each in dict(self.owner.store).items()}

    def _put(self, name: str, vector: list[float]) -> None:
        # A document is exchanged whole, for readers' sake.
        self.owner.store[name] = {**self.owner.store[name], "vector": vector}

    def notes(self) -> Notes:
        """Gathered from the documents, where this process does not know them already."""
        kept = _State.of(self.owner).notes
        if not kept:
            for name, document in dict(self.owner.store).items():
                note = document.get(_NOTE, {})
                for kind in _BY_DOCUMENT & set(note):
                    kept.setdefault(kind, {})[name] = note[kind]
                for kind, each in note.get("run", {}).items():
                    kept.setdefault(kind, {}).update(each)
        return dict(kept)

    def keep(self, notes: Notes) -> None:
        """Spread over the documents."""
        _State.of(self.owner).notes.update(notes)
        documents, run = self.owner.store, Notes()
        own: dict[str, dict[str, Any]] = {}
        for kind, each in notes.items():
            for key, value in each.items():
                if kind in _BY_DOCUMENT and key in documents:
                    own.setdefault(key, {})[kind] = value
                else:
                    run.setdefault(kind, {})[key] = value
        for name in list(own)[:_HOMES]:
            own[name]["run"] = run
        for name, document in list(documents.items()):
            if document.get(_NOTE) != own.get(name):
                bare = {key: value for key, value in document.items() if key != _NOTE}
                documents[name] = {**bare, _NOTE: own[name]} if name in own else bare
