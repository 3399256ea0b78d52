"""What `speed.py` times: the works, their data, and each side of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Work = dict[str, Any]
Job = Callable[[], float]

DIMENSION = 384
_SYNTHETIC = {"documents": 100_000, "train": 20_000, "validation": 2_000}

WORKS: dict[str, Work] = {
    "NUDGE-N, 100,000": {
        "size": _SYNTHETIC,
        "sides": ["ours N", "nudge-ft N", "bare pass"],
    },
    "NUDGE-N, 10,000": {
        "size": {**_SYNTHETIC, "documents": 10_000},
        "sides": ["ours N", "nudge-ft N", "bare pass"],
    },
    "NUDGE-N, 30,000": {
        "size": {**_SYNTHETIC, "documents": 30_000},
        "sides": ["ours N", "nudge-ft N", "bare pass"],
    },
    "NUDGE-M, 100,000": {
        "size": _SYNTHETIC,
        "sides": ["ours M", "nudge-ft M", "bare pass"],
    },
    "NUDGE-C, 100,000": {
        "size": {**_SYNTHETIC, "shift": 3.5, "noise": 2.5},
        "sides": ["ours C", "bare pass, training"],
    },
    "NUDGE-N, NFCorpus": {"size": {"set": "nfcorpus"}, "sides": ["ours N", "nudge-ft N"]},
    "growth, 100,000": {
        "size": {"documents": 100_000, "answered": 20_000, "train": 20_000, "validation": 2_000},
        "sides": ["ours N, memory-mapped", "bare pass"],
    },
    "growth, 1,000,000": {
        "size": {"documents": 1_000_000, "answered": 20_000, "train": 20_000, "validation": 2_000},
        "sides": ["ours N, memory-mapped", "bare pass"],
    },
    "one query, 100,000": {
        "size": {"documents": 100_000, "train": 1, "validation": 20},
        "sides": [
            "ours in LangChain",
            "InMemoryVectorStore",
            "ours in LlamaIndex",
            "SimpleVectorStore",
        ],
    },
    "directions, 1,000,000": {
        "size": {"documents": 1_000_000, "queries": 1_000_000},
        "sides": ["reading once", "directions"],
    },
}


def prepare(work: Work, folder: Path, data: Path) -> None:
    """Write the arrays of a work: unit vectors, questions near the document that answers them."""
    size = work["size"]
    if "set" in size:
        _prepare_set(data / size["set"], folder)
        return
    rng = np.random.default_rng(0)
    if "queries" in size:
        queries = rng.standard_normal((size["queries"], DIMENSION), dtype=np.float32)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "answers.npy", rng.integers(0, size["documents"], size["queries"]))
        return
    shape = (size["documents"], DIMENSION)
    documents = np.lib.format.open_memmap(
        str(folder / "documents.npy"), mode="w+", dtype=np.float32, shape=shape
    )
    for start in range(0, shape[0], 100_000):
        block = rng.standard_normal((min(100_000, shape[0] - start), DIMENSION), dtype=np.float32)
        documents[start : start + len(block)] = block / np.linalg.norm(block, axis=1)[:, None]
    answered = size.get("answered", shape[0] // 5)
    # What a document's questions have in common and it has not: what tuning can learn.
    shift = size.get("shift", 0.0) / DIMENSION**0.5
    shifts = np.random.default_rng(1).standard_normal((answered, DIMENSION), dtype=np.float32)
    for part in ("train", "validation"):
        rows = rng.integers(0, answered, size[part])
        noise = rng.standard_normal((size[part], DIMENSION), dtype=np.float32)
        near = np.asarray(documents[rows]) + size.get("noise", 1.2) / DIMENSION**0.5 * noise
        near += shift * shifts[rows]
        np.save(folder / f"{part}.npy", near / np.linalg.norm(near, axis=1)[:, None])
        np.save(folder / f"{part}_answers.npy", rows)
        np.save(folder / f"{part}_counts.npy", np.ones(size[part], np.int64))


def _prepare_set(source: Path, folder: Path) -> None:
    from quality import load

    data = load(source)
    np.save(folder / "documents.npy", data.documents)
    for part, name in (("train", "train"), ("validation", "dev")):
        split = data.splits[name]
        np.save(folder / f"{part}.npy", split["q_embs"])
        np.save(folder / f"{part}_answers.npy", np.concatenate(split["q_ans_indx"]))
        np.save(folder / f"{part}_counts.npy", [len(each) for each in split["q_ans_indx"]])


def _set(folder: Path, part: str) -> dict[str, Any]:
    answers = np.load(folder / f"{part}_answers.npy")
    ends = np.cumsum(np.load(folder / f"{part}_counts.npy"))[:-1]
    rows = [each.tolist() for each in np.split(answers, ends)]
    return {"q_embs": np.load(folder / f"{part}.npy"), "q_ans_indx": rows}


def _tuning(make: Callable[[], Any]) -> Callable[[Work, Path], Job]:
    def side(_: Work, folder: Path) -> Job:
        documents = np.load(folder / "documents.npy")
        train, validation = _set(folder, "train"), _set(folder, "validation")
        method = make()

        def job() -> float:
            with contextlib.redirect_stdout(io.StringIO()):
                return float(method.finetune_embeddings(documents, train, validation)[0, 0])

        return job

    return side


def _ours(name: str) -> Callable[[], Any]:
    def make() -> Any:
        import nudge_integrations

        return getattr(nudge_integrations, name)()

    return make


def _theirs(name: str) -> Callable[[], Any]:
    def make() -> Any:
        import nudge

        return getattr(nudge, name)()

    return make


def _bare(part: str) -> Callable[[Work, Path], Job]:
    """One pass of some queries over the documents with the best of each, float32."""
    return lambda _, folder: _bare_pass(folder, part)


def _bare_pass(folder: Path, part: str) -> Job:
    import torch

    mapped = np.load(folder / "documents.npy", mmap_mode="r+")
    documents = torch.from_numpy(mapped)
    documents.sum()  # in memory from here on
    queries = torch.from_numpy(np.load(folder / f"{part}.npy"))

    def job() -> float:
        best = torch.full((len(queries),), -torch.inf)
        for start in range(0, len(documents), 4096):
            block = documents[start : start + 4096].T
            for first in range(0, len(queries), 2000):
                some = slice(first, first + 2000)
                torch.maximum(best[some], (queries[some] @ block).amax(dim=1), out=best[some])
        return float(best[0])

    return job


def _mapped(_: Work, folder: Path) -> Job:
    from nudge_integrations.methods import Judgments, NudgeN

    documents = np.load(folder / "documents.npy", mmap_mode="r")
    train, validation = _set(folder, "train"), _set(folder, "validation")

    def judged(part: dict[str, Any]) -> tuple[np.ndarray, Judgments]:
        return part["q_embs"], Judgments.from_lists(part["q_ans_indx"], len(documents))

    def job() -> float:
        fit = NudgeN().fit(
            documents, *judged(train), validation=judged(validation), similarity="dot"
        )
        return fit.step

    return job


def _contrast(_: Work, folder: Path) -> Job:
    from nudge_integrations.methods import Judgments, NudgeC

    documents, train = np.load(folder / "documents.npy"), _set(folder, "train")
    judgments = Judgments.from_lists(train["q_ans_indx"], len(documents))
    return lambda: NudgeC().fit(documents, train["q_embs"], judgments).step


def _queries(folder: Path, ask: Callable[[np.ndarray], list[str]]) -> Job:
    queries = np.load(folder / "validation.npy")
    ask(queries[0])

    def job() -> float:
        return float(sum(int(ask(query)[0]) for query in queries))

    return job


def _langchain(ours: bool) -> Callable[[Work, Path], Job]:
    def side(_: Work, folder: Path) -> Job:
        from langchain_core.documents import Document
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_core.vectorstores import InMemoryVectorStore

        from nudge_integrations.langchain import NudgeVectorStore

        vectors, model = np.load(folder / "documents.npy"), DeterministicFakeEmbedding(size=8)
        store: Any
        if ours:
            store = NudgeVectorStore(model)
            store.add_embeddings(
                [Document(id=str(row), page_content="x") for row in range(len(vectors))], vectors
            )
        else:
            store = InMemoryVectorStore(model)
            store.store = {
                str(row): {"id": str(row), "text": "x", "metadata": {}, "vector": vector.tolist()}
                for row, vector in enumerate(vectors)
            }

        def ask(query: np.ndarray) -> list[str]:
            found = store.similarity_search_with_score_by_vector(query.tolist(), k=10)
            return [str(document.id) for document, _ in found]

        return _queries(folder, ask)

    return side


def _llama_index(ours: bool) -> Callable[[Work, Path], Job]:
    def side(_: Work, folder: Path) -> Job:
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

        from nudge_integrations.llama_index import NudgeVectorStore

        vectors = np.load(folder / "documents.npy")
        store: Any = NudgeVectorStore() if ours else SimpleVectorStore()
        store.add(
            [
                TextNode(id_=str(row), text="x", embedding=vector.tolist())
                for row, vector in enumerate(vectors)
            ]
        )

        def ask(query: np.ndarray) -> list[str]:
            asked = VectorStoreQuery(query_embedding=query.tolist(), similarity_top_k=10)
            return list(store.query(asked).ids)

        return _queries(folder, ask)

    return side


def _reading(_: Work, folder: Path) -> Job:
    queries, answers = np.load(folder / "queries.npy"), np.load(folder / "answers.npy")
    return lambda: float(queries.sum()) + float(answers.sum())


def _directions(work: Work, folder: Path) -> Job:
    from nudge_integrations.methods import Judgments
    from nudge_integrations.methods.directions import directions

    queries, answers = np.load(folder / "queries.npy"), np.load(folder / "answers.npy")
    judgments = Judgments(
        np.arange(len(queries) + 1),
        answers,
        np.ones(len(queries), np.float32),
        work["size"]["documents"],
    )
    return lambda: float(directions(queries, judgments).vectors[0, 0])


SIDES: dict[str, Callable[[Work, Path], Job]] = {
    "ours N": _tuning(_ours("NudgeN")),
    "ours M": _tuning(_ours("NudgeM")),
    "nudge-ft N": _tuning(_theirs("NUDGEN")),
    "nudge-ft M": _tuning(_theirs("NUDGEM")),
    "bare pass": _bare("validation"),
    "bare pass, training": _bare("train"),
    "ours C": _contrast,
    "ours N, memory-mapped": _mapped,
    "ours in LangChain": _langchain(True),
    "InMemoryVectorStore": _langchain(False),
    "ours in LlamaIndex": _llama_index(True),
    "SimpleVectorStore": _llama_index(False),
    "reading once": _reading,
    "directions": _directions,
}
