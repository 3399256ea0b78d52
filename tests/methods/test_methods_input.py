"""What goes in: many kinds of arrays, and one clear error for what cannot be used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from methods_oracle import Array, unit

from nudge_integrations.errors import DataError, MetricMismatchError
from nudge_integrations.methods import Judgments, NudgeM, NudgeN, get_method

RNG = np.random.default_rng(0)
DOCUMENTS = unit(RNG.normal(size=(12, 4))).astype(np.float32)
QUERIES = unit(RNG.normal(size=(6, 4))).astype(np.float32)
ANSWERS = [[0], [1, 2], [3], [4], [5, 0], [6]]
JUDGMENTS = Judgments.from_lists(ANSWERS, 12)


def with_value(matrix: Array, value: float) -> Array:
    result = matrix.copy()
    result[3, 1] = value
    return result


def with_zero_row(matrix: Array) -> Array:
    result = matrix.copy()
    result[3] = 0
    return result


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


def case(name: str, run: Callable[[], Any], *says: str) -> Any:
    return pytest.param(run, says, id=name)


VECTORS = [
    case("document NaN", lambda: fit(corpus=with_value(DOCUMENTS, np.nan)), "document", "row 3"),
    case("document inf", lambda: fit(corpus=with_value(DOCUMENTS, np.inf)), "document", "row 3"),
    case("document zero", lambda: fit(corpus=with_zero_row(DOCUMENTS)), "document", "row 3"),
    case("documents 1-D", lambda: fit(corpus=DOCUMENTS[0]), "(4,)"),
    case("documents 3-D", lambda: fit(corpus=DOCUMENTS[None]), "(1, 12, 4)"),
    case("no documents", lambda: fit(corpus=DOCUMENTS[:0]), "empty"),
    case("documents of words", lambda: fit(corpus=[["a", "b"]]), "numbers"),
    case("documents ragged", lambda: fit(corpus=[[1.0, 2.0], [1.0]]), "one length"),
    case("query NaN", lambda: fit(queries=with_value(QUERIES, np.nan)), "query", "row 3"),
    case("query inf", lambda: fit(queries=with_value(QUERIES, -np.inf)), "query", "row 3"),
    case("query zero", lambda: fit(queries=with_zero_row(QUERIES)), "query", "row 3"),
    case("queries 1-D", lambda: fit(queries=QUERIES[0]), "(4,)"),
    case("no queries", lambda: fit(queries=QUERIES[:0]), "empty"),
    case("queries of another model", lambda: fit(queries=QUERIES[:, :3]), "3", "4", "model"),
    case(
        "validation NaN",
        lambda: fit(validation=(with_value(QUERIES, np.nan), JUDGMENTS)),
        "validation",
        "row 3",
    ),
    case(
        "validation of another model",
        lambda: fit(validation=(QUERIES[:, :3], JUDGMENTS)),
        "validation",
        "3",
    ),
    case(
        "products beyond float32",
        lambda: fit(corpus=DOCUMENTS * 1e18, queries=QUERIES * 1e18, similarity="dot"),
        "1e+36",
        "scale",
    ),
    case("embeddings NaN", lambda: call(embeddings=with_value(DOCUMENTS, np.nan)), "row 3"),
    case("embeddings zero", lambda: call(embeddings=with_zero_row(DOCUMENTS)), "row 3"),
    case("embeddings 1-D", lambda: call(embeddings=DOCUMENTS[0]), "embeddings", "(4,)"),
    case(
        "nontrain NaN",
        lambda: call(nontrain_embeddings=with_value(DOCUMENTS, np.nan)),
        "nontrain_embeddings",
        "row 3",
    ),
    case(
        "nontrain of another model",
        lambda: call(nontrain_embeddings=DOCUMENTS[:, :2]),
        "nontrain_embeddings",
        "2",
    ),
    case(
        "training query NaN",
        lambda: call(train_set=train_set(q_embs=with_value(QUERIES, np.nan))),
        "train_set",
        "row 3",
    ),
    case(
        "training query zero",
        lambda: call(train_set=train_set(q_embs=with_zero_row(QUERIES))),
        "train_set",
        "row 3",
    ),
    case(
        "training query zero, fixed step",
        lambda: call(train_set=train_set(q_embs=with_zero_row(QUERIES)), gamma=0.1),
        "train_set",
        "row 3",
    ),
    case(
        "validation query of another model",
        lambda: call(val_set=train_set(q_embs=QUERIES[:, :3])),
        "val_set",
        "3",
    ),
    case(
        "empty train_set",
        lambda: call(train_set={"q_embs": QUERIES[:0], "q_ans_indx": []}),
        "train_set",
        "empty",
    ),
    case(
        "empty val_set", lambda: call(val_set={"q_embs": QUERIES[:0], "q_ans_indx": []}), "val_set"
    ),
]

JUDGED = [
    case(
        "document out of range",
        lambda: Judgments.from_lists([[0], [], [1, 12]], 12),
        "query 2",
        "document 12",
        "0 to 11",
    ),
    case("document negative", lambda: Judgments.from_lists([[0], [-1]], 12), "query 1", "-1"),
    case(
        "document out of range in train_set",
        lambda: call(train_set=train_set(q_ans_indx=[*ANSWERS[:5], [99]])),
        "train_set",
        "query 5",
        "document 99",
    ),
    case(
        "document out of range in val_set",
        lambda: call(val_set=train_set(q_ans_indx=[*ANSWERS[:5], [99]])),
        "val_set",
        "query 5",
        "document 99",
    ),
    case(
        "a document set apart",
        lambda: call(nontrain_embeddings=DOCUMENTS, train_set=train_set(q_ans_indx=[[12]] * 6)),
        "document 12",
    ),
    case("float", lambda: Judgments.from_lists([[0.0]], 12), "integer", "float64"),
    case("bool", lambda: Judgments.from_lists([[True]], 12), "integer", "bool"),
    case("an id", lambda: Judgments.from_lists([["doc-1"]], 12), "integer", "ids to rows"),
    case("ids", lambda: Judgments.from_lists(["d"], 12), "integer", "ids to rows"),
    case("beyond 64 bits", lambda: Judgments.from_lists([[2**70]], 12), "integer"),
    case("rows, not lists", lambda: Judgments.from_lists([0, 1], 12), "one list a query"),
    case("too few", lambda: call(train_set=train_set(q_ans_indx=ANSWERS[:5])), "6", "5"),
    case("too few in val_set", lambda: call(val_set=train_set(q_ans_indx=ANSWERS[:5])), "val_set"),
    case("too few for fit", lambda: fit(queries=QUERIES[:5]), "training", "6", "5"),
    case(
        "too few for validation",
        lambda: fit(validation=(QUERIES[:5], JUDGMENTS)),
        "validation",
        "6",
        "5",
    ),
    case("of another corpus", lambda: fit(corpus=DOCUMENTS[:10]), "12 documents", "10"),
    case(
        "of another corpus, larger",
        lambda: fit(corpus=np.concatenate([DOCUMENTS, DOCUMENTS])),
        "12 documents",
        "24",
    ),
    case("as lists", lambda: fit(judgments=ANSWERS), "Judgments.from_lists"),
    case("more grades", lambda: Judgments.from_lists([[1]], 12, [[1, 2]]), "one for each"),
    case(
        "grades elsewhere", lambda: Judgments.from_lists([[1], []], 12, [[], [1]]), "one for each"
    ),
    case("one grade a query", lambda: Judgments.from_lists([[1]], 12, [1]), "one list a query"),
    case("grade NaN", lambda: Judgments.from_lists([[0], [1]], 12, [[1], [np.nan]]), "query 1"),
    case("grade 0", lambda: Judgments.from_lists([[5]], 12, [[0]]), "document 5", "leave out"),
    case("grade below 0", lambda: Judgments.from_lists([[5]], 12, [[-1]]), "document 5", "-1"),
    case("no q_embs", lambda: call(train_set={"q_ans_indx": ANSWERS}), "train_set", "'q_embs'"),
    case("no q_ans_indx", lambda: call(val_set={"q_embs": QUERIES}), "val_set", "'q_ans_indx'"),
    case("no train_set", lambda: call(train_set=None), "train_set", "dict"),
]

ARGUMENTS = [
    *(
        case(f"{name} of {value!r}", lambda run=run, value=value: run(gamma=value), "gamma")
        for name, run in (("fit", fit), ("finetune_embeddings", call))
        for value in (-0.1, np.nan, 2.5, np.inf, "0.3", "far", True, [], [[0.1]], [0.1, "x"])
    ),
    *(
        case(f"NUDGE-M's {value!r}", lambda value=value: call("m", gamma=value), "gamma")
        for value in (-0.1, np.nan, np.inf, "0.3", [0.1, np.inf])
    ),
    case("a list with a step too large", lambda: call(gamma=[0.1, 3.0]), "gamma", "3"),
    case("a list for fit", lambda: fit(gamma=[0.1, 0.2]), "gamma"),
    case("steps empty", lambda: NudgeN("cpu", steps=[]), "steps"),
    case("steps too large", lambda: NudgeN("cpu", steps=[0, 3]), "steps", "3"),
    case("steps of words", lambda: NudgeN("cpu", steps="ab"), "steps"),
    case("folds 1", lambda: fit(folds=1), "folds", "1"),
    case("folds a fraction", lambda: fit(folds=2.5), "folds", "2.5"),
    case("folds a word", lambda: fit(folds="five"), "folds", "'five'"),
    case("seed negative", lambda: NudgeN("cpu", seed=-1), "seed", "-1"),
    case("seed a word", lambda: NudgeN("cpu", seed="a"), "seed", "'a'"),
    case("metric unknown", lambda: fit(metric="bleu@10"), "bleu@10", "ndcg@k"),
    case("metric without k", lambda: fit(metric="ndcg"), "'ndcg'", "ndcg@k"),
    case("method unknown", lambda: get_method("nudge-z"), "nudge-z", "'n'", "'m'"),
    case("method missing", lambda: get_method(None), "None"),
    case("device unknown", lambda: NudgeN("abacus"), "abacus"),
    case("selection unknown", lambda: fit(selection="hold-out"), "hold-out", "holdout"),
    case("similarity unknown", lambda: fit(similarity="l2"), "l2", "cosine", "dot"),
    case("similarity unknown for NUDGE-M", lambda: fit(method="m", similarity="l2"), "l2"),
    case("holdout of nothing", lambda: fit(selection="holdout"), "validation", "gamma"),
    case("groups too few", lambda: fit(groups=np.zeros(5, int)), "groups", "(6,)", "(5,)"),
    case("groups fractions", lambda: fit(groups=np.arange(6) / 2), "groups", "float64"),
    case(
        "groups without validation",
        lambda: fit(groups=np.arange(6), validation=(QUERIES, JUDGMENTS)),
        "groups",
        "(12,)",
    ),
    case("val_k 0", lambda: call(val_k=0), "val_k", "0"),
    case("val_k a fraction", lambda: call(val_k=1.5), "val_k", "1.5"),
    case("val_k a word", lambda: call(val_k="1"), "val_k", "'1'"),
    case("val_batch_size 0", lambda: call(val_batch_size=0), "val_batch_size", "0"),
]


@pytest.mark.parametrize(("run", "says"), [*VECTORS, *JUDGED, *ARGUMENTS])
def test_bad_input_is_one_error_that_names_it(
    run: Callable[[], Any], says: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        run()
    assert [part for part in says if part not in str(caught.value)] == [], str(caught.value)


def test_nudge_m_is_refused_under_cosine() -> None:
    with pytest.raises(MetricMismatchError, match=r"metric='dot', or NUDGE-N"):
        fit(method="m", similarity="cosine")


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
