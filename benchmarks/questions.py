"""Generating questions: how much sooner 16 requests at once are done, memory, and resuming.

    python benchmarks/questions.py

An OpenAI-compatible server on loopback, in a process of its own, takes 50 ms for an answer.
Documents and answers are made; what is measured is the package and langchain-openai's client.
Figures go to questions.json.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from machine import described, peak_mib

HERE = Path(__file__).parent
SERVER = HERE.parent / "tests" / "openai_server.py"
DELAY, SPEED_DOCUMENTS, MANY, RUNS = 0.05, 500, 10_000, 3


def documents(count: int) -> dict[str, str]:
    """Documents of 1,000 characters."""
    return {f"d{place}": f"document{place} " + "some words of it " * 58 for place in range(count)}


def generate(url: str, count: int, concurrency: int, checkpoint: str) -> dict[str, Any]:
    """In a process of its own."""
    from langchain_openai import ChatOpenAI

    from nudge_integrations import generate_questions

    llm = ChatOpenAI(model="scripted", base_url=url, api_key="none", max_retries=0)
    before = peak_mib()
    began = time.perf_counter()
    found = generate_questions(
        documents(count),
        llm,
        concurrency=concurrency,
        checkpoint=checkpoint,
        show_progress=False,
    )
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "questions": len(found.dataset),
        "asked": found.report.usage.asked,
        "remembered": found.report.usage.remembered,
        "peak MiB": round(peak_mib()),
        "MiB after imports": round(before),
    }


def in_process(url: str, count: int, concurrency: int, checkpoint: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, url, str(count), str(concurrency), str(checkpoint)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measured(folder: Path) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, str(SERVER), "--delay", str(DELAY), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        runs: dict[str, list[dict[str, Any]]] = {"one at a time": [], "16 at once": []}
        for run in range(RUNS):
            for name, concurrency in (("one at a time", 1), ("16 at once", 16)):
                place = folder / f"{concurrency}-{run}.sqlite"
                runs[name].append(in_process(url, SPEED_DOCUMENTS, concurrency, place))
                print(name, runs[name][-1], flush=True)
        times = {name: median(run["seconds"] for run in each) for name, each in runs.items()}
        many = in_process(url, MANY, 64, folder / "many.sqlite")
        print("many", many, flush=True)
        again = in_process(url, MANY, 64, folder / "many.sqlite")
        print("again", again, flush=True)
        return {
            "documents": SPEED_DOCUMENTS,
            "seconds an answer": DELAY,
            "runs": runs,
            "times faster": round(times["one at a time"] / times["16 at once"], 2),
            "10,000 documents": many,
            "10,000 documents, resumed when all is done": again,
        }
    finally:
        server.terminate()


def main() -> None:
    if len(sys.argv) > 1:
        url, count, concurrency, checkpoint = sys.argv[1:]
        print(json.dumps(generate(url, int(count), int(concurrency), checkpoint)))
        return
    with tempfile.TemporaryDirectory() as folder:
        content = {"machine": described(), **measured(Path(folder))}
    (HERE / "questions.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in content.items() if name != "runs"}, indent=1))


if __name__ == "__main__":
    main()
