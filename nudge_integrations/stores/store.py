"""What a live store must be able to do: read vectors by id, search, and replace vectors."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import FloatMatrix, as_matrix
from nudge_integrations.errors import (
    DataError,
    UnsupportedStoreError,
)
from nudge_integrations.stores.formats import FloatVector, Hits, Metric, same
from nudge_integrations.stores.retries import Retrying

if TYPE_CHECKING:
    from typing_extensions import Self

_ULP = 6e-8


class LiveStore(Retrying, ABC):
    """Vectors by id in a store that is in use.

    Ids are strings here, whatever the store makes of them, in one canonical form. A backend
    implements the methods that begin with `_`, for batches of bounded size and ids without
    duplicates; order, missing ids, retries and checks are handled here.

    Attributes:
        metric: How the store ranks: `"cosine"`, `"dot"` or `"l2"`.
        identity: What messages call this collection; holds no secret.
        uid: Names the very collection, however its address is spelled.
        secrets: Values that must never appear in a message.
        numbers: The type in which the store keeps the numbers of a vector.
        filter: In the backend's own form; None for the whole collection. See `within`.
        owner: The framework's store, where that keeps the texts.
    """

    kind: ClassVar[str]
    batch: int = 1000
    """Most ids in one call of the backend."""
    queries_at_once: ClassVar[int] = 64
    tries: int = 300
    """How often `write_exactly` writes the few rows that are not yet exact."""
    metric: Metric
    uid: str
    numbers: npt.DTypeLike = np.float32
    filter: Any = None
    owner: Any = None

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether `search` looks at every vector."""

    @abstractmethod
    def count(self) -> int:
        """Number of vectors."""

    def ids(self) -> Iterator[str]:
        """Every id, in the store's order, page by page."""
        return (name for name, _ in self.records(texts=False))

    def records(self, *, texts: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:  # noqa: ARG002
        """Id, and text and metadata as the store names them, of every row, page by page.

        Args:
            texts: Whether text and metadata are needed, too.

        Raises:
            UnsupportedStoreError: The store keeps vectors only.
        """
        for name in ("get_by_ids", "get_nodes"):  # LangChain's stores, and LlamaIndex's
            if hasattr(self.owner, name):
                try:
                    found = getattr(self.owner, name)(list(self.ids()))
                except NotImplementedError:  # LlamaIndex's FAISS
                    break
                for each in found:
                    text = getattr(each, "page_content", None)
                    text = each.get_content(metadata_mode="none") if text is None else text
                    id_ = str(getattr(each, "node_id", None) or each.id)
                    yield id_, {**each.metadata, "page_content": text}
                return
        raise UnsupportedStoreError(
            f"{self.identity} keeps no texts that can be read here; pass the documents or nodes"
        )

    @abstractmethod
    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        """Ids and vectors of those that are there, in any order; an id of two rows twice."""

    @abstractmethod
    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        """The contract of `search`."""

    @abstractmethod
    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        """Replace the vectors of rows that are there, and nothing else of them."""

    def within(self, chosen: Any) -> Self:
        """The same collection as if it held only the rows that a filter lets through.

        Args:
            chosen: A filter in the store's own form; None for the whole collection.

        Raises:
            DataError: The store knows no filters of this form.
        """
        if chosen is None:
            return self
        inside = copy.copy(self)
        inside.filter = self._as_filter(chosen)
        shown = chosen if isinstance(chosen, (str, dict)) else "a filter"
        inside.identity = f"{self.identity} within {shown}"
        return inside

    def _as_filter(self, chosen: Any) -> Any:  # noqa: ARG002
        """A filter in the form in which the backend uses it."""
        raise DataError(f"{self.identity} keeps no metadata to filter by: leave out filter=")

    def sidecar(self) -> Any:
        """The `Sidecar` in the collection's own database; None if that has no room for one."""
        return None

    def mark(self) -> str | None:
        """The journal that a note on the collection itself names; None without a note."""
        return None

    def set_mark(self, mark: str | None) -> bool:  # noqa: ARG002
        """Leave a note on the collection, or remove it; False where it cannot hold one."""
        return False

    def canonical(self, name: str) -> str | None:
        """The one spelling of an id; None for what cannot be an id of this store."""
        return name

    def stored(self, vectors: FloatMatrix) -> FloatMatrix:
        """What the store makes of vectors when it keeps them, as float32."""
        return vectors.astype(self.numbers).astype(np.float32)

    def can_search_exactly(self) -> bool:
        """Whether `search(..., exact=True)` is more exact than without."""
        return self.exact

    def read(self, ids: Iterable[str]) -> dict[str, FloatVector]:
        """Vectors by canonical id, float32, in the order asked for; missing ids are left out.

        Raises:
            StoreError: The store did not answer.
            DataError: A row holds something that is no finite vector of the store's dimension.
        """
        found, bad = self.look(ids)
        for name, reason in bad.items():
            raise DataError(
                f"row {name!r} of {self.identity} {reason}: embed these again or leave them out"
            )
        return found

    def look(self, ids: Iterable[str]) -> tuple[dict[str, FloatVector], dict[str, str]]:
        """Like `read`, but rows without a usable vector come back apart, each with the reason.

        Raises:
            StoreError: The store did not answer.
        """
        known = (self.canonical(name) for name in ids)
        wanted = list(dict.fromkeys(name for name in known if name is not None))
        found: dict[str, FloatVector] = {}
        bad: dict[str, str] = {}
        size = self.dimension if wanted else 0
        pairs = lambda part: list(self._read(part))  # noqa: E731
        for start in range(0, len(wanted), self.batch):
            part = wanted[start : start + self.batch]
            for name, value in self.with_retries("read vectors", pairs, part):
                vector = np.asarray(value, np.float32)
                if vector.shape != (size,):
                    bad[name] = f"has {vector.size} dimensions instead of {size}"
                elif not np.isfinite(vector).all():
                    bad[name] = "has a vector with NaN or infinity"
                elif name in found and not np.array_equal(found[name], vector):
                    bad[name] = "stands in several rows with different vectors"
                else:
                    found[name] = vector
        return {name: found[name] for name in wanted if name in found and name not in bad}, bad

    def search(self, vectors: FloatMatrix, k: int, *, exact: bool = False) -> list[Hits]:
        """The `k` nearest of each query, best first; fewer where the store holds fewer.

        Scores follow one contract, whatever the store calls them: the cosine, the inner product
        with the query as it is, or minus the squared distance. Higher is better.

        Args:
            vectors: Shape `(q, dimension)`: queries.
            k: How many.
            exact: Look at every vector, where the store can be made to.

        Raises:
            StoreError: The store did not answer.
        """
        vectors = as_matrix(vectors, "query vectors", dimension=self.dimension)
        if k < 1:
            raise DataError(f"k must be at least 1, got {k}")
        found: list[Hits] = []
        for start in range(0, len(vectors), self.queries_at_once):
            tile = vectors[start : start + self.queries_at_once]
            found += self.with_retries("search", self._search, tile, k, exact)
        return found

    def write(self, ids: Sequence[str], vectors: FloatMatrix, expected: FloatMatrix) -> None:
        """Replace vectors of rows that are there; nothing else of a row is touched.

        The caller reads the rows back: some stores pass over rows silently.

        Args:
            ids: Which, each once.
            vectors: Shape `(len(ids), dimension)`.
            expected: What they hold now, same shape. Stores that can compare leave a row alone
                if it holds another vector by then.

        Raises:
            StoreError: The store did not answer, or refused.
        """
        vectors = as_matrix(vectors, "vectors to write", ids=ids, dimension=self.dimension)
        if len(set(ids)) != len(ids):
            raise DataError("ids to write must be different from each other")
        for start in range(0, len(ids), self.batch):
            part = slice(start, start + self.batch)
            self.with_retries(
                "write vectors", self._write, list(ids[part]), vectors[part], expected[part]
            )

    def write_exactly(
        self, ids: Sequence[str], vectors: FloatMatrix, expected: FloatMatrix
    ) -> list[str]:
        """`write` until reading gives these very bytes; ids of rows for which it does not.

        A store that normalises rounds what it is given, so that a vector that was read and
        written back may differ in its last digit. Then what is written is corrected by the
        difference and written again; where that goes in circles, it is begun anew a little longer
        or shorter. The few rows left after each try are never farther off than that digit.
        """
        targets = dict(zip(ids, vectors, strict=True))
        wishes, now = dict(targets), dict(zip(ids, expected, strict=True))
        rows = list(ids)
        for attempt in range(self.tries):
            self.write(
                rows,
                np.stack([wishes[name] for name in rows]),
                np.stack([now[name] for name in rows]),
            )
            now, _ = self.look(rows)
            rows = [name for name in now if not np.array_equal(now[name], targets[name])]
            rows = [name for name in rows if same(now[name], targets[name])]
            if not rows:
                break
            half, sign = divmod(attempt // 3, 2)
            scale = 1 + (half + 1) * (-1) ** sign * _ULP
            for name in rows:
                if attempt % 3 == 2:
                    wishes[name] = (targets[name].astype(np.float64) * scale).astype(np.float32)
                else:
                    wishes[name] = wishes[name] + (targets[name] - now[name])
        found, _ = self.look(ids)
        return [
            name
            for name in ids
            if name not in found or not np.array_equal(found[name], targets[name])
        ]
