"""A log of questions without answers: a judge grades what a search finds, and tuning uses that.

    python benchmarks/judging.py [--only SET ...] [--queries 400] [--data ../shared/data]

The judge is scripted. It knows the true judgments and errs in 10 %: it overlooks one answer in ten,
and for one query in ten it takes a document that is shown, and is none, for an answer. Compared on
test: untuned vectors, tuned with the true judgments of the same queries, and with those of
`judge_queries` at two depths. Figures go to judging.json.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from machine import described
from methods import Data, Part, load

from nudge_integrations import NudgeC, judge_queries
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.topk import search
from nudge_integrations.embedding import Encoder
from nudge_integrations.evaluation.metrics import QueryTotals, score_rankings

HERE = Path(__file__).parent
SETS = ("datatalks_faq_llm2human", "scifact", "covidqa_passages", "squadshifts_new_wiki")
NOISE = 0.1
_PASSAGE = re.compile(r"\[passage (\d+) (\w{12})\]\n(.*?)\n\[end of passage \1 \2\]", re.DOTALL)
_SEARCH = re.compile(r"\[search (\w{12})\]\n(.*?)\n\[end of search \1\]", re.DOTALL)


class Known(Encoder):
    """Vectors that are on disk."""

    name = "from disk"
    batch_size = 100_000

    def __init__(self, data: Data, part: Part) -> None:
        self.documents = dict(zip(data.texts, data.documents, strict=True))
        self.queries = dict(zip(part.texts, part.vectors, strict=True))

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        return np.stack([self.queries[text] for text in texts])

    def encode_documents(self, texts: list[str]) -> np.ndarray:
        return np.stack([self.documents[text] for text in texts])


def scripted(data: Data, part: Part) -> Any:
    """A judge that reads the prompt and answers from the judgments, wrong one time in ten."""
    from nudge_integrations.questions.prompts import clean

    true = {
        clean(text, 500): {clean(data.texts[row], 1500) for row in answers}
        for text, answers in zip(part.texts, part.answers, strict=True)
    }

    def judge(prompt: str) -> str:
        found = _SEARCH.search(prompt)
        assert found is not None
        query = found.group(2)
        right = true[query]
        shown = [(int(number), text) for number, _, text in _PASSAGE.findall(prompt)]
        answers = [
            number
            for number, text in shown
            if text in right and chance(f"{query}\0{text}") >= NOISE
        ]
        wrong = [(chance(f"which {query}\0{text}"), number) for number, text in shown]
        wrong = [each for each, (_, text) in zip(wrong, shown, strict=True) if text not in right]
        if wrong and chance(query) < NOISE:
            answers.append(min(wrong)[1])
        return json.dumps({"answers": answers, "partly": []})

    return judge


def chance(text: str) -> float:
    return int(text_hash(text)[:8], 16) / 2**32


def tuned(data: Data, train: Part) -> float:
    judgments = train.judgments(len(data.documents))
    fit = NudgeC(show_progress=False).fit(data.documents, train.vectors, judgments)
    documents = data.documents.copy()
    documents[fit.rows] = fit.vectors
    return score(data, documents)


def score(data: Data, documents: np.ndarray) -> float:
    found, _ = search(data.test.vectors, documents, 10)
    grades = np.array(
        [
            [each.get(int(row), 0) for row in rows]
            for each, rows in zip(data.test.answers, found, strict=True)
        ],
        np.float32,
    )
    totals = QueryTotals.from_grades(
        [np.array(list(each.values()), np.float32) for each in data.test.answers]
    )
    return round(float(score_rankings("ndcg@10", grades, totals).mean()), 5)


def measured(data: Data, most: int, depths: tuple[int, ...]) -> dict[str, Any]:
    whole = data.train + data.dev
    first = {text: row for row, text in reversed(list(enumerate(whole.texts)))}
    rows = np.array(sorted(first.values()))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    part = whole.some(rows)
    names = [str(row) for row in range(len(data.texts))]
    untuned, true = score(data, data.documents), tuned(data, part)
    found: dict[str, Any] = {
        "queries": len(part.texts),
        "untuned": untuned,
        "tuned with true judgments": true,
        "depths": {},
    }
    for depth in depths:
        judged = judge_queries(
            part.texts,
            dict(zip(names, data.texts, strict=True)),
            scripted(data, part),
            depth,
            embed_model=Known(data, part),
            checkpoint=False,
            show_progress=False,
        )
        place = {text: row for row, text in enumerate(part.texts)}
        known = list(judged.dataset.judged_queries)
        kept = [place[judged.dataset.queries[name]] for name in known]
        answers = [
            {int(each): float(grade) for each, grade in judged.dataset.qrels[name].items() if grade}
            for name in known
        ]
        mine = tuned(data, Part(part.vectors[kept], [part.texts[row] for row in kept], answers))
        tokens = 100 * judged.usage.tokens_read / len(part.texts)
        found["depths"][str(depth)] = {
            "with an answer found": len(known),
            "agreement": judged.agreement,
            "kappa": judged.kappa,
            "tokens a hundred queries": round(tokens),
            "ndcg@10": mine,
            "share of the gain": round((mine - untuned) / (true - untuned), 3)
            if true > untuned
            else None,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--queries", type=int, default=1000, help="at most so many a set")
    parser.add_argument("--depths", type=int, nargs="*", default=[20, 50])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "judging.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    content |= {"machine": described(), "noise": NOISE}
    for name in arguments.only:
        found = measured(load(arguments.data / name, 0), arguments.queries, tuple(arguments.depths))
        content["sets"][name] = found
        print(name, json.dumps(found), flush=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
