"""Saving arrays and a manifest so that a reader finds either the old state or the new one, whole.

Two files stand side by side: `NAME.json`, the manifest, and `NAME.<digest>.safetensors`, the
arrays. The arrays are written first under a name that holds their digest; replacing the manifest
is the one atomic step that makes them count. Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from nudge_integrations.errors import CorruptFileError, NudgeError

_DIGEST_LENGTH = 16


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
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
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
    except (TypeError, ValueError) as error:
        raise NudgeError(f"cannot save {kind} at {path}: not JSON: {error}") from error
    body["content_sha256"] = _content_digest(manifest)
    # "\n" keeps a long manifest readable in an editor: the header on its own lines.
    header = json.dumps(body, indent=1)[:-2]
    write_atomically(data_path, blob)
    write_atomically(
        path, f'{header},\n "content": {content}\n}}\n'.encode("utf-8", "surrogatepass")
    )
    _remove_older_arrays(path, keep=data_path)


def load_arrays(
    path: str | os.PathLike[str], kind: str, version: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Load what `save_arrays` saved, checking every byte of it.

    Returns:
        The manifest and the arrays.

    Raises:
        CorruptFileError: Missing, truncated, edited, of another kind or version.
    """
    path = Path(path)
    try:
        body = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise CorruptFileError(f"no {kind} at {path}: the file does not exist") from error
    except OSError as error:
        raise CorruptFileError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptFileError(
            f"{path} is truncated or edited (no valid JSON: {error}); save it again"
        ) from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        found = body.get("kind") if isinstance(body, dict) else type(body).__name__
        raise CorruptFileError(f"{path} holds {found!r}, not {kind!r}")
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
    return body["content"], _load_checked(path.with_name(str(body["arrays"])), body)


def _content_digest(content: Any) -> str:
    # The order of keys is kept on disk (it can carry meaning) but is no part of the digest.
    return text_hash(json.dumps(content, ensure_ascii=False, sort_keys=True))


def _load_checked(data_path: Path, body: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    try:
        blob = data_path.read_bytes()
    except OSError as error:
        raise CorruptFileError(
            f"cannot read {data_path}: {error.strerror or error}; it belongs to the JSON beside it"
        ) from error
    if sha256(blob) != body["arrays_sha256"]:
        raise CorruptFileError(f"{data_path} is truncated or edited (checksum); save it again")
    arrays: dict[str, npt.NDArray[Any]] = load_safetensors(blob)
    return arrays


def _remove_older_arrays(path: Path, keep: Path) -> None:
    """Delete arrays that an earlier save of the same manifest left behind."""
    for old in path.parent.glob(f"{path.stem}.{'?' * _DIGEST_LENGTH}.safetensors"):
        if old.name != keep.name:
            with contextlib.suppress(OSError):
                old.unlink()
