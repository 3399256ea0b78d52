"""Encoders for the models that people have: sentence-transformers, LlamaIndex, LangChain."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nudge_integrations.common.arrays import checked_count
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.text import described
from nudge_integrations.embedding.encoder import Encoder, ModelFingerprint, checked_vectors
from nudge_integrations.embedding.hub import load_sentence_transformer
from nudge_integrations.embedding.models import (
    is_langchain,
    is_llama_index,
    is_sentence_transformer,
    module_digest,
    settings_digest,
    settings_name,
    transformer_name,
)
from nudge_integrations.errors import DataError

# One call to a local model spans several forward passes: the library sorts the texts of a call by
# length, which saves padding.
_PASSES_PER_CALL = 8
_LOCAL_BATCH = 32
_REMOTE_BATCH = 64
_QUERY_PROMPTS = ("query",)
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")

logger = logging.getLogger(__name__)


class SentenceTransformerEncoder(Encoder):
    """A sentence-transformers model, with the prompts that it declares for queries and documents.

    Args:
        model: A `SentenceTransformer`.
        name: Its name for people; None takes the one that it was loaded by.
        device: Where to run it; None leaves it where it is.
        half_precision: Compute in float16 (CUDA only). The model itself is not changed.
        batch_size: Texts a forward pass, 32 if None.

    Raises:
        DataError: Half precision was asked for on another device than CUDA.
    """

    digest_is_exact = True

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        device: str | None = None,
        half_precision: bool = False,
        batch_size: int | None = None,
    ) -> None:
        place = str(device if device is not None else model.device)
        if half_precision and not place.startswith("cuda"):
            raise DataError(
                f"half_precision=True needs a CUDA device, but the model is on {place!r}; "
                "leave half_precision out, or pass device='cuda' where there is one"
            )
        self._model = model
        self._name = name
        self._device = device
        self._half_precision = half_precision
        self._forward_batch = batch_size or _LOCAL_BATCH
        self.batch_size = self._forward_batch * _PASSES_PER_CALL

    @property
    def name(self) -> str:
        """The name that the model was loaded by."""
        return self._name or transformer_name(self._model)

    @cached_property
    def digest(self) -> str | None:
        """Hash over a sample of all weights, and over all that shapes the vectors."""
        digest = module_digest(self._model)
        # In float16 the same weights give slightly different vectors.
        return text_hash(f"{digest} float16") if digest and self._half_precision else digest

    def encode_queries(self, texts: list[str]) -> Any:
        """Vectors of `texts`, with the model's prompt for queries if it has one."""
        return self._encode("encode_query", _QUERY_PROMPTS, texts)

    def encode_documents(self, texts: list[str]) -> Any:
        """Vectors of `texts`, with the model's prompt for documents if it has one."""
        return self._encode("encode_document", _DOCUMENT_PROMPTS, texts)

    def _encode(self, method: str, prompts: tuple[str, ...], texts: list[str]) -> Any:
        encode = getattr(self._model, method, None)
        options: dict[str, Any] = {}
        if encode is None:
            # sentence-transformers before 5 knows prompts only by name.
            encode = self._model.encode
            known = getattr(self._model, "prompts", {})
            options["prompt_name"] = next((name for name in prompts if name in known), None)
        if self._device is not None:
            options["device"] = self._device
        with self._autocast():
            return encode(
                texts,
                batch_size=self._forward_batch,
                show_progress_bar=False,
                convert_to_numpy=True,
                **options,
            )

    def _autocast(self) -> Any:
        if not self._half_precision:
            return contextlib.nullcontext()
        import torch

        return torch.autocast("cuda", dtype=torch.float16)


class FrameworkEncoder(Encoder):
    """A LlamaIndex `BaseEmbedding` or a LangChain `Embeddings`, known by its settings.

    Args:
        model: The embedding model.
        batch_size: Texts a call; None for the model's `embed_batch_size` (LlamaIndex, which cuts
            longer calls itself), or 64.
        workers: Concurrent calls, in threads.
    """

    def __init__(self, model: Any, *, batch_size: int | None = None, workers: int = 1) -> None:
        self._model = model
        self.batch_size = batch_size or int(getattr(model, "embed_batch_size", _REMOTE_BATCH))
        self.workers = workers

    @property
    def name(self) -> str:
        """The model's name in its settings, or else its class."""
        return settings_name(self._model)

    @cached_property
    def digest(self) -> str | None:
        """Hash of the settings that identify the model, and of local weights inside it."""
        return settings_digest(self._model)

    def encode_queries(self, texts: list[str]) -> Any:
        """Vectors of `texts` as queries, one by one: neither framework knows batches of queries."""
        model = self._model
        embed = model.get_query_embedding if is_llama_index(model) else model.embed_query
        return [embed(text) for text in texts]

    def encode_documents(self, texts: list[str]) -> Any:
        """Vectors of `texts` as documents."""
        if is_llama_index(self._model):
            return self._model.get_text_embedding_batch(texts)
        return self._model.embed_documents(texts)


def as_encoder(
    model: Any,
    *,
    device: str | None = None,
    half_precision: bool = False,
    batch_size: int | None = None,
    workers: int = 1,
) -> Encoder:
    """Wrap any supported embedding model as an `Encoder`.

    A tuned model of this package is taken back to the model that it was made from, so that a new
    run starts from original vectors.

    Args:
        model: A sentence-transformers model or the name of one, a LlamaIndex `BaseEmbedding`, a
            LangChain `Embeddings`, or an `Encoder`, which is returned as it is.
        device: Where a sentence-transformers model runs, such as `"cuda"`.
        half_precision: Compute in float16; sentence-transformers on CUDA only.
        batch_size: Texts a forward pass (sentence-transformers) or a call (frameworks).
        workers: Concurrent calls, in threads; for models behind an API.

    Raises:
        DataError: An object of another type, or an option that this kind of model does not have.
        NudgeError: A model of this name cannot be loaded.
    """
    for option, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None:
            checked_count(value, option, 1)
    model = original_model(model)
    given: dict[str, Any] = {"device": device, "half_precision": half_precision or None}
    given |= {"batch_size": batch_size, "workers": None if workers == 1 else workers}
    given = {option: value for option, value in given.items() if value is not None}
    if isinstance(model, Encoder):
        _refuse_all_but((), given, model, "set it on the Encoder")
        return model
    if isinstance(model, str) or is_sentence_transformer(model):
        remedy = "it runs one call at a time; batch_size sets its size"
        _refuse_all_but(("device", "half_precision", "batch_size"), given, model, remedy)
        if not isinstance(model, str):
            return SentenceTransformerEncoder(model, **given)
        name = None if Path(model).is_dir() else model
        loaded = load_sentence_transformer(model, device=device)
        return SentenceTransformerEncoder(loaded, name=name, **given)
    if is_llama_index(model) or is_langchain(model):
        _refuse_all_but(("batch_size", "workers"), given, model, "set it on the model itself")
        return FrameworkEncoder(model, **given)
    what = f"a {_type_name(model)}"
    if inspect.isclass(model):
        what = f"{described(model)} itself (make one of it: {model.__name__}(...))"
    raise DataError(
        f"cannot embed with {what}; pass a SentenceTransformer or the name of one, a LlamaIndex "
        "BaseEmbedding, a LangChain Embeddings, or a subclass of "
        "nudge_integrations.embedding.Encoder"
    )


def probed(model: Any, vectors: Any) -> ModelFingerprint:
    """Fingerprint of a framework's model, from what it gave for `[PROBE_TEXT]`, async or not.

    Raises:
        DataError: The model's vector cannot be used (NaN, zeros, no vector).
    """
    name = settings_name(model)
    matrix = checked_vectors(vectors, ["the probe text"], f"vectors from {name!r}")
    return ModelFingerprint(name, None, matrix[0])


def original_model(model: Any) -> Any:
    """The model beneath this package's tuned ones; any other model is returned as it is."""
    # Looked up on the class: a stand-in object may answer to every name.
    while inspect.isfunction(getattr(type(model), "nudge_base_model", None)):
        model = model.nudge_base_model()
        logger.info("A tuned model was passed; its base model embeds")
    return model


def _refuse_all_but(
    known: tuple[str, ...], given: Mapping[str, Any], model: Any, remedy: str
) -> None:
    """Refuse options that would silently have no effect."""
    for option, value in given.items():
        if option not in known:
            raise DataError(f"{option}={value!r} has no effect on a {_type_name(model)}: {remedy}")


def _type_name(model: Any) -> str:
    kind = type(model)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
