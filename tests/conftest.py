"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines of very different speed run these tests; a slow example is no failure.
settings.register_profile("nudge", deadline=None)
settings.load_profile("nudge")

# Several workers share the cores; each with threads of its own they only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing here may call out: Chroma would report its use.
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")

# gRPC (in Milvus Lite) writes notes to standard error where the machine is slow.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

_DATA = Path(
    os.environ.get("NUDGE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
_HERE = (_DATA / "nfcorpus" / "corpus.jsonl").is_file()
_MISSING = (
    f"NO REAL DATA: {_DATA} does not hold nfcorpus/corpus.jsonl. Set the environment variable "
    "NUDGE_DATA to the folder that holds the data sets (BEIR layout; see benchmarks/README.md)."
)
_left_out: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the data sets where they are not, loudly; never in CI."""
    if _HERE or os.environ.get("CI"):
        return
    needing = [item for item in items if "data_dir" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]
    _left_out.extend(item.nodeid for item in needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if _left_out:
        terminalreporter.section(f"{len(_left_out)} tests on real data sets DID NOT RUN", red=True)
        terminalreporter.line(_MISSING)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets, each in the layout of BEIR."""
    if not _HERE:
        pytest.fail(_MISSING, pytrace=False)
    return _DATA
