"""Checks around tuned vectors: what is passed for them, and where they are saved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.common.text import described
from nudge_integrations.errors import CorruptFileError, DataError, NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors


def as_tuned(value: Any) -> TunedVectors:
    """What a run produced, and nothing that is like it.

    Raises:
        DataError: An engine, a folder or anything else; the message says how to come to it.
    """
    # Whoever has tuned vectors has loaded that module; a plain store starts without it.
    from nudge_integrations.tuning.tuned import TunedVectors

    if isinstance(value, TunedVectors):
        return value
    if isinstance(value, (str, os.PathLike)):
        remedy = f"TunedVectors.load({os.fspath(value)!r})"
    elif hasattr(value, "tuned"):
        remedy = f"the .tuned of this {type(value).__name__}"
    else:
        remedy = "engine.tuned, or TunedVectors.load(folder)"
    raise DataError(f"tuned vectors are needed, not {described(value)}: pass {remedy}")


def check_free(folder: str | os.PathLike[str], tuned: TunedVectors | None, remedy: str) -> None:
    """Refuse to replace another run: it is the way back for stores that it was applied to.

    Args:
        folder: Where a run is to be saved.
        tuned: The run, which may be there already; None for one that is not known yet.
        remedy: How to replace the run all the same, for the message.

    Raises:
        NudgeError: Another run is there, or `folder` is a file.
    """
    from nudge_integrations.tuning.tuned import FILE_NAME

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NudgeError(f"{folder} is a file; name a folder to save in")
    if not (folder / FILE_NAME).exists():
        return
    if tuned is not None and _is_saved(folder, tuned):
        return
    raise NudgeError(
        f"{folder} holds {'a' if tuned is None else 'another'} run already, and with it the way "
        f"back for stores that it was applied to: choose another folder, or {remedy}"
    )


def _is_saved(folder: Path, tuned: TunedVectors) -> bool:
    from nudge_integrations.tuning.tuned import TunedVectors

    try:
        there = TunedVectors.load(folder)
    except CorruptFileError:
        return False
    mine = (tuned.ids, tuned.vectors.tobytes(), tuned.originals.tobytes())
    return (there.ids, there.vectors.tobytes(), there.originals.tobytes()) == mine
