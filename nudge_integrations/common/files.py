"""Saving arrays and a manifest so that a reader finds either the old state or the new one, whole.

Two files stand side by side: `NAME.json`, the manifest, and `NAME.<digest>.safetensors`, the
arrays. The arrays are written first under a name that holds their digest; replacing the manifest
is the one atomic step that makes them count. Only then are the arrays of the manifest before it
deleted. Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import os
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from nudge_integrations.errors import CorruptFileError, NudgeError

_DIGEST_LENGTH = 16
# Arrays that no manifest names are what a killed save left behind, or belong to a save of another
# process that is still under way. After an hour it is not.
_ABANDONED_SECONDS = 3600.0
_SHOWN = 4
_saving = threading.Lock()


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def text_hash(text: str) -> str:
    """The one name of an exact text: SHA-256 of its UTF-8 bytes (lone surrogates included)."""
    return sha256(text.encode("utf-8", "surrogatepass"))


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file beside it, synced before it is renamed.

    Raises:
        NudgeError: The folder cannot be written to. Whatever stood at `path` is still whole.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp: its files are for their owner alone, whatever the umask says.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise NudgeError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def save_arrays(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    header: Mapping[str, Any] | None = None,
) -> None:
    """Save `manifest` at `path` and `arrays` beside it, atomically and checksummed.

    Args:
        path: Where the manifest goes; should end in `.json`. Its folder is made if need be.
        kind: What is saved, such as `"tuned vectors"`; checked on load.
        version: Version of the layout; checked on load.
        manifest: Anything that JSON holds. NaN is refused.
        arrays: Named arrays.
        header: More keys for the top of the file, for programs other than `load_arrays`.

    Raises:
        NudgeError: The folder cannot be written to, or the manifest is no JSON. An older state
            at `path` is still whole.
    """
    path = Path(path)
    blob = save_safetensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    digest = sha256(blob)
    data_path = path.with_name(f"{path.stem}.{digest[:_DIGEST_LENGTH]}.safetensors")
    body = {"kind": kind, "version": version, **(header or {})}
    body |= {"arrays": data_path.name, "arrays_sha256": digest}
    try:
        content = json.dumps(manifest, ensure_ascii=False, allow_nan=False)
        body["content_sha256"] = _content_digest(manifest)
    except (TypeError, ValueError, RecursionError) as error:
        raise NudgeError(f"cannot save {kind} at {path}: not JSON: {error}") from error
    # "\n" keeps a long manifest readable in an editor: the header on its own lines.
    top = json.dumps(body, indent=1)[:-2]
    text = f'{top},\n "content": {content}\n}}\n'.encode("utf-8", "surrogatepass")
    # One at a time: a save that ran beside this one could delete what this one is about to name.
    with _saving:
        replaced = _named_arrays(path)
        write_atomically(data_path, blob)
        try:
            write_atomically(path, text)
        finally:
            _remove_arrays(path, {replaced, data_path.name})


def load_arrays(
    path: str | os.PathLike[str], kind: str, version: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Load what `save_arrays` saved, checking every byte of it.

    Returns:
        The manifest and the arrays.

    Raises:
        CorruptFileError: Missing, truncated, edited, of another kind or version.
    """
    path, missed = Path(path), None
    while True:
        body = _read_manifest(path, kind, version)
        arrays = _read_arrays(path, body)
        if arrays is not None:
            return body["content"], arrays
        if body["arrays"] == missed:
            raise CorruptFileError(
                f"{path} names {missed!r}, which is not beside it: copy the two together, or "
                "save again"
            )
        # A save in between may have replaced the manifest and deleted its arrays.
        missed = body["arrays"]


def _read_manifest(path: Path, kind: str, version: int) -> dict[str, Any]:
    """The whole JSON at `path`, checked but for the arrays."""
    try:
        body = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise CorruptFileError(
            f"no {kind} at {path}: the file does not exist{_beside(path)}; is this where it was "
            "saved?"
        ) from error
    except OSError as error:
        raise CorruptFileError(
            f"cannot read {path}: {error.strerror or error}; name the place where it was saved"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(
            f"{path} is truncated or edited (no valid JSON: {error}); save it again"
        ) from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        found = body.get("kind") if isinstance(body, dict) else type(body).__name__
        raise CorruptFileError(f"{path} holds {found!r}, not {kind!r}; name another file or folder")
    if body.get("version") != version:
        raise CorruptFileError(
            f"{path} has layout version {body.get('version')!r}; this release of "
            f"nudge-integrations reads version {version}: save it again with this release"
        )
    missing = [name for name in ("arrays", "arrays_sha256", "content") if name not in body]
    if missing:
        raise CorruptFileError(f"{path} lacks {missing[0]!r}: it was edited; save it again")
    if _content_digest(body["content"]) != body.get("content_sha256"):
        raise CorruptFileError(f"{path} was edited after it was saved (checksum); save it again")
    return body


def _beside(path: Path) -> str:
    """What lies where a file was expected, for the message."""
    folder = path.parent
    if not folder.is_dir():
        return f", nor does the folder {folder}"
    there = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
    return f" (there is {shown})" if there else " (the folder is empty)"


def _content_digest(content: Any) -> str:
    # The order of keys is kept on disk (it can carry meaning) but is no part of the digest.
    return text_hash(json.dumps(content, ensure_ascii=False, sort_keys=True))


def _read_arrays(path: Path, body: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays that a manifest names, every byte checked; None if the file is not there."""
    try:
        data_path = path.with_name(str(body["arrays"]))
        blob = data_path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorruptFileError(
            f"cannot read the arrays that {path} names ({error}); save it again"
        ) from error
    if sha256(blob) != body["arrays_sha256"]:
        raise CorruptFileError(f"{data_path} is truncated or edited (checksum); save it again")
    try:
        arrays: dict[str, npt.NDArray[Any]] = load_safetensors(blob)
    except SafetensorError as error:
        raise CorruptFileError(
            f"{data_path} is no safetensors file ({error}); save again"
        ) from error
    return arrays


def _named_arrays(path: Path) -> str | None:
    """Name of the arrays that the manifest at `path` names, if there is one."""
    try:
        with path.open("rb") as file:
            # The content, which can be large, is left unread.
            top = itertools.takewhile(lambda line: not line.startswith(b' "content"'), file)
            body = json.loads(b"".join(top).rstrip().removesuffix(b",") + b"}")
        return str(body["arrays"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _remove_arrays(path: Path, done: Collection[str | None]) -> None:
    """Delete arrays beside `path` that its manifest does not name.

    Args:
        path: The manifest.
        done: Names of arrays known to be no longer needed, unless it names them. Others go once
            they are old.
    """
    kept = _named_arrays(path)
    pattern = f"{glob.escape(path.stem)}.{'?' * _DIGEST_LENGTH}.safetensors"
    for old in path.parent.glob(pattern):
        with contextlib.suppress(OSError):
            abandoned = time.time() - old.stat().st_mtime > _ABANDONED_SECONDS
            if old.name != kept and (old.name in done or abandoned):
                old.unlink()
