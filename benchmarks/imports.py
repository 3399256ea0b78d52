"""How long importing takes, and what this package adds to its frameworks' own imports.

    python benchmarks/imports.py [--runs 7]

Each import in a fresh interpreter, in turn; medians, seconds inside the interpreter, whose own
start is not counted. The frameworks' side imports the base classes that this package derives from.
Figures go to imports.json; `python benchmarks/tables.py` makes the table of README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from machine import described

HERE = Path(__file__).parent
_STORE, _ENGINE = "NudgeVectorStore", "NudgeFinetuneEngine"
_LANGCHAIN = (
    "from langchain_core.documents import Document\n"
    "from langchain_core.embeddings import Embeddings\n"
    "from langchain_core.runnables import run_in_executor\n"
    "from langchain_core.vectorstores import VectorStore"
)
IMPORTS = {
    "nudge_integrations": "import nudge_integrations",
    "langchain_core": _LANGCHAIN,
    # Its base classes do without; its own InMemoryVectorStore loads it as it is imported.
    "langchain_core and numpy": f"{_LANGCHAIN}\nimport numpy",
    "nudge_integrations.langchain": (
        f"from nudge_integrations.langchain import {_ENGINE}, {_STORE}"
    ),
    "llama_index.core": (
        "from llama_index.core import Settings, VectorStoreIndex\n"
        "from llama_index.core.base.embeddings.base import BaseEmbedding\n"
        "from llama_index.core.ingestion import run_transformations\n"
        "from llama_index.core.schema import BaseNode\n"
        "from llama_index.core.vector_stores.simple import SimpleVectorStore"
    ),
    "nudge_integrations.llama_index": (
        f"from nudge_integrations.llama_index import {_ENGINE}, {_STORE}"
    ),
}
ADDED = {
    "nudge_integrations.langchain": ("langchain_core", "langchain_core and numpy"),
    "nudge_integrations.llama_index": ("llama_index.core",),
}
ASKED = {"nudge_integrations": 0.3, **dict.fromkeys(ADDED, 0.1)}
_TIMED = """
import time
began = time.perf_counter()
{code}
seconds = time.perf_counter() - began
import sys
print(seconds, len(sys.modules))
"""


def once(code: str) -> tuple[float, int]:
    """Seconds, and modules loaded, in a fresh interpreter."""
    command = [sys.executable, "-c", _TIMED.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
    seconds, modules = done.stdout.split()[-2:]
    return float(seconds), int(modules)


def _more(seconds: list[float], base: list[float]) -> float:
    """Median of the differences between runs that followed each other."""
    return median(one - other for one, other in zip(seconds, base, strict=True))


def measured(runs: int) -> dict[str, Any]:
    collected: dict[str, list[float]] = {name: [] for name in IMPORTS}
    modules: dict[str, int] = {}
    for code in IMPORTS.values():
        once(code)  # compiles what is not compiled yet, and reads it from the disk
    for _ in range(runs):
        for name, code in IMPORTS.items():
            seconds, modules[name] = once(code)
            collected[name].append(round(seconds, 4))
    medians = {name: round(median(each), 4) for name, each in collected.items()}
    added = {
        name: {base: round(_more(collected[name], collected[base]), 4) for base in bases}
        for name, bases in ADDED.items()
    }
    return {
        "statements": IMPORTS,
        "median seconds": medians,
        "seconds added": added,
        "asked for": ASKED,
        "modules loaded": modules,
        "runs": collected,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    # There is no chance in this one: no seed.
    content = {"machine": described(), "seed": None, **measured(parser.parse_args().runs)}
    path = HERE / "imports.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    shown = {name: content[name] for name in content if name not in ("machine", "statements")}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
