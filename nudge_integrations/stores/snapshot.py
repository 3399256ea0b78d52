"""What is read from a live store and its sidecar before anything is worked out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, as_matrix, name_some
from nudge_integrations.errors import DataError, StoreError
from nudge_integrations.relevance import RelevanceDataset
from nudge_integrations.stores.entries import Entry, TrainingQuestion
from nudge_integrations.stores.formats import FloatVector
from nudge_integrations.stores.questions import Embed, Questions, ids_of
from nudge_integrations.stores.search import nearby, scale_of
from nudge_integrations.stores.sidecar import Sidecar
from nudge_integrations.stores.store import LiveStore
from nudge_integrations.stores.undo import outside

if TYPE_CHECKING:
    from nudge_integrations.methods.field import Field

_FEW = 100
_BLOCK = 256  # vectors to search for at once
_AROUND = 30  # documents around each one with questions that are looked at
_SMALL = 10_000  # a store of so many documents is read whole: the field then moves all of them
_LARGEST = 1e37  # squared length of a vector; float32 ends at 3.4e38


class Snapshot:
    """What was read from a store and its sidecar, at one epoch.

    Args:
        store: The collection, or the part of it that a filter lets through.
        sidecar: What is known of earlier runs.
        given: Judged questions: for training, and for validation if there are any.
        embed: What `query_embedder` gave.
        fresh: Forget the questions of earlier runs.
        nearest: How many other documents a question are looked at.
        around: How many documents around each question may move, too.
        show_progress: Whether to draw progress bars.

    Attributes:
        epoch: The sidecar's state that everything here belongs to.
        count: Documents in the store.
        entries: Rows that were tuned before.
        rows: Documents that answer a question, were tuned before or may move with them: the
            original, and where it stands.
        originals: Shape `(len(rows), d)`, float32: their originals.
        parts: Training questions, and validation questions if there are any.
        earlier: How many training questions come from earlier runs.
        elsewhere: Questions of earlier runs as far as rows outside the filter answer them.
        labelled: How many documents answer a question.
        missing: Answers that are not in the store.
        replaced: Documents that somebody gave another vector since they were tuned.
        unreadable: Documents left out, each with the reason.
        near: The nearest other documents of each question.

    Raises:
        DataError: Judgments of another store, or vectors that cannot be tuned.
        StoreError: The store is empty, failed, or was tuned by another process meanwhile.
    """

    def __init__(
        self,
        store: LiveStore,
        sidecar: Sidecar,
        given: list[RelevanceDataset],
        embed: Embed,
        *,
        fresh: bool,
        nearest: int,
        around: int,
        show_progress: bool,
    ) -> None:
        self.store, self.sidecar, self.count = store, sidecar, store.count()
        if not self.count:
            raise StoreError(f"{store.identity} is empty: add documents first")
        self.epoch, self.entries = sidecar.facts().get("epoch"), sidecar.entries()
        self.rows: dict[str, tuple[FloatVector, FloatVector]] = {}
        self.replaced: list[str] = []
        self.unreadable: dict[str, str] = {}
        train, old, *validation = self._questions(given, embed, fresh)
        self._documents([train, *validation], around)
        self.earlier = sum(key in old.asked for key in self.parts[0].asked)
        self.near = nearby(
            store,
            np.concatenate([part.vectors() for part in self.parts]),
            {*self.rows, *self.unreadable},
            nearest,
            scale_of(store, self.originals),
            show_progress,
        )
        if sidecar.facts().get("epoch") != self.epoch:
            raise StoreError(
                f"{store.identity} was tuned or reverted by another process while it was read: "
                "make the plan again"
            )

    def _questions(
        self, given: list[RelevanceDataset], embed: Embed, fresh: bool
    ) -> list[Questions]:
        """All training questions, those of them from earlier runs, and validation questions."""
        asked = self.sidecar.questions()
        self.elsewhere = outside(self.store, asked)
        if fresh:
            asked = {}
        elif self.elsewhere:
            inside = {key: each.without(self._answers(key)) for key, each in asked.items()}
            asked = {key: each for key, each in inside.items() if each.answers}
        if not asked:
            _check_there(self.store, given)
        new, *validation = (Questions.embed(each, embed, self.store) for each in given)
        held = {key for part in (new, *validation) for key in part.asked}
        old = {key: each for key, each in asked.items() if key not in held}
        width = new.vectors().shape[1]
        other = [len(each.vector) for each in old.values() if len(each.vector) != width]
        if other:
            raise DataError(
                f"questions of earlier runs have {other[0]} dimensions and these {width}: was the "
                "store embedded anew? Then begin anew with fresh=True"
            )
        # In one order, whenever each came: several runs then give what one would, bit for bit.
        together = dict(sorted({**old, **new.asked}.items()))
        return [Questions(together, new.texts), Questions(old, {}), *validation]

    def _documents(self, parts: list[Questions], around: int) -> None:
        """Read the documents that answer the questions, were tuned before, or may move as well."""
        labelled = ids_of(parts)
        others: Iterable[str] = ()
        if around and self.count <= _SMALL:
            others = self.store.ids()
        elif around:
            others = _hits(self.store, np.concatenate([part.vectors() for part in parts]), around)
        self._add([*labelled, *others, *self.entries], labelled)
        there = [name for name in labelled if name in self.rows]
        if not there:
            raise _strangers(labelled, self.store)
        kept = [part.answered_by(self.rows) for part in parts]
        if not kept[0].asked:
            raise DataError(f"no training question has an answer in {self.store.identity}")
        self.parts = [kept[0], *(part for part in kept[1:] if part.asked)]
        self.labelled = len(there)
        self.missing = [name for name in labelled if name not in {*there, *self.unreadable}]

    @property
    def places(self) -> dict[str, int]:
        """Row of each document."""
        return {name: row for row, name in enumerate(self.rows)}

    def spread(self, field: Field) -> None:
        """Read the documents around those with questions, too, which the field moves as well."""
        if self.count > _SMALL:
            length = float(np.linalg.norm(self.originals, axis=1).mean())
            hits = _hits(self.store, length * field.anchors[field.labelled], _AROUND)
            self._add(name for name in hits if name not in {*self.rows, *self.unreadable})

    def asked(self) -> dict[str, TrainingQuestion]:
        """Training questions, together with what they and others ask elsewhere."""
        train = self.parts[0].asked
        both = {key: each.plus(self._answers(key)) for key, each in train.items()}
        return {**self.elsewhere, **both}

    def _answers(self, key: str) -> Mapping[str, int]:
        return self.elsewhere[key].answers if key in self.elsewhere else {}

    def _add(self, names: Iterable[str], labelled: Iterable[str] = ()) -> None:
        """Read documents that can move, or did; with the original of each."""
        rows, replaced, bad = read_rows(self.store, names, self.entries)
        _refuse_bad(self.store, {name: bad[name] for name in labelled if name in bad})
        self.rows |= rows
        self.replaced += replaced
        self.unreadable |= bad
        if self.rows:
            self.originals: FloatMatrix = np.stack([original for original, _ in self.rows.values()])


def _hits(store: LiveStore, vectors: FloatMatrix, k: int) -> list[str]:
    """The documents that a search finds nearest to some vectors, each once."""
    blocks = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    found = (name for block in blocks for hits in store.search(block, k) for name, _ in hits)
    return list(dict.fromkeys(found))


def read_rows(
    store: LiveStore, names: Iterable[str], entries: Mapping[str, Entry]
) -> tuple[dict[str, tuple[FloatVector, FloatVector]], list[str], dict[str, str]]:
    """Original and present vector of rows; those replaced since they were tuned; bad ones.

    Raises:
        DataError: Vectors so long that their arithmetic overflows.
    """
    vectors, bad = store.look(names)
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
    return rows, replaced, bad


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
