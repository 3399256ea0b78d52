"""Speed and memory of the tuning itself, each side in a process of its own.

    python benchmarks/speed.py [--only WORK ...] [--runs 3] [--data ../shared/data]

Every figure is a ratio within one run on one machine: medians of the runs, the sides in turn. Raw
seconds and peak resident memory go to speed.json beside this file, with versions and hardware.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from machine import described, peak_mib
from speed_sides import SIDES, WORKS, prepare

HERE = Path(__file__).parent


def run_side(work: str, side: str, folder: Path) -> dict[str, float]:
    """Run one side in a fresh process."""
    command = [sys.executable, __file__, "--work", work, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} / {side} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def one_side(work: str, side: str, folder: Path) -> None:
    """What the fresh process does: load, then time the work alone."""
    job = SIDES[side](WORKS[work], folder)
    before = peak_mib()
    started = time.perf_counter()
    check = job()
    seconds = time.perf_counter() - started
    peak = peak_mib()
    result = {
        "seconds": seconds,
        "peak MiB": round(peak, 1),
        "MiB above start": round(peak - before, 1),
        "result": check,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def measure(work: str, runs: int, data: Path) -> dict[str, Any]:
    """All sides of one work, in turn, `runs` times."""
    sides = WORKS[work]["sides"]
    collected: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        prepare(WORKS[work], Path(name), data)
        for _ in range(runs):
            for side in sides:
                collected[side].append(run_side(work, side, Path(name)))
                sys.stderr.write(f"{work:<24}{side:<24}{collected[side][-1]['seconds']:9.3f} s\n")
    medians = {
        side: {
            key: round(median(run[key] for run in each), 4)
            for key in ("seconds", "peak MiB", "MiB above start")
        }
        for side, each in collected.items()
    }
    return {"size": WORKS[work]["size"], "medians": medians, "runs": collected}


def table(results: dict[str, Any]) -> str:
    """A Markdown table of every side, with its time and memory as a multiple of the first one."""
    lines = [
        "| work | side | seconds | times the first | peak MiB | times the first |",
        "|---|---|---|---|---|---|",
    ]
    for work, result in results.items():
        first = next(iter(result["medians"].values()))
        for side, each in result["medians"].items():
            slower = each["seconds"] / first["seconds"]
            larger = each["peak MiB"] / first["peak MiB"]
            lines.append(
                f"| {work} | {side} | {each['seconds']:.3g} | {slower:.2f} | "
                f"{each['peak MiB']:,.0f} | {larger:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        one_side(arguments.work, arguments.side, arguments.folder)
        return
    path = HERE / "speed.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for work in arguments.only:
        results[work] = measure(work, arguments.runs, arguments.data)
        results = {name: results[name] for name in WORKS if name in results}
        content = {"machine": described(), "seed": 0, "results": results}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
