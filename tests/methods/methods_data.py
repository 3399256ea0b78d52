"""The real data sets, as arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from methods_oracle import Array, Questions

MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True, eq=False)
class DataSet:
    """Documents and the official splits; without an official dev, every eighth training query."""

    document_ids: list[str]
    documents: Array
    train: Questions
    validation: Questions
    test: Questions
    test_ids: list[str]

    def split_by_use(self) -> tuple[DataSet, Array]:
        """Without the documents that answer no training or validation query, and those."""
        used = sorted(
            {d for part in (self.train, self.validation) for a in part.answers for d in a}
        )
        place = np.full(len(self.documents), -1)
        place[used] = np.arange(len(used))
        others = np.setdiff1d(np.arange(len(self.documents)), used)
        kept = DataSet(
            [self.document_ids[row] for row in used],
            self.documents[used],
            self.train.renamed(place),
            self.validation.renamed(place),
            self.test,
            self.test_ids,
        )
        return kept, self.documents[others]


@cache
def load(folder: Path, name: str) -> DataSet:
    home = folder / name
    document_ids, query_ids = _ids(home / "corpus.jsonl"), _ids(home / "queries.jsonl")
    row_of = {each: row for row, each in enumerate(document_ids)}
    query_row = {each: row for row, each in enumerate(query_ids)}
    documents, queries = (
        np.load(home / "embeddings" / MODEL / f"{kind}.npy").astype(np.float32)
        for kind in ("corpus", "queries")
    )

    def questions(judged: dict[str, dict[str, int]]) -> Questions:
        rows = [query_row[each] for each in judged]
        answers = [{row_of[d]: float(g) for d, g in each.items()} for each in judged.values()]
        return Questions(queries[rows], answers)

    train, test = _qrels(home, "train"), _qrels(home, "test")
    if (home / "qrels" / "dev.tsv").exists():
        dev = _qrels(home, "dev")
    else:
        dev = {each: train[each] for each in list(train)[::8]}
        train = {each: judged for each, judged in train.items() if each not in dev}
    parts = (questions(each) for each in (train, dev, test))
    return DataSet(document_ids, documents, *parts, list(test))


def _ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["_id"] for line in lines]


def _qrels(home: Path, split: str) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    lines = (home / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for query, document, grade in (line.split("\t") for line in lines):
        if int(grade) > 0:
            judged.setdefault(query, {})[document] = int(grade)
    return judged
