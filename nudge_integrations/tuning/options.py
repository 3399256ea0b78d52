"""The options of a tuning run, from which the command line derives its flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nudge_integrations.common.options import read_options
from nudge_integrations.embedding import Embedder
from nudge_integrations.errors import DataError, MetricMismatchError

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
    """Everything a tuning run takes besides training questions, documents and model.

    Args:
        val_dataset: Questions to choose the step on. Without them, it is chosen by cross-validation
            over the training questions, all of which then shape the vectors.
        test_dataset: Questions for the report only. Without them, the report covers the questions
            held out while the step was chosen.
        method: `"c"` (default; NUDGE-C, this package's own), `"n"` or `"m"` (the paper's NUDGE-N
            and NUDGE-M), or an instance of `NudgeC`, `NudgeN` or `NudgeM`.
        metric: How the store ranks: `"cosine"` (default) or `"dot"`.
        validation_metric: The metric to improve, such as `"recall@5"` (default: `"ndcg@10"`). A
            method passed as an instance brings its own.
        protect_unseen: For NUDGE-C only: the largest estimated loss of the metric to accept for
            questions about documents without training questions (default: 0.02; 0 accepts none).
        selection: `"cross-validation"` (default; every question ends up shaping the vectors) or
            `"holdout"` (the paper's protocol: validation questions only choose the step; without
            any, 15% of the training questions are held out).
        gamma: Use this step instead of choosing one.
        seed: Decides which questions make up a fold.
        cache: Whether, or in which folder, to keep embeddings on disk between runs.
        batch_size: Texts to embed at once (default: 32).
        device: Where to embed with sentence-transformers and to tune, such as `"cuda"`; by default
            the best available. A method passed as an instance brings its own for tuning.
        half_precision: Run a sentence-transformers model in float16 (CUDA only).
        workers: Questions to embed at once, for models behind an API.
        show_progress: Whether to show progress bars.

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


def check_metric(method: str, metric: str) -> None:
    """Refuse a metric that does not exist, or under which the method's vectors rank wrongly.

    Raises:
        DataError: `metric` is neither `"cosine"` nor `"dot"`.
        MetricMismatchError: NUDGE-M with another metric than `"dot"`.
    """
    if metric not in ("cosine", "dot"):
        hint = f": for the metric to be raised, pass validation_metric={metric!r}"
        raise DataError(
            f"metric must be 'cosine' or 'dot' (the inner product), got {metric!r}"
            f"{hint if '@' in str(metric) else ''}"
        )
    if method == "nudge-m" and metric != "dot":
        raise MetricMismatchError(
            f"NUDGE-M's vectors are not of unit length, so under metric={metric!r} they rank "
            "wrongly: use metric='dot' (and a store that ranks by inner product), or method='n'"
        )
