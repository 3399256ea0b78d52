"""Code blocks of pages, run as they stand: README and the documentation."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import chromadb
import pytest
from openai_server import OpenAIServer

from nudge_integrations import RelevanceDataset, demo
from nudge_integrations.demo.run import demo_datasets

ROOT = Path(__file__).resolve().parents[1]
_MODULES = ("textwrap.", "copy.", "glob.", "contextlib.", "heapq.")


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of a language; in tabs they are indented."""
    fence = rf"^( *)```{language}(?: title=\"\w+\")?\n(.*?)^\1```$"
    found = re.finditer(fence, page, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(each[2]) for each in found]


def run(
    page: str,
    folder: Path,
    patch: pytest.MonkeyPatch,
    modules: tuple[str, ...] = _MODULES,
    **session: Any,
) -> dict[str, Any]:
    """Run a page's blocks in turn, on a part of the demo's data; the names that they leave."""
    small = _a_part_of(demo_datasets(), modules)
    patch.setattr(demo, "demo_datasets", lambda: small, raising=False)
    patch.setenv("NUDGE_CACHE_DIR", str(folder / "cache"))
    patch.setenv("NUDGE_JOURNAL_DIR", str(folder / "journals"))
    patch.chdir(folder)
    # Chroma's collections in memory belong to the process: another page may have made this one.
    for each in chromadb.EphemeralClient().list_collections():
        chromadb.EphemeralClient().delete_collection(each.name)
    with OpenAIServer() as server:
        patch.setenv("OPENAI_BASE_URL", server.url)
        patch.setenv("OPENAI_API_KEY", "none")
        for block in blocks(page):
            exec(compile(block, "page.md", "exec"), session)
        session["requests"] = server.asks
    return session


def _a_part_of(
    datasets: dict[str, RelevanceDataset], modules: tuple[str, ...]
) -> dict[str, RelevanceDataset]:
    """The demo's data on a few modules only: the same code, sooner."""
    corpus = {
        name: text for name, text in datasets["train"].corpus.items() if name.startswith(modules)
    }

    def cut(dataset: RelevanceDataset) -> RelevanceDataset:
        qrels = {
            query: {name: grade for name, grade in judged.items() if name in corpus}
            for query, judged in dataset.qrels.items()
        }
        qrels = {query: judged for query, judged in qrels.items() if judged}
        return RelevanceDataset({name: dataset.queries[name] for name in qrels}, corpus, qrels)

    return {name: cut(dataset) for name, dataset in datasets.items()}
