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
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, unit_rows
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.common.topk import search
from nudge_integrations.errors import DataError
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import Hits, LiveStore

_NOTE = "__nudge__"
_BY_DOCUMENT = {"row", "list"}
_HOMES = 3  # documents that carry what is known of the run
Records = dict[str, dict[str, str]]
T = TypeVar("T")
_of_owner: dict[tuple[int, type], Any] = {}


def _tied(owner: Any, make: type[T]) -> T:
    """One object of a type for an owner, which need not be hashable; it ends with the owner."""
    key = (id(owner), make)
    if key not in _of_owner:
        _of_owner[key] = make()
        weakref.finalize(owner, _of_owner.pop, key, None)
    found: T = _of_owner[key]
    return found


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class _Kept(Records):
    """What is kept of the tuning of one object in this process."""


class MemoryStore(LiveStore):
    """Vectors in this process, searched exactly.

    Args:
        owner: The store object that holds them.
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.identity = f"{type(owner).__name__} in memory"
        self.uid = f"{self.kind} {id(owner)}"

    @abstractmethod
    def _all(self) -> tuple[list[str], FloatMatrix]:
        """Every id, and the vectors, shape `(n, d)`."""

    @abstractmethod
    def records(self) -> Records:
        """What is kept of the tuning, kind -> key -> value."""

    @abstractmethod
    def keep(self, records: Records) -> None:
        """Keep it inside the object."""

    def sidecar(self) -> Sidecar:
        """Inside the object."""
        return ObjectSidecar(self, f"the {type(self.owner).__name__} itself; it saves them, too")

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self._all()[1].shape[1])

    @property
    def exact(self) -> bool:
        """Yes."""
        return True

    def count(self) -> int:
        """Number of vectors."""
        return len(self._all()[0])

    def ids(self) -> Iterator[str]:
        """Every id."""
        yield from self._all()[0]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        names, matrix = self._all()
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

    def _load(self, kind: str) -> Mapping[str, str]:
        return dict(self.store.records().get(kind, {}))

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        kept = self.store.records()
        self.store.keep({**kept, kind: {**kept.get(kind, {}), **records}})

    def _drop(self, kind: str, keys: list[str]) -> None:
        kept, gone = self.store.records(), set(keys)
        left = {key: value for key, value in kept.get(kind, {}).items() if key not in gone}
        self.store.keep({**kept, kind: left})

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Hold a lock of this process."""
        lock = _tied(self.store.owner, _Lock).lock
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

    def records(self) -> Records:
        """Beside the vectors."""
        return dict(self._index.notes)

    def keep(self, records: Records) -> None:
        """Beside the vectors."""
        self._index.notes = {kind: each for kind, each in records.items() if each}

    def _all(self) -> tuple[list[str], FloatMatrix]:
        return self._index.state()

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        while True:
            known = [name for name in ids if name in self._index]
            with contextlib.suppress(DataError):  # deleted since the line above
                return list(zip(known, self._index.get(known), strict=True)) if known else []

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        self._index.replace(ids, expected, vectors)


class ListStore(MemoryStore):
    """A framework's own store that keeps lists of floats, which hold more digits than float32.

    So the list itself is kept beside the tuned one, and put back as the object that it was.
    """

    metric = "cosine"

    @abstractmethod
    def _lists(self) -> MutableMapping[str, Any]:
        """Id -> vector, as the store holds it."""

    def _all(self) -> tuple[list[str], FloatMatrix]:
        lists = dict(self._lists())
        return list(lists), np.array(list(lists.values()), np.float32)

    @property
    def dimension(self) -> int:
        """Number of dimensions of most vectors."""
        sizes = Counter(map(len, dict(self._lists()).values()))
        return sizes.most_common(1)[0][0] if sizes else 0

    def count(self) -> int:
        """Number of vectors."""
        return len(self._lists())

    def ids(self) -> Iterator[str]:
        """Every id."""
        yield from dict(self._lists())

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        lists = self._lists()
        return [(name, lists[name]) for name in ids if name in lists]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        lists, kept = self._lists(), self.records()
        exact = dict(kept.get("list", {}))
        for row, name in enumerate(ids):
            with contextlib.suppress(KeyError):  # deleted meanwhile
                held = lists[name]
                if not np.array_equal(np.array(held, np.float32), expected[row]):
                    continue
                original = json.loads(exact.get(name, "[]"))
                if np.array_equal(np.array(original, np.float32), vectors[row]):
                    lists[name] = original
                    del exact[name]
                    continue
                # What this package wrote has no more digits than float32.
                if list(held) != np.array(held, np.float32).tolist():
                    exact[name] = json.dumps(list(held))
                lists[name] = vectors[row].tolist()
        self.keep({**kept, "list": exact})


class LlamaIndexMemoryStore(ListStore):
    """LlamaIndex's `SimpleVectorStore`: records stand in its metadata, under no node's id."""

    kind = "LlamaIndex SimpleVectorStore"

    def _lists(self) -> MutableMapping[str, Any]:
        lists: MutableMapping[str, Any] = self.owner.data.embedding_dict
        return lists

    def records(self) -> Records:
        """Saved with the metadata."""
        return dict(self.owner.data.metadata_dict.get(_NOTE, {}))

    def keep(self, records: Records) -> None:
        """Saved with the metadata."""
        self.owner.data.metadata_dict[_NOTE] = {
            kind: each for kind, each in records.items() if each
        }


class LangChainMemoryStore(ListStore):
    """LangChain's `InMemoryVectorStore`.

    All that it saves are documents, so each tuned document carries its own records, and some carry
    those of the run.
    """

    kind = "LangChain InMemoryVectorStore"

    def _lists(self) -> MutableMapping[str, Any]:
        return _Vectors(self.owner.store)

    def records(self) -> Records:
        """Gathered from the documents, where this process does not know them already."""
        kept = _tied(self.owner, _Kept)
        if not kept:
            for name, document in dict(self.owner.store).items():
                note = document.get(_NOTE, {})
                for kind in _BY_DOCUMENT & set(note):
                    kept.setdefault(kind, {})[name] = note[kind]
                for kind, each in note.get("run", {}).items():
                    kept.setdefault(kind, {}).update(each)
        return dict(kept)

    def keep(self, records: Records) -> None:
        """Spread over the documents."""
        _tied(self.owner, _Kept).update(records)
        documents = self.owner.store
        notes: dict[str, dict[str, Any]] = {}
        run: Records = {}
        for kind, each in records.items():
            for key, value in each.items():
                if kind in _BY_DOCUMENT and key in documents:
                    notes.setdefault(key, {})[kind] = value
                else:
                    run.setdefault(kind, {})[key] = value
        for name in list(notes)[:_HOMES]:
            notes[name]["run"] = run
        for name, document in list(documents.items()):
            if document.get(_NOTE) != notes.get(name):
                bare = {key: value for key, value in document.items() if key != _NOTE}
                # Exchanged whole, for readers' sake.
                documents[name] = {**bare, _NOTE: notes[name]} if name in notes else bare


class _Vectors(MutableMapping[str, Any]):
    """The vectors among LangChain's records; a record is exchanged whole, for readers' sake."""

    def __init__(self, records: dict[str, dict[str, Any]]) -> None:
        self._records = records

    def __getitem__(self, name: str) -> Any:
        return self._records[name]["vector"]

    def __setitem__(self, name: str, vector: Any) -> None:
        self._records[name] = {**self._records[name], "vector": vector}

    def __delitem__(self, name: str) -> None:
        raise NotImplementedError("rows of somebody's store are not deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._records))

    def __len__(self) -> int:
        return len(self._records)
