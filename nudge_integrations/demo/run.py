"""The demo: search over Python's own standard library, before and after, in both frameworks."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from nudge_integrations.tuning.engine import FinetuneEngine

FRAMEWORKS = ("llama-index", "langchain")
_K = 10
_SHOWN = 3

Writer = Callable[[str], None]
Search = Callable[[str], list[str]]


def demo_datasets() -> dict[str, RelevanceDataset]:
    """The standard library's documentation with questions about it.

    Returns:
        `"train"`, `"validation"` and `"test"`, over one corpus. Each wording of a question stands
        in one of them only; some test questions are about documents that the others never ask for.
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
    """Tune search over the standard library, and write what changed.

    Args:
        frameworks: Which of `"llama-index"` and `"langchain"` to show.
        cache: Whether, or in which folder, to keep embeddings between runs.
        show_progress: Whether to show progress bars.
        seed: Of the run.
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
    for name in frameworks:
        # Says at once which one is missing, and not when the other has had its turn.
        importlib.import_module(f"nudge_integrations.{name.replace('-', '_')}")
    datasets = demo_datasets()
    write(
        f"Search over {len(datasets['train'].corpus):,} docstrings of Python's standard library.\n"
        f"Questions: {len(datasets['train'])} to learn from, {len(datasets['validation'])} to "
        f"choose the step on, {len(datasets['test'])} to judge by;\n"
        "no wording stands in two of these.\n"
    )
    model = _Remembering(as_encoder(load_sentence_transformer(DEFAULT_MODEL)))
    for name in frameworks:
        options = {"cache": cache, "show_progress": show_progress, "seed": seed}
        engine = _engine(name, datasets, model, options)
        started = time.perf_counter()
        engine.finetune()
        seconds = time.perf_counter() - started
        write(f"{_TITLES[name]}: embedded (or read from the cache) and tuned in {seconds:.1f} s")
        before, after, report = _retrieve(name, engine, datasets["test"])
        if name == frameworks[0]:
            write("")
            write(str(engine.report))
        write("")
        _write_table(f"{_TITLES[name]} retriever, top {_K}", report, write)
        if name == frameworks[-1]:
            _write_examples(report, datasets["test"], before, after, write)
    write("Undo: nothing was overwritten; get_base_vector_store() still has the original vectors.")
    return engine.report


_TITLES = {"llama-index": "LlamaIndex", "langchain": "LangChain"}


def _engine(
    name: str, datasets: dict[str, RelevanceDataset], model: Any, options: Any
) -> FinetuneEngine:
    options |= {"val_dataset": datasets["validation"], "test_dataset": datasets["test"]}
    if name == "langchain":
        from nudge_integrations import langchain

        return langchain.NudgeFinetuneEngine(datasets["train"], model, **options)
    from nudge_integrations import llama_index

    return llama_index.NudgeFinetuneEngine(datasets["train"], model, **options)


class _Remembering(Encoder):
    """A model that is not asked the same question twice: each goes to four retrievers here."""

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


def _retrieve(
    name: str, engine: Any, test: RelevanceDataset
) -> tuple[Search, Search, EvaluationReport]:
    """Ask the framework's own retrievers, which differ in nothing but the store."""
    engine.base_model.encode_queries(list(test.queries.values()))  # in batches, once
    stores = engine.get_base_vector_store(), engine.get_finetuned_vector_store()
    searches: list[Search]
    if name == "langchain":
        from nudge_integrations.langchain import evaluate_retriever

        retrievers = [store.as_retriever(search_kwargs={"k": _K}) for store in stores]
        scores = [evaluate_retriever(each, test) for each in retrievers]
        searches = [
            lambda text, each=each: [str(hit.id) for hit in each.invoke(text)]  # type: ignore[misc]
            for each in retrievers
        ]
    else:
        from llama_index.core import VectorStoreIndex

        from nudge_integrations.llama_index import evaluate_retriever as evaluate

        model = engine.get_finetuned_model()
        indices = [VectorStoreIndex.from_vector_store(each, embed_model=model) for each in stores]
        nodes = [index.as_retriever(similarity_top_k=_K) for index in indices]
        scores = [evaluate(each, test) for each in nodes]
        searches = [
            lambda text, each=each: [hit.node.node_id for hit in each.retrieve(text)]  # type: ignore[misc]
            for each in nodes
        ]
    report = compare(
        *scores, judged_on=f"{len(test)} test questions", queries=test.queries, resamples=1000
    )
    return searches[0], searches[1], report


def _write_table(title: str, report: EvaluationReport, write: Writer) -> None:
    write(f"{title:<34}{'before':>9}{'after':>9}{'change':>9}")
    for metric in report.metrics:
        row = report.row(metric)
        write(f"  {metric:<32}{row.before:>9.4f}{row.after:>9.4f}{row.difference:>+9.4f}")
    write("")


def _write_examples(
    report: EvaluationReport, test: RelevanceDataset, before: Search, after: Search, write: Writer
) -> None:
    write("Questions whose answer appeared (the answer is marked):")
    for change in report.won[:_SHOWN]:
        answers = {doc for doc, grade in test.qrels[change.query_id].items() if grade > 0}
        write(f'\n  "{change.text}"')
        for label, search in (("before", before), ("after", after)):
            found = [f"[{doc}]" if doc in answers else doc for doc in search(change.text)[:_SHOWN]]
            write(f"    {label + ':':<8}{', '.join(found)}")
    write("")
