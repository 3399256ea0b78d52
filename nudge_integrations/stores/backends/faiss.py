"""FAISS: flat indexes, alone or under an id map, exchanged in place.

Graphs (HNSW) are refused: their links were made for the old vectors and cannot be taken out.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.lazy import require
from nudge_integrations.errors import UnsupportedStoreError
from nudge_integrations.stores.entries import Entry
from nudge_integrations.stores.files import FileSidecar
from nudge_integrations.stores.formats import Hits, Metric, checked_metric, finite, same
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore


class FaissStore(LiveStore):
    """A FAISS index in this process. Save it yourself after it was tuned or reverted.

    Args:
        index: `IndexFlatIP`, `IndexFlatL2`, or an `IndexIDMap`/`IndexIDMap2` over one.
        names: Document id -> the index's own number (a row, or an id of the map). Left out: the
            numbers themselves, as strings.
    """

    kind = "FAISS"
    exact = True
    dimension = 0
    exact = True
    dimension = 0

    def __init__(self, index: Any, names: Mapping[str, int] | None = None) -> None:
        faiss = require("faiss", "faiss")
        self._faiss, self._index = faiss, index
        self.identity = self.uid = f"FAISS {type(index).__name__} in memory"
        mapped = type(index).__name__.startswith("IndexIDMap")
        self._flat = faiss.downcast_index(index.index) if mapped else index
        if not isinstance(self._flat, faiss.IndexFlat):
            graph = "HNSW" in type(self._flat).__name__
            graph = "HNSW" in type(self._flat).__name__
            raise UnsupportedStoreError(
                f"FAISS {type(self._flat).__name__} cannot exchange a vector exactly"
                f"{': the links of its graph were made for the old ones' if graph else ''}; use "
                "IndexFlatIP or IndexFlatL2, under IndexIDMap2 or not, or rebuild the index from "
                "tuned vectors"
            )
        self._mapped, self._names, self.dimension = mapped, names, int(index.d)
        known: dict[int, Metric] = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "l2"}
        self.metric = checked_metric(index.metric_type, known, self.identity)  # type: ignore[arg-type]

    @classmethod
    def from_langchain(cls, store: Any) -> FaissStore:
        """LangChain's `FAISS`."""
        opened = cls(store.index, {name: row for row, name in store.index_to_docstore_id.items()})
        opened.owner = store
        return opened

    @classmethod
    def from_llama_index(cls, store: Any) -> FaissStore:
        """LlamaIndex's `FaissVectorStore` and `FaissMapVectorStore`."""
        return cls(store.client, getattr(store, "_node_id_to_faiss_id_map", None))

    def sidecar_in(self, folder: Path) -> Sidecar:
        """A file, since an index has no room: known by its name, or by the vectors it tuned."""
        if self.uid == self.identity:
            return FaissSidecar(self, folder)
        return FileSidecar(self, folder)

    def count(self) -> int:
        """Number of vectors."""
        return int(self._index.ntotal)

    def ids(self) -> Iterator[str]:
        """Every id."""
        yield from self._rows()

    def _rows(self) -> dict[str, int]:
        """Row of each id, as the index stands now."""
        rows = range(self._index.ntotal)
        place = dict(enumerate(rows))
        if self._mapped:
            numbers = self._faiss.vector_to_array(self._index.id_map).tolist()
            place = dict(zip(numbers, rows, strict=True))
        if self._names is None:
            return {str(number): row for number, row in place.items()}
        return {name: place[number] for name, number in self._names.items() if number in place}

    @property
    def numbered(self) -> bool:
        """Whether ids are positions, which change if rows are removed."""
        return not self._mapped and self._names is None

    def _stored(self) -> FloatMatrix:
        """The vectors themselves, not a copy."""
        flat = self._flat
        data = self._faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        matrix: FloatMatrix = data.reshape(flat.ntotal, flat.d)
        return matrix

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        rows, stored = self._rows(), self._stored()
        return [(name, stored[rows[name]].copy()) for name in ids if name in rows]

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        scores, numbers = self._index.search(vectors, min(k, self._index.ntotal))
        sign = -1.0 if self.metric == "l2" else 1.0
        names = {number: str(number) for number in np.unique(numbers).tolist()}
        if self._names is not None:
            names = {number: name for name, number in self._names.items()}
        return [
            finite(
                (names[number], sign * score)
                for number, score in zip(*each, strict=True)
                if number >= 0 and number in names
            )
            for each in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]

    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        rows, stored = self._rows(), self._stored()
        for place, name in enumerate(ids):
            if name in rows and np.array_equal(stored[rows[name]], expected[place]):
                stored[rows[name]] = vectors[place]


class FaissSidecar(FileSidecar):
    """The file whose tuned vectors this index holds; a new one if there is none.

    An index that was saved and loaded has no name, but it holds the vectors that were written.
    """

    store: FaissStore

    def __init__(self, store: FaissStore, folder: Path) -> None:
        super().__init__(store, folder)
        self._keys: dict[str, str] = {}
        if id(store._index) not in _paths:
            _paths[id(store._index)] = self._found(folder) or (
                folder / f"faiss-{secrets.token_hex(8)}.sqlite3"
            )
            weakref.finalize(store._index, _paths.pop, id(store._index), None)
        self.path = _paths[id(store._index)]
        self.where = str(self.path)

    def entries(self) -> dict[str, Entry]:
        """Rows whose originals are kept; without an id map, rows move up if others are removed."""
        found = super().entries()
        if self.store.numbered:
            self._keys = self._rows_of(found)
            found = {row: found[name] for row, name in self._keys.items()}
        return found

    def _rows_of(self, entries: Mapping[str, Entry]) -> dict[str, str]:
        """Where each entry's row is now -> the name under which it is kept.

        First those that are in their place, then those whose vector stands elsewhere; an entry
        whose vector is nowhere keeps its place if no other row is there, else it is gone.
        """
        names = {
            name: name
            for name, held in self.store.look(entries)[0].items()
            if entries[name].original_of(held) is not None
        }
        free: dict[bytes, list[str]] = {}
        for row, vector in enumerate(self.store._stored()):
            if str(row) not in names:
                free.setdefault(vector.tobytes(), []).append(str(row))
        lost = []
        for name in sorted(set(entries) - set(names), key=int):
            entry = entries[name]
            held = (entry.tuned, entry.original, *(each for each, _ in entry.known))
            rows = next((free[each.tobytes()] for each in held if free.get(each.tobytes())), None)
            if rows:
                names[rows.pop(0)] = name
            else:
                lost.append(name)
        return {**names, **{n if n not in names else f"{n} (removed)": n for n in lost}}

    def _drop(self, kind: str, keys: list[str]) -> None:
        moved = self._keys if kind == "row" else {}
        super()._drop(kind, [moved.get(key, key) for key in keys])

    def _save(self, kind: str, records: Mapping[str, str]) -> None:
        old = {key: self._keys[key] for key in records if self._keys.get(key, key) != key}
        super()._save(kind, records)
        if kind == "row" and old:
            super()._drop(kind, [name for name in old.values() if name not in records])

    def _found(self, folder: Path) -> Path | None:
        for self.path in sorted(folder.glob("faiss-*.sqlite3")):
            entries = self.entries()
            held, _ = self.store.look(entries)
            known = sum(same(held[name], entries[name].tuned) for name in held)
            if known and known * 2 >= len(entries):
                return self.path
        return None


_paths: dict[int, Path] = {}
