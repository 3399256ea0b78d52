"""The demo's questions, written by hand the way people ask, with their answers.

`questions.json` has two lists. Each entry of `taught` holds five wordings of one need: three to
train on, one to validate with, one to test with, assigned in rotation so that no split gets the
harder ones. Entries of `held_out` are only ever tested: none of their answers is an answer in
training or validation, so they show what happens to unseen questions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from nudge_integrations.errors import DataError

SPLITS = ("train", "validation", "test")

Queries = dict[str, str]
Qrels = dict[str, dict[str, int]]


# One need: the ids of its answers and, for each split, its wordings.
Entry = dict[str, list[str]]


def load_questions() -> dict[str, list[Entry]]:
    """Read `questions.json`: `"taught"` and `"held_out"` -> entries, in the order of the file."""
    path = Path(__file__).with_name("questions.json")
    questions: dict[str, list[Entry]] = json.loads(path.read_text(encoding="utf-8"))
    return questions


def demo_splits(corpus: Collection[str] | Mapping[str, str]) -> dict[str, tuple[Queries, Qrels]]:
    """The demo's questions as queries and relevance judgments.

    Args:
        corpus: Ids of the documents, or the documents by id, as `stdlib_corpus` returns them.

    Returns:
        `"train"`, `"validation"` and `"test"` -> (query id -> question, query id -> answer's id
        -> grade 1). Query ids, such as `"test/csv.reader/1"`, are unique over all three.

    Raises:
        DataError: An answer is not in the corpus.
    """
    splits: dict[str, tuple[Queries, Qrels]] = {split: ({}, {}) for split in SPLITS}
    for entry in (entry for entries in load_questions().values() for entry in entries):
        answers = entry["answers"]
        for answer in answers:
            if answer not in corpus:
                raise DataError(
                    f"{answer!r} answers a question of the demo but is not in the corpus. This "
                    "Python was built without that module, or runs with -OO, which drops "
                    "docstrings; use a complete CPython 3.10 to 3.13"
                )
        for split, (queries, qrels) in splits.items():
            for number, text in enumerate(entry.get(split, []), start=1):
                query_id = f"{split}/{answers[0]}/{number}"
                queries[query_id] = text
                qrels[query_id] = dict.fromkeys(answers, 1)
    return splits
