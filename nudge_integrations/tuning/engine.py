"""The engine that both frameworks' engines are: judged questions in, a tuned pipeline out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.embedding import DEFAULT_MODEL
from nudge_integrations.embedding.encoders import original_model
from nudge_integrations.errors import DataError, NotFinetunedError
from nudge_integrations.evaluation import EvaluationReport
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.relevance.over import PARTS, over_documents, with_holdout
from nudge_integrations.tuning.checks import check_free
from nudge_integrations.tuning.options import EngineOptions, check_options, embedder_of, method_of
from nudge_integrations.tuning.run import (
    Corpus,
    Questions,
    measure,
    tune,
)
from nudge_integrations.tuning.tuned import TunedVectors, check_metric

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nudge_integrations.questions import GeneratedQuestions

_log = logging.getLogger(__name__)


class FinetuneEngine:
    """Tunes document vectors towards judged questions. Each framework's engine derives from it.

    Args:
        train_dataset: Judged questions: a `RelevanceDataset`, or anything with `queries`,
            `corpus` and `relevant_docs` (or `qrels`).
        texts: Document id -> text exactly as it is embedded; None for the dataset's own corpus.
        model: Embedding model; None for all-MiniLM-L6-v2.
        val_dataset: Questions to choose the step on. Left out: cross-validation over the
            training questions, which finally all take part.
        test_dataset: Questions for the report alone. Left out: the report is about the questions
            held out when the step was chosen.
        method: `"c"` (NUDGE-C, this package's own), `"n"` or `"m"` (the paper's NUDGE-N and
            NUDGE-M), or an instance of `NudgeC`, `NudgeN` or `NudgeM`.
        protect_unseen: NUDGE-C only: the largest estimated loss of the metric that questions about
            documents without training questions may suffer (default .05; 0: none).
        metric: How the store ranks: `"cosine"` or `"dot"`.
        validation_metric: What the step is chosen to raise, such as `"recall@5"`. An instance as
            `method` brings its own.
        selection: `"cross-validation"` (every judgment finally shapes the vectors) or
            `"holdout"` (the paper's protocol; takes 15 % of the questions where `val_dataset` is
            left out).
        gamma: A fixed step instead.
        seed: Decides which questions make up a fold.
        cache: Whether, or in which folder, to keep embeddings on disk between runs.
        batch_size: Texts a batch.
        device: Where to embed with sentence-transformers, and where to tune, such as `"cuda"`. An
            instance as `method` brings its own for the latter.
        half_precision: Run a sentence-transformers model in half precision (CUDA only).
        workers: Questions embedded at once, for models behind an API.
        show_progress: Whether to show progress bars.

    Attributes:
        questions: What `from_documents` generated; None where questions were given.

    Raises:
        DataError: Data that cannot be used; the offending id is named.
        LeakError: Two datasets share a question.
        MetricMismatchError: NUDGE-M with a metric other than `"dot"`.
    """

    # What the framework's engine calls its first arguments, and an id of a document.
    _arguments: ClassVar[tuple[str, str, str]] = ("train_dataset", "model", "texts")
    _id_of: ClassVar[str] = "its id in the corpus"

    def __init__(
        self,
        train_dataset: Any,
        texts: Mapping[str, str] | None,
        model: Any,
        **options: Unpack[EngineOptions],
    ) -> None:
        from nudge_integrations.methods.inputs import checked_steps

        self._model = DEFAULT_MODEL if model is None else original_model(model)
        check_options(options, self._model, self._arguments)
        self.seed = options.get("seed", 0)
        self.method = method_of(options)
        self.metric = options.get("metric", "cosine")
        check_metric(self.method.name, self.metric)
        self.selection = options.get("selection", "cross-validation")
        if self.selection not in ("cross-validation", "holdout"):
            raise DataError(
                f"selection must be 'cross-validation' or 'holdout', got {self.selection!r}"
            )
        self.gamma = options.get("gamma")
        checked_steps([0.0 if self.gamma is None else self.gamma], self.method.largest_step)
        self._texts, self._datasets = over_documents(
            texts,
            (train_dataset, options.get("val_dataset"), options.get("test_dataset")),
            called=self._arguments[2],
            id_of=self._id_of,
        )
        if self.selection == "holdout" and self.gamma is None:
            self._datasets = with_holdout(self._datasets, self.seed)
        self.embedder = embedder_of(self._model, options)
        self.questions: GeneratedQuestions | None = None
        self._corpus: Corpus | None = None
        self._tuned: TunedVectors | None = None

    def finetune(self, **kwargs: Any) -> None:
        """Embed, tune and measure. Afterwards `report`, `tuned` and the `get_...` calls work.

        Embeddings are cached on disk: a run that was interrupted continues where it was, and a
        second one embeds nothing. Every run starts from the base model's vectors.

        Args:
            **kwargs: Where engines of other makers take theirs; there are none here.

        Raises:
            DataError: An argument, or the model gave vectors that cannot be used; either is named.
        """
        if kwargs:
            raise DataError(
                f"finetune() knows no argument {name_some(sorted(kwargs))}: there are no epochs or "
                "rates in NUDGE; leave it out, and give options to the engine itself"
            )
        corpus = Corpus.embed(self._texts, self.embedder)
        train, validation, test = (
            None if dataset is None else Questions.embed(dataset, self.embedder)
            for dataset in self._datasets
        )
        assert train is not None  # _read gave a training dataset
        tuned = tune(
            corpus,
            train,
            validation,
            self.embedder,
            method=self.method,
            metric=self.metric,
            selection=self.selection,
            gamma=self.gamma,
        )
        self._corpus, self._tuned = corpus, tuned
        if test is not None:
            self._tuned = tuned.with_report(self._measured(test, "test questions"))
        _log.info("%r", self._tuned)

    async def afinetune(self, **kwargs: Any) -> None:
        """`finetune` in a thread, so that the event loop goes on."""
        await asyncio.to_thread(self.finetune, **kwargs)

    @property
    def tuned(self) -> TunedVectors:
        """What the run produced.

        Raises:
            NotFinetunedError: `finetune()` has not run.
        """
        if self._tuned is None:
            raise NotFinetunedError(
                "nothing is tuned yet: call finetune() first, or await afinetune()"
            )
        return self._tuned

    @property
    def report(self) -> EvaluationReport:
        """Before and after, on questions that the vectors had not seen.

        Raises:
            NotFinetunedError: `finetune()` has not run.
            DataError: It has, on one question only, which cannot be held out.
        """
        report = self.tuned.report
        if report is None:
            raise DataError(
                f"nothing could be measured: finetune() moved {len(self.tuned)} of "
                f"{len(self.ids)} documents at step {self.tuned.step:g}, but one question is too "
                "few to hold any out; pass test_dataset, or more questions"
            )
        return report

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all documents, moved or not."""
        return self._embedded.ids

    @property
    def base_embeddings(self) -> FloatMatrix:
        """Vectors of all documents from the base model, read-only, in the order of `ids`.

        Shape `(n, d)`, float32.
        """
        vectors = self._embedded.vectors.view()
        vectors.flags.writeable = False
        return vectors

    @property
    def finetuned_embeddings(self) -> FloatMatrix:
        """Vectors of all documents, the moved ones tuned, shape `(n, d)`, in the order of `ids`."""
        return self.tuned.apply(self.ids, self.base_embeddings)

    def evaluate(self, dataset: Any) -> EvaluationReport:
        """Measure before and after on other questions.

        Args:
            dataset: Judged questions over the same documents.

        Raises:
            DataError: A judgment names a document that is not there.
            LeakError: A question was trained on.
            NotFinetunedError: `finetune()` has not run.
        """
        _ = self.tuned  # refused before anything is embedded
        asked = RelevanceDataset.coerce(dataset)
        parts = zip(PARTS, self._datasets[:2], strict=False)
        check_leaks(**{name: part for name, part in parts if part}, evaluation=asked)
        questions = Questions.embed(asked.with_corpus(self._texts), self.embedder)
        return self._measured(questions, "the questions given")

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save what the run produced; `TunedVectors.load(folder)` reads it.

        Args:
            folder: Made if need be.
            overwrite: Replace another run that is there. Stores that it was applied to then lose
                their way back.

        Raises:
            NotFinetunedError: `finetune()` has not run.
            NudgeError: Another run is there, or the folder cannot be written to.
        """
        tuned = self.tuned
        if not overwrite:
            check_free(folder, tuned, "pass overwrite=True")
        return tuned.save(folder)

    @property
    def base_model(self) -> Any:
        """The embedding model underneath, never a tuned one: as it was given, or loaded by name."""
        return self.embedder.encoder if isinstance(self._model, str) else self._model

    @property
    def _embedded(self) -> Corpus:
        if self._corpus is None:
            raise NotFinetunedError(
                "nothing is embedded yet: call finetune() first, or await afinetune()"
            )
        return self._corpus

    def _measured(self, questions: Questions, judged_on: str) -> EvaluationReport:
        chosen = self.tuned.report
        report = measure(
            self.tuned,
            self._embedded,
            questions,
            judged_on=f"{len(questions.ids)} {judged_on}",
            curve=chosen.curve if chosen else (),
            reason=chosen.step_reason if chosen else self._unmeasured_reason(),
        )
        return replace(report, unseen_estimate=chosen.unseen_estimate if chosen else None)

    def _unmeasured_reason(self) -> str:
        if self.gamma is None:
            return "one question is too few to choose a step on"
        return f"step {self.tuned.step:g} was asked for"
