"""The demo: search over Python's own standard library, before and after, in both frameworks."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nudge_integrations.demo.corpus import stdlib_corpus
from nudge_integrations.demo.questions import demo_splits
from nudge_integrations.embedding import (
    DEFAULT_MODEL,
    Encoder,
    as_encoder,
    load_sentence_transformer,
)
from nudge_integrations.errors import DataError
from nudge_integrations.evaluation import EvaluationReport, compare
from nudge_integrations.relevance import RelevanceDataset

_TITLES = {"llama-index": "LlamaIndex", "langchain": "LangChain"}
FRAMEWORKS = tuple(_TITLES)
_K = 10
_SHOWN = 3

Writer = Callable[[str], None]


def demo_datasets() -> dict[str, RelevanceDataset]:
    """The standard library's documentation with questions about it.

    Returns:
        `"train"`, `"validation"` and `"test"`, over one corpus. Each wording of a question occurs
        in one of them only; some test questions are about documents the others never ask for.
    """
    corpus = stdlib_corpus()
    return {
        name: RelevanceDataset(queries, corpus, qrels)
        for name, (queries, qrels) in demo_splits(corpus).items()
    }


def run_demo(
    *,
    frameworks: Sequence[str] = FRAMEWORKS,
    cache: bool | str = True,
    show_progress: bool = True,
    seed: int = 0,
    write: Writer,
) -> EvaluationReport:
    """Tune a search over the standard library and write what changed.

    Args:
        frameworks: Which of `"llama-index"` and `"langchain"` to show, in this order.
        cache: Whether, or in which folder, to cache embeddings between runs.
        show_progress: Whether to show progress bars.
        seed: The random seed.
        write: Takes each line of output.

    Returns:
        The engine's report on the test questions.

    Raises:
        DataError: An unknown framework.
        MissingExtraError: A framework is not installed.
    """
    unknown = [name for name in frameworks if name not in FRAMEWORKS]
    if unknown or not frameworks:
        raise DataError(f"unknown framework {unknown[0] if unknown else ''!r}: use {FRAMEWORKS}")
    # A missing framework is reported now, not after the other one has run.
    modules = {name: f"nudge_integrations.{name.replace('-', '_')}" for name in frameworks}
    packages = {name: importlib.import_module(module) for name, module in modules.items()}
    datasets = demo_datasets()
    train, validation, test = datasets.values()
    write(
        f"Searching {len(train.corpus):,} docstrings of Python's standard library.\n"
        f"Questions: {len(train)} to train on, {len(validation)} to choose the step, {len(test)} "
        "to test with;\nno wording occurs in two of these.\n"
    )
    model = _Memoized(as_encoder(load_sentence_transformer(DEFAULT_MODEL)))
    for name, package in packages.items():
        options = {"cache": cache, "show_progress": show_progress, "seed": seed}
        data = {"val_dataset": validation, "test_dataset": test}
        engine = package.NudgeFinetuneEngine(train, model, **data, **options)
        started = time.perf_counter()
        engine.finetune()
        seconds = time.perf_counter() - started
        write(f"{_TITLES[name]}: embedded (or read from the cache) and tuned in {seconds:.1f} s")
        if name == frameworks[0]:
            write(f"\n{engine.report}")
        retrievers, search = _retrievers(name, engine)
        model.encode_queries(list(test.queries.values()))  # in batches, before one by one
        scores = [package.evaluate_retriever(each, test) for each in retrievers]
        report = compare(*scores, judged_on=f"{len(test)} test questions", resamples=1000)
        title = f"{_TITLES[name]} retriever, top {_K}"
        write(f"\n{title:<34}{'before':>9}{'after':>9}{'change':>9}")
        for row in report.rows:
            write(f"  {row.metric:<32}{row.before:>9.4f}{row.after:>9.4f}{row.difference:>+9.4f}")
        write("")
        if name == frameworks[-1]:
            _write_examples(report, test, [partial(search, each) for each in retrievers], write)
    write("Undo: nothing was overwritten; get_base_vector_store() still has the original vectors.")
    final: EvaluationReport = engine.report
    return final


class _Memoized(Encoder):
    """Memoizes query embeddings, because every question goes to up to four retrievers."""

    def __init__(self, model: Encoder) -> None:
        self._model = model
        self._queries: dict[str, Any] = {}
        self.batch_size = model.batch_size

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def digest(self) -> str | None:
        return self._model.digest

    def encode_queries(self, texts: list[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self._queries]
        if new:
            self._queries.update(zip(new, self._model.encode_queries(new), strict=True))
        return np.stack([self._queries[text] for text in texts])

    def encode_documents(self, texts: list[str]) -> Any:
        return self._model.encode_documents(texts)


def _retrievers(name: str, engine: Any) -> tuple[list[Any], Callable[[Any, str], list[str]]]:
    """The framework's retrievers over original and tuned vectors, and how to search one."""
    stores = engine.get_base_vector_store(), engine.get_finetuned_vector_store()
    if name == "langchain":
        return (
            [store.as_retriever(search_kwargs={"k": _K}) for store in stores],
            lambda retriever, text: [str(hit.id) for hit in retriever.invoke(text)],
        )
    from llama_index.core import VectorStoreIndex

    model = engine.get_finetuned_model()
    indexes = [VectorStoreIndex.from_vector_store(store, embed_model=model) for store in stores]
    return (
        [index.as_retriever(similarity_top_k=_K) for index in indexes],
        lambda retriever, text: [hit.node.node_id for hit in retriever.retrieve(text)],
    )


def _write_examples(
    report: EvaluationReport,
    test: RelevanceDataset,
    searches: Sequence[Callable[[str], list[str]]],
    write: Writer,
) -> None:
    write("Questions that now find their answer (in brackets):")
    for change in report.won[:_SHOWN]:
        answers = {doc for doc, grade in test.qrels[change.query_id].items() if grade > 0}
        write(f'\n  "{change.text}"')
        for label, search in zip(("before", "after"), searches, strict=True):
            found = [f"[{doc}]" if doc in answers else doc for doc in search(change.text)[:_SHOWN]]
            write(f"    {label + ':':<8}{', '.join(found)}")
    write("")
