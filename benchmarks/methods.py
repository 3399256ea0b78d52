"""NUDGE-C beside NUDGE and beside what else there is, on eight data sets.

    python benchmarks/methods.py [--only SET ...] [--seeds 3] [--data ../shared/data]

Everything is chosen on train and dev; test is ranked once a way. Splits that are not official are
drawn anew for seeds 1 and 2. Raw figures go to methods.json, with seed, versions and hardware.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nudge
import numpy as np
import rivals
from machine import described
from quality import MODEL, SETS, _rows

from nudge_integrations import NudgeC, NudgeN, RelevanceDataset
from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.common.topk import search
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings
from nudge_integrations.methods import Fit, Judgments

HERE = Path(__file__).parent
OFFICIAL = ("nfcorpus", "scifact")
METRICS = ("ndcg@10", "recall@10", "recall@1")
DEPTH = 100
SMALL, SMALL_SEEDS = 30, 20
Answers = list[dict[int, float]]


@dataclass
class Part:
    """Queries of a split as unit rows, their texts, and their graded answers."""

    vectors: np.ndarray
    texts: list[str]
    answers: Answers

    def some(self, rows: np.ndarray) -> Part:
        return Part(
            self.vectors[rows], [self.texts[i] for i in rows], [self.answers[i] for i in rows]
        )

    def __add__(self, other: Part) -> Part:
        return Part(
            np.concatenate([self.vectors, other.vectors]),
            self.texts + other.texts,
            self.answers + other.answers,
        )

    def judgments(self, count: int) -> Judgments:
        rows, grades = ([list(f(each)) for each in self.answers] for f in (dict.keys, dict.values))
        return Judgments.from_lists(rows, count, grades)

    def as_set(self) -> dict[str, Any]:
        return {"q_embs": self.vectors, "q_ans_indx": [list(each) for each in self.answers]}

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        counts = [len(each) for each in self.answers]
        rows = np.repeat(np.arange(len(counts)), counts)
        return rows, np.array([row for each in self.answers for row in each])


@dataclass
class Data:
    """One data set, cut."""

    documents: np.ndarray
    texts: list[str]
    train: Part
    dev: Part
    test: Part


def load(folder: Path, seed: int) -> Data:
    """Seed 0: the split on disk (a missing dev split: every eighth training query)."""
    vectors = {
        name: unit_rows(np.load(folder / "embeddings" / MODEL / f"{name}.npy").astype(np.float32))
        for name in ("corpus", "queries")
    }
    rows = {name: _rows(folder / f"{name}.jsonl") for name in vectors}
    parts = {}
    for split in ("train", "dev", "test"):
        if (folder / "qrels" / f"{split}.tsv").exists():
            data = RelevanceDataset.from_beir(folder, split)
            names = data.judged_queries
            answers = [
                {rows["corpus"][doc]: g for doc, g in data.qrels[name].items() if g > 0}
                for name in names
            ]
            known = vectors["queries"][[rows["queries"][name] for name in names]]
            parts[split] = Part(known, [data.queries[name] for name in names], answers)
    if "dev" not in parts:
        held = np.arange(len(parts["train"].texts)) % 8 == 0
        parts["dev"] = parts["train"].some(np.flatnonzero(held))
        parts["train"] = parts["train"].some(np.flatnonzero(~held))
    if seed:
        sizes = np.cumsum([len(parts[split].texts) for split in ("train", "dev")])
        everything = parts["train"] + parts["dev"] + parts["test"]
        order = np.random.default_rng(seed).permutation(len(everything.texts))
        cut = [everything.some(each) for each in np.split(order, sizes)]
        parts = dict(zip(("train", "dev", "test"), cut, strict=True))
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    texts = [f"{each.get('title', '')} {each['text']}".strip() for each in lines]
    return Data(vectors["corpus"], texts, parts["train"], parts["dev"], parts["test"])


def ranked(part: Part, found: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Scores of each query of a ranking."""
    judged = part.judgments(count).unique()
    totals = QueryTotals.from_csr(judged.indptr, judged.grades)
    grades = judged.grades_of(np.arange(len(found)), found[:, :10])
    return {metric: score_rankings(metric, grades, totals) for metric in METRICS}


def by_vectors(asked: np.ndarray, documents: np.ndarray, cosine: bool = True) -> np.ndarray:
    if cosine:
        asked, documents = unit_rows(asked), unit_rows(documents)
    return search(asked, documents, min(DEPTH, len(documents)))[0]


def moved(data: Data, fit: Fit) -> np.ndarray:
    """All documents, those that moved where they are now."""
    vectors = data.documents.copy()
    vectors[fit.rows] = fit.vectors
    return vectors


def ways(data: Data) -> dict[str, tuple[np.ndarray, float, int, str]]:
    """Name -> ranking of the test queries, seconds to tune, extra bytes in the index, remark."""
    count, test, both = len(data.documents), data.test, data.train + data.dev
    result: dict[str, tuple[np.ndarray, float, int, str]] = {}
    result["untuned"] = by_vectors(test.vectors, data.documents), 0.0, 0, ""
    for name, kind in (("nudge-ft N", nudge.NUDGEN), ("nudge-ft M", nudge.NUDGEM)):
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            vectors = kind().finetune_embeddings(
                data.documents, data.train.as_set(), data.dev.as_set()
            )
        seconds = time.perf_counter() - started
        result[name] = by_vectors(test.vectors, vectors, cosine=False), seconds, 0, ""
    for name, method in (
        ("NudgeN", NudgeN()),
        ("NudgeC, unseen protected", NudgeC(protect_unseen=0)),
        ("NudgeC", NudgeC()),
    ):
        started = time.perf_counter()
        fit = method.fit(data.documents, both.vectors, both.judgments(count))
        seconds = time.perf_counter() - started
        tuned = moved(data, fit)
        result[name] = (
            by_vectors(test.vectors, tuned),
            seconds,
            0,
            f"step {fit.step:.4g}: {fit.reason}",
        )
    adapters = {"linear adapter": rivals.Linear, "2-layer adapter": rivals.TwoLayers}
    for name, adapter in adapters.items():
        started = time.perf_counter()

        def valid(asked: np.ndarray) -> float:
            found = by_vectors(asked, data.documents)
            return float(ranked(data.dev, found, count)["ndcg@10"].mean())

        model = rivals.adapter(
            adapter, data.documents, data.train.vectors, data.train.pairs(), valid, data.dev.vectors
        )
        seconds = time.perf_counter() - started
        asked = model(rivals.torch.from_numpy(test.vectors)).detach().numpy()
        result[name] = by_vectors(asked, data.documents), seconds, 0, ""
    found = rivals.question_index(data.documents, both.vectors, both.pairs(), test.vectors, DEPTH)
    result["question index"] = found, 0.0, 4 * both.vectors.size, ""
    words = rivals.bm25(data.texts, test.texts, DEPTH)
    result["BM25"] = words, 0.0, 0, ""
    for name in ("untuned", "NudgeC"):
        result[f"BM25 + {name}"] = rivals.fused(words, result[name][0], count, 10), 0.0, 0, ""
    return result


def measure(data: Data) -> dict[str, Any]:
    known = {row for part in (data.train, data.dev) for each in part.answers for row in each}
    seen = np.array([not known.isdisjoint(each) for each in data.test.answers])
    result: dict[str, Any] = {}
    for name, (found, seconds, extra, remark) in ways(data).items():
        scores = ranked(data.test, found, len(data.documents))
        each: dict[str, Any] = {
            metric: round(float(scores[metric].mean()), 5) for metric in METRICS
        }
        for group, mask in (("seen", seen), ("unseen", ~seen)):
            if mask.any():
                each[group] = round(float(scores["ndcg@10"][mask].mean()), 5)
        each |= {"seconds": round(seconds, 2), "extra bytes": extra}
        if remark:
            each["reason"] = remark
        result[name] = each
        print(f"    {name:<26}{each['ndcg@10']:.4f}  {seconds:7.1f} s  {remark}", flush=True)
    return {"test": len(seen), "unseen": int((~seen).sum()), "ways": result}


def small(data: Data, most: int = SMALL) -> list[float]:
    """Change of test NDCG@10 by NudgeC from so many questions, for each of some draws."""
    both, count = data.train + data.dev, len(data.documents)
    before = ranked(data.test, by_vectors(data.test.vectors, data.documents), count)["ndcg@10"]
    changes = []
    for seed in range(SMALL_SEEDS):
        rows = np.random.default_rng(seed).choice(len(both.texts), most, replace=False)
        part = both.some(rows)
        fit = NudgeC().fit(data.documents, part.vectors, part.judgments(count))
        found = by_vectors(data.test.vectors, moved(data, fit))
        after = ranked(data.test, found, count)["ndcg@10"]
        changes.append(round(float(after.mean() - before.mean()), 5))
    return changes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the runs on 30 questions instead")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "methods.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}, "30 questions": {}}
    content["machine"] = described()
    for name in arguments.only:
        if arguments.small:
            content["30 questions"][name] = small(load(arguments.data / name, 0))
        else:
            runs = content["sets"].setdefault(name, {})
            for seed in range(1 if name in OFFICIAL else arguments.seeds):
                print(name, "seed", seed, flush=True)
                runs[str(seed)] = measure(load(arguments.data / name, seed))
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
