"""Many kinds of arrays go in, and none is written to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from methods_calls import ANSWERS, DOCUMENTS, QUERIES, RNG, call, fit, train_set
from methods_oracle import Array

from nudge_integrations.methods import Judgments, NudgeM, NudgeN, get_method


def strided(matrix: Array) -> Array:
    wide = np.zeros((2 * matrix.shape[0], 3 * matrix.shape[1]), np.float32)
    wide[::2, ::3] = matrix
    return wide[::2, ::3]


def read_only(matrix: Array) -> Array:
    result = matrix.copy()
    result.flags.writeable = False
    return result


# Vectors that float16 and whole numbers hold exactly: then every kind must give the same bytes.
WHOLE_DOCUMENTS = RNG.integers(-3, 4, (12, 4)).astype(np.float32) + np.eye(12, 4, dtype="f4") * 8
WHOLE_QUERIES = RNG.integers(-3, 4, (6, 4)).astype(np.float32) + np.eye(6, 4, dtype="f4") * 8

KINDS: dict[str, Callable[[Array], Any]] = {
    "float64": lambda matrix: matrix.astype(np.float64),
    "float16": lambda matrix: matrix.astype(np.float16),
    "int64": lambda matrix: matrix.astype(np.int64),
    "int8": lambda matrix: matrix.astype(np.int8),
    "other byte order": lambda matrix: matrix.astype(">f4"),
    "column order": np.asfortranarray,
    "strided": strided,
    "reversed": lambda matrix: np.ascontiguousarray(matrix[::-1])[::-1],
    "read-only": read_only,
    "lists": lambda matrix: matrix.tolist(),
}


@pytest.mark.parametrize("method", ["n", "m"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_array_gives_the_same_bytes(
    kind: Callable[[Array], Any], method: str
) -> None:
    plain = call(
        method,
        embeddings=WHOLE_DOCUMENTS,
        train_set=train_set(q_embs=WHOLE_QUERIES),
        val_set=train_set(q_embs=WHOLE_QUERIES[::-1]),
    )
    tuned = call(
        method,
        embeddings=kind(WHOLE_DOCUMENTS),
        train_set=train_set(q_embs=kind(WHOLE_QUERIES)),
        val_set=train_set(q_embs=kind(WHOLE_QUERIES[::-1])),
    )
    assert tuned.tobytes() == plain.tobytes()


def test_kinds_can_be_mixed() -> None:
    plain = fit(corpus=WHOLE_DOCUMENTS, queries=WHOLE_QUERIES, gamma=0.2)
    mixed = fit(
        corpus=WHOLE_DOCUMENTS.astype(np.float16), queries=WHOLE_QUERIES.astype(int), gamma=0.2
    )
    assert mixed.vectors.tobytes() == plain.vectors.tobytes()


@pytest.mark.parametrize("method", ["n", "m"])
@pytest.mark.parametrize("gamma", [None, 0.3])
def test_nothing_that_goes_in_is_written_to(method: str, gamma: float | None) -> None:
    """Unit vectors, which need no copy on the way, read-only and without a word of warning."""
    documents, queries = read_only(DOCUMENTS), read_only(QUERIES)
    answers = [list(each) for each in ANSWERS]
    judgments = Judgments.from_lists(answers, 12)
    asked = {"q_embs": queries, "q_ans_indx": answers}
    torch.set_warn_always(True)  # else torch says it once only, and maybe said it before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuned = call(
            method,
            embeddings=documents,
            train_set=asked,
            val_set=asked,
            nontrain_embeddings=read_only(DOCUMENTS[::-1]),
            gamma=gamma,
        )
        fitted = fit(
            method=method,
            corpus=documents,
            queries=queries,
            judgments=judgments,
            similarity="dot",
            gamma=gamma,
        )
    assert documents.tobytes() == DOCUMENTS.tobytes()
    assert queries.tobytes() == QUERIES.tobytes()
    assert answers == ANSWERS
    assert tuned.flags.writeable
    assert not np.shares_memory(tuned, documents)
    assert not np.shares_memory(fitted.vectors, documents)


def test_nothing_that_moves_still_gives_a_copy() -> None:
    tuned = call(gamma=0.0)
    assert tuned.tobytes() == DOCUMENTS.tobytes()
    assert not np.shares_memory(tuned, DOCUMENTS)


@pytest.mark.parametrize("rows", [tuple, np.array, lambda each: np.array(each, np.uint8)])
def test_answers_can_be_any_sequence_of_whole_numbers(rows: Callable[[Any], Any]) -> None:
    plain = call(gamma=0.3)
    assert (
        call(train_set=train_set(q_ans_indx=[rows(each) for each in ANSWERS]), gamma=0.3).tobytes()
        == plain.tobytes()
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("n", NudgeN), ("nudge-n", NudgeN), ("NUDGE-M", NudgeM), ("m", NudgeM)]
)
def test_methods_go_by_name(name: str, kind: type) -> None:
    made = get_method(name, device="cpu", folds=3)
    assert type(made) is kind
    assert made.folds == 3
    assert get_method(made) is made
