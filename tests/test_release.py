"""What a release is made of says one thing: its version, how to cite it, its lower bounds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import nudge_integrations

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
VERSION = PROJECT["version"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Not for users; and a collection of others; and the model, of which there is one release.
OURS = {"dev", "docs", "stores", "all", "demo"}
# Below what has ever run: pyproject.toml and constraints-oldest.txt say so.
UNTESTED = {"torch"}


def pins(name: str) -> dict[str, Version]:
    """The versions in a file of constraints."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): Version(version) for package, version in pairs}


def bounds() -> dict[str, Requirement]:
    users = [each for extra, needs in EXTRAS.items() if extra not in OURS for each in needs]
    builds = PYPROJECT["build-system"]["requires"]
    found = map(Requirement, [*builds, *PROJECT["dependencies"], *users])
    return {canonicalize_name(each.name): each for each in found}


def lowest(requirement: Requirement) -> Version:
    (bound,) = (each for each in requirement.specifier if each.operator == ">=")
    return Version(bound.version)


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert newest is not None
    assert {nudge_integrations.__version__, CITATION["version"], newest[1]} == {VERSION}
    assert str(Version(VERSION)) == VERSION


def test_a_version_comes_once_in_the_changelog_and_the_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    known = [Version(each) for each in re.findall(r"^## (\S+)", text, re.MULTILINE)]

    assert known == sorted(set(known), reverse=True)


def test_the_citation_has_what_the_format_asks_for() -> None:
    """https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema.json"""
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] in ("software", "dataset")
    assert all(CITATION[key].strip() for key in ("message", "title", "abstract"))
    assert all(isinstance(CITATION[key], str) for key in ("version", "license"))
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"]) > 0


def test_the_citation_names_the_paper() -> None:
    (paper,) = CITATION["references"]

    assert paper["type"] == "conference-paper"
    assert isinstance(paper["year"], int)
    assert all(author["family-names"] and author["given-names"] for author in paper["authors"])
    kinds = {each["type"] for each in paper["identifiers"]}
    assert kinds <= {"doi", "url", "swh", "other"}
    numbers = {each["value"].removeprefix("arXiv:") for each in paper["identifiers"]}
    assert {PROJECT["urls"]["Paper"].rpartition("/")[2]} & numbers


@pytest.mark.parametrize("name", sorted(set(bounds()) - UNTESTED))
def test_the_lower_bound_is_the_version_that_is_tested(name: str) -> None:
    assert lowest(bounds()[name]) == pins("constraints-oldest.txt")[name]


@pytest.mark.parametrize("name", sorted(bounds()))
@pytest.mark.parametrize("end", ["constraints-oldest.txt", "constraints.txt"])
def test_what_is_tested_is_allowed(name: str, end: str) -> None:
    assert bounds()[name].specifier.contains(pins(end)[name])


@pytest.mark.parametrize("name", sorted(UNTESTED))
def test_a_bound_below_what_was_tested_is_told(name: str) -> None:
    assert lowest(bounds()[name]) < pins("constraints-oldest.txt")[name]
    for file in ("constraints-oldest.txt", "pyproject.toml", "CONTRIBUTING.md"):
        words = (ROOT / file).read_text("utf-8").splitlines()
        assert any(name in line and "not tested" in line.lower() for line in words), file
