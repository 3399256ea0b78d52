"""Chroma: embedded, or a server.

Traps: `get` ignores the order of ids; a batch has a largest size; `update` passes over ids that are
not there; a cosine collection keeps unit vectors and lengths apart, so the last digit of what is
read differs from what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.errors import StoreError, UnsupportedStoreError
from nudge_integrations.stores.store import Hits, LiveStore, checked_metric, finite, similarity

_METRICS: dict[str, Any] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}
_PAGE = 1000


class ChromaStore(LiveStore):
    """A Chroma collection.

    Args:
        collection: `chromadb.Collection`.
    """

    kind = "Chroma"

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.identity = f"Chroma collection {collection.name!r} ({collection.id})"
        self.batch = min(_PAGE, int(collection._client.get_max_batch_size()))
        settings = collection.configuration_json
        space = (settings.get("hnsw") or settings.get("spann") or {}).get("space")
        self.metric = checked_metric(space, _METRICS, self.identity)
        self._dimension = 0

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        if not self._dimension:
            found = self._calmly(
                "read a vector", self._collection.get, limit=1, include=["embeddings"]
            )
            vectors = found["embeddings"]
            if vectors is None or len(vectors) == 0:
                raise StoreError(f"{self.identity} is empty: add documents first")
            self._dimension = len(vectors[0])
        return self._dimension

    @property
    def exact(self) -> bool:
        """No: an HNSW graph."""
        return False

    def count(self) -> int:
        """Number of vectors."""
        return int(self._calmly("count", self._collection.count))

    def ids(self) -> Iterator[str]:
        """Every id."""
        offset = 0
        while True:
            page = self._calmly(
                "list ids", self._collection.get, limit=_PAGE, offset=offset, include=[]
            )["ids"]
            yield from page
            if len(page) < _PAGE:
                return
            offset += _PAGE

    def _read(self, ids: list[str]) -> Iterable[tuple[str, Any]]:
        found = self._collection.get(ids=ids, include=["embeddings"])
        if found["ids"] and found["embeddings"] is None:
            raise UnsupportedStoreError(f"{self.identity} gives no vectors back")
        return zip(found["ids"], found["embeddings"], strict=True)

    def _search(self, vectors: FloatMatrix, k: int, exact: bool) -> list[Hits]:  # noqa: ARG002
        found = self._collection.query(
            query_embeddings=vectors, n_results=min(k, max(1, self.count())), include=["distances"]
        )
        return [
            finite((name, similarity(self.metric, far)) for name, far in zip(*each, strict=True))
            for each in zip(found["ids"], found["distances"], strict=True)
        ]

    def _write(
        self,
        ids: list[str],
        vectors: FloatMatrix,
        expected: FloatMatrix | None,  # noqa: ARG002
    ) -> None:
        self._collection.update(ids=ids, embeddings=vectors)

    def _transient(self) -> tuple[type[BaseException], ...]:
        import httpx
        from chromadb.errors import RateLimitError

        return (httpx.TransportError, RateLimitError)

    def _forbidden(self, error: BaseException) -> bool:
        from chromadb.errors import AuthorizationError

        return isinstance(error, AuthorizationError) or "readonly" in str(error).lower()
