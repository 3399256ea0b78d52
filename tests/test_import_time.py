"""What importing loads, of which its time is made; `benchmarks/imports.py` measures seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MODELS = {"torch", "transformers", "sentence_transformers", "tokenizers"}
SCIENCE = {"numpy", "scipy", "pandas", "matplotlib", "sklearn", "pyarrow"}
FRAMEWORKS = {"langchain_core", "llama_index", "langchain_openai", "langsmith", "pydantic"}
STORES = {"chromadb", "qdrant_client", "lancedb", "psycopg", "pymilvus", "faiss"}
LIGHT = {"numpy", "safetensors"}
PARTS = {f"nudge_integrations.{name}" for name in ("methods", "evaluation", "questions", "stores")}

# What every store, engine and embedding model of the frameworks is derived from.
FRAMEWORKS_OWN = {
    "langchain": """
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore
""",
    "llama_index": """
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
""",
}
OURS = {
    "langchain": "NudgeFinetuneEngine, NudgeEmbeddings, NudgeVectorStore",
    "llama_index": "NudgeFinetuneEngine, NudgeEmbedding, NudgeVectorStore",
}


def loaded(code: str) -> set[str]:
    """Every name in `sys.modules` after `code`, in an interpreter of its own."""
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_package_loads_nothing_but_itself_and_the_standard_library() -> None:
    modules = loaded("import nudge_integrations")

    assert not packages(modules) & (MODELS | SCIENCE | FRAMEWORKS | STORES)
    assert not modules & PARTS
    ours = packages(modules) - packages(loaded("")) - set(sys.stdlib_module_names)
    assert ours == {"nudge_integrations"}


@pytest.mark.parametrize("framework", OURS)
def test_a_framework_s_names_add_only_what_is_light(framework: str) -> None:
    own = FRAMEWORKS_OWN[framework]
    before = loaded(own)
    assert not packages(before) & (MODELS | STORES)
    names = f"from nudge_integrations.{framework} import {OURS[framework]}"
    added = loaded(f"{own}\n{names}") - before

    assert f"nudge_integrations.{framework}.engine" in added
    new = packages(added) - packages(before) - set(sys.stdlib_module_names)
    assert new <= {"nudge_integrations", *LIGHT}


@pytest.mark.parametrize("framework", OURS)
def test_generating_questions_loads_when_it_is_asked_for(framework: str) -> None:
    names = f"from nudge_integrations.{framework} import {OURS[framework]}"

    assert "nudge_integrations.questions" not in loaded(names)


@pytest.mark.parametrize(
    "code",
    [
        "from nudge_integrations import RelevanceDataset, evaluate",
        "from nudge_integrations.stores import tune, open_store",
    ],
    ids=["evaluating", "stores"],
)
def test_evaluating_and_stores_load_no_framework_no_client_and_no_model(code: str) -> None:
    there = packages(loaded(code))

    assert not there & (MODELS | FRAMEWORKS | STORES | (SCIENCE - LIGHT))
