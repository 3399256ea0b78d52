"""Mistakes that newcomers make with running stores, the command line and what is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb
import pytest
from engine_fakes import LangChain, LlamaIndex
from llama_index.core import VectorStoreIndex
from newcomer import Desk, Mistake, Table, check
from qdrant_client import QdrantClient

from nudge_integrations import RelevanceDataset
from nudge_integrations.cli import main
from nudge_integrations.errors import DataError, StoreError, UnsupportedStoreError
from nudge_integrations.stores import open_store, tune

mistake = Table()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("NUDGE_JOURNAL_DIR", str(tmp_path / "journal"))
    return Desk.of(LangChain, tmp_path)


@mistake.each()
def test_a_mistake_is_named_with_its_remedy_before_any_work(mistake: Mistake, desk: Desk) -> None:
    check(mistake, desk)


def filled(desk: Desk) -> Any:
    store = LangChain.framework_store(desk.model, desk.data.corpus)
    desk.model.asked.clear()
    return store


def plan(desk: Desk, store: Any = None, data: Any = None, **options: Any) -> Any:
    return tune(
        filled(desk) if store is None else store,
        RelevanceDataset(desk.data.queries, {}, desk.data.qrels) if data is None else data,
        **{"embed_query": desk.model, "show_progress": False, **options},
    )


# --- What is passed for a store ---------------------------------------------------------------


@mistake(StoreError, names="InMemoryVectorStore in memory is empty", remedy="add documents first")
def an_empty_store(desk: Desk) -> None:
    plan(desk, LangChain.framework_store(desk.model, {}))


@mistake(UnsupportedStoreError, names="VectorStoreRetriever", remedy="retriever.vectorstore")
def a_retriever_for_its_store(desk: Desk) -> None:
    plan(desk, filled(desk).as_retriever())


@mistake(UnsupportedStoreError, names="VectorStoreIndex", remedy="index.vector_store")
def an_index_for_its_store(desk: Desk) -> None:
    model = LlamaIndex.model(desk.world)
    plan(desk, VectorStoreIndex(LlamaIndex.documents(desk.data.corpus), embed_model=model))


@mistake(UnsupportedStoreError, names="the class Collection", remedy="not its class")
def a_class_for_a_store(desk: Desk) -> None:
    plan(desk, chromadb.Collection)


@mistake(UnsupportedStoreError, names="Client", remedy="client.get_collection(NAME)")
def a_client_for_its_collection(desk: Desk) -> None:
    plan(desk, chromadb.EphemeralClient())


@mistake(DataError, names="QdrantClient", remedy="store_options={{'collection': '...'}}")
def a_client_without_its_collection(desk: Desk) -> None:
    plan(desk, QdrantClient(":memory:"))


@mistake(DataError, names="'collection'", remedy="store_options={{'collection': 'docs'}}")
def an_option_of_the_store_given_to_tune(desk: Desk) -> None:
    plan(desk, collection="docs")


# --- Addresses --------------------------------------------------------------------------------


@mistake(DataError, names="'chrmoa'", remedy="did you mean 'chroma'?")
def an_address_misspelt(desk: Desk) -> None:
    open_store(f"chrmoa:{desk.folder}#docs")


@mistake(DataError, names="'chroma:./db'", remedy="#COLLECTION is missing")
def an_address_without_a_collection(desk: Desk) -> None:
    open_store("chroma:./db")


@mistake(DataError, names="'localhost/shop'", remedy="// is missing")
def an_address_of_postgres_without_slashes(desk: Desk) -> None:
    open_store("postgresql:localhost/shop#docs")


@mistake(StoreError, names="{folder}/db does not exist", remedy="check the path")
def a_folder_that_is_not_there(desk: Desk) -> None:
    open_store(f"chroma:{desk.folder / 'db'}#docs")


@mistake(StoreError, names="{folder} is no database", remedy="check the path")
def a_folder_that_chroma_would_make_a_database_of(desk: Desk) -> None:
    open_store(f"chroma:{desk.folder}#docs")


@mistake(StoreError, names="{folder} is no database", remedy="check the path")
def a_folder_that_qdrant_would_make_a_database_of(desk: Desk) -> None:
    open_store(f"qdrant:{desk.folder}#docs")


@mistake(
    StoreError,
    names="no collection 'dcos'",
    remedy="did you mean 'docs'?",
    before=lambda desk: chromadb.PersistentClient(str(desk.folder)).create_collection("docs"),
)
def a_collection_misspelt(desk: Desk) -> None:
    open_store(f"chroma:{desk.folder}#dcos")


@mistake(StoreError, names="chroma:http://localhost:1#docs", remedy="the server running?")
def a_chroma_server_that_does_not_run(desk: Desk) -> None:
    open_store("chroma:http://localhost:1#docs")


@mistake(StoreError, names="qdrant:http://localhost:1#docs", remedy="the server running?")
def a_qdrant_server_that_does_not_run(desk: Desk) -> None:
    open_store("qdrant:http://localhost:1#docs")


# --- Questions and models ---------------------------------------------------------------------


@mistake(DataError, names="('x')", remedy="whose ids are such as 'd0'")
def judgments_of_another_store(desk: Desk) -> None:
    plan(desk, data={"queries": {"q": "what?"}, "qrels": {"q": ["x"]}})


@mistake(DataError, names="5 dimensions", remedy="the store was filled with")
def a_model_of_another_width(desk: Desk) -> None:
    plan(desk, embed_query=lambda text: [1.0] * 5)


@mistake(DataError, names="aembed_query", remedy="its sync method")
def an_async_function_to_embed_with(desk: Desk) -> None:
    plan(desk, embed_query=desk.model.aembed_query)


@mistake(DataError, names="the class FakeEmbeddings", remedy="FakeEmbeddings(...)")
def a_class_to_embed_with(desk: Desk) -> None:
    plan(desk, embed_query=type(desk.model))


@mistake(DataError, names="row 'd3'", remedy="embed these again or leave them out")
def nan_in_the_store(desk: Desk) -> None:
    store = filled(desk)
    store.store["d3"]["vector"] = [float("nan")] * 24
    plan(desk, store)


# --- The command line: exit code 1, one line, no traceback -------------------------------------

COMMANDS = {
    "no such folder": ("fit --beir nowhere --out tuned", "nowhere does not exist", "BEIR folder"),
    "a split misspelt": (
        "fit --beir data --train trian --out tuned",
        "qrels/trian.tsv",
        "did you mean 'train'?",
    ),
    "JSON for a BEIR folder": (
        "fit --beir data/corpus.jsonl --out tuned",
        "data/corpus.jsonl is a file",
        "--llama-index",
    ),
    "a BEIR folder for JSON": ("fit --llama-index data --out tuned", "cannot read data", "--beir"),
    "no such model": (
        "fit --beir data --out tuned --model ./no-model",
        "'./no-model'",
        "check the path",
    ),
    "no such run": ("show nowhere", "nowhere/tuned.safetensors", "nor does the folder nowhere"),
    "another folder for a run": ("show data", "data/tuned.safetensors", "there is corpus.jsonl"),
    "a run into a running store": (
        "apply --tuned tuned-before --store chroma:./db#docs",
        "chroma:./db#docs",
        "nudge tune",
    ),
    "an address misspelt": ("status --store chorma:db#docs", "'chorma'", "did you mean 'chroma'?"),
    "a server that does not run": (
        "status --store chroma:http://localhost:1#docs",
        "chroma:http://localhost:1#docs",
        "the server running?",
    ),
    "a file for a database": (
        "status --store qdrant:data/corpus.jsonl#d",
        "is no database",
        "path",
    ),
    "no key": (
        "questions --documents data/corpus.jsonl --llm gpt-4o-mini --out q",
        "no key",
        "set OPENAI_API_KEY",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_says_so_in_one_line(
    case: str, desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, named, remedy = COMMANDS[case]
    monkeypatch.chdir(desk.folder)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    desk.data.to_beir("data")
    desk.finetuned(gamma=0.3).save("tuned-before")
    files = desk.files()

    code = main(command.split())

    err = capsys.readouterr().err
    assert code == 1
    assert "Traceback" not in err
    (message,) = [line for line in err.splitlines() if line.startswith("nudge: error: ")]
    assert named in message
    assert remedy in message
    assert desk.files() == files


# --- What is not installed --------------------------------------------------------------------

EXTRAS = {
    "llama-index": ("llama_index.core", "import nudge_integrations.llama_index"),
    "langchain": ("langchain_core", "import nudge_integrations.langchain"),
    "chroma": ("chromadb", "open_store('chroma:.#docs')"),
    "qdrant": ("qdrant_client", "open_store('qdrant:.#docs')"),
    "lancedb": ("lancedb", "open_store('lancedb:.#docs')"),
    "postgres": ("psycopg", "open_store('postgresql://localhost/shop#docs')"),
    "milvus": ("pymilvus", "open_store('milvus:./docs.db#docs')"),
    "plot": ("matplotlib", "main(['fit', '--beir', '.', '--out', 'o', '--plot', 'a.png'])"),
}

_WITHOUT = """
import json, sys
gone, act = json.loads(sys.argv[1])
sys.modules[gone] = None  # what Python makes of a package that is not there
from nudge_integrations.cli import main
from nudge_integrations.stores import open_store
try:
    exec(act)
except ImportError as error:
    print(type(error).__name__, error, file=sys.stderr)
"""


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_not_installed_is_named_with_the_line_to_type(
    extra: str, tmp_path: Path
) -> None:
    # A process of its own: in this one the packages are loaded.
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, json.dumps(EXTRAS[extra])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert f"{EXTRAS[extra][0]} is not installed" in done.stderr
    assert f"pip install 'nudge-integrations[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
