"""Take what is known of a tuning to another place: a backup, another database, another machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nudge_integrations.common.files import read_file, write_atomically
from nudge_integrations.errors import CorruptFileError, StoreError
from nudge_integrations.stores.entries import read_facts, read_question, read_row
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.open import open_store


def export_journal(
    store: Any,
    file: str | os.PathLike[str],
    *,
    journal: str | os.PathLike[str] | None = None,
    **options: Any,
) -> int:
    """Write originals, questions and facts of a tuned collection to a JSON file.

    Args:
        store: As `open_store` takes it.
        file: Where to; an older file is replaced. Question and document texts are not in it.
        journal: Folder of the journal, if the collection was tuned with `journal=`.
        options: For `open_store`.

    Returns:
        How many rows' originals were written.

    Raises:
        StoreError: The collection is not tuned.
        CorruptFileError: The sidecar is damaged.
    """
    sidecar = sidecar_of(open_store(store, **options), journal)
    count = len(sidecar.entries())  # every checksum is compared
    if not count:
        raise StoreError(f"{sidecar.store.identity} is not tuned: there is nothing to export")
    write_atomically(Path(file), json.dumps(sidecar.dump()).encode())
    return count


def import_journal(
    store: Any,
    file: str | os.PathLike[str],
    *,
    journal: str | os.PathLike[str] | None = None,
    **options: Any,
) -> int:
    """Read what `export_journal` wrote into the sidecar of a collection that has none.

    Args:
        store: As `open_store` takes it.
        file: What `export_journal` wrote.
        journal: Folder to keep it in, instead of the collection's own database.
        options: For `open_store`.

    Returns:
        How many rows' originals were read.

    Raises:
        StoreError: The collection is tuned, and its originals are there already.
        CorruptFileError: The file is damaged.
    """
    sidecar = sidecar_of(open_store(store, **options), journal)
    if sidecar.entries():
        raise StoreError(
            f"{sidecar.store.identity} is tuned, and its originals are in {sidecar.where}: "
            "nothing was imported"
        )
    data = read_file(Path(file), "journal")
    try:
        records = json.loads(data)
        for kind, read in (("row", read_row), ("question", read_question), ("facts", read_facts)):
            for key, value in records[kind].items():
                read(key, value)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise CorruptFileError(f"{file} is no exported journal, or damaged: {error}") from None
    sidecar.restore(records)
    return len(records["row"])
