"""The demo's corpus: the docstrings of the standard library of the running Python.

Nothing is downloaded. Every document is a public function, class, method or property; its text is
its name, signature and docstring. Only the standard library is imported.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LISTS = json.loads(Path(__file__).with_name("corpus.json").read_text(encoding="utf-8"))
# Available in Python 3.10 to 3.13 on Linux, macOS and Windows; none opens a window or prints when
# imported. The corpus follows this order, which also decides which of two public names is kept.
MODULES = tuple(_LISTS["modules"])
# On Windows, os.path lacks docstrings for join() and others.
DOCUMENTED_BY = {"os.path": "posixpath"}

# Classes whose methods people look up; the methods of others are mostly hooks and protocols.
CLASSES_WITH_METHODS = frozenset(_LISTS["classes_with_methods"])
# Methods worth including from classes with many others.
SINGLE_METHODS = frozenset(_LISTS["single_methods"])
# System calls that Windows lacks: a third of `os`, none of which a portable program calls.
UNIX_ONLY = re.compile(_LISTS["unix_only_in_os"])
# Notebooks, test runners and large libraries replace these with functions of their own.
REPLACED_AT_RUN_TIME = frozenset(_LISTS["replaced_at_run_time"])

MAX_SIGNATURE = 120
MAX_DOCSTRING = 700
MIN_DOCSTRING = 19


def stdlib_corpus() -> dict[str, str]:
    """Document the public functions, classes, methods and properties of the standard library.

    Each object occurs once, under the first of `MODULES` that makes it public; a method, under the
    first class whose methods are included. Objects without a real docstring are left out, and so
    are modules that this Python was built without.

    Returns:
        Id (such as `"csv.DictReader"` or `"str.split"`) -> text: the id, its signature if there is
        one, and at most `MAX_DOCSTRING` characters of the docstring. The order and the texts are
        the same on every call.
    """
    corpus: dict[str, str] = {}
    known_texts: set[tuple[str, str, str]] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading a deprecated name raises a warning
        for key, module_name, obj in _public_objects():
            doc = _docstring(obj)
            short_name = key.rpartition(".")[2]
            if len(doc) < MIN_DOCSTRING or _is_generated(short_name, doc):
                continue
            if key in REPLACED_AT_RUN_TIME or _is_foreign(obj):
                continue
            # One document for datetime.date.replace and datetime.datetime.replace: same text.
            if (module_name, short_name, doc) in known_texts:
                continue
            known_texts.add((module_name, short_name, doc))
            is_method = key not in (short_name, f"{module_name}.{short_name}")
            corpus[key] = f"{key}{_signature(obj, is_method)}\n{_shorten(doc)}"
    return corpus


def _public_objects() -> Iterator[tuple[str, str, Any]]:
    """Yield (id, module, object) once for each public object, methods included."""
    owners: dict[int, tuple[str, str, Any]] = {}
    for module_name in MODULES:
        try:
            module = importlib.import_module(DOCUMENTED_BY.get(module_name, module_name))
        except ImportError:  # such as sqlite3, if Python was built without it
            continue
        for name in _public_names(module_name, module):
            obj = getattr(module, name)
            key = name if module_name == "builtins" else f"{module_name}.{name}"
            # random.choice is bound to a hidden instance; only its function shows that
            # random.Random.choice is the same.
            owners.setdefault(id(getattr(obj, "__func__", obj)), (key, module_name, obj))
    listed = {obj for key, _, obj in owners.values() if key in CLASSES_WITH_METHODS}
    for key, module_name, obj in owners.values():
        yield key, module_name, obj
        for name, method in _own_methods(obj, listed) if inspect.isclass(obj) else ():
            method_key = f"{key}.{name}"
            if key in CLASSES_WITH_METHODS or method_key in SINGLE_METHODS:
                yield method_key, module_name, method


def _public_names(module_name: str, module: types.ModuleType) -> Iterator[str]:
    """Yield the names of public functions and classes, except exceptions."""
    listed = getattr(module, "__all__", None)
    members = {name: getattr(module, name, None) for name in (listed or dir(module))}
    # Functions first, so that random.choice wins over random.Random.choice.
    for name in sorted(members, key=lambda name: (inspect.isclass(members[name]), name)):
        obj = members[name]
        is_class = inspect.isclass(obj) and not issubclass(obj, BaseException)
        if name.startswith("_") or not (is_class or inspect.isroutine(obj)):
            continue
        if module_name == "os" and UNIX_ONLY.fullmatch(name):
            continue
        if listed is None and not _is_at_home(module_name, getattr(obj, "__module__", None)):
            continue
        real_name = getattr(obj, "__name__", name)
        if name == real_name or members.get(real_name) is not obj:
            yield name


def _is_at_home(module_name: str, defined_in: str | None) -> bool:
    """Whether an object of a module without `__all__` is defined there."""
    home = (defined_in or "").lstrip("_")
    return (
        home == module_name
        or home.startswith(f"{module_name}.")
        or (module_name == "builtins" and home == "io")  # open()
    )


def _own_methods(cls: type, listed: set[type]) -> Iterator[tuple[str, Any]]:
    """Yield public methods and properties, sorted, except those a listed base class has."""
    bases = [base for base in cls.__mro__[1:] if base in listed or base is object]
    for name in sorted({name for base in cls.__mro__ for name in vars(base)}):
        member = inspect.getattr_static(cls, name)
        inherited = any(inspect.getattr_static(base, name, None) is member for base in bases)
        if name.startswith("_") or inherited:
            continue
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        is_property = isinstance(member, (property, functools.cached_property))
        if is_property or inspect.isroutine(member) or inspect.isgetsetdescriptor(member):
            yield name, member


def _docstring(obj: Any) -> str:
    doc = getattr(obj, "__doc__", None)
    return inspect.cleandoc(doc).strip() if isinstance(doc, str) else ""


def _is_generated(name: str, doc: str) -> bool:
    """Whether a docstring only repeats the fields of a dataclass or a syntax node."""
    return re.match(rf"{re.escape(name)}(\(.*\)\Z| = )", doc) is not None


def _is_foreign(obj: Any) -> bool:
    """Whether another package added this method to a class of the standard library."""
    package = str(getattr(obj, "__module__", None) or "builtins").partition(".")[0]
    return package not in sys.stdlib_module_names


def _signature(obj: Any, is_method: bool) -> str:
    try:
        signature = str(inspect.signature(obj))
    except (TypeError, ValueError):  # written in C without one, or a property
        return ""
    if is_method:
        signature = re.sub(r"^\((self|cls|type)(, /)?(, |(?=\)))", "(", signature)
    while (plain := re.sub(r"<[^<>]*>", "...", signature)) != signature:
        signature = plain  # a memory address would differ in every run
    if len(signature) <= MAX_SIGNATURE:
        return signature
    return signature[: signature.rfind(",", 0, MAX_SIGNATURE)] + ", ...)"


def _shorten(doc: str) -> str:
    """Cut to `MAX_DOCSTRING` characters, after a line or sentence that ends late enough."""
    if len(doc) <= MAX_DOCSTRING:
        return doc
    head = doc[: MAX_DOCSTRING + 1]
    cut = max(head.rfind("\n"), head.rfind(". ") + 1)
    if cut < MAX_DOCSTRING // 2:
        cut = max(head.rfind(" "), MAX_DOCSTRING // 2)
    return head[:cut].rstrip()
