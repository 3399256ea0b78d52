"""What was tried on the way to NUDGE-C, each by its gain on held-out questions of train and dev.

    python benchmarks/tried.py [--only NAME ...] [--sets SET ...] [--data ../shared/data]

Test queries are never looked at: a variant replaces a part of `NudgeC`, cross-validates over train
and dev, and is judged by questions for which the others chose. Raw figures go to tried.json, as
gains of NDCG@10 and, where it was estimated, the change of unseen questions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from machine import described
from methods import HERE, Data, load
from nudge_integrations.methods.contrast import Contrast, Setting
from quality import SETS

from nudge_integrations import NudgeC, NudgeN
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings
from nudge_integrations.methods import contest, contrast

INFINITE = float("inf")
MANY = 7000  # more documents than any of the sets has
Variant = Callable[[], contextlib.AbstractContextManager[Any]]


def nothing() -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


def flowing(**parts: Any) -> Variant:
    """A `Contrast` with some methods of its own."""
    kind = type("Tried", (Contrast,), parts)
    return lambda: mock.patch.object(contest, "Contrast", kind)


def momentum(
    self: Contrast, train: np.ndarray, setting: Setting, times: Sequence[float]
) -> Iterator[torch.Tensor]:
    """Heavy ball of .5: what moved goes on moving."""
    speed: list[torch.Tensor] = []
    pull = Contrast._pull

    def heavy(each: Contrast, *given: Any) -> torch.Tensor:
        now = pull(each, *given)
        speed.append(now if not speed else 0.5 * speed.pop() + 0.5 * now)
        return speed[-1]

    with mock.patch.object(type(self), "_pull", heavy):
        yield from Contrast.flow(self, train, setting, times)


def by_count(power: float) -> Callable[..., torch.Tensor]:
    """The pull of a document divided by a power of the number of its questions."""

    def pull(self: Contrast, queries: Any, vectors: Any, judged: Any, *rest: Any) -> torch.Tensor:
        count = np.bincount(judged.documents, minlength=len(vectors)).clip(1)
        share = torch.from_numpy((count**-power).astype(np.float32))
        return Contrast._pull(self, queries, vectors, judged, *rest) * share[:, None]

    return pull


def annealed(
    self: Contrast, train: np.ndarray, setting: Setting, times: Sequence[float]
) -> Iterator[torch.Tensor]:
    """Twice the temperature at first, half of it in the end."""
    known, steps = sorted(self.rest), list(times)
    pull = Contrast._pull
    span = steps[-1] if steps else 1.0
    done = {"time": 0.0}

    def cooling(each: Contrast, *given: Any) -> torch.Tensor:
        wish = setting.temperature * 2 ** (1 - 2 * min(1.0, done["time"] / span))
        near = min(known, key=lambda one: abs(np.log(one / wish)))
        queries, vectors, judged, targets, _, _ = given
        rest = each.rest[near][torch.from_numpy(train)]
        return pull(each, queries, vectors, judged, targets, rest, near)

    with mock.patch.object(type(self), "_pull", cooling):
        flow = Contrast.flow(self, train, setting, times)
        for (_, end), vectors in zip(pairwise([0.0, *times]), flow, strict=False):
            done["time"] = end
            yield vectors


def warm(
    self: Contrast, train: np.ndarray, setting: Setting, times: Sequence[float]
) -> Iterator[torch.Tensor]:
    """From where NUDGE-N at gamma .1 puts the documents."""
    judged = self.judgments.select(train)
    start, vectors = self.starts.numpy(), self.starts.clone()
    rows, moved = NudgeN()._like_nudge_ft(
        start,
        contest.QuerySet(self.queries[torch.from_numpy(train)].numpy(), judged),
        None,
        1,
        0.1,
    )
    vectors[torch.from_numpy(rows)] = torch.from_numpy(moved)
    fields = {name: getattr(self, name) for name in ("queries", "lengths", "judgments", "rest")}
    yield from Contrast(starts=vectors, **fields).flow(train, setting, times)


def alone(
    self: Contrast, queries: Any, vectors: Any, judged: Any, targets: Any, rest: Any, tau: float
) -> torch.Tensor:
    """A document is pushed by its own questions only, never away from those of others."""
    scores = queries @ vectors.T * self.lengths / tau
    total = torch.logaddexp(torch.logsumexp(scores, dim=1), rest)
    row, column = (torch.from_numpy(each) for each in (judged.query_of_entry, judged.documents))
    weights = torch.zeros_like(scores)
    weights[row, column] = targets - torch.exp(scores[row, column] - total[row])
    return weights.T @ queries * self.lengths[:, None]


def binary(judged: Any) -> torch.Tensor:
    """Every answer counts the same, whatever its grade."""
    return torch.from_numpy((1 / judged.counts[judged.query_of_entry]).astype(np.float32))


def without_common(queries: torch.Tensor, ridge: float) -> torch.Tensor | None:
    """Takes the mean question out of every pull, instead of damping by the second moment."""
    if not np.isfinite(ridge):
        return None
    mean = torch.nn.functional.normalize(queries.mean(dim=0), dim=0)
    return torch.eye(len(mean)) - torch.outer(mean, mean)


def patched(where: Any, name: str, by: Any) -> Variant:
    return lambda: mock.patch.object(where, name, by)


VARIANTS: dict[str, tuple[Variant, dict[str, Any]]] = {
    "as it is": (nothing, {}),
    "no damping": (nothing, {"ridges": [INFINITE]}),
    "mean question taken out": (
        patched(contrast, "damped", without_common),
        {"ridges": [INFINITE, 1.0]},
    ),
    "temperature .02 only": (nothing, {"temperatures": [0.02]}),
    "temperature .05 only": (nothing, {"temperatures": [0.05]}),
    "temperature .08 only": (nothing, {"temperatures": [0.08]}),
    "temperatures .01 and .12 too": (
        nothing,
        {"temperatures": [0.01, 0.02, 0.03, 0.05, 0.08, 0.12]},
    ),
    "nearest 10 still documents": (patched(contest, "NEAREST", 10), {}),
    "nearest 30 still documents": (patched(contest, "NEAREST", 30), {}),
    "nearest 300 still documents": (patched(contest, "NEAREST", 300), {}),
    "all still documents": (patched(contest, "NEAREST", MANY), {}),
    "annealed temperature": (flowing(flow=annealed), {}),
    "momentum .5": (flowing(flow=momentum), {}),
    "from NUDGE-N": (flowing(flow=warm), {}),
    "own questions only": (flowing(_pull=alone), {}),
    "pull by root of questions": (flowing(_pull=by_count(0.5)), {}),
    "pull by number of questions": (flowing(_pull=by_count(1.0)), {}),
    "grades left out": (patched(contrast, "_targets", binary), {}),
    "rate .05 instead of .2": (patched(contrast, "_RATE", 0.05), {}),
}


def measure(data: Data, variant: Variant, given: dict[str, Any]) -> dict[str, float]:
    both, count = data.train + data.dev, len(data.documents)
    judgments = both.judgments(count).unique()
    started = time.perf_counter()
    with variant():
        fit = NudgeC(protect_unseen=0.5, **given).fit(data.documents, both.vectors, judgments)
    result = {"seconds": round(time.perf_counter() - started, 1)}
    for name, held in (("gain", fit.held_out), ("unseen", fit.unseen)):
        if held is not None:
            judged = judgments.select(held.queries)
            totals = QueryTotals.from_csr(judged.indptr, judged.grades)
            after, before = (
                score_rankings("ndcg@10", each, totals).mean() for each in (held.after, held.before)
            )
            result[name] = round(float(after - before), 5)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "tried.json"
    content = json.loads(path.read_text()) if path.exists() else {"variants": {}}
    content["machine"] = described()
    for name in arguments.sets:
        data = load(arguments.data / name, 0)
        for each in arguments.only:
            found = measure(data, *VARIANTS[each])
            content["variants"].setdefault(each, {})[name] = found
            print(f"{name:<26}{each:<32}{found}", flush=True)
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
