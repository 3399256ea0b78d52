"""What the engines of both frameworks take besides data and model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.embedding import DEFAULT_MODEL, Embedder
from nudge_integrations.embedding.encoders import original_model
from nudge_integrations.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nudge_integrations.methods import Method
    from nudge_integrations.questions import GeneratedQuestions


class EngineOptions(TypedDict, total=False):
    """What the engines of both frameworks take besides data and model; see `FinetuneEngine`."""

    val_dataset: Any
    test_dataset: Any
    method: str | Method
    metric: Literal["cosine", "dot"]
    validation_metric: str
    protect_unseen: float
    selection: Literal["cross-validation", "holdout"]
    gamma: float | None
    seed: int
    cache: bool | str | os.PathLike[str]
    batch_size: int | None
    device: str | None
    half_precision: bool
    workers: int
    show_progress: bool


# What the other framework, or another library, calls an engine's second and third argument.
_MODEL_NAMES = ("embeddings", "embed_model", "embedding", "embedding_model", "model")
_DOCUMENT_NAMES = ("documents", "nodes", "docs", "corpus", "texts")


def check_options(
    options: EngineOptions, model: Any, arguments: tuple[str, str, str] | None = None
) -> None:
    """Refuse options that would do nothing.

    Args:
        options: What was given.
        model: The embedding model, or its name.
        arguments: What the engine calls its data, its model and its documents.

    Raises:
        DataError: An option that does not exist, or that a method given as an instance would
            never see.
    """
    from nudge_integrations.methods import Method

    known = [*(arguments or ()), *EngineOptions.__annotations__]
    unknown = sorted(set(options) - set(EngineOptions.__annotations__))
    if unknown:
        raise DataError(
            f"unknown argument {name_some(unknown)}; there are {', '.join(known)}"
            + "".join(_meant(name, known, arguments) for name in unknown)
        )
    method = options.get("method", "c")
    if not isinstance(method, Method):
        if "protect_unseen" in options and str(method).lower() not in ("c", "nudge-c"):
            raise DataError(
                f"protect_unseen={options['protect_unseen']!r} has no effect on method={method!r}: "
                "only NUDGE-C (method='c') knows it"
            )
        return
    given = {
        "metric": options.get("validation_metric"),
        "protect_unseen": options.get("protect_unseen"),
    }
    if not isinstance(model, str):
        # A model that is loaded by name goes to that device, whatever the method is.
        given["device"] = options.get("device")
    for name, value in given.items():
        if value is not None:
            option = "validation_metric" if name == "metric" else name
            raise DataError(
                f"{option}={value!r} has no effect on a method that is an instance: set it "
                f"there, as in {type(method).__name__}({name}={value!r})"
            )


def _meant(unknown: str, known: list[str], arguments: tuple[str, str, str] | None) -> str:
    for names, place in ((_MODEL_NAMES, 1), (_DOCUMENT_NAMES, 2)):
        if arguments is not None and unknown in names:
            return f"; {unknown!r} is called {arguments[place]!r} here"
    return did_you_mean(unknown, known)


def method_of(options: EngineOptions) -> Method:
    """The method that the options name, made as they say; an instance is taken as it is.

    Raises:
        DataError: There is no such method, or an option is out of range.
    """
    from nudge_integrations.methods import get_method

    only_c = {key: options[key] for key in ("protect_unseen",) if key in options}
    return get_method(
        options.get("method", "c"),
        device=options.get("device"),
        metric=options.get("validation_metric", "ndcg@10"),
        seed=options.get("seed", 0),
        show_progress=options.get("show_progress", True),
        **only_c,
    )


def embedder_of(model: Any, options: EngineOptions) -> Embedder:
    """What embeds documents and questions, as the options say."""
    return Embedder(
        model,
        cache=options.get("cache", True),
        batch_size=options.get("batch_size"),
        # A model object is where its owner put it; `device` is then about the tuning alone.
        device=options.get("device") if isinstance(model, str) else None,
        half_precision=options.get("half_precision", False),
        workers=options.get("workers", 1),
        show_progress=options.get("show_progress", True),
    )


def generate_for(
    documents: Any,
    llm: Any,
    model: Any,
    arguments: Mapping[str, Any] | None,
    options: EngineOptions,
) -> GeneratedQuestions:
    """Generate questions as an engine with these options would; see `generate_questions`.

    Args:
        documents: Documents or nodes.
        llm: The language model.
        model: The embedding model; None for the default one.
        arguments: Of `generate_questions`.
        options: Of the engine; refused here, before anything is paid for, if they are bad.
    """
    from nudge_integrations.questions import generate_questions

    model = DEFAULT_MODEL if model is None else original_model(model)
    check_options(options, model)
    method_of(options)
    given = {"seed": options.get("seed", 0), "show_progress": options.get("show_progress", True)}
    embedder = embedder_of(model, options)
    return generate_questions(
        documents, llm, embed_model=embedder, **{**given, **(arguments or {})}
    )
