"""A store's state on disk: a JSON manifest with the nodes, their vectors beside it."""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.schema import BaseNode

from nudge_integrations.common.arrays import FloatMatrix
from nudge_integrations.common.files import load_arrays, save_arrays
from nudge_integrations.errors import CorruptFileError
from nudge_integrations.llama_index.nodes import from_json, to_json

KIND = "llama_index vector store"
_VERSION = 1
# StorageContext.from_defaults(persist_dir=...) gives every vector store's file to
# SimpleVectorStore, which would read this one as an empty store. It stumbles over this instead.
_NOT_SIMPLE = {
    "embedding_dict": "load this with NudgeVectorStore.from_persist_dir(folder) and pass it on: "
    "StorageContext.from_defaults(persist_dir=folder, vector_store=store)"
}


def save_nodes(
    persist_path: str,
    metric: str,
    nodes: Sequence[BaseNode],
    matrix: FloatMatrix,
    fs: AbstractFileSystem | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write nodes at `persist_path`, and their vectors into a safetensors file beside it.

    Locally, a reader finds the old state or the new one, whole. A remote file system gets the
    vectors first and the manifest last.

    Args:
        persist_path: Path of the manifest.
        metric: Metric of the store.
        nodes: The nodes, without embeddings.
        matrix: One row a node, `(len(nodes), dimension)` float32.
        fs: Any fsspec file system; by default the local one.
        notes: What is known of a live tuning of these vectors.

    Raises:
        DataError: A node that JSON cannot hold.
        NudgeError: The folder cannot be written to.
    """
    nodes_json = [to_json(node) for node in nodes]
    manifest = {"metric": metric, "nodes": nodes_json, "notes": dict(notes or {})}
    arrays = {"vectors": matrix}
    if fs is None or isinstance(fs, LocalFileSystem):
        save_arrays(_local(persist_path, fs), KIND, _VERSION, manifest, arrays, header=_NOT_SIMPLE)
        return
    folder, name = posixpath.split(persist_path)
    with tempfile.TemporaryDirectory() as temporary:
        save_arrays(Path(temporary, name), KIND, _VERSION, manifest, arrays, header=_NOT_SIMPLE)
        written = sorted(Path(temporary).iterdir(), key=lambda file: file.name == name)
        older = _vector_files(persist_path, fs)
        fs.makedirs(folder, exist_ok=True)
        for file in written:
            fs.put_file(str(file), posixpath.join(folder, file.name))
        new = {file.name for file in written}
        for path in older:
            if posixpath.basename(path) not in new:
                fs.rm_file(path)


def load_nodes(
    persist_path: str, fs: AbstractFileSystem | None = None
) -> tuple[str, list[BaseNode], FloatMatrix, dict[str, Any]]:
    """Read what `save_nodes` wrote, every byte of it checked.

    Returns:
        Metric, nodes, their vectors `(len(nodes), dimension)`, and notes.

    Raises:
        CorruptFileError: Missing, truncated, edited, or not written by this store.
        DataError: A node of a class whose module was not imported.
    """
    if fs is None or isinstance(fs, LocalFileSystem):
        manifest, arrays = load_arrays(_local(persist_path, fs), KIND, _VERSION)
    else:
        manifest, arrays = _fetch(persist_path, fs)
    nodes = from_json(manifest["nodes"])
    return manifest["metric"], nodes, arrays["vectors"], manifest.get("notes", {})


def find_stores(
    persist_dir: str, suffix: str, fs: AbstractFileSystem | None = None
) -> dict[str, tuple[str, bool]]:
    """Find every vector store in a folder.

    Args:
        persist_dir: The folder.
        suffix: How the names of manifests end; what stands before it is the namespace.
        fs: Any fsspec file system; by default the local one.

    Returns:
        By namespace: the path, and whether the framework's `SimpleVectorStore` wrote it.

    Raises:
        CorruptFileError: No store there.
    """
    fs = fs or LocalFileSystem()
    paths = [path for path in _listed(persist_dir, fs) if path.endswith(suffix)]
    if not paths:
        raise CorruptFileError(f"no {KIND} in {persist_dir}: no file there ends in {suffix}")
    return {
        posixpath.basename(path).removesuffix(suffix): (path, _is_simple(path, fs))
        for path in sorted(paths)
    }


def _is_simple(path: str, fs: AbstractFileSystem) -> bool:
    try:
        body = json.loads(fs.cat_file(path))
    except ValueError:
        # Loading it says what is wrong with it.
        return False
    return isinstance(body, dict) and "kind" not in body


def _fetch(persist_path: str, fs: AbstractFileSystem) -> tuple[dict[str, Any], dict[str, Any]]:
    if not fs.exists(persist_path):
        raise CorruptFileError(f"no {KIND} at {persist_path}: the file does not exist")
    folder, name = posixpath.split(persist_path)
    with tempfile.TemporaryDirectory() as temporary:
        for path in [persist_path, *_vector_files(persist_path, fs)]:
            fs.get_file(path, str(Path(temporary, posixpath.basename(path))))
        try:
            return load_arrays(Path(temporary, name), KIND, _VERSION)
        except CorruptFileError as error:
            raise CorruptFileError(str(error).replace(temporary, folder)) from error


def _vector_files(persist_path: str, fs: AbstractFileSystem) -> list[str]:
    folder, name = posixpath.split(persist_path)
    start = posixpath.splitext(name)[0] + "."
    return [
        path
        for path in _listed(folder, fs)
        if posixpath.basename(path).startswith(start) and path.endswith(".safetensors")
    ]


def _listed(folder: str, fs: AbstractFileSystem) -> list[str]:
    try:
        return [str(path) for path in fs.ls(folder, detail=False)]
    except FileNotFoundError:
        return []


def _local(persist_path: str, fs: AbstractFileSystem | None) -> Path:
    return Path(str(persist_path) if fs is None else fs._strip_protocol(persist_path))
