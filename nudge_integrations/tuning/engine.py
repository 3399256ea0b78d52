"""The engine behind both frameworks' engines: judged questions in, a tuned pipeline out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, name_some
from nudge_integrations.common.rows import Moves
from nudge_integrations.embedding import DEFAULT_MODEL, Encoder
from nudge_integrations.embedding.encoders import original_model
from nudge_integrations.errors import DataError, NotFinetunedError
from nudge_integrations.evaluation import EvaluationReport
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.relevance.over import PARTS, over, over_documents, with_holdout
from nudge_integrations.tuning.options import EngineOptions, check_metric
from nudge_integrations.tuning.run import Corpus, Questions, measure, tune
from nudge_integrations.tuning.saved import check_free
from nudge_integrations.tuning.tuned import TunedVectors

if TYPE_CHECKING:
    from typing_extensions import Self

    from nudge_integrations.common.index import ExactIndex
    from nudge_integrations.questions import GeneratedQuestions

_log = logging.getLogger(__name__)


class FinetuneEngine:
    """Tunes document vectors towards judged questions. Each framework's engine derives from it.

    Args:
        train_dataset: Judged questions: a `RelevanceDataset`, or anything with `queries`,
            `corpus` and `relevant_docs` (or `qrels`).
        texts: Document id -> text exactly as it is embedded; None for the dataset's own corpus.
        model: Embedding model; None for all-MiniLM-L6-v2.
        options: Fields of `nudge_integrations.tuning.options.EngineOptions`.

    Attributes:
        questions: What `from_documents` generated; None where questions were given.

    Raises:
        DataError: Data that cannot be used; the offending id is named.
        LeakError: Two datasets share a question.
        MetricMismatchError: NUDGE-M with a metric other than `"dot"`.
    """

    # What the framework's engine calls its first arguments, and the id of a document.
    _arguments: ClassVar[tuple[str, str, str]] = ("train_dataset", "model", "texts")
    _id_of: ClassVar[str] = "its id in the corpus"

    def __init__(
        self,
        train_dataset: Any,
        texts: Mapping[str, str] | None,
        model: Any,
        **options: Any,
    ) -> None:
        self._model = DEFAULT_MODEL if model is None else original_model(model)
        chosen = EngineOptions.read(options, self._arguments)
        self.method = chosen.make_method(self._model)
        check_metric(self.method.name, chosen.metric)
        self.seed, self.metric, self.gamma = chosen.seed, chosen.metric, chosen.gamma
        self.selection = chosen.selection
        self._texts, self._datasets = over_documents(
            texts,
            (train_dataset, chosen.val_dataset, chosen.test_dataset),
            called=self._arguments[2],
            id_of=self._id_of,
        )
        if self.selection == "holdout" and self.gamma is None:
            self._datasets = with_holdout(self._datasets, self.seed)
        self.embedder = chosen.make_embedder(self._model)
        self.questions: GeneratedQuestions | None = None
        self._corpus: Corpus | None = None
        self._tuned: TunedVectors | None = None

    @classmethod
    def _from_generated(
        cls,
        documents: Any,
        llm: Any,
        model: Any,
        *,
        test_share: float,
        questions: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Self:
        """Generate questions about `documents`, then tune; see the frameworks' `from_documents`.

        Bad options are refused here, before the language model is paid for anything.
        """
        # Only this method needs the code that generates questions, which is slow to import.
        from nudge_integrations.questions import generate_questions, train_and_test

        base = DEFAULT_MODEL if model is None else original_model(model)
        chosen = EngineOptions.read(options, cls._arguments)
        chosen.make_method(base)
        asking = {"seed": chosen.seed, "show_progress": chosen.show_progress, **(questions or {})}
        generated = generate_questions(
            documents, llm, embed_model=chosen.make_embedder(base), **asking
        )
        share = 0.0 if chosen.test_dataset is not None else test_share
        train, test = train_and_test(generated, share, chosen.seed)
        engine = cls(train, model, documents, **{"test_dataset": test, **options})
        engine.questions = generated
        engine.finetune()
        return engine

    def finetune(self, **kwargs: Any) -> None:
        """Embed, tune and measure. Afterwards `report`, `tuned` and the `get_...` calls work.

        Embeddings are cached on disk: an interrupted run continues where it stopped, and a second
        run embeds nothing. Every run starts from the base model's vectors.

        Args:
            **kwargs: Accepted for compatibility with other engines; must be empty.

        Raises:
            DataError: An argument was given, or the model returned vectors that cannot be used.
        """
        if kwargs:
            raise DataError(
                f"finetune() takes no argument {name_some(sorted(kwargs))}: NUDGE has no epochs or "
                "learning rates; leave it out, and pass options to the engine itself"
            )
        corpus = Corpus.embed(self._texts, self.embedder)
        train, validation, test = (
            None if dataset is None else Questions.embed(dataset, self.embedder)
            for dataset in self._datasets
        )
        assert train is not None  # over_documents insists on a training dataset
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
        """Run `finetune` in a thread, so that the event loop is not blocked."""
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
        """Before and after, on questions that were not used for tuning.

        Raises:
            NotFinetunedError: `finetune()` has not run.
            DataError: It ran on a single question, which cannot be held out.
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
        """Base vectors of all documents, `(n, d)` float32, read-only, in the order of `ids`."""
        vectors = self._embedded.vectors.view()
        vectors.flags.writeable = False
        return vectors

    @property
    def finetuned_embeddings(self) -> FloatMatrix:
        """Vectors of all documents after tuning, `(n, d)` float32, in the order of `ids`."""
        return self.tuned.apply(self.ids, self.base_embeddings)

    def evaluate(self, dataset: Any, new_documents: Any = None) -> EvaluationReport:
        """Measure before and after on other questions.

        Args:
            dataset: Judged questions over the same documents, and the new ones.
            new_documents: Documents added after tuning, in the form the engine takes documents in.
                Questions about them are a group of their own in the report.

        Raises:
            DataError: A judgment names a document that is not there, or a new one was there before.
            LeakError: A question was trained on.
            NotFinetunedError: `finetune()` has not run.
        """
        _ = self.tuned  # refused before anything is embedded
        asked = RelevanceDataset.coerce(dataset)
        parts = zip(PARTS, self._datasets[:2], strict=False)
        check_leaks(**{name: part for name, part in parts if part}, dataset=asked)
        new = {} if new_documents is None else self._texts_of(new_documents)
        twice = sorted(new.keys() & self._texts)
        if twice:
            raise DataError(f"not new, but tuned: {name_some(twice)}; leave it out, or rename it")
        asked = over(asked, {**self._texts, **new}, "dataset", self._id_of)
        questions = Questions.embed(asked, self.embedder)
        added = Corpus.embed(new, self.embedder) if new else None
        return self._measured(questions, "questions you gave", added)

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the result; `TunedVectors.load(folder)` reads it back.

        Args:
            folder: Created if it does not exist.
            overwrite: Replace another run saved there. Stores it was applied to can then no
                longer be reverted.

        Raises:
            NotFinetunedError: `finetune()` has not run.
            NudgeError: The folder holds another run, or cannot be written to.
        """
        tuned = self.tuned
        if not overwrite:
            check_free(folder, tuned, "pass overwrite=True")
        return tuned.save(folder)

    @cached_property
    def base_model(self) -> Any:
        """The embedding model underneath, never a tuned one: the framework's, even if named."""
        foreign = isinstance(self._model, (str, Encoder))
        return self._as_framework_model(self.embedder.encoder) if foreign else self._model

    def _as_framework_model(self, encoder: Any) -> Any:
        return encoder

    @property
    def _embedded(self) -> Corpus:
        _ = self.tuned
        assert self._corpus is not None  # set together with what was tuned
        return self._corpus

    def _remember_bases(self, index: ExactIndex) -> None:
        """Let a store filled with tuned vectors know the originals, so that it counts as tuned."""
        base, tuned = self.base_embeddings, self.finetuned_embeddings
        rows = np.flatnonzero((base != tuned).any(axis=1))
        index.moves = Moves(self.tuned.digest, {self.ids[row]: base[row].copy() for row in rows})

    def _texts_of(self, documents: Any) -> dict[str, str]:
        """Document id -> text as it is embedded, of documents in the framework's form."""
        return dict(documents)

    def _measured(
        self, questions: Questions, judged_on: str, added: Corpus | None = None
    ) -> EvaluationReport:
        ids, vectors = self._embedded.ids, self._embedded.vectors
        if added is not None:
            ids, vectors = (*ids, *added.ids), np.concatenate([vectors, added.vectors])
        unknown = "one question is too few to choose a step on"
        return measure(
            self.tuned,
            ids,
            vectors,
            questions,
            judged_on=f"{len(questions.ids)} {judged_on}",
            added=added.ids if added else (),
            reason=unknown if self.gamma is None else f"step {self.tuned.step:g} was asked for",
        )
