"""A process that applies a plan, or reverts it, until it is killed.

python applier.py KIND STORE_FOLDER JOURNALS plan|revert [SERVER_URL]
"""

from __future__ import annotations

import sys
from pathlib import Path

from killing import STORES, make_plan, open_again


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    kind, folder, journals, what, url = sys.argv[1:6]
    backend = STORES[kind](Path(folder), url)
    from nudge_integrations.stores import revert

    if what == "plan":
        plan = make_plan(backend, Path(journals))
        tell("ready")
        sys.stdin.readline()
        plan.apply()
    else:
        store = open_again(backend)
        tell("ready")
        sys.stdin.readline()
        revert(store, journal=journals, show_progress=False)
    tell("done")
