"""`tune`: a plan for the store that is already running."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, as_matrix
from nudge_integrations.common.options import read_options
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.stores.checks import check_filled, check_ranking, check_there, strangers
from nudge_integrations.stores.entries import Entry
from nudge_integrations.stores.journal import Journal, journal_of
from nudge_integrations.stores.open import STORE_OPTIONS, open_store
from nudge_integrations.stores.plan import Plan, Row, new_facts
from nudge_integrations.stores.recall import measured_recall
from nudge_integrations.stores.report import Cost, PlanReport, turned
from nudge_integrations.stores.same_model import answers_look_random
from nudge_integrations.stores.solving import Questions, ids_of, nearby, query_embedder, scale_of
from nudge_integrations.stores.store import FloatVector, LiveStore, same
from nudge_integrations.tuning.options import EngineOptions

if TYPE_CHECKING:
    from nudge_integrations.evaluation import EvaluationReport
    from nudge_integrations.methods import Fit, Method

_OPTIONS = ("gamma", "selection", "protect_unseen", "validation_metric", "seed", "device")


def tune(
    store: Any,
    dataset: Any,
    *,
    embed_query: Any,
    val_dataset: Any = None,
    method: str | Method = "c",
    fresh: bool = False,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    store_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Plan:
    """Plan how to tune a live store towards judged questions. Nothing is changed yet.

    Reads the vectors of documents that answer a question, searches the store once a question,
    and works out the rest here, whatever the size of the store.

    Args:
        store: As `open_store` takes it: LangChain's or LlamaIndex's own store object, the
            database's client, or an address.
        dataset: Judged questions, as `RelevanceDataset.coerce` takes them. Document texts are not
            needed; document ids are those of the store.
        embed_query: The embedding model that the store is searched with, or a function that
            embeds one text.
        val_dataset: Questions to choose the step on. Left out: cross-validation.
        method: `"c"`, `"n"`, `"m"`, or an instance.
        fresh: Forget the questions of earlier runs. Otherwise they stay in force, so that several
            runs give what one with all questions would; a question that comes again brings its
            new answers.
        journal: Folder of the journals: originals, for the way back. Left out:
            `NUDGE_JOURNAL_DIR`, or the user's data folder.
        show_progress: Whether to draw progress bars.
        store_options: For `open_store`, such as `{"collection": "docs"}`.
        options: `gamma`, `selection`, `protect_unseen`, `validation_metric`, `seed`, `device`:
            see the engines.

    Raises:
        DataError: Data that cannot be used; the offending id is named.
        LeakError: Both datasets share a question.
        MetricMismatchError: NUDGE-M, and a store that does not rank by the inner product.
        UnsupportedStoreError: A store or a setting of one in which tuning would be wrong.
        StoreError: The store cannot be reached, or failed.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> model = DeterministicFakeEmbedding(size=8)
        >>> store = InMemoryVectorStore(model)
        >>> texts = ["revert() restores the original vectors", "it takes seconds"]
        >>> _ = store.add_documents([Document(text) for text in texts], ids=["a", "b"])
        >>> judged = {"queries": {"q": "can I undo it?"}, "relevant_docs": {"q": ["a"]}}
        >>> plan = tune(store, judged, embed_query=model, gamma=0.4, show_progress=False)
        >>> plan.apply().written, plan.revert().written
        (1, 1)
    """
    chosen = _options(options, method, show_progress)
    mover = chosen.make_method()
    given = [RelevanceDataset.coerce(dataset)]
    if val_dataset is not None:
        given.append(RelevanceDataset.coerce(val_dataset))
        check_leaks(train=given[0], validation=given[1])
    opened = open_store(store, **(store_options or {}))
    check_ranking(mover, opened)
    count = check_filled(opened)
    kept = journal_of(opened, journal)
    before = {} if fresh else kept.questions()
    if not before:
        check_there(opened, given)
    embed = query_embedder(embed_query, show_progress)
    questions = [Questions.embed(each, embed, opened, show_progress) for each in given]
    train, earlier = _with_earlier(questions, before)
    parts = [train, *questions[1:]]
    documents, parts = _documents(opened, kept, parts)
    originals = np.stack([row.original for row in documents.rows.values()])
    found = nearby(
        opened,
        np.concatenate([part.vectors() for part in parts]),
        documents.rows,
        mover.nearest,
        scale_of(opened, originals),
        show_progress,
    )
    fit = _fit(mover, opened, parts, documents, originals, found.scores, chosen)
    rows = _rows(documents, fit)
    # A document that already wins all its questions stays where it is, bit for bit.
    moved = [name for name, row in rows.items() if not np.array_equal(row.target, row.original)]
    report = PlanReport(
        store=opened.identity,
        documents=count,
        labelled=documents.labelled,
        moved=len(moved),
        **turned([rows[name].original for name in moved], [rows[name].target for name in moved]),
        questions=len(train.asked),
        earlier_questions=sum(key in earlier for key in train.asked),
        quality=_quality(fit, parts, documents, len(moved), count),
        reason=fit.reason,
        cost=Cost(
            len(rows) + found.vectors_read,
            found.searches,
            found.hits,
            opened.dimension,
            sum(not same(row.current, row.target) for row in rows.values()),
        ),
        recall=None if opened.exact else measured_recall(opened, train.vectors()),
        missing=documents.missing,
        replaced=documents.replaced,
        strange=answers_look_random(parts[0], documents.places, originals),
    )
    facts = new_facts(kept.facts(), fit.method, fit.step)
    return Plan(report, opened, kept, rows, train.asked, facts, show_progress)


async def atune(store: Any, dataset: Any, **arguments: Any) -> Plan:
    """`tune` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(tune, store, dataset, **arguments)


@dataclass(frozen=True)
class _Documents:
    """What was read.

    Attributes:
        rows: Documents that answer a question or were tuned before, where they stand.
        labelled: How many of them answer a question.
        missing: Answers that are not in the store.
        replaced: Documents that somebody gave another vector since they were tuned.
    """

    rows: dict[str, Row]
    labelled: int
    missing: tuple[str, ...]
    replaced: tuple[str, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """Row of each document."""
        return {name: row for row, name in enumerate(self.rows)}


def _options(options: Mapping[str, Any], method: Any, show_progress: bool) -> EngineOptions:
    def about_the_store(name: str) -> str:
        if name not in STORE_OPTIONS:
            return ""
        return f"; store options are passed as store_options={{{name!r}: {options[name]!r}}}"

    chosen = read_options(EngineOptions, options, names=_OPTIONS, hint=about_the_store)
    return replace(chosen, method=method, show_progress=show_progress)


def _with_earlier(given: list[Questions], earlier: Mapping[str, Any]) -> tuple[Questions, set[str]]:
    """The training questions, and those of earlier runs that none of these datasets has."""
    held = {key for part in given[1:] for key in part.asked}
    old = {
        key: asked
        for key, asked in earlier.items()
        if key not in held and key not in given[0].asked
    }
    width = len(next(iter(given[0].asked.values())).vector)
    other = [asked for asked in old.values() if len(asked.vector) != width]
    if other:
        raise DataError(
            f"questions of earlier runs have {len(other[0].vector)} dimensions and these {width}: "
            "was the store embedded anew? Then begin anew with fresh=True"
        )
    # In one order, whenever each of them came: several runs then give what one would, bit for bit.
    together = dict(sorted({**old, **given[0].asked}.items()))
    return Questions(together, given[0].texts), set(old)


def _documents(
    store: LiveStore, journal: Journal, parts: list[Questions]
) -> tuple[_Documents, list[Questions]]:
    """Read every document that can move, or did; and keep the questions that have an answer."""
    entries = journal.entries()
    labelled = ids_of(parts)
    found = store.read([*labelled, *(name for name in entries if name not in set(labelled))])
    there = [name for name in labelled if name in found]
    if not there:
        raise strangers(labelled, store)
    names = list(found)
    as_matrix(np.stack(list(found.values())), f"vectors in {store.identity}", ids=names)
    rows, replaced = {}, []
    for name, vector in found.items():
        original, known = _original(vector, entries.get(name))
        rows[name] = Row(original, vector, original)
        if not known:
            replaced.append(name)
    kept = [part.answered_by(found) for part in parts]
    if not kept[0].asked:
        raise DataError(f"no training question has an answer in {store.identity}")
    missing = tuple(name for name in labelled if name not in found)
    kept = [kept[0], *(part for part in kept[1:] if part.asked)]
    return _Documents(rows, len(there), missing, tuple(replaced)), kept


def _original(vector: FloatVector, entry: Entry | None) -> tuple[FloatVector, bool]:
    """Where a document stood at first; and whether its vector is one that we know."""
    if entry is None:
        return vector, True
    between = () if entry.earlier is None else (entry.earlier,)
    if any(same(vector, each) for each in (entry.tuned, entry.original, *between)):
        return entry.original, True
    return vector, False


def _fit(
    method: Method,
    store: LiveStore,
    parts: list[Questions],
    documents: _Documents,
    originals: FloatMatrix,
    beside: FloatMatrix,
    options: EngineOptions,
) -> Fit:
    from nudge_integrations.methods.folds import fold_numbers

    judged = [part.judgments(documents.places) for part in parts]
    keys = [key for part in parts for key in part.asked]
    return method.fit(
        originals,
        parts[0].vectors(),
        judged[0],
        validation=(parts[1].vectors(), judged[1]) if len(parts) > 1 else None,
        selection=options.selection,
        similarity="dot" if store.metric == "dot" else "cosine",
        gamma=options.gamma,
        groups=fold_numbers(keys, method.seed, method.folds),
        neighbours=beside,
    )


def _rows(documents: _Documents, fit: Fit) -> dict[str, Row]:
    names = list(documents.rows)
    moved = {names[row]: vector for row, vector in zip(fit.rows, fit.vectors, strict=True)}
    return {
        name: Row(row.original, row.current, moved.get(name, row.original))
        for name, row in documents.rows.items()
    }


def _quality(
    fit: Fit, parts: list[Questions], documents: _Documents, moved: int, count: int
) -> EvaluationReport | None:
    from nudge_integrations.tuning.held_out import held_out_report

    asked = {key: each for part in parts for key, each in part.asked.items()}
    return held_out_report(
        fit,
        list(asked),
        [
            np.array([grade for name, grade in each.answers.items() if name in documents.rows])
            for each in asked.values()
        ],
        validated=len(parts) > 1,
        queries={key: text for part in parts for key, text in part.texts.items()},
        moved=moved,
        documents=count,
    )
