"""A small data set, an embedding model that one can reason about, and a way to run commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nudge_integrations.embedding import Encoder

DIMENSION = 32
TOPICS = 12
WITHOUT_TRAINING = 3
"""The last topics have test questions only."""

CORPUS = {f"d{i}": f"maintenance manual for part{i}" for i in range(TOPICS)}

_WORDINGS = {
    "train": ("my gizmo{i} broke", "repair gizmo{i} please"),
    "dev": ("gizmo{i} makes a noise", "why is gizmo{i} hot"),
    "test": ("gizmo{i} will not start", "is gizmo{i} safe"),
}


def questions(split: str) -> dict[str, tuple[str, str]]:
    """Query id -> text and answer. A topic's questions share a word that its document lacks."""
    count = TOPICS if split == "test" else TOPICS - WITHOUT_TRAINING
    return {
        f"{split}-{i}-{n}": (wording.format(i=i), f"d{i}")
        for i in range(count)
        for n, wording in enumerate(_WORDINGS[split])
    }


def write_beir(folder: Path, *splits: str, title: str = "") -> Path:
    (folder / "qrels").mkdir(parents=True)
    records = [{"_id": name, "title": title, "text": text} for name, text in CORPUS.items()]
    _write_lines(folder / "corpus.jsonl", records)
    asked = {name: text for split in splits for name, (text, _) in questions(split).items()}
    _write_lines(
        folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in asked.items()]
    )
    for split in splits:
        lines = [f"{name}\t{answer}\t1" for name, (_, answer) in questions(split).items()]
        header = "query-id\tcorpus-id\tscore"
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join([header, *lines, ""]))
    return folder


def write_llama_index(path: Path, split: str, corpus: dict[str, str] | None = None) -> Path:
    asked = questions(split)
    content = {
        "queries": {name: text for name, (text, _) in asked.items()},
        "corpus": CORPUS if corpus is None else corpus,
        "relevant_docs": {name: [answer] for name, (_, answer) in asked.items()},
        "mode": "text",
    }
    path.write_text(json.dumps(content))
    return path


def _write_lines(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def add_question(folder: Path, split: str, name: str, text: str, answer: str) -> None:
    with (folder / "queries.jsonl").open("a") as file:
        file.write(json.dumps({"_id": name, "text": text}) + "\n")
    with (folder / "qrels" / f"{split}.tsv").open("a") as file:
        file.write(f"{name}\t{answer}\t1\n")


class WordEncoder(Encoder):
    """A text is the mean of its words' vectors; another name is another model.

    `seen` collects what was embedded, over all of them; `on_call` sees each batch first.
    """

    def __init__(self, name: str, seen: list[str], on_call: Callable[[list[str]], Any]) -> None:
        self.batch_size = 5
        self._name = name
        self._seen = seen
        self._on_call = on_call

    @property
    def name(self) -> str:
        return self._name

    @property
    def digest(self) -> str | None:
        return f"word-encoder {self._name}"

    def encode_queries(self, texts: list[str]) -> Any:
        return self._encode(texts)

    def encode_documents(self, texts: list[str]) -> Any:
        return self._encode(texts)

    def _encode(self, texts: list[str]) -> Any:
        answer = self._on_call(texts)
        self._seen.extend(texts)
        return self.vectors(texts) if answer is None else answer

    def vectors(self, texts: list[str]) -> Any:
        # What all texts share keeps questions and answers less than a right angle apart.
        words = [["everything", *text.split()] for text in texts]
        rows = [np.mean([self._word(word) for word in each], axis=0) for each in words]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    def _word(self, word: str) -> Any:
        seed = hashlib.sha256(f"{self._name} {word}".encode()).digest()
        return np.random.default_rng(list(seed)).normal(size=DIMENSION)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to the last byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
