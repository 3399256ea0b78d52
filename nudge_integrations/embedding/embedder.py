"""Texts in, one float32 matrix out: each text once, in batches, cached, with progress."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import cached_property
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding.cache import VectorCache, cache_folder
from nudge_integrations.embedding.encoder import (
    PLURAL,
    Kind,
    ModelFingerprint,
    checked_texts,
    checked_vectors,
)
from nudge_integrations.embedding.encoders import as_encoder
from nudge_integrations.embedding.hub import DEFAULT_MODEL
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import DataError, ModelMismatchError

logger = logging.getLogger(__name__)


class Embedder:
    """Embeds queries and documents with any embedding model.

    Equal texts are embedded once. Every finished batch is kept on disk, so that a run which was
    interrupted continues, and a second run embeds nothing.

    Args:
        model: Whatever `as_encoder` takes: a sentence-transformers model or the name of one, a
            LlamaIndex `BaseEmbedding`, a LangChain `Embeddings`, an `Encoder`. Left out:
            all-MiniLM-L6-v2.
        cache: True keeps vectors in the default folder (`NUDGE_CACHE_DIR`, or else the user's
            cache folder), a path in that folder, False or None nowhere. A model that nothing
            identifies is never cached; the log says so.
        batch_size: Texts a forward pass (sentence-transformers) or a call (frameworks).
        show_progress: Whether to draw a progress bar while texts are embedded.
        device: Where a sentence-transformers model runs, such as `"cuda"`.
        half_precision: Compute in float16; sentence-transformers on CUDA only.
        workers: Concurrent calls, in threads; for models behind an API.

    Raises:
        DataError: No embedding model, or an option that this kind of model does not have.
        NudgeError: A model of this name cannot be loaded.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        cache: bool | str | os.PathLike[str] | None = True,
        batch_size: int | None = None,
        show_progress: bool = True,
        device: str | None = None,
        half_precision: bool = False,
        workers: int = 1,
    ) -> None:
        self.encoder = as_encoder(
            model,
            device=device,
            half_precision=half_precision,
            batch_size=batch_size,
            workers=workers,
        )
        self.show_progress = show_progress
        self._folder = cache_folder(cache)
        if self._folder is not None and self.encoder.digest is None:
            # The default is a convenience, a path is a wish.
            level = logging.INFO if cache is True else logging.WARNING
            logger.log(
                level,
                "Nothing identifies the model %r for sure, so its vectors are not cached",
                self.encoder.name,
            )

    @cached_property
    def fingerprint(self) -> ModelFingerprint:
        """What identifies the model; embeds one short text as a document and as a query.

        Raises:
            ModelMismatchError: The model has the settings under which vectors are cached, but
                answers differently: another model, or another query prefix, is in use now.
        """
        fingerprint = self.encoder.fingerprint
        with self._open_cache() as cache:
            if cache is not None:
                self._check_probe(cache, "document", fingerprint)
                # Where weights and prompts are hashed, a query can hold no surprise.
                if not self.encoder.digest_is_exact:
                    found = self.encoder.encode_queries([PROBE_TEXT])
                    what = f"query vectors from {fingerprint.name!r}"
                    probe = checked_vectors(found, ["the probe text"], what)[0]
                    query = ModelFingerprint(fingerprint.name, fingerprint.digest, probe)
                    self._check_probe(cache, "query", query)
        return fingerprint

    def _check_probe(self, cache: VectorCache, kind: Kind, now: ModelFingerprint) -> None:
        """Compare the model's vector of one text with the one stored when the cache was created."""
        key = [text_hash(PROBE_TEXT)]
        for _, stored in cache.read(f"{kind} probe", key):
            if not now.matches(ModelFingerprint(now.name, now.digest, stored[0])):
                raise ModelMismatchError(
                    f"the model {now.name!r} no longer gives the {kind} vectors that are cached "
                    f"under its name: delete {cache.path}, or pass cache=False"
                )
            return
        cache.write(f"{kind} probe", key, now.probe[None])

    @property
    def dimension(self) -> int:
        """Number of dimensions of the model's vectors."""
        return self.fingerprint.dimension

    def embed_queries(self, texts: Sequence[str], ids: Sequence[str] | None = None) -> FloatMatrix:
        """Embed `texts` as queries.

        Args:
            texts: Texts, none of them empty.
            ids: Names of the texts for error messages; their positions if None.

        Returns:
            Float32 matrix of shape `(len(texts), dimension)`; equal texts have equal rows.

        Raises:
            DataError: No texts, an empty text, or vectors that cannot be used. The text is named.
            NudgeError: The cache cannot be written to, before anything is embedded.
            CorruptFileError: The cache file is damaged.
        """
        return self._embed("query", self.encoder.encode_queries, texts, ids)

    def embed_documents(
        self, texts: Sequence[str], ids: Sequence[str] | None = None
    ) -> FloatMatrix:
        """Embed `texts` as documents; arguments, result and errors are those of `embed_queries`."""
        return self._embed("document", self.encoder.encode_documents, texts, ids)

    def _embed(
        self,
        kind: Kind,
        encode: Callable[[list[str]], Any],
        texts: Sequence[str],
        ids: Sequence[str] | None,
    ) -> FloatMatrix:
        names = checked_texts(kind, texts, ids)
        # A text's first name stands for all that share it.
        named = dict(zip(reversed(texts), reversed(names), strict=True))
        unique = list(dict.fromkeys(texts))
        hashes = [text_hash(text) for text in unique]
        rows = _Rows(len(unique), f"{kind} vectors from {self.encoder.name!r}")
        with self._open_cache() as cache:
            for positions, vectors in cache.read(kind, hashes) if cache else ():
                rows.fill(positions, vectors)
            with self._saving_said(rows, cache), self._progress(kind, rows) as bar:
                answers = self._answers(encode, unique, rows.missing())
                # Closed at once on an error, so that no further calls are made.
                with contextlib.closing(answers):
                    for batch, answer in answers:
                        ids_here = [named[unique[row]] for row in batch]
                        vectors = checked_vectors(answer, ids_here, rows.what)
                        rows.fill(np.array(batch), vectors)
                        if cache:
                            cache.write(kind, [hashes[row] for row in batch], vectors)
                        bar.update(len(batch))
        matrix = rows.matrix()
        if len(unique) == len(texts):
            return matrix
        row_of = {text: row for row, text in enumerate(unique)}
        return matrix[[row_of[text] for text in texts]]

    def _open_cache(self) -> contextlib.AbstractContextManager[VectorCache | None]:
        digest = self.encoder.digest
        if self._folder is None or digest is None:
            return contextlib.nullcontext()
        return VectorCache(self._folder, digest)

    def _progress(self, kind: Kind, rows: _Rows) -> Any:
        # Here, so that importing an engine does not wait for a progress bar.
        from tqdm import tqdm

        missing = len(rows.missing())
        return tqdm(
            total=rows.count,
            initial=rows.count - missing,
            desc=f"Embedding {PLURAL[kind]}",
            unit="text",
            disable=not (self.show_progress and missing),
        )

    @contextlib.contextmanager
    def _saving_said(self, rows: _Rows, cache: VectorCache | None) -> Iterator[None]:
        try:
            yield
        except BaseException:
            done = rows.count - len(rows.missing())
            if cache and done:
                logger.warning(
                    "Embedding stopped; %d of %d vectors are kept in %s, and the next run goes on "
                    "from there",
                    done,
                    rows.count,
                    cache.path,
                )
            raise

    def _answers(
        self, encode: Callable[[list[str]], Any], texts: list[str], missing: list[int]
    ) -> Generator[tuple[list[int], Any], None, None]:
        """Call the model in batches; yield each batch's rows and the model's answer."""
        size = self.encoder.batch_size
        batches = [missing[start : start + size] for start in range(0, len(missing), size)]
        if self.encoder.workers == 1:
            for batch in batches:
                yield batch, encode([texts[row] for row in batch])
            return
        with ThreadPoolExecutor(self.encoder.workers) as pool:
            calls = {pool.submit(encode, [texts[row] for row in batch]): batch for batch in batches}
            try:
                yield from _finished(calls)
            finally:
                pool.shutdown(cancel_futures=True)


def _finished(calls: dict[Future[Any], list[int]]) -> Iterator[tuple[list[int], Any]]:
    """Yield calls as they finish; after a failure, keep running calls and cancel the rest."""
    failure: BaseException | None = None
    for call in as_completed(calls):
        if call.cancelled():
            continue
        error = call.exception()
        if error is None:
            yield calls[call], call.result()
        elif failure is None:
            failure = error
            for other in calls:
                other.cancel()
    if failure is not None:
        raise failure


class _Rows:
    """A matrix filled row by row; the first vector sets its width."""

    def __init__(self, count: int, what: str) -> None:
        self.count = count
        self.what = what
        self._vectors: FloatMatrix | None = None
        self._filled = np.zeros(count, dtype=np.bool_)

    def fill(self, positions: IntVector, vectors: FloatMatrix) -> None:
        """Put `vectors` at `positions`."""
        if self._vectors is None:
            self._vectors = np.empty((self.count, vectors.shape[1]), dtype=np.float32)
        if vectors.shape[1] != self._vectors.shape[1]:
            raise DataError(
                f"{self.what} have {vectors.shape[1]} dimensions here and "
                f"{self._vectors.shape[1]} before; did the model change? Delete the cache, or pass "
                "cache=False"
            )
        self._vectors[positions] = vectors
        self._filled[positions] = True

    def missing(self) -> list[int]:
        """Positions that are not filled yet."""
        positions: list[int] = np.flatnonzero(~self._filled).tolist()
        return positions

    def matrix(self) -> FloatMatrix:
        """All rows, once they are filled."""
        assert self._vectors is not None
        return self._vectors


def as_embedder(model: Any, *, show_progress: bool = True) -> Embedder:
    """`model` if it is an `Embedder`, else one made of whatever `Embedder` takes."""
    return model if isinstance(model, Embedder) else Embedder(model, show_progress=show_progress)
