"""What a run produced: the vectors that moved, their originals, and the report."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, IntVector, as_matrix
from nudge_integrations.common.files import load_arrays, save_arrays, sha256, text_hash
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.common.text import described
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.errors import CorruptFileError, DataError, ModelMismatchError
from nudge_integrations.evaluation import EvaluationReport
from nudge_integrations.tuning.options import check_metric

if TYPE_CHECKING:
    from nudge_integrations.methods.field import Field

KIND = "tuned vectors"
VERSION = 2
FILE_NAME = "tuned.safetensors"
_FIELD = "field."
_PLAIN = ("ids", "text_hashes", "metric", "method", "step", "labelled")


@dataclass(frozen=True, eq=False)
class TunedVectors:
    """The documents that a run moved, where to, and where from.

    Attributes:
        ids: Ids of the moved documents, shape `(m,)`; empty when no step helped.
        vectors: Their tuned vectors, shape `(m, d)`, float32.
        originals: The base model's vectors, shape `(m, d)`, float32: the way back, bit for bit.
        text_hashes: `files.text_hash` of the exact text of each, for `lookup`.
        metric: `"cosine"` or `"dot"`: how a store must rank them.
        method: Such as `"nudge-n"`.
        step: How far they moved; 0 when nothing did.
        model: The embedding model that made the originals.
        report: Before and after, where it was measured.
        field: Moves any other document by its base vector, such as one added later; None for
            NUDGE-N and NUDGE-M, which move labelled documents only, and where nothing moved.
        labelled: Ids of the documents that answer the questions behind the vectors; the others
            moved with their neighbours. Empty where that is all of `ids`.

    Raises:
        DataError: Parts that do not fit together, or bad vectors; the id is named.
        MetricMismatchError: NUDGE-M's vectors with a metric other than `"dot"`.
    """

    ids: tuple[str, ...]
    vectors: FloatMatrix
    originals: FloatMatrix
    text_hashes: tuple[str, ...]
    metric: str
    method: str
    step: float
    model: ModelFingerprint
    report: EvaluationReport | None = None
    field: Field | None = None
    labelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        width = len(self.model.probe)
        for name in ("vectors", "originals"):
            matrix = as_matrix(
                getattr(self, name), name, ids=self.ids, dimension=width, allow_empty=True
            )
            # A view, so that the caller's own array stays writable.
            matrix = matrix.view()
            matrix.flags.writeable = False
            object.__setattr__(self, name, matrix)
        for name in ("ids", "text_hashes", "labelled"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.text_hashes) != len(self.ids) or len(set(self.ids)) != len(self.ids):
            raise DataError("tuned vectors need one text hash for each id, and each id once")
        check_metric(self.method, self.metric)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"TunedVectors({len(self)} moved documents, method={self.method!r}, "
            f"step={self.step:g}, metric={self.metric!r}, model={self.model.name!r})"
        )

    @cached_property
    def digest(self) -> str:
        """16 hex digits, equal for equal texts and vectors: names the run, for caches."""
        arrays = {} if self.field is None else self.field.to_arrays()
        parts = [self.vectors, *(arrays[name] for name in sorted(arrays))]
        whole = "".join(self.text_hashes).encode() + b"".join(each.tobytes() for each in parts)
        return sha256(whole)[:16]

    @cached_property
    def _row_of_hash(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.text_hashes)}

    def with_report(self, report: EvaluationReport | None) -> TunedVectors:
        """The same run with another report."""
        other = copy.copy(self)  # not `replace`, which would check every vector again
        object.__setattr__(other, "report", report)
        return other

    def lookup(self, text: str) -> FloatMatrix | None:
        """The tuned vector of an exact text, float32 `(d,)`, read-only; None if it did not move."""
        row = self.row_of(text)
        return None if row is None else self.vectors[row]

    def row_of(self, text: str) -> int | None:
        """The row of an exact text in `vectors` and `originals`; None if it did not move."""
        return self._row_of_hash.get(text_hash(text))

    def apply(self, ids: Sequence[str], vectors: Any) -> FloatMatrix:
        """Put the tuned vectors into a copy of a matrix, row by row of its ids.

        Args:
            ids: Ids of the rows. Those that are not in this run move by its field, if it has one.
            vectors: Base vectors, shape `(len(ids), d)`.

        Raises:
            DataError: Shapes that do not fit.
        """
        result = self._exchange(ids, vectors, self.vectors)
        if self.field is not None:
            known = set(self.ids)
            other = np.flatnonzero([name not in known for name in ids])
            rows, moved = self.move(result[other])
            result[other[rows]] = moved
        return result

    def move(self, vectors: FloatMatrix) -> tuple[IntVector, FloatMatrix]:
        """Where documents outside this run move, by its field.

        Args:
            vectors: Base vectors, shape `(n, d)`, float32.

        Returns:
            The rows that move, ascending, and their new vectors; none without a field.
        """
        if self.field is None:
            return np.empty(0, np.int64), vectors[:0]
        usable = np.flatnonzero(vectors.any(axis=1))
        rows, moved = self.field.move(vectors[usable])
        return usable[rows], moved

    def revert(self, ids: Sequence[str], vectors: Any) -> FloatMatrix:
        """Put the originals back into a copy of a matrix; every byte is what it was.

        Args:
            ids: Ids of the rows. Those that are not in this run keep their row.
            vectors: Shape `(len(ids), d)`.

        Raises:
            DataError: Shapes that do not fit.
        """
        return self._exchange(ids, vectors, self.originals)

    def apply_to(self, store: ExactIndex) -> list[str]:
        """Move the documents in a store that still holds the originals.

        With a field, all others move as well; the store keeps their originals.

        Returns:
            Ids left alone: not in the store, or not with the vector that this run started from.

        Raises:
            MetricMismatchError: NUDGE-M's vectors, and a store that ranks by cosine.
        """
        check_metric(self.method, store.metric)
        left = store.replace(self.ids, self.originals, self.vectors)
        if self.field is not None:
            store.move(self.digest, self.move, set(self.ids))
        return left

    def revert_in(self, store: ExactIndex) -> list[str]:
        """Move the documents back in a store that holds the tuned vectors.

        Returns:
            Ids left alone: not in the store, or not with the tuned vector of this run.
        """
        left = store.replace(self.ids, self.vectors, self.originals)
        store.move_back(self.digest)
        return left

    def check_model(self, model: ModelFingerprint) -> None:
        """Refuse another embedding model than the one the vectors were tuned for.

        Raises:
            ModelMismatchError: The models differ.
        """
        _check_fingerprint(model)
        mine, given = len(self.model.probe), len(model.probe)
        if mine != given:
            raise ModelMismatchError(
                f"the vectors of the embedding model {model.name!r} have {given} dimensions, the "
                f"tuned ones have {mine}; use the model that the vectors were tuned for, or tune "
                "again with this one"
            )
        if not self.model.matches(model):
            raise ModelMismatchError(
                f"these vectors were tuned for the embedding model {self.model.name!r}, but this "
                f"is {model.name!r} (or other weights or prompts under that name): use the model "
                "they were tuned for, or tune again with this one"
            )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save as `tuned.safetensors` in a folder, atomically.

        Returns:
            The folder.

        Raises:
            NudgeError: The folder cannot be written to; an older save in it is still whole.
        """
        manifest = {
            **{name: getattr(self, name) for name in _PLAIN},
            "model": self.model.to_dict(),
            "report": None if self.report is None else self.report.to_dict(),
        }
        parts = {} if self.field is None else self.field.to_arrays()
        arrays = {"vectors": self.vectors, "originals": self.originals}
        arrays |= {f"{_FIELD}{name}": array for name, array in parts.items()}
        save_arrays(Path(folder) / FILE_NAME, KIND, VERSION, manifest, arrays)
        return Path(folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], model: ModelFingerprint | None = None
    ) -> TunedVectors:
        """Load what `save` saved, checking every byte.

        Args:
            folder: Where it was saved.
            model: The model that is in use now, to be checked against the one tuned for.

        Raises:
            CorruptFileError: The file is missing, truncated, edited, or has another version.
            ModelMismatchError: `model` is another one.
        """
        folder = Path(folder)
        if folder.is_file():
            raise CorruptFileError(
                f"{folder} is a file; name the folder that it was saved in, such as "
                f"{str(folder.parent)!r}"
            )
        if model is not None:
            _check_fingerprint(model)  # before the file is read
        content, arrays = load_arrays(folder / FILE_NAME, KIND, VERSION)
        try:
            tuned = _from_content(content, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(
                f"{folder / FILE_NAME} was edited ({error}); save it again"
            ) from error
        if model is not None:
            tuned.check_model(model)
        return tuned

    def _exchange(self, ids: Sequence[str], vectors: Any, new: FloatMatrix) -> FloatMatrix:
        width = len(self.model.probe)
        result = as_matrix(vectors, "vectors", ids=ids, dimension=width, allow_zero=True).copy()
        row_of_id = {name: row for row, name in enumerate(self.ids)}
        rows = np.array([row_of_id.get(name, -1) for name in ids], np.int64)
        result[rows >= 0] = new[rows[rows >= 0]]
        return result


def _check_fingerprint(model: Any) -> None:
    if not isinstance(model, ModelFingerprint):
        raise DataError(
            f"a model's fingerprint is needed, not {described(model)}: pass "
            "nudge_integrations.embedding.Embedder(model).fingerprint, or engine.embedder's"
        )


def _from_content(content: Mapping[str, Any], arrays: Mapping[str, Any]) -> TunedVectors:
    report, field = content["report"], None
    parts = {name[len(_FIELD) :]: each for name, each in arrays.items() if name.startswith(_FIELD)}
    if parts:
        # Only a run that has a field loads what moves by it, which needs torch.
        from nudge_integrations.methods.field import Field

        field = Field.from_arrays(parts)
    return TunedVectors(
        vectors=arrays["vectors"],
        originals=arrays["originals"],
        model=ModelFingerprint.from_dict(content["model"]),
        report=None if report is None else EvaluationReport.from_dict(report),
        field=field,
        **{name: content[name] for name in _PLAIN} | {"step": float(content["step"])},
    )
