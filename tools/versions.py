"""The core and framework tests at both ends of the versions that pyproject.toml allows.

    python tools/versions.py [oldest | newest ...]       # or: make versions

Each end has an environment of its own, in a temporary folder, with the versions of one file:
`constraints-oldest.txt` has the lower bounds of pyproject.toml, `constraints.txt` the newest
releases that install together. Tests of the stores are left out; `make test` and `make slow` have
these, with the newest.

torch and, with it, Python are the same at both ends: see the head of constraints-oldest.txt.
Ends with 1 if a test fails at either end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENDS = {"oldest": "constraints-oldest.txt", "newest": "constraints.txt"}
# The package with both frameworks, plots and the bundled model, and what these tests use beside.
INSTALLED = (
    *("--editable", ".[demo]", "pytest", "pytest-asyncio", "pytest-xdist", "hypothesis"),
    *("nudge-ft==0.1.2", "pytrec_eval-terrier", "langchain-tests"),
    *("langchain-chroma", "llama-index-vector-stores-chroma"),
    *("langchain-qdrant", "llama-index-vector-stores-qdrant"),
)
TESTS = (
    *("tests/methods", "tests/langchain", "tests/llama_index", "tests/evaluation"),
    *("tests/embedding", "tests/test_engine.py"),
)
_FILTERS = "tests/llama_index/test_llama_index_filters.py"
_EMBEDDINGS = "tests/llama_index/test_llama_index_embeddings.py"
# What the oldest LlamaIndex lacks, or does in another way than the release that is compared with.
NOT_IN = {
    "oldest": {
        f"{_FILTERS}::test_flat_filters_mean_what_the_framework_means": "before 0.14.23 a missing "
        "field fails != and nin; ours means the same on every release",
        f"{_FILTERS}::test_nested_filters_mean_what_their_words_say": "the same",
        f"{_EMBEDDINGS}::test_the_base_models_rate_limit_counts_each_call_once": "LlamaIndex "
        "before 0.14.16 has no rate limits",
    },
    "newest": {},
}
SHOWN = (
    *("llama-index-core", "langchain-core", "sentence-transformers", "transformers", "torch"),
    *("numpy", "scipy", "safetensors", "tqdm", "tenacity", "matplotlib"),
)


def passes(end: str) -> bool:
    """Whether the tests pass at this end; says what ran, with which versions, and for how long."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"versions-{end}-") as name:
        folder = Path(name)
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        subprocess.run((*pip, "--constraint", ENDS[end], *INSTALLED), cwd=ROOT, check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        found = {each.name.lower(): each.version for each in distributions(path=[str(packages)])}
        shown = ", ".join(f"{name} {found[name]}" for name in SHOWN)
        print(f"{end}: {shown}", flush=True)
        print(f"{end}: installed in {time.perf_counter() - began:.0f} s", flush=True)
        # The oldest LlamaIndex downloads what lies beside it already, unless told where that is.
        here = {"NLTK_DATA": str(packages / "llama_index" / "core")} if end == "oldest" else {}
        command = [python, "-m", "pytest", "-q", "--numprocesses", "auto", "--dist", "loadfile"]
        command += ["-m", "not slow", *TESTS]
        for test, why in NOT_IN[end].items():
            print(f"{end}: without {test}: {why}", flush=True)
            command += ["--deselect", test]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **here}, check=False)
    seconds = time.perf_counter() - began
    print(f"{end}: {'FAILED' if done.returncode else 'passed'}, {seconds:.0f} s in all", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ends", nargs="*", metavar="END", help=f"of {', '.join(ENDS)}; all if none")
    chosen = parser.parse_args().ends or list(ENDS)
    if unknown := set(chosen) - set(ENDS):
        parser.error(f"no such end: {', '.join(sorted(unknown))}")
    passed = [passes(end) for end in chosen]  # both, also where the first one fails
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
