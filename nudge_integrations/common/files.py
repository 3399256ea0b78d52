"""Saved state in one file: named arrays and JSON facts, checksummed, replaced atomically.

The file is a safetensors file. Its header says what it is (kind, layout version, SHA-256); the
facts are JSON in an array of bytes, because a header may not exceed 100 MB. Nothing is pickled.
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
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from nudge_integrations.errors import CorruptFileError, DataError, NudgeError

Arrays = dict[str, npt.NDArray[Any]]

# One key for all of the header: safetensors writes several in an order that changes.
_HEADER = "nudge_integrations"
_FACTS = "facts.json"
_SHOWN = 4


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes (lone surrogates included): the text's name everywhere."""
    return sha256(text.encode("utf-8", "surrogatepass"))


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file beside it, synced before it is renamed.

    Raises:
        NudgeError: `path` is a device, a pipe or a folder, or its folder cannot be written to.
            Whatever stood at `path` is unchanged.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        if path.exists() and not path.is_file():
            # Renaming onto a device would replace it, which root is allowed to do.
            raise NudgeError(f"cannot write {path}: it is not a regular file; name another path")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp: its files are readable by their owner alone, whatever the umask says.
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


def check_json(value: Any, what: str) -> None:
    """Refuse what would not come back from JSON as it is.

    Raises:
        DataError: Such as a tuple, a date, NaN, or a dict whose keys are no strings.
    """
    try:
        if json.loads(json.dumps(value, allow_nan=False)) == value:
            return
        reason = "a tuple, or a key that is no string"
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise not_json(what, reason)


def not_json(what: str, reason: object) -> DataError:
    """The error for what JSON cannot hold."""
    return DataError(
        f"{what} is not plain JSON ({reason}): use strings, numbers, booleans, None, lists and "
        "dicts with string keys"
    )


def pack(
    kind: str, version: int, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> bytes:
    """Serialize a saved state; `unpack` reads it.

    Args:
        kind: What is saved, such as `"tuned vectors"`.
        version: Version of the layout.
        facts: Anything that JSON can hold. NaN is refused.
        arrays: Named arrays.

    Raises:
        NudgeError: The facts are not JSON.
    """
    try:
        text = json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NudgeError(f"cannot save {kind}: not JSON: {error}") from error
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    whole[_FACTS] = np.frombuffer(text.encode(), np.uint8)
    header = {"kind": kind, "version": version, "sha256": _digest(kind, version, whole)}
    return save_safetensors(whole, metadata={_HEADER: json.dumps(header)})


def unpack(
    data: bytes, kind: str, version: int, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], Arrays]:
    """Read what `pack` wrote, verifying the checksum.

    Args:
        data: The whole file.
        kind: What it must hold.
        version: The layout version it must have.
        path: The file's path, for error messages.

    Returns:
        The facts and the arrays.

    Raises:
        CorruptFileError: Truncated, edited, or of another kind or version.
    """
    header = header_of(data)
    if not header:
        raise CorruptFileError(
            f"{path} is truncated or edited, or was never a file of {kind}: save it again, or "
            "name another file or folder"
        )
    if header.get("kind") != kind:
        found = header.get("kind")
        raise CorruptFileError(f"{path} holds {found!r}, not {kind!r}; name another file or folder")
    if header.get("version") != version:
        raise CorruptFileError(
            f"{path} has layout version {header.get('version')!r}; this release of "
            f"nudge-integrations reads version {version}: save it again with this release"
        )
    try:
        arrays: Arrays = load_safetensors(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CorruptFileError(f"{path} is truncated or edited ({error}); save it again") from error
    if _digest(kind, version, arrays) != header.get("sha256") or _FACTS not in arrays:
        raise CorruptFileError(f"{path} is truncated or edited (checksum); save it again")
    return json.loads(arrays.pop(_FACTS).tobytes()), arrays


def header_of(data: bytes) -> dict[str, Any]:
    """Kind, version and checksum at the top of a saved state; empty for any other bytes.

    Args:
        data: The file, or as much of its beginning as holds the header.
    """
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8:end])["__metadata__"][_HEADER])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return {}
    return header if isinstance(header, dict) else {}


def save_arrays(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    facts: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Write what `pack` makes to a file, creating its folder if needed.

    Raises:
        NudgeError: The facts are not JSON, or the file cannot be written. An older state at
            `path` is unchanged.
    """
    write_atomically(Path(path), pack(kind, version, facts, arrays))


def load_arrays(
    path: str | os.PathLike[str], kind: str, version: int
) -> tuple[dict[str, Any], Arrays]:
    """`unpack` a file.

    Raises:
        CorruptFileError: Missing, unreadable, truncated, edited, or of another kind or version.
    """
    path = Path(path)
    return unpack(read_file(path, kind), kind, version, path)


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file.

    Raises:
        CorruptFileError: It does not exist (the message says what lies there) or is unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptFileError(
            f"no {what} at {path}: the file does not exist{_beside(path)}; is this where it was "
            "saved?"
        ) from error
    except OSError as error:
        raise CorruptFileError(
            f"cannot read {path}: {error.strerror or error}; name the place where it was saved"
        ) from error


def _beside(path: Path) -> str:
    """Describe what is in the folder where a file was expected."""
    folder = path.parent
    if not folder.is_dir():
        return f", nor does the folder {folder}"
    there = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
    return f" (there is {shown})" if there else " (the folder is empty)"


def _digest(kind: str, version: int, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps([kind, version]).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
