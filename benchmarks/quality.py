"""Retrieval quality on eight data sets: untuned, nudge-ft 0.1.2, and this package.

    python benchmarks/quality.py [--data ../shared/data] [--out benchmarks/quality.json]

Reads BEIR folders with ready all-MiniLM-L6-v2 vectors (benchmarks/README.md says in which form),
writes every figure with seed, versions and hardware to the JSON, and prints the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nudge
import numpy as np
from machine import described

from nudge_integrations import NudgeM, NudgeN, RelevanceDataset, evaluate_run
from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.common.topk import search
from nudge_integrations.methods import Judgments

SETS = (
    "nfcorpus",
    "scifact",
    "covidqa_passages",
    "datatalks_faq_llm2human",
    "cosqa_devtest",
    "cranfield",
    "llamaindex_10k_llmgen",
    "squad_v1_dev",
)
METRICS = ("ndcg@10", "recall@10", "recall@1")
MODEL = "all-MiniLM-L6-v2"
DEPTH = 100


@dataclass
class Data:
    """One data set as arrays: documents, and queries with their answers for each split."""

    ids: list[str]
    documents: np.ndarray
    splits: dict[str, dict[str, Any]]
    test: RelevanceDataset


def load(folder: Path) -> Data:
    """Read a folder; a training split without a dev split gives every eighth query for it."""
    vectors = {
        name: np.load(folder / "embeddings" / MODEL / f"{name}.npy").astype(np.float32)
        for name in ("corpus", "queries")
    }
    rows = {name: _rows(folder / f"{name}.jsonl") for name in vectors}
    datasets = {
        split: RelevanceDataset.from_beir(folder, split)
        for split in ("train", "dev", "test")
        if (folder / "qrels" / f"{split}.tsv").exists()
    }
    if "dev" not in datasets:
        names = datasets["train"].judged_queries
        held = set(names[::8])
        datasets["dev"] = datasets["train"].subset(held)
        datasets["train"] = datasets["train"].subset(name for name in names if name not in held)
    return Data(
        list(rows["corpus"]),
        vectors["corpus"],
        {
            name: _as_arrays(part, rows["queries"], rows["corpus"], vectors["queries"])
            for name, part in datasets.items()
        },
        datasets["test"],
    )


def _rows(path: Path) -> dict[str, int]:
    with path.open(encoding="utf-8") as file:
        return {json.loads(line)["_id"]: row for row, line in enumerate(file)}


def _as_arrays(
    part: RelevanceDataset, queries: dict[str, int], corpus: dict[str, int], vectors: np.ndarray
) -> dict[str, Any]:
    answers = [
        {corpus[doc]: grade for doc, grade in part.qrels[name].items() if grade > 0}
        for name in part.judged_queries
    ]
    return {
        "q_embs": vectors[[queries[name] for name in part.judged_queries]],
        "q_ans_indx": [list(each) for each in answers],
    }


def score(data: Data, documents: np.ndarray, similarity: str) -> dict[str, float]:
    """Means over the test queries, ranked as trec_eval ranks: NFCorpus holds equal documents."""
    queries = data.splits["test"]["q_embs"]
    if similarity == "cosine":
        documents, queries = unit_rows(documents), unit_rows(queries)
    rows, values = search(queries, documents, DEPTH)
    run = {
        name: {data.ids[row]: float(value) for row, value in zip(*found, strict=True)}
        for name, *found in zip(data.test.judged_queries, rows, values, strict=True)
    }
    scores = evaluate_run(run, data.test.qrels, METRICS)
    return {metric: round(scores.mean(metric), 5) for metric in METRICS}


def cross_validated(data: Data) -> np.ndarray:
    """This package's default: the step by 5-fold cross-validation, then every judgment."""
    parts = [data.splits["train"], data.splits["dev"]]
    queries = np.concatenate([part["q_embs"] for part in parts])
    answers = [rows for part in parts for rows in part["q_ans_indx"]]
    fit = NudgeN().fit(data.documents, queries, Judgments.from_lists(answers, len(data.documents)))
    result = data.documents.copy()
    result[fit.rows] = fit.vectors
    return result


def like_nudge_ft(make: Callable[[], Any]) -> Callable[[Data], np.ndarray]:
    """A run of nudge-ft's call, on our classes or its own."""

    def run(data: Data) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            result: np.ndarray = make().finetune_embeddings(
                data.documents, data.splits["train"], data.splits["dev"]
            )
        return result

    return run


# name -> what makes the vectors, and how they are ranked
WAYS: dict[str, tuple[Callable[[Data], np.ndarray], str]] = {
    "untuned": (lambda data: data.documents, "cosine"),
    "nudge-ft N": (like_nudge_ft(nudge.NUDGEN), "dot"),
    "ours N": (like_nudge_ft(NudgeN), "dot"),
    "nudge-ft M": (like_nudge_ft(nudge.NUDGEM), "dot"),
    "ours M": (like_nudge_ft(NudgeM), "dot"),
    "ours N, all judgments": (cross_validated, "cosine"),
}


def measure(data: Data) -> dict[str, Any]:
    """Scores of every way on the test split, and how far ours are from nudge-ft's vectors."""
    vectors, rows = {}, {}
    for name, (way, similarity) in WAYS.items():
        started = time.perf_counter()
        vectors[name] = way(data)
        seconds = time.perf_counter() - started
        rows[name] = score(data, vectors[name], similarity) | {"seconds": round(seconds, 3)}
    apart = {
        kind: float(np.abs(vectors[f"ours {kind}"] - vectors[f"nudge-ft {kind}"]).max())
        for kind in ("N", "M")
    }
    sizes = {name: len(part["q_ans_indx"]) for name, part in data.splits.items()}
    return {
        "documents": len(data.documents),
        "queries": sizes,
        "scores": rows,
        "largest difference to nudge-ft's vectors": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    here = Path(__file__).parent
    parser.add_argument("--data", type=Path, default=here.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=here / "quality.json")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.exit(1, f"no data sets at {arguments.data}: see benchmarks/README.md\n")
    results = {name: measure(load(arguments.data / name)) for name in SETS}
    content = {"machine": described(), "model": MODEL, "seed": 0, "results": results}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(results))


def table(results: dict[str, Any], metric: str = "ndcg@10") -> str:
    """A Markdown table: a row for each data set, a column for each way."""
    lines = [
        f"| {metric} on test | documents | test queries | {' | '.join(WAYS)} |",
        "|" + "---|" * (len(WAYS) + 3),
    ]
    for name, result in results.items():
        figures = [f"{result['scores'][way][metric]:.4f}" for way in WAYS]
        lines.append(
            f"| {name} | {result['documents']:,} | {result['queries']['test']:,} | "
            f"{' | '.join(figures)} |"
        )
    means = [
        np.mean([result["scores"][way][metric] for result in results.values()]) for way in WAYS
    ]
    lines.append(f"| mean | | | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
