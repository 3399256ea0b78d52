"""What a live store must be able to do: read vectors by id, search, and exchange vectors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import tenacity

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, name_some, unit_rows
from nudge_integrations.errors import DataError, StoreError

Metric = Literal["cosine", "dot", "l2"]
FloatVector = npt.NDArray[np.float32]
Hits = list[tuple[str, float]]
"""Ids and scores of what a query found, best first."""

ATTEMPTS = 5
FIRST_WAIT = 0.2  # seconds; doubled from try to try, up to
LONGEST_WAIT = 10.0
_SAME = 1e-6  # of a vector's length: stores that normalise round the last digit
_ULP = 6e-8

T = TypeVar("T")


class LiveStore(ABC):
    """Vectors by id in a store that is in use.

    Ids are strings here, whatever the store makes of them. A backend implements the methods that
    begin with `_`, for batches of bounded size and ids without duplicates; order, missing ids,
    retries after transient errors and checks are done here, once for all.

    Attributes:
        metric: How the store ranks: `"cosine"`, `"dot"` or `"l2"`.
        identity: What this collection is called in journals and messages; holds no secret.
        lives_on: Whether another process finds the same collection under this identity.
        owner: The object that the vectors live and die with, where they do not live on.
    """

    kind: ClassVar[str]
    batch: int = 1000
    """Most ids in one call of the backend."""
    queries_at_once: ClassVar[int] = 64
    tries: int = 300
    """How often `write_exactly` writes the few rows that are not yet exact."""
    lives_on: bool = True
    owner: Any = None
    metric: Metric
    identity: str

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

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Every id, in the store's order, page by page."""

    @abstractmethod
    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        """Ids and vectors of those that are there, in any order."""

    @abstractmethod
    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:
        """The contract of `search`."""

    @abstractmethod
    def _write(self, ids: list[str], vectors: FloatMatrix, expected: FloatMatrix | None) -> None:
        """Exchange the vectors of rows that are there, and nothing else of them."""

    def _transient(self) -> tuple[type[BaseException], ...]:
        """Errors of the store's client after which the same call may succeed."""
        return ()

    def _forbidden(self, error: BaseException) -> bool:  # noqa: ARG002
        """Whether an error says that this user may not write."""
        return False

    def can_search_exactly(self) -> bool:
        """Whether `search(..., exact=True)` is more exact than without."""
        return self.exact

    def read(self, ids: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by id, float32, in the order asked for, each id once; missing ids are left out.

        Raises:
            StoreError: The store did not answer, or answered with something that is no vector.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, FloatVector] = {}
        for start in range(0, len(wanted), self.batch):
            part = wanted[start : start + self.batch]
            pairs = self._calmly("read vectors", self._pairs, part)
            if pairs:
                names = [name for name, _ in pairs]
                rows = as_matrix(
                    [np.asarray(vector, np.float32) for _, vector in pairs],
                    f"vectors in {self.identity}",
                    ids=names,
                    dimension=self.dimension,
                    allow_zero=True,
                )
                found.update(zip(names, rows, strict=True))
        return {name: found[name] for name in wanted if name in found}

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
            found += self._calmly("search", self._search, tile, k, exact)
        return found

    def write(
        self, ids: Sequence[str], vectors: FloatMatrix, expected: FloatMatrix | None = None
    ) -> None:
        """Exchange vectors of rows that are there; nothing else of a row is touched.

        Whoever calls reads the rows back: some stores pass over rows silently.

        Args:
            ids: Which, each once.
            vectors: Shape `(len(ids), dimension)`.
            expected: What they hold now. Stores that can compare leave a row alone that holds
                another vector by then.

        Raises:
            StoreError: The store did not answer, or refused.
        """
        vectors = as_matrix(vectors, "vectors to write", ids=ids, dimension=self.dimension)
        if len(set(ids)) != len(ids):
            raise DataError("ids to write must be different from each other")
        for start in range(0, len(ids), self.batch):
            part = slice(start, start + self.batch)
            before = None if expected is None else expected[part]
            self._calmly("write vectors", self._write, list(ids[part]), vectors[part], before)

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
            now = self.read(rows)
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
        found = self.read(ids)
        return [
            name
            for name in ids
            if name not in found or not np.array_equal(found[name], targets[name])
        ]

    def _pairs(self, ids: list[str]) -> list[tuple[str, Any]]:
        return list(self._read(ids))

    def _calmly(self, doing: str, call: Callable[..., T], *given: Any, **named: Any) -> T:
        """Call, and again after transient errors; what remains is a `StoreError`."""
        kinds: tuple[type[BaseException], ...] = (
            ConnectionError,
            TimeoutError,
            *self._transient(),
        )
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(kinds),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(FIRST_WAIT, LONGEST_WAIT),
            reraise=True,
        )
        try:
            return retrying(call, *given, **named)
        except (DataError, StoreError):
            raise
        except Exception as error:
            from nudge_integrations.stores.secrets import hidden

            if self._forbidden(error):
                from nudge_integrations.errors import ReadOnlyStoreError

                raise ReadOnlyStoreError(
                    f"{self.identity} may be read but not written by this user: {hidden(error)}. "
                    "Give credentials that may update vectors; nothing was changed"
                ) from None
            tries = f" {ATTEMPTS} times" if isinstance(error, kinds) else ""
            raise StoreError(
                f"{self.identity} failed{tries} to {doing}: {type(error).__name__}: {hidden(error)}"
            ) from None


def same(one: FloatVector, other: FloatVector) -> bool:
    """Whether two vectors differ by no more than a store's rounding."""
    size = float(np.linalg.norm(other))
    return bool(np.abs(one - other).max(initial=0.0) <= _SAME * max(size, 1e-30))


def scores_of(metric: Metric, queries: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
    """Scores of the contract, shape `(queries, vectors)`, worked out here."""
    if metric == "cosine":
        queries, vectors = unit_rows(queries), unit_rows(vectors)
    scores: FloatMatrix = queries @ vectors.T
    if metric == "l2":
        squares = (queries * queries).sum(axis=1)[:, None] + (vectors * vectors).sum(axis=1)
        scores = 2 * scores - squares
    return scores


def similarity(metric: Metric, distance: float) -> float:
    """The score of the contract from a distance: `1 - cos`, `1 - q.x` or `|q - x|^2`."""
    return -distance if metric == "l2" else 1.0 - distance


def checked_metric(name: Any, known: Mapping[str, Metric], where: str) -> Metric:
    """The metric that a store's own name means.

    Raises:
        UnsupportedStoreError: It means none of the three.
    """
    from nudge_integrations.errors import UnsupportedStoreError

    if name not in known:
        raise UnsupportedStoreError(
            f"{where} ranks by {name!r}; vectors can be tuned for {name_some(list(known))}"
        )
    return known[name]


def is_whole(name: str) -> bool:
    """Whether an id is a whole number, as stores with such ids have them."""
    return name.isascii() and name.removeprefix("-").isdigit()


def as_lists(vectors: FloatMatrix) -> list[list[float]]:
    """Rows as lists, exact: every float32 is a float."""
    return vectors.tolist()  # type: ignore[no-any-return]


def finite(hits: Iterable[tuple[str, float]]) -> Hits:
    """Hits with a finite score, best first."""
    kept = [(name, float(score)) for name, score in hits if math.isfinite(score)]
    return sorted(kept, key=lambda hit: -hit[1])
