"""One clear error for each thing that cannot be used, which names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from methods_calls import ANSWERS, DOCUMENTS, JUDGMENTS, QUERIES, call, fit, train_set
from methods_oracle import Array

from nudge_integrations.errors import DataError, MetricMismatchError
from nudge_integrations.methods import Judgments, NudgeN, get_method


def with_value(matrix: Array, value: float) -> Array:
    result = matrix.copy()
    result[3, 1] = value
    return result


def with_zero_row(matrix: Array) -> Array:
    result = matrix.copy()
    result[3] = 0
    return result


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
