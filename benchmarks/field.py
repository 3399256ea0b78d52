"""The field on ten data sets: seen and unseen questions, and questions about new documents.

    python benchmarks/field.py [--only SET ...] [--data ../shared/data]

The splits on disk (benchmarks/methods.py, seed 0). Everything is chosen on train and dev; test is
ranked once. For *new documents* a fifth of the corpus is taken out together with its questions
while the field is made, and is then moved by the field; the figures are those of the test
questions that these documents answer. Raw figures go to field.json, with seed, versions and
hardware. Seconds are told for orientation: this is not run on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import described
from methods import Data, Part, by_vectors, load, moved, ranked, small
from quality import SETS

from nudge_integrations import NudgeC

HERE = Path(__file__).parent
ALL = (*SETS, "climate_fever_evidence", "squadshifts_new_wiki")


def ndcg(part: Part, vectors: np.ndarray) -> np.ndarray:
    return ranked(part, by_vectors(part.vectors, vectors), len(vectors))["ndcg@10"]


def tuned(data: Data) -> dict[str, Any]:
    both, count = data.train + data.dev, len(data.documents)
    started = time.perf_counter()
    fit = NudgeC().fit(
        data.documents,
        data.train.vectors,
        data.train.judgments(count),
        validation=(data.dev.vectors, data.dev.judgments(count)),
    )
    seconds = time.perf_counter() - started
    before, after = (ndcg(data.test, each) for each in (data.documents, moved(data, fit)))
    known = {row for each in both.answers for row in each}
    unseen = np.array([known.isdisjoint(each) for each in data.test.answers])
    result: dict[str, Any] = {"reason": fit.reason, "step": fit.step, "seconds": round(seconds, 1)}
    for name, mask in (("all", np.ones(len(unseen), bool)), ("unseen", unseen)):
        if mask.any():
            result[name] = {
                "queries": int(mask.sum()),
                "before": round(float(before[mask].mean()), 5),
                "after": round(float(after[mask].mean()), 5),
            }
    return result


def added(data: Data, seed: int) -> dict[str, Any]:
    count = len(data.documents)
    new = np.random.default_rng(seed).random(count) < 0.2
    both = data.train + data.dev
    keep = np.array([not any(new[row] for row in each) for each in both.answers])
    old = np.flatnonzero(~new)
    place = {int(row): position for position, row in enumerate(old)}
    part = both.some(np.flatnonzero(keep))
    part.answers = [{place[row]: grade for row, grade in each.items()} for each in part.answers]
    fit = NudgeC().fit(data.documents[old], part.vectors, part.judgments(len(old)))
    vectors = data.documents.copy()
    if fit.field is not None:
        rows, ends = fit.field.move(vectors)
        vectors[rows] = ends
    asked = np.array([any(new[row] for row in each) for each in data.test.answers])
    before, after = (ndcg(data.test, each)[asked] for each in (data.documents, vectors))
    return {
        "queries": int(asked.sum()),
        "before": round(float(before.mean()), 5),
        "after": round(float(after.mean()), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=ALL, default=list(ALL))
    parser.add_argument("--few", type=int, help="tune on so many questions, 20 draws, instead")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "field.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    content |= {"machine": described(), "seed": 0}
    for name in arguments.only:
        data = load(arguments.data / name, 0)
        if arguments.few:
            draws = content.setdefault(f"{arguments.few} questions", {})
            draws[name] = small(data, arguments.few)
            print(name, draws[name], flush=True)
        else:
            content["sets"][name] = tuned(data) | {"new documents": added(data, 0)}
            print(name, json.dumps(content["sets"][name]), flush=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
