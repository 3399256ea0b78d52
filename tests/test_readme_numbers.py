"""Every number in README's words comes from a committed figure, or from the code.

What is no figure (names, releases, what a sentence is about) is listed here by itself; a number
that is neither fails.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import average  # noqa: E402

README = (ROOT / "README.md").read_text("utf-8")
WORDS = " ".join(re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL).split())


def read(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / name).read_text("utf-8"))


METHODS = read("methods.json")
QUALITY = read("quality.json")
SETS = METHODS["sets"]
FIELD = read("field.json")["sets"]
DRAWS = [change for draws in METHODS["30 questions"].values() for change in draws]


def gain(way: str) -> str:
    return f"{mean(average(runs, way, 'ndcg@10') or 0 for runs in SETS.values()):.3f}"[1:]


def field(place: str) -> str:
    return f"{mean(FIELD[name]['all'][place] for name in SETS):.3f}"[1:]


def seconds() -> tuple[str, str]:
    each = [run["seconds"] for run in FIELD.values()]
    return f"{min(each):.0f}", f"{max(each):.0f}"


def unseen_share() -> str:
    notebook = (ROOT / "notebooks" / "1_llama_index.ipynb").read_text("utf-8")
    everyone, unseen = (
        int(re.findall(rf"{group}: (\d+) queries", notebook)[0]) for group in ("all", "unseen")
    )
    return {2: "two", 3: "three"}.get(round(5 * unseen / everyone), "?")


def nudge_ft() -> str:
    scores = (each["scores"]["nudge-ft N"]["ndcg@10"] for each in QUALITY["results"].values())
    return f"{mean(scores):.3f}"[1:]


def largest_difference() -> float:
    return max(
        difference
        for result in QUALITY["results"].values()
        for difference in result["largest difference to nudge-ft's vectors"].values()
    )


def protection() -> str:
    from nudge_integrations import NudgeC

    return f"{inspect.signature(NudgeC).parameters['protect_unseen'].default:.2f}"[1:]


NUMBER = {2: "two", 4: "four", 8: "eight"}
CLAIMS: list[tuple[str, Callable[[], tuple[str, ...]]]] = [
    (r"On (\w+) retrieval data sets", lambda: (NUMBER[len(SETS)],)),
    (
        r"rose from (\.\d+) to (\.\d+) on average \(one split of each\); "
        r"the paper's NUDGE-N reached (\.\d+)",
        lambda: (field("before"), field("after"), nudge_ft()),
    ),
    (r"NDCG@10 on (\w+) data sets: untuned", lambda: (NUMBER[len(SETS)],)),
    (
        r"(\d+) to (\d+) seconds of one busy CPU core",
        seconds,
    ),
    (r"(\w+) fifths of the demo's test questions", lambda: (unseen_share(),)),
    (r"`protect_unseen`, (\.\d+) of the metric", lambda: (protection(),)),
    (
        r"with (\d+) questions, that happened in (\d+) of (\d+) draws",
        lambda: ("30", str(sum(not each for each in DRAWS)), str(len(DRAWS))),
    ),
    (
        r"results agree to (1e-5) on (\w+) data sets",
        lambda: ("1e-5" if largest_difference() < 1e-5 else "?", NUMBER[len(QUALITY["results"])]),
    ),
    (
        r"kills at (\d+) random moments",
        lambda: tuple(re.findall(r"NUDGE_KILLS=(\d+)", (ROOT / "Makefile").read_text("utf-8"))),
    ),
    (
        r"\[(\w+) examples\]",
        lambda: (NUMBER[len(list((ROOT / "examples").glob("*.py")))],),
    ),
    (
        r"whole corpus in memory to (1e-5)",
        lambda: tuple(
            set(
                re.findall(
                    r"atol=(1e-5)", (ROOT / "tests/stores/test_real_data.py").read_text("utf-8")
                )
            )
        ),
    ),
    (
        r"Python (3\.\d+) or newer",
        lambda: tuple(
            re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"))
        ),
    ),
]
NAMES = (
    "2409.02343",
    "ICLR 2025",
    "deprecated in 2026",
    "NDCG@10",
    "MiniLM-L6-v2",
    "10-K",
    "python3",
    "PostgreSQL 18, pgvector 0.8",
    "`protect_unseen=0`",
    "BM25",
    "l2",
    "L2",
    "notebooks/1_llama_index.ipynb",
    "notebooks/2_langchain.ipynb",
)


@pytest.mark.parametrize(("pattern", "figures"), CLAIMS, ids=[each[0][:40] for each in CLAIMS])
def test_a_claim_is_in_the_figures(pattern: str, figures: Callable[[], tuple[str, ...]]) -> None:
    found = re.findall(pattern, WORDS)
    assert len(found) == 1, f"README does not say {pattern!r} once"
    said = found[0] if isinstance(found[0], tuple) else (found[0],)
    assert said == figures()


def test_no_other_number_stands_in_readme() -> None:
    rest = WORDS
    for pattern, _ in CLAIMS:
        rest = re.sub(pattern, "", rest)
    for name in NAMES:
        assert name in rest, f"{name!r} is listed as a name, but README does not have it"
        rest = rest.replace(name, "")
    assert re.findall(r"\S*\d\S*", rest) == []


DOCUMENTED = [
    ("guides/methods.md", r"on average \((\.\d+) against (\.\d+)\)", ("linear adapter", "NudgeC")),
]


@pytest.mark.parametrize(("page", "pattern", "ways"), DOCUMENTED)
def test_the_documentation_s_means_are_in_the_figures(
    page: str, pattern: str, ways: tuple[str, str]
) -> None:
    said = re.findall(pattern, (ROOT / "docs" / page).read_text("utf-8"))
    assert said == [tuple(gain(way) for way in ways)]


def test_the_documented_cost_is_in_the_figures() -> None:
    said = re.findall(r"took ([\d.]+) times", (ROOT / "docs" / "cost.md").read_text("utf-8"))
    medians = read("speed.json")["results"]["NUDGE-C, 100,000"]["medians"]
    ours, bare = (medians[name]["seconds"] for name in ("ours C", "bare pass, training"))
    assert said == [f"{ours / bare:.1f}"]
