"""Identify an embedding model: its library, and a digest of everything that shapes its vectors.

Equal digests may share cached vectors, so when in doubt there is none.

An object of a library's class can only exist once that library is imported, so looking into
`sys.modules` is enough, and costs nothing for libraries that are not there.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nudge_integrations.common.files import sha256

PROBE_TEXT = (
    "Which of these 3 vectors is yours? A model answers the same question with the same point, "
    "today and after a restart."
)
"""The text that every model embeds once, so that two models can be compared."""

_SAMPLE = 2048
_DEEPEST = 4
_LONGEST = 4096

# Settings that name a model; one of them must be there, or nothing identifies it.
_NAMING = (
    *("model_name", "model", "model_id", "model_path", "repo_id", "engine", "endpoint_name"),
    *("deployment_name", "deployment", "azure_deployment"),
)
_NO_NAMES = ("", "unknown")
_SECRET = re.compile(
    r"key|token(?!i)|secret|passw|auth|header|credential|cookie|signature", re.IGNORECASE
)
# What changes no vector. Everything else does, as far as we know: a wrong guess in this direction
# costs a cache miss, in the other one wrong vectors.
_NO_EFFECT = re.compile(
    r"batch_size|chunk_size|^device$|progress|num_workers|timeout|retr(y|ies)|verbose|cache_folder"
)


def _is_instance(value: Any, module: str, name: str) -> bool:
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(value, known)


def is_torch_module(value: Any) -> bool:
    """Whether `value` is a `torch.nn.Module`."""
    return _is_instance(value, "torch.nn", "Module")


def is_sentence_transformer(value: Any) -> bool:
    """Whether `value` is a dense sentence-transformers model."""
    # A SparseEncoder was a subclass once; its vectors are no rows of a dense matrix.
    return _is_instance(value, "sentence_transformers", "SentenceTransformer") and not (
        _is_instance(value, "sentence_transformers", "SparseEncoder")
    )


def is_llama_index(value: Any) -> bool:
    """Whether `value` is a LlamaIndex `BaseEmbedding`."""
    return _is_instance(value, "llama_index.core.base.embeddings.base", "BaseEmbedding")


def is_langchain(value: Any) -> bool:
    """Whether `value` is a LangChain `Embeddings`."""
    return _is_instance(value, "langchain_core.embeddings.embeddings", "Embeddings")


def module_digest(module: Any) -> str | None:
    """Digest of a torch module: its tensors' shapes, types and a sample of their bytes.

    The rest of what shapes a sentence-transformers model's vectors goes in as well: classes,
    pooling, prompts, lengths, what its tokenizer does.

    Returns:
        None where no weights can be read (a model that runs outside torch).
    """
    import torch

    digest = hashlib.sha256(_to_json(_module_settings(module)).encode())
    seen = 0
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.is_meta:
            return None
        tensor = value.detach()
        flat = (tensor.int_repr() if tensor.is_quantized else tensor).reshape(-1)
        # An odd stride meets all columns of a matrix, not only a few of them.
        sample = flat[:: flat.numel() // _SAMPLE | 1].contiguous().cpu()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
        seen += 1
    return digest.hexdigest() if seen else None


def _module_settings(module: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"modules": []}
    for _, part in module.named_modules():
        config = getattr(part, "get_config_dict", None)
        settings["modules"].append([_class_name(part), _plain(config()) if config else None])
    if is_sentence_transformer(module):
        names = ("max_seq_length", "prompts", "default_prompt_name", "truncate_dim")
        settings.update({name: _plain(getattr(module, name, None)) for name in names})
        settings["tokens"] = _token_ids(module)
    return settings


def _token_ids(model: Any) -> list[str]:
    """What the tokenizer makes of one text, so that another tokenizer is another model."""
    tokenize = getattr(model, "preprocess", None) or model.tokenize
    try:
        features = tokenize([PROBE_TEXT])
    except (TypeError, ValueError, KeyError):
        # A model that routes queries and documents apart asks for a task here. Its weights are
        # in the digest all the same.
        return []
    return [f"{name}={value!r}" for name, value in sorted(features.items())]


def transformer_name(model: Any) -> str:
    """The name or folder that a sentence-transformers model was loaded by, or else its class."""
    for part in model.children():
        inner = getattr(part, "auto_model", None) or getattr(part, "model", None)
        name = getattr(getattr(inner, "config", None), "_name_or_path", "")
        if name:
            return _for_people(str(name))
    return type(model).__name__


def settings_digest(model: Any, _depth: int = 0) -> str | None:
    """Digest of a framework's model: its class, the settings that identify it, what is inside it.

    Local weights inside the model are read, since a folder's name stays when it is trained again.

    Returns:
        None where nothing identifies the model.
    """
    if is_torch_module(model):
        return module_digest(model)
    settings = _settings(model)
    inner = [settings_digest(part, _depth + 1) for part in _models_inside(model, _depth)]
    named = [str(settings[name]) for name in _NAMING if name in settings]
    if None in inner or not (inner or named):
        return None
    if not inner and any(_is_local(name) for name in named):
        # A local file may hold other weights tomorrow, and nothing here can see them.
        return None
    return sha256(_to_json({"class": _class_name(model), **settings, "inside": inner}).encode())


def settings_name(model: Any) -> str:
    """The name in a framework model's settings, or else its class."""
    settings = _settings(model)
    named = (_for_people(settings[name]) for name in _NAMING if name in settings)
    return next(named, type(model).__name__)


def _for_people(name: str) -> str:
    """A model's name; of a local path the last two parts, which tell nothing of the machine."""
    return "/".join(Path(name).parts[-2:]) if _is_local(name) else name


def _settings(model: Any) -> dict[str, Any]:
    """All plain settings of `model` that are no secrets; those that name it only with a name."""
    names = _setting_names(model)
    settings: dict[str, Any] = _plain(
        {name: value for name, value in _attributes(model).items() if name in names}
    )
    for name in _NAMING:
        if not isinstance(settings.get(name), str) or settings[name].lower() in _NO_NAMES:
            settings.pop(name, None)
    # What is long is data that the object holds, such as what it has embedded so far.
    return {name: each for name, each in settings.items() if len(_to_json(each)) <= _LONGEST}


def _setting_names(model: Any) -> set[str]:
    """Declared fields; else what the constructor takes, and texts and flags.

    Numbers and lists that nobody passed in are what the object counts or collects.
    """
    public = {name: each for name, each in _attributes(model).items() if not name.startswith("_")}
    fields = getattr(type(model), "model_fields", None)
    if fields is not None:
        return set(public).intersection(fields)
    taken = inspect.signature(type(model)).parameters
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return set(public)
    return {name for name, each in public.items() if name in taken or isinstance(each, str | bool)}


def _models_inside(model: Any, depth: int) -> Iterator[Any]:
    """Models that `model` keeps in its attributes, such as the one that a wrapper wraps."""
    if depth > _DEEPEST:
        return
    private = getattr(model, "__pydantic_private__", None) or {}
    for value in (*_attributes(model).values(), *private.values()):
        if is_torch_module(value) or is_llama_index(value) or is_langchain(value):
            yield value


def _attributes(model: Any) -> Mapping[str, Any]:
    return getattr(model, "__dict__", {})


def _is_local(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` as far as JSON holds it, without secrets and without what changes no vector."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {
            str(name): _plain(item, depth + 1)
            for name, item in value.items()
            # Numbers and flags are no secrets: `pooling_mode_cls_token` says how a model pools.
            if (isinstance(item, bool | int | float) or not _SECRET.search(str(name)))
            and not _NO_EFFECT.search(str(name))
        }
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, str):
        return _without_credentials(value)
    return value if value is None or isinstance(value, bool | int | float) else None


def _without_credentials(text: str) -> str:
    """An address without user, password and query, any of which can be a secret."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _to_json(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True)
