"""The layout: which way imports point, how large things may be, and what loads when."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nudge_integrations"
MODULES = sorted(PACKAGE.rglob("*.py"))
# As small as the package is today. Lower a limit when you can; raise none.
MOST_FILES = 165
MOST_ROOT_MODULES = 3
MOST_LINES_IN_A_FILE = 350
MOST_LINES_IN_A_FUNCTION = 85
# Rooms that keep to the limits of CONTRIBUTING, or nearly.
TIDY = ("cli", "demo", "evaluation", "tuning")
MOST_LINES_IN_A_TIDY_FILE = 300
MOST_LINES_IN_A_TIDY_FUNCTION = 50


def test_imports_point_down_the_house() -> None:
    # In a process of its own: it sets up logging for itself and silences every other logger.
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, done.stdout


def loaded_by(code: str) -> set[str]:
    """Top-level packages in `sys.modules` after `code`, in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


HEAVY = {"torch", "sentence_transformers", "transformers", "scipy", "matplotlib"}
FRAMEWORKS = {"llama_index", "langchain_core"}


def test_importing_the_package_loads_no_framework_and_no_model() -> None:
    loaded = loaded_by("import nudge_integrations")

    assert not loaded & (HEAVY | FRAMEWORKS | {"numpy"})


@pytest.mark.parametrize(
    ("framework", "other", "stores"),
    [
        ("langchain", "llama_index", "NudgeVectorStore, NudgeEmbeddings"),
        ("llama_index", "langchain_core", "NudgeVectorStore, NudgeEmbedding"),
    ],
)
def test_a_framework_s_store_loads_neither_the_other_framework_nor_torch(
    framework: str, other: str, stores: str
) -> None:
    loaded = loaded_by(f"from nudge_integrations.{framework} import {stores}")

    assert other not in loaded
    assert "torch" not in loaded


def test_every_public_name_loads() -> None:
    import nudge_integrations
    import nudge_integrations.langchain as langchain
    import nudge_integrations.llama_index as llama_index

    for package in (nudge_integrations, langchain, llama_index):
        for name in package.__all__:
            assert getattr(package, name).__doc__, f"{package.__name__}.{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nudge_integrations.nothing


def test_the_framework_folders_mirror_each_other() -> None:
    shared = {"__init__.py", "embeddings.py", "engine.py", "evaluation.py", "vector_store.py"}

    for folder in ("langchain", "llama_index"):
        assert shared <= {path.name for path in (PACKAGE / folder).glob("*.py")}


def test_the_package_has_few_files_and_hardly_any_at_its_root() -> None:
    assert len(MODULES) <= MOST_FILES
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_MODULES


def test_contributing_maps_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert [name for name in sorted(folders) if f"`{name}/`" not in text] == []


def tidy(path: Path) -> bool:
    return path.relative_to(PACKAGE).parts[0] in TIDY


Function = ast.FunctionDef | ast.AsyncFunctionDef


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions and classes without a leading underscore, and public members of such classes."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            # What a decorator such as `overload` or a property's setter adds has no docstring.
            if isinstance(node, ast.ClassDef) or not node.decorator_list:
                yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short_and_public_ones_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]

    most = MOST_LINES_IN_A_TIDY_FUNCTION if tidy(path) else MOST_LINES_IN_A_FUNCTION
    assert [node.name for node in functions if length(node) > most] == []
    assert [name for name, node in public(tree.body) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_neither_prints_nor_pickles(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (
            node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")]
        )
    }

    most = MOST_LINES_IN_A_TIDY_FILE if tidy(path) else MOST_LINES_IN_A_FILE
    assert len(source.splitlines()) <= most
    assert not imported & {"pickle", "joblib", "dill", "shelve"}
    if not path.name.startswith("cli") and "cli" not in path.parts:
        assert "print" not in names
    assert "allow_pickle=True" not in source


WITH_EXAMPLES = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_in_docstrings_run(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    results = doctest.testmod(importlib.import_module(name))

    assert results.attempted > 0
    assert results.failed == 0
