"""A process that applies a plan, or reverts it, until it is killed.

python applier.py KIND STORE_FOLDER plan|revert|recover [SERVER_URL]
"""

from __future__ import annotations

import sys
from pathlib import Path

from killing import STORES, make_plan, open_again


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    kind, folder, what, url = sys.argv[1:5]
    backend = STORES[kind](Path(folder), url)
    from nudge_integrations.stores import recover, revert

    if what == "plan":
        plan = make_plan(backend)
        tell("ready")
        sys.stdin.readline()
        plan.apply()
    else:
        store = open_again(backend)
        tell("ready")
        sys.stdin.readline()
        (revert if what == "revert" else recover)(store, show_progress=False)
    tell("done")
