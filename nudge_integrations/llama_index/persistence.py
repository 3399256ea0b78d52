"""A store's state on disk, on any fsspec file system."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.schema import BaseNode

from nudge_integrations.common.files import header_of, read_file, write_atomically
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.errors import CorruptFileError
from nudge_integrations.llama_index.nodes import from_json, to_json
from nudge_integrations.tuning.saved import LLAMA_INDEX

Files: TypeAlias = AbstractFileSystem | None
"""Any fsspec file system; None for the local one."""


def save_nodes(
    persist_path: str, index: ExactIndex, nodes: Sequence[BaseNode], fs: Files = None
) -> None:
    """Write nodes and vectors into one safetensors file; locally it is replaced atomically.

    Args:
        persist_path: Path of the file.
        index: The vectors by node id.
        nodes: The nodes in the order of the index, without embeddings.
        fs: Any fsspec file system; by default the local one.

    Raises:
        DataError: A node that JSON cannot hold.
        NudgeError: The folder cannot be written to.
    """
    data = LLAMA_INDEX.pack(index, [to_json(node) for node in nodes])
    if _is_local(fs):
        write_atomically(_local(persist_path, fs), data)
    else:
        assert fs is not None
        fs.makedirs(posixpath.dirname(persist_path), exist_ok=True)
        # Some file systems write in pieces; a file under way must not stand in the old one's place.
        under_way = f"{persist_path}.tmp"
        fs.pipe_file(under_way, data)
        fs.mv(under_way, persist_path)


def load_nodes(persist_path: str, fs: Files = None) -> tuple[ExactIndex, list[BaseNode]]:
    """Read what `save_nodes` wrote, checking every byte.

    Returns:
        The vectors by id, and the nodes in the same order.

    Raises:
        CorruptFileError: Missing, truncated, edited, or not written by this store.
        DataError: A node of a class whose module was not imported.
    """
    index, saved = LLAMA_INDEX.unpack(_read(persist_path, fs), persist_path)
    return index, from_json(saved)


def find_stores(persist_dir: str, suffix: str, fs: Files = None) -> dict[str, tuple[str, bool]]:
    """Find every vector store in a folder.

    Args:
        persist_dir: The folder.
        suffix: How the names of the files end; what stands before it is the namespace.
        fs: Any fsspec file system; by default the local one.

    Returns:
        By namespace: the path, and whether the framework's `SimpleVectorStore` wrote it.

    Raises:
        CorruptFileError: No store there.
    """
    listing = fs or LocalFileSystem()
    try:
        listed = [str(path) for path in listing.ls(persist_dir, detail=False)]
    except FileNotFoundError:
        listed = []
    paths = sorted(path for path in listed if path.endswith(suffix))
    if not paths:
        raise CorruptFileError(
            f"no {LLAMA_INDEX.kind} in {persist_dir}: no file there ends in {suffix}"
        )
    return {
        posixpath.basename(path).removesuffix(suffix): (path, _is_simple(_read(path, fs)))
        for path in paths
    }


def is_ours(persist_path: str, fs: Files = None) -> bool:
    """Whether `save_nodes` wrote this file."""
    try:
        return header_of(_read(persist_path, fs)).get("kind") == LLAMA_INDEX.kind
    except CorruptFileError:
        return False


def _is_simple(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False  # loading it as one of ours says what is wrong with it


def _read(persist_path: str, fs: Files) -> bytes:
    if fs is None or _is_local(fs):
        return read_file(_local(persist_path, fs), LLAMA_INDEX.kind)
    try:
        data: bytes = fs.cat_file(persist_path)
    except FileNotFoundError as error:
        raise CorruptFileError(
            f"no {LLAMA_INDEX.kind} at {persist_path}: the file does not exist"
        ) from error
    return data


def _is_local(fs: Files) -> bool:
    return fs is None or isinstance(fs, LocalFileSystem)


def _local(persist_path: str, fs: Files) -> Path:
    return Path(str(persist_path) if fs is None else fs._strip_protocol(persist_path))
