"""Saved vector stores: their layout, and tuning one on disk without its framework."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nudge_integrations.common.files import header_of, pack, read_file, unpack, write_atomically
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.common.rows import Moves
from nudge_integrations.errors import CorruptFileError, NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors


@dataclass(frozen=True)
class Exchange:
    """What was done to a saved store.

    Attributes:
        path: The store's file.
        metric: How the store ranks: `"cosine"` or `"dot"`.
        documents: How many documents it has.
        changed: How many of their vectors were exchanged.
        already: Ids left alone because they hold the new vector already.
        absent: Ids left alone because they are not in the store.
        different: Ids left alone because they hold another vector than the run's.
    """

    path: Path
    metric: str
    documents: int
    changed: int
    already: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    different: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How one framework's `NudgeVectorStore` is saved: metric and documents as facts, one array.

    Attributes:
        kind: The kind of file, for `common.files`.
        pattern: Pattern of the default file name.
        id_of: The id of a document, as the facts hold documents.
    """

    kind: str
    pattern: str
    id_of: Callable[[Any], str]

    def pack(self, index: ExactIndex, documents: Sequence[Any]) -> bytes:
        """The bytes of a saved store; documents in the order of the index."""
        facts: dict[str, Any] = {"metric": index.metric, "documents": documents}
        if index.notes:
            facts["notes"] = index.notes
        arrays = {"vectors": index.matrix}
        bases = index.moves.bases
        if bases:
            facts |= {"moved_by": index.moves.run, "moved": list(bases)}
            arrays["bases"] = np.stack(list(bases.values()))
        return pack(self.kind, _VERSION, facts, arrays)

    def unpack(self, data: bytes, path: str | os.PathLike[str]) -> tuple[ExactIndex, list[Any]]:
        """The vectors by id, and the documents in the same order.

        Raises:
            CorruptFileError: Truncated, edited, or not saved by this store.
        """
        facts, arrays = unpack(data, self.kind, _VERSION, path)
        try:
            documents = facts["documents"]
            ids = [self.id_of(each) for each in documents]
            bases = dict(zip(facts.get("moved", ()), arrays.get("bases", ()), strict=True))
            moves = Moves(facts.get("moved_by", ""), bases)
            index = ExactIndex.from_state(
                facts["metric"], ids, arrays["vectors"], moves, facts.get("notes")
            )
            return index, documents
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path} was edited: {error}; save it again") from error


_VERSION = 2
LANGCHAIN = Layout(
    "langchain vector store", "vector_store.safetensors", lambda saved: str(saved["id"])
)
LLAMA_INDEX = Layout(
    "llama_index vector store",
    "*__vector_store.json",  # the framework chooses the name
    lambda saved: str(json.loads(saved)["node"]["id_"]),
)
_LAYOUTS = {layout.kind: layout for layout in (LANGCHAIN, LLAMA_INDEX)}


def apply_to_saved(path: str | os.PathLike[str], tuned: TunedVectors) -> Exchange:
    """Put tuned vectors into a saved store, where it holds the originals they were made from.

    Args:
        path: The folder or the file that a `NudgeVectorStore` of either framework was saved to.
        tuned: What a run produced.

    Raises:
        CorruptFileError: No such store there, several of them, or a damaged one.
        MetricMismatchError: NUDGE-M's vectors, and a store that ranks by cosine.
        DataError: Vectors of another dimension. As after any error, the store is unchanged.
        NudgeError: The folder cannot be written to.
    """
    return _exchange(Path(path), tuned, applying=True)


def revert_in_saved(path: str | os.PathLike[str], tuned: TunedVectors) -> Exchange:
    """Put the original bytes back where a saved store holds the tuned vectors.

    Arguments and errors are those of `apply_to_saved`.
    """
    return _exchange(Path(path), tuned, applying=False)


def _exchange(path: Path, tuned: TunedVectors, *, applying: bool) -> Exchange:
    path = _file_of(path)
    data = read_file(path, "saved store")
    kind = header_of(data).get("kind", "")
    layout = _LAYOUTS.get(kind)
    if layout is None:
        raise CorruptFileError(
            f"{path} is no saved NudgeVectorStore but "
            f"{f'holds {kind!r}' if kind else 'something else'}; other stores take tuned vectors "
            "through NudgeEmbedding (LlamaIndex) or NudgeEmbeddings (LangChain)"
        )
    index, documents = layout.unpack(data, path)
    before = len(index.moves.bases)
    left = tuned.apply_to(index) if applying else tuned.revert_in(index)
    changed = len(tuned) - len(left) + abs(len(index.moves.bases) - before)
    if changed:
        write_atomically(path, layout.pack(index, documents))
    wanted = dict(zip(tuned.ids, tuned.vectors if applying else tuned.originals, strict=True))
    there = {name: index.get([name]).tobytes() for name in left if name in index}
    already = [name for name, found in there.items() if found == wanted[name].tobytes()]
    return Exchange(
        path,
        index.metric,
        len(documents),
        changed,
        already=tuple(already),
        absent=tuple(name for name in left if name not in there),
        different=tuple(name for name in there if name not in set(already)),
    )


def check_free(folder: str | os.PathLike[str], tuned: TunedVectors | None, remedy: str) -> None:
    """Refuse to replace another run: stores it was applied to need it to be reverted.

    Args:
        folder: Where a run is to be saved.
        tuned: The run, which may be there already; None if it is not known yet.
        remedy: How to replace the run anyway, for the message.

    Raises:
        NudgeError: Another run is there, or `folder` is a file.
    """
    from nudge_integrations.tuning.tuned import FILE_NAME

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NudgeError(f"{folder} is a file; name a folder to save in")
    if (folder / FILE_NAME).exists() and (tuned is None or not _is_saved(folder, tuned)):
        raise NudgeError(
            f"{folder} already holds {'a' if tuned is None else 'another'} run, which stores it "
            f"was applied to need to be reverted: choose another folder, or {remedy}"
        )


def _is_saved(folder: Path, tuned: TunedVectors) -> bool:
    from nudge_integrations.tuning.tuned import TunedVectors

    try:
        there = TunedVectors.load(folder)
    except CorruptFileError:
        return False
    one, other = ((each.ids, each.digest, each.originals.tobytes()) for each in (there, tuned))
    return one == other


def _file_of(path: Path) -> Path:
    """The file that `path` is, or the one saved store in that folder.

    Raises:
        CorruptFileError: There is none, or there are several.
    """
    if not path.exists():
        hint = "; a running store is tuned by `nudge tune`" if "#" in path.name else ""
        raise CorruptFileError(f"no saved store at {path}: there is nothing of that name{hint}")
    if not path.is_dir():
        return path
    names = sorted({file for layout in _LAYOUTS.values() for file in path.glob(layout.pattern)})
    kinds = {file: header_of(read_file(file, "saved store")).get("kind") for file in names}
    found = [file for file, kind in kinds.items() if kind in _LAYOUTS]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(file.name for file in found)
        raise CorruptFileError(f"{path} holds several stores: name one of {listed}")
    if names:
        raise CorruptFileError(
            f"{names[0]} is no saved NudgeVectorStore (another class saved it, or it is damaged)"
        )
    raise CorruptFileError(
        f"no saved NudgeVectorStore in {path}: no file there is named like "
        f"{' or '.join(layout.pattern for layout in _LAYOUTS.values())}; name the file itself"
    )
