"""A process that tunes, recovers and reverts a collection at random, beside others.

python actor.py KIND STORE_FOLDER SERVER_URL SEED SECONDS
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import numpy as np
from killing import STORES, open_again

from nudge_integrations.errors import StoreError
from nudge_integrations.stores import recover, revert
from nudge_integrations.stores.files import sidecar_of
from nudge_integrations.stores.plan import Plan, Row
from nudge_integrations.stores.snapshot import read_rows

if __name__ == "__main__":
    kind, folder, url, seed, seconds = sys.argv[1:6]
    backend = STORES[kind](Path(folder), url)
    names = backend.data().ids[:120]
    rng = np.random.default_rng(int(seed))
    store = open_again(backend)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        with contextlib.suppress(StoreError):
            act = rng.choice(["tune", "recover", "undo", "revert"], p=[0.6, 0.2, 0.1, 0.1])
            if act in ("recover", "undo"):
                recover(store, undo=act == "undo", show_progress=False)
            elif act == "revert":
                revert(store, show_progress=False)
            else:
                sidecar = sidecar_of(store)
                epoch, entries = sidecar.facts().get("epoch"), sidecar.entries()
                chosen = [names[row] for row in rng.choice(len(names), 40, replace=False)]
                rows = {}
                for name, (original, current) in read_rows(store, [*chosen, *entries], entries)[
                    0
                ].items():
                    target = original + 0.3 * rng.normal(size=original.shape)
                    target = (target / np.linalg.norm(target)).astype(np.float32)
                    rows[name] = Row(original, current, target if name in chosen else original)
                facts = {"method": "n", "step": 0.3, "when": "today"}
                Plan(None, store, sidecar, rows, {}, facts, {epoch}, False).apply()  # type: ignore[arg-type]
