"""`tune`: a plan for the store that is already running.

Read a `Snapshot`, work out where documents go (`_fit`), and say what that would
change (`_plan`). Nothing is written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.options import read_options
from nudge_integrations.errors import DataError, MetricMismatchError
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.open import STORE_OPTIONS, open_store
from nudge_integrations.stores.plan import Plan, Row
from nudge_integrations.stores.questions import answers_look_random, query_embedder
from nudge_integrations.stores.report import Cost, PlanReport, turned
from nudge_integrations.stores.search import measured_recall
from nudge_integrations.stores.snapshot import Snapshot
from nudge_integrations.stores.store import LiveStore
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
    reach: float | None = None,
    filter: Any = None,
    fresh: bool = False,
    journal: str | os.PathLike[str] | None = None,
    show_progress: bool = True,
    store_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Plan:
    """Plan how to tune a live store towards judged questions. Nothing is changed yet.

    Reads the vectors of documents that answer a question and of those that the store's own search
    finds around them, and works out the rest here, whatever the size of the store.

    Args:
        store: As `open_store` takes it: LangChain's or LlamaIndex's own store object, the
            database's client, or an address.
        dataset: Judged questions, as `RelevanceDataset.coerce` takes them. Document texts are not
            needed; document ids are those of the store.
        embed_query: The embedding model that the store is searched with, or a function that
            embeds one text.
        val_dataset: Questions to choose the step on. Left out: cross-validation.
        method: `"c"`, `"n"`, `"m"`, or an instance.
        reach: How near a document must be to one that took part, to move along with it (NUDGE-C):
            the Euclidean distance of unit vectors, 0 to 2. Left out: as far as the field reaches.
            0: nothing but documents that answer a question is moved.
        filter: Tune only the documents that it lets through, such as those of one tenant, as if
            the store held no others; see below. Left out: all.
        fresh: Forget the questions of earlier runs. Otherwise they stay in force, so that several
            runs give what one with all questions would; a question that comes again brings its
            new answers.
        journal: Folder for the originals, if you may not create tables or collections. Left
            out: a table or collection beside the tuned one, which any machine finds.
        show_progress: Whether to draw progress bars.
        store_options: For `open_store`, such as `{"collection": "docs"}`.
        options: `gamma`, `selection`, `protect_unseen`, `validation_metric`, `seed`, `device`:
            see the engines.

    A filter is of the store's own form: Chroma's `where` dictionary, Qdrant's `models.Filter`, an
    expression of LanceDB or Milvus, a condition of PostgreSQL (or a pair of one with `%s` and its
    values), a function of a document's metadata for a store in memory.

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
        (2, 2)
    """
    chosen = _options(options, method, show_progress)
    mover = chosen.make_method()
    given = [RelevanceDataset.coerce(dataset)]
    if val_dataset is not None:
        given.append(RelevanceDataset.coerce(val_dataset))
        check_leaks(train=given[0], validation=given[1])
    if reach is not None and not 0 <= reach <= 2:
        raise DataError(f"reach must be a distance of unit vectors, 0 to 2, got {reach!r}")
    opened = open_store(store, **(store_options or {}))
    _check_ranking(mover, opened)
    snapshot = Snapshot(
        opened.within(filter),
        sidecar_of(opened, journal),
        given,
        query_embedder(embed_query, show_progress),
        fresh=fresh,
        nearest=mover.nearest,
        around=mover.around if reach != 0 else 0,
        show_progress=show_progress,
    )
    fit = _fit(mover, snapshot, chosen)
    if fit.field is not None and reach != 0:
        snapshot.spread(fit.field)
    return _plan(snapshot, fit, reach, show_progress)


async def atune(store: Any, dataset: Any, **arguments: Any) -> Plan:
    """`tune` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(tune, store, dataset, **arguments)


def _options(options: Mapping[str, Any], method: Any, show_progress: bool) -> EngineOptions:
    def about_the_store(name: str) -> str:
        if name not in STORE_OPTIONS:
            return ""
        return f"; store options are passed as store_options={{{name!r}: {options[name]!r}}}"

    chosen = read_options(EngineOptions, options, names=_OPTIONS, hint=about_the_store)
    return replace(chosen, method=method, show_progress=show_progress)


def _fit(method: Method, snapshot: Snapshot, options: EngineOptions) -> Fit:
    from nudge_integrations.methods.folds import fold_numbers

    parts = snapshot.parts
    judged = [part.judgments(snapshot.places) for part in parts]
    keys = [key for part in parts for key in part.asked]
    return method.fit(
        snapshot.originals,
        parts[0].vectors(),
        judged[0],
        validation=(parts[1].vectors(), judged[1]) if len(parts) > 1 else None,
        selection=options.selection,
        similarity="dot" if snapshot.store.metric == "dot" else "cosine",
        gamma=options.gamma,
        groups=fold_numbers(keys, method.seed, method.folds),
        neighbours=snapshot.near.scores,
    )


def _plan(snapshot: Snapshot, fit: Fit, reach: float | None, show_progress: bool) -> Plan:
    """What the fit would change in the store."""
    store, near, train = snapshot.store, snapshot.near, snapshot.parts[0]
    names = list(snapshot.rows)
    moves = fit.rows, fit.vectors
    if fit.field is not None:
        moves = fit.field.move(snapshot.originals, reach=reach)
    targets = dict(zip((names[row] for row in moves[0]), store.stored(moves[1]), strict=True))
    rows = {
        name: Row(original, current, targets.get(name, original))
        for name, (original, current) in snapshot.rows.items()
    }
    # A document that already wins all its questions stays where it is, bit for bit.
    moved = [name for name, row in rows.items() if row.moves]
    wrong = [name for name in moved if not np.isfinite(rows[name].target).all()]
    if wrong:
        raise DataError(f"tuning {name_some(wrong)} gives no finite vector: leave them out")
    report = PlanReport(
        store=store.identity,
        documents=snapshot.count,
        labelled=snapshot.labelled,
        moved=len(moved),
        **turned([rows[name].original for name in moved], [rows[name].target for name in moved]),
        questions=len(train.asked),
        earlier_questions=snapshot.earlier,
        quality=_quality(fit, snapshot, len(moved)),
        reason=fit.reason,
        cost=Cost(
            len(rows) + near.vectors_read,
            near.searches,
            near.hits,
            store.dimension,
            sum(row.to_write for row in rows.values()),
        ),
        recall=None if store.exact else measured_recall(store, train.vectors()),
        missing=tuple(snapshot.missing),
        replaced=tuple(snapshot.replaced),
        unreadable=dict(snapshot.unreadable),
        strange=answers_look_random(train, snapshot.places, snapshot.originals),
    )
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    facts = {"method": fit.method, "step": fit.step, "when": when}
    epochs = {snapshot.epoch}
    return Plan(
        report, store, snapshot.sidecar, rows, snapshot.asked(), facts, epochs, show_progress
    )


def _quality(fit: Fit, snapshot: Snapshot, moved: int) -> EvaluationReport | None:
    from nudge_integrations.tuning.held_out import held_out_report

    parts = snapshot.parts
    asked = {key: each for part in parts for key, each in part.asked.items()}
    return held_out_report(
        fit,
        list(asked),
        [
            np.array([grade for name, grade in each.answers.items() if name in snapshot.rows])
            for each in asked.values()
        ],
        validation=sum(len(part.asked) for part in parts[1:]),
        queries={key: text for part in parts for key, text in part.texts.items()},
        moved=moved,
        documents=snapshot.count,
    )


def _check_ranking(method: Method, store: LiveStore) -> None:
    """Refuse a method whose vectors the store would rank wrongly.

    Raises:
        MetricMismatchError: NUDGE-M, and a store that does not rank by the inner product.
    """
    if not method.keeps_length and store.metric != "dot":
        raise MetricMismatchError(
            f"{method.name.upper()} gives vectors of other lengths, and {store.identity} ranks by "
            f"{store.metric}: use method='c' or 'n', or a store that ranks by the inner product"
        )
