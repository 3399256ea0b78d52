"""What each extra unlocks, done once on toy data, in an environment that has that extra only.

    python -I tools/release_smoke.py EXTRA...      # 'none' for the package without extras

`release_check.py` runs it; nothing here needs a network, a server or a GPU. Whatever another extra
unlocks must be missing, and must be missed with the error that names the pip command.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# One module that stands for each extra, and extras that other extras bring along.
UNLOCKS = {
    "llama-index": "llama_index.core",
    "langchain": "langchain_core",
    "sentence-transformers": "sentence_transformers",
    "openai": "langchain_openai",
    "plot": "matplotlib",
    "chroma": "chromadb",
    "qdrant": "qdrant_client",
    "lancedb": "lancedb",
    "postgres": "psycopg",
    "milvus": "pymilvus",
    "faiss": "faiss",
}
BRINGS = {"openai": {"langchain"}, "demo": {"sentence-transformers"}}

IDS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(4)]
VECTORS = np.eye(4, 8, dtype=np.float32)
JUDGED = {"queries": {"q": "can I undo it?"}, "relevant_docs": {"q": [IDS[0]]}}
QUERY = VECTORS[0] + 0.9 * VECTORS[1] + np.eye(8, dtype=np.float32)[7]


def must(holds: object, what: str) -> None:
    """Unlike `assert`, also under `python -O`."""
    if not holds:
        raise SystemExit(f"smoke: {what}")


def refused(error: type[Exception], part: str, action: Callable[[], Any]) -> None:
    """`action` raises `error`, with `part` in its message."""
    try:
        action()
    except error as raised:
        must(part in str(raised), f"{part!r} is not in the error: {raised}")
    else:
        must(False, f"no {error.__name__} with {part!r}")


def tune_and_revert(store: Any, **options: Any) -> None:
    """A dry run, the exchange, and the way back; vectors read from the store each time."""
    from nudge_integrations.stores import open_store, tune

    def first() -> Any:
        return open_store(store, **options).read(IDS)[IDS[0]]

    plan = tune(
        store,
        JUDGED,
        embed_query=lambda _: QUERY.tolist(),
        gamma=0.4,
        show_progress=False,
        store_options=options,
    )
    must(np.allclose(first(), VECTORS[0], atol=1e-6), "a dry run changed the store")
    # The document of the question, and neighbours that learn with it.
    must(plan.apply().written >= 1, "apply wrote no vector")
    must(not np.allclose(first(), VECTORS[0], atol=1e-2), "apply did not change the vector")
    must(plan.revert().written >= 1, "revert wrote no vector")
    must(np.allclose(first(), VECTORS[0], atol=1e-6), "revert did not bring the original back")


def nothing_else(_: Path) -> None:
    from nudge_integrations import NudgeC, NudgeN

    train = {"q_embs": np.stack([QUERY]), "q_ans_indx": [[0]]}
    for method in (NudgeN(), NudgeC()):
        tuned = method.finetune_embeddings(VECTORS, train, gamma=0.4)
        must(np.asarray(tuned).shape == VECTORS.shape, f"{method}: another shape")
        must(not np.array_equal(tuned[0], VECTORS[0]), f"{method}: nothing moved")
    command = [str(Path(sys.executable).with_name("nudge")), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    must(importlib.import_module("nudge_integrations").__version__ in shown, "nudge --version")


def langchain(_: Path) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    from nudge_integrations.langchain import NudgeEmbeddings, NudgeFinetuneEngine, NudgeVectorStore

    model = DeterministicFakeEmbedding(size=8)
    store = NudgeVectorStore(model)
    store.add_texts(["one", "two"], ids=["1", "2"])
    must(store.similarity_search("two", k=1)[0].id == "2", "the nearest is not the text itself")
    memory = InMemoryVectorStore(model)
    for name, vector in zip(IDS, VECTORS, strict=True):
        memory.store[name] = {"id": name, "vector": vector.tolist(), "text": "", "metadata": {}}
    tune_and_revert(memory)
    engine = tuned_by(NudgeFinetuneEngine, model)
    must(isinstance(engine.get_finetuned_model(), NudgeEmbeddings), "no tuned model")
    must(engine.get_finetuned_vector_store().similarity_search("one", k=2), "nothing found")


def llama_index(_: Path) -> None:
    from llama_index.core import MockEmbedding
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import VectorStoreQuery

    from nudge_integrations.llama_index import NudgeEmbedding, NudgeFinetuneEngine, NudgeVectorStore

    store = NudgeVectorStore()
    rows = zip(IDS, VECTORS, strict=True)
    store.add([TextNode(id_=name, text=name, embedding=row.tolist()) for name, row in rows])
    query = VectorStoreQuery(query_embedding=VECTORS[2].tolist(), similarity_top_k=1)
    must(store.query(query).ids == [IDS[2]], "the nearest is not the vector itself")
    tune_and_revert(store)
    engine = tuned_by(NudgeFinetuneEngine, MockEmbedding(embed_dim=8))
    must(isinstance(engine.get_finetuned_model(), NudgeEmbedding), "no tuned model")
    must(engine.as_index().as_retriever(similarity_top_k=2).retrieve("one"), "nothing found")


def tuned_by(engine_class: Any, model: Any) -> Any:
    """An engine of either framework, after a run over two documents."""
    from nudge_integrations import RelevanceDataset

    data = RelevanceDataset({"q": "1 or 2?"}, {"1": "one", "2": "two"}, {"q": {"2": 1}})
    engine = engine_class(data, model, gamma=0.1, cache=False, show_progress=False)
    engine.finetune()
    return engine


def sentence_transformers(_: Path) -> None:
    """There is no hub here: the library loads, and the error says that the model cannot be had."""
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.errors import NudgeError

    refused(NudgeError, "no-such/model", lambda: Embedder("no-such/model"))


def openai(_: Path) -> None:
    from langchain_openai import ChatOpenAI

    from nudge_integrations import QuestionFilters, generate_questions

    # The tests' stand-in for a language model: real HTTP on loopback.
    sys.path.insert(0, str(ROOT / "tests"))
    server = importlib.import_module("openai_server").OpenAIServer
    sys.path.pop(0)  # it has folders named as the frameworks are
    with server() as running:
        llm = ChatOpenAI(model="scripted", base_url=running.url, api_key="none", max_retries=0)
        made = generate_questions(
            {"d1": "Refunds are paid within fourteen days of a complaint."},
            llm,
            filters=QuestionFilters(near_duplicates=None),
            checkpoint=False,
            show_progress=False,
        )
    must(len(made.dataset) > 0, "no question came back")


def plot(folder: Path) -> None:
    from nudge_integrations import compare, evaluate

    asked = {"q_embs": np.stack([QUERY, VECTORS[1]]), "q_ans_indx": [[0], [2]]}
    scores = [evaluate(vectors, asked) for vectors in (VECTORS, VECTORS[::-1].copy())]
    compare(*scores, judged_on="test queries").plot(folder / "report.png")
    must((folder / "report.png").read_bytes().startswith(b"\x89PNG"), "no PNG")


def chroma(folder: Path) -> None:
    import chromadb

    client = chromadb.PersistentClient(str(folder / "chroma"))
    made = client.create_collection("docs", embedding_function=None)
    made.add(ids=IDS, embeddings=VECTORS)
    tune_and_revert(made)
    tune_and_revert(f"chroma:{folder / 'chroma'}#docs")


def qdrant(_: Path) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    space = models.VectorParams(size=8, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=space)
    rows = zip(IDS, VECTORS, strict=True)
    client.upsert("docs", [models.PointStruct(id=name, vector=row.tolist()) for name, row in rows])
    tune_and_revert(client, collection="docs")


def lancedb(folder: Path) -> None:
    import lancedb as client

    rows = [{"id": n, "vector": v.tolist()} for n, v in zip(IDS, VECTORS, strict=True)]
    table = client.connect(str(folder / "lance")).create_table("docs", rows)
    tune_and_revert(table, metric="cosine")
    tune_and_revert(f"lancedb:{folder / 'lance'}#docs", metric="cosine")


def postgres(_: Path) -> None:
    """There is no server here: the driver loads, and the error says that none answers."""
    import pgvector.psycopg  # noqa: F401
    import psycopg

    from nudge_integrations.errors import StoreError
    from nudge_integrations.stores import open_store

    must(psycopg.pq.version() > 0, "the driver has no libpq")
    address = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2#docs"
    refused(StoreError, "127.0.0.1", lambda: open_store(address))


def milvus(folder: Path) -> None:
    """Embedded Milvus is a package of its own: without it, the client's error names it."""
    from pymilvus import MilvusClient  # noqa: F401

    from nudge_integrations.stores import open_store

    place = folder / "milvus.db"
    place.touch()
    refused(Exception, "milvus-lite", lambda: open_store(f"milvus:{place}#docs"))


def faiss(_: Path) -> None:
    import faiss as library

    index = library.IndexFlatIP(8)
    index.add(VECTORS)
    tune_and_revert(index, names=dict(zip(IDS, range(len(IDS)), strict=True)))


def demo(_: Path) -> None:
    from nudge_integrations.demo import demo_datasets
    from nudge_integrations.embedding import Embedder

    must(len(demo_datasets()["train"].corpus) > 100, "the demo has no corpus")
    embedder = Embedder("all-MiniLM-L6-v2", cache=False, show_progress=False)
    vectors = embedder.embed_documents(["one", "two"])
    must(vectors.shape == (2, 384), "the demo's model gives other vectors")


SMOKES: dict[str, Callable[[Path], None]] = {
    "none": nothing_else,
    "langchain": langchain,
    "llama-index": llama_index,
    "sentence-transformers": sentence_transformers,
    "openai": openai,
    "plot": plot,
    "chroma": chroma,
    "qdrant": qdrant,
    "lancedb": lancedb,
    "postgres": postgres,
    "milvus": milvus,
    "faiss": faiss,
    "demo": demo,
}


def the_rest_is_missing(extras: set[str]) -> None:
    """Modules of other extras are not there, and the package says how to get them."""
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.errors import MissingExtraError
    from nudge_integrations.stores import open_store

    here = extras.union(*(BRINGS.get(extra, set()) for extra in extras))
    missing = {extra for extra in UNLOCKS if extra not in here}
    for extra in missing:
        name = UNLOCKS[extra].partition(".")[0]
        must(importlib.util.find_spec(name) is None, f"{name} is here, without the extra {extra}")
    actions: dict[str, Callable[[], Any]] = {
        "langchain": lambda: importlib.import_module("nudge_integrations.langchain"),
        "llama-index": lambda: importlib.import_module("nudge_integrations.llama_index"),
        "plot": lambda: plot(Path()),
        "sentence-transformers": Embedder,
    }
    for extra in ("chroma", "qdrant", "lancedb", "milvus"):
        actions[extra] = lambda kind=extra: open_store(f"{kind}:.#docs")
    actions["postgres"] = lambda: open_store("postgresql://127.0.0.1:1/none#docs")
    for extra in missing & set(actions):
        refused(MissingExtraError, f"pip install 'nudge-integrations[{extra}]'", actions[extra])


def main() -> None:
    extras = sys.argv[1:]
    for extra in extras:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            SMOKES[extra](Path(folder))
    the_rest_is_missing(set(extras))


if __name__ == "__main__":
    main()
