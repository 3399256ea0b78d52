"""Stores whose vectors live in this process: LangChain's, LlamaIndex's, and this package's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, unit_rows
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.common.topk import search
from nudge_integrations.errors import StoreError
from nudge_integrations.stores.store import Hits, LiveStore
from nudge_integrations.stores.tied import tied


class MemoryStore(LiveStore):
    """Vectors in this process, searched exactly.

    Args:
        owner: The store object that holds them.
    """

    lives_on = False

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.identity = f"{type(owner).__name__} in memory"

    @abstractmethod
    def _all(self) -> tuple[list[str], FloatMatrix]:
        """Every id, and the vectors, shape `(n, d)`."""

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


class IndexStore(MemoryStore):
    """A `NudgeVectorStore` of either framework."""

    kind = "nudge-integrations"

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._index: ExactIndex = owner._index
        self.metric = self._index.metric

    def _all(self) -> tuple[list[str], FloatMatrix]:
        names, matrix = self._index.state()
        return _checked(names, matrix, self.identity)

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        known = [name for name in ids if name in self._index]
        return zip(known, self._index.get(known), strict=True) if known else ()

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix | None) -> None:
        known = [row for row, name in enumerate(ids) if name in self._index]
        names = [ids[row] for row in known]
        before = self._index.get(names) if expected is None else expected[known]
        self._index.replace(names, before, vectors[known])


class ListStore(MemoryStore):
    """A framework's own store that keeps lists of floats: they are put back as they were.

    A float holds more digits than float32; so what was there is kept as an object beside the
    store, and not only in the journal.
    """

    metric = "cosine"

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._originals: dict[str, Any] = tied(owner, "originals", dict)

    @abstractmethod
    def _lists(self) -> MutableMapping[str, Any]:
        """Id -> vector, as the store holds it."""

    def _all(self) -> tuple[list[str], FloatMatrix]:
        lists = dict(self._lists())
        matrix = np.array(list(lists.values()), np.float32)
        return _checked(list(lists), matrix, self.identity)

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        lists = self._lists()
        return [(name, lists[name]) for name in ids if name in lists]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix | None) -> None:
        lists = self._lists()
        for row, name in enumerate(ids):
            if name not in lists:
                continue
            now = np.array(lists[name], np.float32)
            if expected is not None and not np.array_equal(now, expected[row]):
                continue
            kept = self._originals.get(name)
            if kept is not None and np.array_equal(np.array(kept, np.float32), vectors[row]):
                lists[name] = self._originals.pop(name)
                continue
            self._originals.setdefault(name, lists[name])
            lists[name] = vectors[row].tolist()


class LangChainMemoryStore(ListStore):
    """LangChain's `InMemoryVectorStore`."""

    kind = "LangChain InMemoryVectorStore"

    def _lists(self) -> MutableMapping[str, Any]:
        return _Vectors(self.owner.store)


class LlamaIndexMemoryStore(ListStore):
    """LlamaIndex's `SimpleVectorStore`."""

    kind = "LlamaIndex SimpleVectorStore"

    def _lists(self) -> MutableMapping[str, Any]:
        lists: MutableMapping[str, Any] = self.owner.data.embedding_dict
        return lists


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
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def _checked(names: list[str], matrix: FloatMatrix, identity: str) -> tuple[list[str], FloatMatrix]:
    if not names:
        raise StoreError(f"{identity} is empty: add documents first")
    return names, matrix
