"""`tune`: a plan for the store that is already running.

Read a snapshot (`Snapshot.read`), work out where documents go (`_fit`), and say what that would
change (`_plan`). Nothing is written.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, name_some
from nudge_integrations.common.options import read_options
from nudge_integrations.errors import DataError, MetricMismatchError, StoreError
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.stores.open import STORE_OPTIONS, open_store
from nudge_integrations.stores.plan import Plan, Row, new_facts, sidecar_of
from nudge_integrations.stores.questions import (
    Questions,
    answers_look_random,
    ids_of,
    query_embedder,
)
from nudge_integrations.stores.report import Cost, PlanReport, turned
from nudge_integrations.stores.search import Nearby, measured_recall, nearby, scale_of
from nudge_integrations.stores.sidecar import Entry, Sidecar, TrainingQuestion
from nudge_integrations.stores.store import FloatVector, LiveStore
from nudge_integrations.tuning.options import EngineOptions

if TYPE_CHECKING:
    from nudge_integrations.evaluation import EvaluationReport
    from nudge_integrations.methods import Fit, Method
    from nudge_integrations.methods.field import Field

_FEW = 100
_BLOCK = 256  # vectors to search for at once
_AROUND = 30  # documents around each one with questions that are looked at
_SMALL = 2000  # a store of so many documents is read whole: the field then moves all of them
_LARGEST = 1e37  # squared length of a vector; float32 ends at 3.4e38
_OPTIONS = ("gamma", "selection", "protect_unseen", "validation_metric", "seed", "device")


def tune(
    store: Any,
    dataset: Any,
    *,
    embed_query: Any,
    val_dataset: Any = None,
    method: str | Method = "c",
    reach: float | None = None,
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
        fresh: Forget the questions of earlier runs. Otherwise they stay in force, so that several
            runs give what one with all questions would; a question that comes again brings its
            new answers.
        journal: Folder for the originals, if you may not create tables or collections. Left
            out: a table or collection beside the tuned one, which any machine finds.
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
    if reach is not None and not 0 <= reach <= 2:
        raise DataError(f"reach must be a distance of unit vectors, 0 to 2, got {reach!r}")
    opened = open_store(store, **(store_options or {}))
    _check_ranking(mover, opened)
    snapshot = Snapshot.read(
        opened,
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
        snapshot = snapshot.spread(fit.field)
    return _plan(snapshot, fit, reach, show_progress)


async def atune(store: Any, dataset: Any, **arguments: Any) -> Plan:
    """`tune` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(tune, store, dataset, **arguments)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was read from a store and its sidecar, at one epoch.

    Attributes:
        store: The collection.
        sidecar: What is known of earlier runs.
        epoch: The sidecar's state that everything here belongs to.
        count: Documents in the store.
        entries: Rows that were tuned before.
        rows: Documents that answer a question or were tuned before: where they stand.
        originals: Shape `(len(rows), d)`, float32: their originals.
        parts: Training questions, and validation questions if there are any.
        earlier: How many training questions come from earlier runs.
        labelled: How many documents answer a question.
        missing: Answers that are not in the store.
        replaced: Documents that somebody gave another vector since they were tuned.
        unreadable: Documents left out, each with the reason.
        near: The nearest other documents of each question.
    """

    store: LiveStore
    sidecar: Sidecar
    epoch: str | None
    count: int
    entries: Mapping[str, Entry]
    rows: dict[str, tuple[FloatVector, FloatVector]]
    originals: FloatMatrix
    parts: list[Questions]
    earlier: int
    labelled: int
    missing: tuple[str, ...]
    replaced: tuple[str, ...]
    unreadable: Mapping[str, str]
    near: Nearby

    @property
    def places(self) -> dict[str, int]:
        """Row of each document."""
        return {name: row for row, name in enumerate(self.rows)}

    @classmethod
    def read(
        cls,
        store: LiveStore,
        sidecar: Sidecar,
        given: list[RelevanceDataset],
        embed: Any,
        *,
        fresh: bool,
        nearest: int,
        around: int,
        show_progress: bool,
    ) -> Snapshot:
        """Read judged documents, those tuned before, and what is nearest to each question.

        Raises:
            DataError: Judgments of another store, or vectors that cannot be tuned.
            StoreError: The store is empty, failed, or was tuned by another process meanwhile.
        """
        count = store.count()
        if not count:
            raise StoreError(f"{store.identity} is empty: add documents first")
        epoch = sidecar.facts().get("epoch")
        entries = sidecar.entries()
        before = {} if fresh else sidecar.questions()
        if not before:
            _check_there(store, given)
        questions = [Questions.embed(each, embed, store, show_progress) for each in given]
        train, earlier = _with_earlier(questions, before)
        parts = [train, *questions[1:]]
        labelled = ids_of(parts)
        others: list[str] = []
        if around and count <= _SMALL:
            others = list(store.ids())
        elif around:
            others = _hits(store, np.concatenate([part.vectors() for part in parts]), around)
        found = _read_rows(store, labelled, others, entries)
        there = [name for name in labelled if name in found.vectors]
        if not there:
            raise _strangers(labelled, store)
        kept = [part.answered_by(found.vectors) for part in parts]
        if not kept[0].asked:
            raise DataError(f"no training question has an answer in {store.identity}")
        parts = [kept[0], *(part for part in kept[1:] if part.asked)]
        originals = np.stack([original for original, _ in found.rows.values()])
        near = nearby(
            store,
            np.concatenate([part.vectors() for part in parts]),
            found.rows,
            nearest,
            scale_of(store, originals),
            show_progress,
        )
        if sidecar.facts().get("epoch") != epoch:
            raise StoreError(
                f"{store.identity} was tuned or reverted by another process while it was read: "
                "make the plan again"
            )
        return cls(
            store=store,
            sidecar=sidecar,
            epoch=epoch,
            count=count,
            entries=entries,
            rows=found.rows,
            originals=originals,
            parts=parts,
            earlier=sum(key in earlier for key in parts[0].asked),
            labelled=len(there),
            missing=tuple(
                name for name in labelled if name not in found.vectors and name not in found.bad
            ),
            replaced=tuple(found.replaced),
            unreadable=found.bad,
            near=near,
        )

    def spread(self, field: Field) -> Snapshot:
        """The same with the documents around those with questions, which the field moves, too."""
        if self.count <= _SMALL:
            return self
        length = float(np.linalg.norm(self.originals, axis=1).mean())
        hits = _hits(self.store, length * field.anchors[field.labelled], _AROUND)
        fresh = [name for name in hits if name not in self.rows and name not in self.unreadable]
        found = _read_rows(self.store, [], fresh, self.entries)
        rows = {**found.rows, **self.rows}
        return replace(
            self,
            rows={**self.rows, **{name: rows[name] for name in found.rows}},
            originals=np.concatenate(
                [
                    self.originals,
                    *(rows[name][0][None] for name in found.rows if name not in self.rows),
                ]
            ),
            unreadable={**self.unreadable, **found.bad},
        )


@dataclass(frozen=True)
class _Found:
    vectors: dict[str, FloatVector]
    rows: dict[str, tuple[FloatVector, FloatVector]]
    replaced: list[str]
    bad: dict[str, str]


def _hits(store: LiveStore, vectors: FloatMatrix, k: int) -> list[str]:
    """The documents that a search finds nearest to some vectors, each once."""
    blocks = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    found = (name for block in blocks for hits in store.search(block, k) for name, _ in hits)
    return list(dict.fromkeys(found))


def _read_rows(
    store: LiveStore, labelled: list[str], others: list[str], entries: Mapping[str, Entry]
) -> _Found:
    """Read every document that can move, or did; with the original of each."""
    vectors, bad = store.look(list(dict.fromkeys([*labelled, *others, *entries])))
    _refuse_bad(store, {name: bad[name] for name in labelled if name in bad})
    rows, replaced = {}, []
    for name, vector in vectors.items():
        original = entries[name].original_of(vector) if name in entries else vector
        if original is None:
            replaced.append(name)
            original = vector
        rows[name] = (original, vector)
    if rows:
        originals = np.stack([original for original, _ in rows.values()])
        as_matrix(originals, f"vectors in {store.identity}", ids=list(rows))
        sizes = (originals.astype(np.float64) ** 2).sum(axis=1)
        huge = [name for name, size in zip(rows, sizes, strict=True) if size > _LARGEST]
        if huge:
            raise DataError(
                f"vectors of {name_some(huge)} in {store.identity} are too long for float32 "
                "arithmetic (their squared length overflows): scale them down, or leave them out"
            )
    return _Found(vectors, rows, replaced, bad)


def _options(options: Mapping[str, Any], method: Any, show_progress: bool) -> EngineOptions:
    def about_the_store(name: str) -> str:
        if name not in STORE_OPTIONS:
            return ""
        return f"; store options are passed as store_options={{{name!r}: {options[name]!r}}}"

    chosen = read_options(EngineOptions, options, names=_OPTIONS, hint=about_the_store)
    return replace(chosen, method=method, show_progress=show_progress)


def _with_earlier(
    given: list[Questions], earlier: Mapping[str, TrainingQuestion]
) -> tuple[Questions, set[str]]:
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
    targets = {names[row]: vector for row, vector in zip(*moves, strict=True)}
    rows = {
        name: Row(original, current, targets.get(name, original))
        for name, (original, current) in snapshot.rows.items()
    }
    # A document that already wins all its questions stays where it is, bit for bit.
    moved = [name for name, row in rows.items() if not np.array_equal(row.target, row.original)]
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
        missing=snapshot.missing,
        replaced=snapshot.replaced,
        unreadable=dict(snapshot.unreadable),
        strange=answers_look_random(train, snapshot.places, snapshot.originals),
    )
    facts, epochs = new_facts(fit.method, fit.step), {snapshot.epoch}
    return Plan(report, store, snapshot.sidecar, rows, train.asked, facts, epochs, show_progress)


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


def _check_there(store: LiveStore, datasets: list[RelevanceDataset]) -> None:
    """Refuse judgments of another store's documents before a question is embedded.

    As a rule the first few ids tell, so that hardly anything is read twice.
    """
    judged = (dataset.qrels[name] for dataset in datasets for name in dataset.judged_queries)
    labelled = list(dict.fromkeys(id_ for each in judged for id_, grade in each.items() if grade))
    for start in range(0, len(labelled), _FEW):
        found, bad = store.look(labelled[start : start + _FEW])
        _refuse_bad(store, bad)
        if found or bad:
            return
    raise _strangers(labelled, store)


def _refuse_bad(store: LiveStore, bad: Mapping[str, str]) -> None:
    """Refuse judged rows without a usable vector; ids of several rows are only left out."""
    for name, reason in bad.items():
        if "several rows" not in reason:
            raise DataError(
                f"row {name!r} of {store.identity} {reason}: embed these again or leave them out"
            )


def _strangers(labelled: list[str], store: LiveStore) -> DataError:
    """The error about answers of which a store has none."""
    return DataError(
        f"none of the {len(labelled)} answers ({name_some(labelled)}) is in {store.identity}, "
        f"whose ids are such as {name_some(list(itertools.islice(store.ids(), 1)))}: do the "
        "judgments name documents by the ids of this store? LangChain's ids are those that "
        "add_documents returned, LlamaIndex's are node ids"
    )
