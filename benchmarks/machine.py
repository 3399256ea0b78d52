"""What a benchmark ran on, for its JSON."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("numpy", "scipy", "torch", "sentence-transformers", "nudge-ft", "nudge-integrations"),
    *("langchain-core", "llama-index-core", "lancedb", "pgvector", "langchain-openai"),
)


def described() -> dict[str, Any]:
    """Processor, cores, memory, system, and the versions of what was compared."""
    info = Path("/proc/cpuinfo")
    models = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory GiB": round(memory / 2**30, 1),
        "gpu": "none",
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def peak_mib() -> float:
    """Most memory that this process ever held: VmHWM, since ru_maxrss begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
