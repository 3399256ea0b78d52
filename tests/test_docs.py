"""The documentation: its code runs as it stands, and no public name is missing."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT, blocks, run

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
# The page about live stores has a test of its own.
WITH_CODE = [
    name
    for name in PAGES
    if name != "guides/live-stores.md" and blocks((DOCS / name).read_text("utf-8"))
]
sys.path.insert(0, str(DOCS))


def text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def left_over_from_before() -> dict[str, Any]:
    """What a user of the old packages has in hand: the names on the migration page."""
    from llama_index.core.schema import TextNode

    from nudge_integrations import RelevanceDataset
    from nudge_integrations.embedding import DEFAULT_MODEL

    corpus = {
        f"d{place}": f"{word} are kept {place * 'far '}away" for place, word in enumerate(WORDS)
    }
    ask = {f"q{place}": f"where are the {word}?" for place, word in enumerate(WORDS)}
    qrels = {f"q{place}": {f"d{place}": 1} for place in range(len(WORDS))}
    known = RelevanceDataset(ask, corpus, qrels)
    train, validation = known.split((0.7, 0.3))
    vectors = np.eye(8, dtype=np.float32)
    questions = vectors + np.roll(vectors, 1, axis=1)
    nodes = [TextNode(id_=name, text=each) for name, each in corpus.items()]
    return {
        "train_dataset": train,
        "val_dataset": validation,
        "embed_model": DEFAULT_MODEL,
        "embeddings": vectors,
        "train_set": {"q_embs": questions[:5], "q_ans_indx": [[row] for row in range(5)]},
        "val_set": {"q_embs": questions[5:], "q_ans_indx": [[5], [6], [7]]},
        "train_nodes": nodes[:8],
        "val_nodes": nodes[8:],
        "llm": lambda prompt: f'{{"questions": ["where is number {len(prompt)}?"]}}',
    }


WORDS = [
    "lamps",
    "chairs",
    "ropes",
    "maps",
    "boats",
    "tents",
    "coats",
    "books",
    "plates",
    "drums",
    "bells",
    "kites",
]


@pytest.mark.parametrize("name", WITH_CODE)
def test_code_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = left_over_from_before() if name == "migrating.md" else {}
    run(text(name), tmp_path, monkeypatch, **session)

    printed = capsys.readouterr().out
    assert printed.count("\n") >= len(re.findall(r"^print\(", text(name), re.MULTILINE))


def test_the_live_store_s_page_ends_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With fewer questions the gain could be luck, and nothing would move.
    more = ("itertools.", "str.", "os.", "shutil.", "random.", "collections.")
    left = run(text("guides/live-stores.md"), tmp_path, monkeypatch, more)
    names = list(left["corpus"])
    kept = left["store"].get(ids=names, include=["embeddings"])
    rows = dict(zip(kept["ids"], kept["embeddings"], strict=True))
    before = left["model"].embed_documents(list(left["corpus"].values()))

    assert left["plan"].report.moved > 0
    assert np.array_equal(np.stack([rows[name] for name in names]), before)


def test_the_old_code_of_the_migration_page_is_python() -> None:
    old = blocks(text("migrating.md"), "py")
    assert len(old) == 4
    for each in old:
        ast.parse(each)


MODULES = re.findall(r"reference/(\w+)\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_in_the_reference_and_says_what_it_does(name: str) -> None:
    path = "nudge_integrations" if name == "nudge_integrations" else f"nudge_integrations.{name}"
    module = importlib.import_module(path)
    public = getattr(module, "__all__", None) or [
        each for each, value in vars(module).items() if getattr(value, "__module__", "") == path
    ]

    assert f"::: {path}\n" in text(f"reference/{name}.md")
    assert len(public) > 2
    for each in public:
        value = getattr(module, each)
        assert isinstance(value, str | tuple) or (value.__doc__ or "").strip(), each


def test_every_public_package_has_its_page() -> None:
    packages = {
        path.parent.name
        for path in (ROOT / "nudge_integrations").glob("*/__init__.py")
        if "__all__" in path.read_text("utf-8")
    }
    assert packages - {"demo", "cli"} <= set(MODULES)


def test_every_page_stands_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert not [name for name in PAGES if f": {name}" not in navigation]


def test_the_picture_of_the_method_says_what_is_true() -> None:
    from draw_method import DOCUMENTS, QUESTIONS, STEP, vectors

    from nudge_integrations import NudgeC

    names = list(DOCUMENTS)
    answers = [names.index(answer) for _, answer in QUESTIONS.values()]
    questions = vectors([angle for angle, _ in QUESTIONS.values()])
    before = vectors(list(DOCUMENTS.values()))
    train = {"q_embs": questions, "q_ans_indx": [[row] for row in answers]}
    after = NudgeC(temperatures=(0.05,)).finetune_embeddings(before, train, gamma=STEP)

    found = [(questions @ documents.T).argmax(axis=1).tolist() for documents in (before, after)]
    assert [names[row] for row in found[0]].count("opening hours") == 2
    assert found[1] == answers
    # The page says that the neighbours move, too: those without questions are among them.
    assert (after != before).any(axis=1).all()
