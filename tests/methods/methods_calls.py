"""One small problem, and calls that change one argument of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from methods_oracle import unit

from nudge_integrations.methods import Judgments, get_method

RNG = np.random.default_rng(0)
DOCUMENTS = unit(RNG.normal(size=(12, 4))).astype(np.float32)
QUERIES = unit(RNG.normal(size=(6, 4))).astype(np.float32)
ANSWERS = [[0], [1, 2], [3], [4], [5, 0], [6]]
JUDGMENTS = Judgments.from_lists(ANSWERS, 12)


def fit(**changes: Any) -> Any:
    arguments: dict[str, Any] = {"corpus": DOCUMENTS, "queries": QUERIES, "judgments": JUDGMENTS}
    made_with = {key: changes.pop(key) for key in ("folds", "metric", "steps") if key in changes}
    method = changes.pop("method", "n")
    return get_method(method, device="cpu", **made_with).fit(**{**arguments, **changes})


def call(method: str = "n", **changes: Any) -> Any:
    asked = {"q_embs": QUERIES, "q_ans_indx": ANSWERS}
    arguments = {"embeddings": DOCUMENTS, "train_set": asked, "val_set": asked}
    return get_method(method, device="cpu").finetune_embeddings(**{**arguments, **changes})


def train_set(**changes: Any) -> dict[str, Any]:
    return {"q_embs": QUERIES, "q_ans_indx": ANSWERS, **changes}
