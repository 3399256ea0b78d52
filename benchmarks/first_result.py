"""How long a newcomer waits: `make demo` in a clone, from an empty folder to the printed report.

python benchmarks/first_result.py

Clones the last commit, installs (from the pip cache where there is one, so the seconds of
installing depend on the network), runs the demo with an empty embedding cache, and once more with
a full one. The second run's tuning seconds are our own work.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from machine import described

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).with_suffix(".json")


def run(command: list[str], folder: Path, cache: Path) -> tuple[float, str]:
    """Seconds and output of a command, with an embedding cache of its own."""
    environment = os.environ | {"NUDGE_CACHE_DIR": str(cache)}
    environment.pop("PYTHONPATH", None)
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - started, done.stdout


def tuning_seconds(output: str) -> list[float]:
    """What the demo says of each framework."""
    return [float(each) for each in re.findall(r"tuned in ([\d.]+) s", output)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone, cache = Path(folder) / "clone", Path(folder) / "cache"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        install, _ = run(["make", ".venv/demo"], clone, cache)
        first, _ = run(["make", "demo"], clone, cache)
        again, output = run(["make", "demo"], clone, cache)
    seconds = tuning_seconds(output)
    result = {
        "installing, seconds": round(install, 1),
        "make demo, installed, nothing embedded, seconds": round(first, 1),
        "from an empty folder to the report, seconds": round(install + first, 1),
        "make demo, everything embedded, seconds": round(again, 1),
        "tuning, everything embedded, seconds by framework": seconds,
    }
    print(json.dumps(result, indent=1))
    content = {"machine": described(), "seed": 0, "results": result}
    OUT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
