"""Run every notebook from scratch; fails at the first cell that does.

python notebooks/run.py          # into build/notebooks: the committed outputs stay as they are
python notebooks/run.py --keep   # and commit what they print: README quotes it
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent / "build" / "notebooks"
sys.path.insert(0, str(FOLDER.parent / "tests"))
from openai_server import OpenAIServer


def run(path: Path, out: Path) -> None:
    """Execute one notebook in its own folder; save it without what changes at every run."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.pop("id", None)
        if cell.cell_type == "code":
            cell.outputs = _kept(cell.outputs)
    notebook["nbformat_minor"] = 4  # the format without random cell ids
    out.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, out / path.name)


def _kept(outputs: list[Any]) -> list[Any]:
    """Outputs without warnings, which name this machine's folders, and each stream in one piece."""
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="overwrite the committed outputs")
    out = FOLDER if parser.parse_args().keep else BUILD
    with OpenAIServer() as server:
        # A stand-in for a language model: nothing calls out.
        os.environ |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none"}
        for path in sorted(FOLDER.glob("*.ipynb")):
            sys.stdout.write(f"{path.name} ... ")
            sys.stdout.flush()
            run(path, out)
            sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
