"""Does the gain survive what pipelines do after the search? MMR, fusion, reranking, truncation.

    python benchmarks/downstream.py [--only SET ...] [--data ../shared/data]

The split on disk (benchmarks/methods.py, seed 0): NUDGE-C chooses everything on train and dev; each
pipeline then ranks the test questions once over the untuned and once over the tuned vectors.

- MMR: the 10 of the 50 nearest, lambda 0.5, LangChain's default.
- BM25 fusion: reciprocal rank fusion (60) of the 100 nearest and the 100 best by BM25.
- Reranker: the 50 nearest, sorted by late interaction: the mean, over the tokens of the question,
  of the best cosine to a token of the document. Like a cross-encoder, it reads both texts and sees
  neither vector; unlike one, it needs no weights beyond those of the embedding model.
- Truncated: the first 256 or 128 dimensions of the same vectors, rescaled. all-MiniLM-L6-v2 was not
  trained for that (no Matryoshka loss), which makes this the harder case.

Raw figures go to downstream.json, with seed, versions and hardware.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rivals
import torch
from machine import described
from methods import Data, by_vectors, load, moved, ranked
from quality import SETS

from nudge_integrations import NudgeC
from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.common.topk import diverse
from nudge_integrations.embedding import load_sentence_transformer

HERE = Path(__file__).parent
DEFAULT = ("datatalks_faq_llm2human", "covidqa_passages")
TOP, WINDOW, LAMBDA = 10, 50, 0.5
Ranking = Callable[[np.ndarray], np.ndarray]


def token_vectors(model: Any, texts: list[str]) -> list[torch.Tensor]:
    """Unit vectors of the tokens of each text, shape `(tokens, d)`, float16."""
    found = model.encode(texts, output_value="token_embeddings", show_progress_bar=False)
    return [torch.nn.functional.normalize(each, dim=1).half() for each in found]


def by_tokens(data: Data, model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A reranker of rows found for each test question."""
    documents, asked = (token_vectors(model, each) for each in (data.texts, data.test.texts))

    def rerank(found: np.ndarray) -> np.ndarray:
        result = np.empty((len(found), TOP), np.int64)
        for place, rows in enumerate(found):
            question = asked[place].float()
            scores = [
                float((question @ documents[row].float().T).max(dim=1).values.mean())
                for row in rows
            ]
            result[place] = rows[np.argsort(-np.array(scores), kind="stable")[:TOP]]
        return result

    return rerank


def pipelines(data: Data, model: Any) -> dict[str, Ranking]:
    """Name -> rows ranked for each test question over some vectors of the documents."""
    asked, count = data.test.vectors, len(data.documents)
    words, rerank = rivals.bm25(data.texts, data.test.texts, 100), by_tokens(data, model)

    def mmr(vectors: np.ndarray) -> np.ndarray:
        rows = unit_rows(vectors)
        found = by_vectors(asked, vectors)[:, :WINDOW]
        return np.stack(
            [
                near[diverse(rows[near].astype(np.float64), rows[near] @ query, TOP, LAMBDA)]
                for query, near in zip(asked, found, strict=True)
            ]
        )

    def truncated(width: int) -> Ranking:
        return lambda vectors: by_vectors(asked[:, :width].copy(), vectors[:, :width].copy())

    return {
        "search alone": lambda vectors: by_vectors(asked, vectors),
        "MMR": mmr,
        "fusion with BM25": lambda vectors: rivals.fused(
            words, by_vectors(asked, vectors), count, TOP
        ),
        "reranked": lambda vectors: rerank(by_vectors(asked, vectors)[:, :WINDOW]),
        "256 dimensions": truncated(256),
        "128 dimensions": truncated(128),
    }


def measure(data: Data, model: Any) -> dict[str, Any]:
    count, both = len(data.documents), data.train + data.dev
    fit = NudgeC().fit(data.documents, both.vectors, both.judgments(count))
    tuned = moved(data, fit)
    result: dict[str, Any] = {}
    for name, rank in pipelines(data, model).items():
        before, after = (ranked(data.test, rank(each), count) for each in (data.documents, tuned))
        change = after["ndcg@10"] - before["ndcg@10"]
        result[name] = {
            metric: [round(float(each[metric].mean()), 5) for each in (before, after)]
            for metric in ("ndcg@10", "recall@10")
        } | {"standard error": round(float(change.std() / np.sqrt(len(change))), 5)}
        print(f"    {name:<20}{result[name]}", flush=True)
    return {"queries": len(data.test.texts), "step": fit.step, "pipelines": result}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(DEFAULT))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "downstream.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    content |= {"machine": described(), "seed": 0}
    model = load_sentence_transformer("sentence-transformers/all-MiniLM-L6-v2")
    for name in arguments.only:
        print(name, flush=True)
        content["sets"][name] = measure(load(arguments.data / name, 0), model)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
