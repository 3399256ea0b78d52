"""Tuned vectors into a store that was saved, and back out, without the framework that saved it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.files import load_arrays, save_arrays
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.errors import CorruptFileError
from nudge_integrations.tuning.tuned import TunedVectors, check_metric


@dataclass(frozen=True)
class Exchange:
    """What was done to a saved store.

    Attributes:
        path: The store's manifest.
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


class _Layout(NamedTuple):
    """What a kind of store saves beside its vectors."""

    version: int
    names: str
    """Pattern of the file names that its manifests have by default."""
    ids: Callable[[Mapping[str, Any]], list[str]]


_LAYOUTS = {
    "langchain vector store": _Layout(
        1, "vector_store.json", lambda saved: [each["id"] for each in saved["documents"]]
    ),
    "llama_index vector store": _Layout(
        1,
        "*__vector_store.json",
        lambda saved: [json.loads(each)["node"]["id_"] for each in saved["nodes"]],
    ),
}

_FILLED_IN = frozenset({"version", "arrays", "arrays_sha256", "content", "content_sha256"})


def apply_to_saved(path: str | os.PathLike[str], tuned: TunedVectors) -> Exchange:
    """Put tuned vectors into a saved store, where it holds the originals that they were made from.

    Args:
        path: The folder or the file that a `NudgeVectorStore` of either framework was saved to.
        tuned: What a run produced.

    Raises:
        CorruptFileError: No such store there, several of them, or a damaged one.
        MetricMismatchError: NUDGE-M's vectors, and a store that ranks by cosine.
        DataError: Vectors of another dimension. The store is as it was, as after any error.
        NudgeError: The folder cannot be written to.
    """
    return _exchange(Path(path), tuned, tuned.originals, tuned.vectors, checked=True)


def revert_in_saved(path: str | os.PathLike[str], tuned: TunedVectors) -> Exchange:
    """Put the original bytes back where a saved store holds the tuned vectors.

    Arguments and errors are those of `apply_to_saved`.
    """
    return _exchange(Path(path), tuned, tuned.vectors, tuned.originals, checked=False)


def _exchange(
    path: Path, tuned: TunedVectors, expected: FloatMatrix, vectors: FloatMatrix, checked: bool
) -> Exchange:
    path = _manifest_path(path)
    header = _header(path)
    kind = header.pop("kind", None)
    if kind not in _LAYOUTS:
        raise CorruptFileError(
            f"{path} is no saved NudgeVectorStore but "
            f"{f'holds {kind!r}' if kind else 'something else'}; other stores take tuned vectors "
            "through NudgeEmbedding (LlamaIndex) or NudgeEmbeddings (LangChain)"
        )
    layout = _LAYOUTS[kind]
    manifest, arrays = load_arrays(path, kind, layout.version)
    try:
        ids = layout.ids(manifest)
        index = ExactIndex.from_state(manifest["metric"], ids, arrays["vectors"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{path} was edited: {error}; save it again") from error
    if checked:
        check_metric(tuned.method, index.metric)
    left = index.replace(tuned.ids, expected, vectors)
    changed = len(tuned) - len(left)
    if changed:
        matrix = index.state()[1]
        arrays["vectors"] = matrix
        save_arrays(path, kind, layout.version, manifest, arrays, header=header)
    return Exchange(path, index.metric, len(ids), changed, **_reasons(index, tuned, left, vectors))


def _reasons(
    index: ExactIndex, tuned: TunedVectors, left: Sequence[str], vectors: FloatMatrix
) -> dict[str, tuple[str, ...]]:
    row_of = {name: row for row, name in enumerate(tuned.ids)}
    there = [name for name in left if name in index]
    wanted = vectors[[row_of[name] for name in there]]
    same = np.zeros(0, bool)
    if there:
        # As integers, because only equal bytes count.
        same = (index.get(there).view(np.uint32) == wanted.view(np.uint32)).all(axis=1)
    return {
        "already": tuple(name for name, is_same in zip(there, same, strict=True) if is_same),
        "different": tuple(name for name, is_same in zip(there, same, strict=True) if not is_same),
        "absent": tuple(name for name in left if name not in index),
    }


def _manifest_path(path: Path) -> Path:
    """The manifest that `path` is, or the one in that folder.

    Raises:
        CorruptFileError: There is none, or there are several.
    """
    if not path.is_dir():
        if not path.exists():
            hint = "; a store that is running is tuned by `nudge tune`" if "#" in path.name else ""
            raise CorruptFileError(f"no saved store at {path}: there is nothing of that name{hint}")
        return path
    names = sorted({file for layout in _LAYOUTS.values() for file in path.glob(layout.names)})
    found = [file for file in names if _header(file).get("kind") in _LAYOUTS]
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
        f"{' or '.join(layout.names for layout in _LAYOUTS.values())}; name the file itself"
    )


def _header(path: Path) -> dict[str, Any]:
    """What stands at the top of a file that `save_arrays` wrote, but for what it fills in itself.

    Empty for any other file.
    """
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise CorruptFileError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError:
        return {}
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        return {}
    return {name: value for name, value in body.items() if name not in _FILLED_IN}
