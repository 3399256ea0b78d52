"""What each filter of generated questions changes: tuning on LLM questions, tested on the rest.

    python benchmarks/filters.py

On two sets whose training questions an LLM wrote: datatalks (test questions are people's) and
10-K filings (test questions are the LLM's too). Filters, one by one and together, are applied to
training and dev questions; NUDGE-C chooses its step by cross-validation on what is left. Every
filter is also set beside the same number of questions drawn at random (2 draws), since fewer
questions alone cost something (where at least 2 % are gone). Figures go to filters.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import described
from methods import Data, Part, load

from nudge_integrations import NudgeC
from nudge_integrations.common.topk import search
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings
from nudge_integrations.questions import filters
from nudge_integrations.questions.filters import (
    Candidate,
    QuestionFilters,
    Space,
    filtered,
    merged,
)

HERE = Path(__file__).parent
SETS = ("datatalks_faq_llm2human", "llamaindex_10k_llmgen")
DRAWS, FEW = 2, 0.98
Filter = Callable[[list[Candidate], np.ndarray], list[Candidate]]


class World:
    """Questions as candidates, and what it takes to tune and test on some of them."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.ids = [str(row) for row in range(len(data.documents))]
        part = data.train + data.dev
        self.row = {text: place for place, text in reversed(list(enumerate(part.texts)))}
        self.part = part
        self.all = merged(
            Candidate(text, tuple(str(row) for row in answers))
            for text, answers in zip(part.texts, part.answers, strict=True)
        )

    def vectors(self, some: list[Candidate]) -> np.ndarray:
        return self.part.vectors[[self.row[each.text] for each in some]]

    def tuned(self, some: list[Candidate]) -> dict[str, Any]:
        data = self.data
        train = Part(
            self.vectors(some),
            [each.text for each in some],
            [{int(name): 1 for name in each.documents} for each in some],
        )
        count = len(data.documents)
        fit = NudgeC(show_progress=False).fit(data.documents, train.vectors, train.judgments(count))
        documents = data.documents.copy()
        documents[fit.rows] = fit.vectors
        return {
            "questions": len(some),
            "answers": sum(len(each.documents) for each in some),
            "ndcg@10": self.score(documents),
        }

    def score(self, documents: np.ndarray) -> float:
        test = self.data.test
        found, _ = search(test.vectors, documents, 10)
        grades = np.array(
            [
                [each.get(int(row), 0) for row in rows]
                for each, rows in zip(test.answers, found, strict=True)
            ],
            np.float32,
        )
        totals = QueryTotals.from_grades(
            [np.array(list(each.values()), np.float32) for each in test.answers]
        )
        return round(float(score_rankings("ndcg@10", grades, totals).mean()), 5)


def tried(world: World) -> dict[str, Filter]:
    space = Space(world.ids, lambda: world.data.documents, world.vectors)
    found: dict[str, Filter] = {}
    for least in (0.9, 0.95):
        found[f"near-duplicates at {least:g}"] = lambda some, vectors, least=least: (
            filters.without_near_duplicates(some, vectors, least)
        )
    for k in (1, 10, 50, 100):
        found[f"round trip, first {k}"] = lambda some, _, k=k: filters.found_again(some, space, k)
    found["another document nearer"] = lambda some, _: filters.with_all_answers(some, space)
    for most in (2, 3, 4):
        found[f"at most {most} a document"] = lambda some, _, most=most: filters.balanced(
            some, most
        )

    def usual(some: list[Candidate], _: np.ndarray) -> list[Candidate]:
        return filtered(some, QuestionFilters(), space).kept

    found["the package's default"] = usual
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--filters", nargs="*", help="some of the filters; others stay as they are")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "filters.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    content["machine"] = described()
    for name in arguments.only:
        world = World(load(arguments.data / name, 0))
        figures: dict[str, Any] = content["sets"].get(name) or {
            "untuned": world.score(world.data.documents),
            "all": world.tuned(world.all),
            "filters": {},
        }
        print(name, figures, flush=True)
        sizes: dict[int, list[float]] = {}
        for title, keep in tried(world).items():
            if arguments.filters and title not in arguments.filters:
                continue
            kept = keep(world.all, world.vectors(world.all))
            found = world.tuned(kept)
            if len(kept) < FEW * len(world.all) and len(kept) not in sizes:
                draws = [
                    np.random.default_rng(seed).choice(len(world.all), len(kept), replace=False)
                    for seed in range(DRAWS)
                ]
                sizes[len(kept)] = [
                    world.tuned([world.all[row] for row in sorted(draw)])["ndcg@10"]
                    for draw in draws
                ]
            found["as many at random"] = sizes.get(len(kept), [figures["all"]["ndcg@10"]])
            figures["filters"][title] = found
            print(f"    {title:32s} {found}", flush=True)
            content["sets"][name] = figures
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
