"""The old code of the migration page, held against the released packages that it is about.

Read, not imported: they pull in the clients of four services.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import griffe
import pytest
from pages import ROOT, blocks

OLD = blocks((ROOT / "docs" / "migrating.md").read_text("utf-8"), "py")
PACKAGES = (
    "llama-index-experimental==0.6.6",
    "llama-index-finetuning==0.4.2",
    "llama-index-embeddings-adapter==0.6.0",
    "nudge-ft==0.1.2",
)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run([*command, str(folder), *PACKAGES], capture_output=True, text=True)
    assert done.returncode == 0, f"NO OLD PACKAGES: {done.stderr}"
    return folder


def imported(tree: ast.Module, folder: Path) -> dict[str, Any]:
    """What each imported name is in the released package."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            module = griffe.load(node.module, search_paths=[folder], resolve_aliases=True)
            for each in node.names:
                found[each.name] = module[each.name].final_target
    return found


@pytest.mark.slow
@pytest.mark.parametrize("code", OLD, ids=[each.split("import ")[1].split()[0] for each in OLD])
def test_old_names_arguments_and_methods_are_those_of_the_released_packages(
    code: str, released: Path
) -> None:
    tree = ast.parse(code)
    known = imported(tree, released)
    made: dict[str, Any] = {}
    checked = 0
    for statement in tree.body:
        for call in (each for each in ast.walk(statement) if isinstance(each, ast.Call)):
            if isinstance(call.func, ast.Name):
                target = known[call.func.id]
                names = [each.name for each in target.parameters]
                assert {each.arg for each in call.keywords} <= set(names)
                assert len(call.args) <= len(names)
                checked += 1
                if isinstance(statement, ast.Assign) and statement.value is call:
                    assert isinstance(statement.targets[0], ast.Name)
                    made[statement.targets[0].id] = target
            elif isinstance(call.func, ast.Attribute):
                value = call.func.value
                inner = value.func if isinstance(value, ast.Call) else value
                assert isinstance(inner, ast.Name)
                owner = made.get(inner.id) or known[inner.id]
                assert call.func.attr in owner.all_members
                checked += 1
    assert known
    assert checked >= 2
