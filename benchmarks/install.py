"""What an installation takes with and without the library that runs local models.

    python benchmarks/install.py

Two empty environments get LangChain and what this package needs, one of them the extra
`sentence-transformers` as well, with the versions of constraints.txt and from pip's cache if it has
them (the first environment is then made once more, so that both are). Figures go to install.json.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import tomllib
from machine import described

HERE = Path(__file__).parent
ROOT = HERE.parent


def installed(*packages: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="install-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        began = time.perf_counter()
        command = (python, "-m", "pip", "install", "--quiet", "--no-compile")
        subprocess.run((*command, "-c", ROOT / "constraints.txt", *packages), check=True)
        seconds = time.perf_counter() - began
        (place,) = Path(folder).glob("lib/python*/site-packages")
        size = sum(each.stat().st_size for each in place.rglob("*") if each.is_file())
        return {
            "seconds": round(seconds, 1),
            "MB": round(size / 1e6),
            "packages": len(list(place.glob("*.dist-info"))),
        }


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    plain = (*project["dependencies"], *extras["langchain"])
    installed(*plain)
    results = {
        "[langchain]": installed(*plain),
        "[langchain,sentence-transformers]": installed(*plain, *extras["sentence-transformers"]),
    }
    content = {"machine": described(), "results": results}
    (HERE / "install.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
