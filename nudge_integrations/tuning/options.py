"""The options of a tuning run: one dataclass, from which the command line takes its flags, too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nudge_integrations.common.options import read_options
from nudge_integrations.embedding import Embedder
from nudge_integrations.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import Self

    from nudge_integrations.methods import Method

# What the other framework, or another library, calls an engine's second and third argument.
_OTHER_NAMES = (
    (1, frozenset({"embeddings", "embed_model", "embedding", "embedding_model", "model"})),
    (2, frozenset({"documents", "nodes", "docs", "corpus", "texts"})),
)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Everything a tuning run takes besides data and model; `FinetuneEngine` documents each.

    Raises:
        DataError: An option that is out of range, or that the method would never see.
    """

    val_dataset: Any = None
    test_dataset: Any = None
    method: str | Method = "c"
    metric: Literal["cosine", "dot"] = "cosine"
    validation_metric: str | None = None
    protect_unseen: float | None = None
    selection: Literal["cross-validation", "holdout"] = "cross-validation"
    gamma: float | None = None
    seed: int = 0
    cache: bool | str | os.PathLike[str] = True
    batch_size: int | None = None
    device: str | None = None
    half_precision: bool = False
    workers: int = 1
    show_progress: bool = True

    @classmethod
    def read(cls, given: Mapping[str, Any], arguments: tuple[str, str, str]) -> Self:
        """Make options from the keyword arguments of an engine.

        Args:
            given: The keyword arguments.
            arguments: What the engine calls its data, its model and its documents.

        Raises:
            DataError: An option that does not exist, or that is out of range.
        """

        def renamed(name: str) -> str:
            places = [place for place, names in _OTHER_NAMES if name in names]
            return f"; {name!r} is called {arguments[places[0]]!r} here" if places else ""

        return read_options(cls, given, beside=arguments, hint=renamed)

    def __post_init__(self) -> None:
        if self.selection not in ("cross-validation", "holdout"):
            raise DataError(
                f"selection must be 'cross-validation' or 'holdout', got {self.selection!r}"
            )
        if isinstance(self.method, str):
            if self.protect_unseen is not None and self.method.lower() not in ("c", "nudge-c"):
                raise DataError(
                    f"protect_unseen={self.protect_unseen!r} has no effect on "
                    f"method={self.method!r}: only NUDGE-C (method='c') uses it"
                )
            return
        self._refuse_beside_instance("validation_metric", "metric")
        self._refuse_beside_instance("protect_unseen", "protect_unseen")

    def make_method(self, model: Any = None) -> Method:
        """The method these options name; an instance is returned as it is.

        Args:
            model: The embedding model or its name: a named one is loaded onto `device`, so that
                the option has an effect even where the method brings its own device.

        Raises:
            DataError: No such method, an option out of range, or one without effect.
        """
        from nudge_integrations.methods import Method, get_method
        from nudge_integrations.methods.inputs import checked_steps

        if isinstance(self.method, Method) and not isinstance(model, str):
            self._refuse_beside_instance("device", "device")
        only_c = {} if self.protect_unseen is None else {"protect_unseen": self.protect_unseen}
        method = get_method(
            self.method,
            device=self.device,
            metric=self.validation_metric or "ndcg@10",
            seed=self.seed,
            show_progress=self.show_progress,
            **only_c,
        )
        checked_steps([0.0 if self.gamma is None else self.gamma], method.largest_step)
        return method

    def make_embedder(self, model: Any) -> Embedder:
        """What embeds documents and questions with `model`."""
        return Embedder(
            model,
            cache=self.cache,
            batch_size=self.batch_size,
            # A model object stays where its owner put it; `device` is then about tuning alone.
            device=self.device if isinstance(model, str) else None,
            half_precision=self.half_precision,
            workers=self.workers,
            show_progress=self.show_progress,
        )

    def _refuse_beside_instance(self, option: str, name: str) -> None:
        value = getattr(self, option)
        if value is not None:
            raise DataError(
                f"{option}={value!r} has no effect on a method that is an instance: set it "
                f"there, as in {type(self.method).__name__}({name}={value!r})"
            )
