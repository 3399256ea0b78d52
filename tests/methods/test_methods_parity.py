"""`finetune_embeddings` is a drop-in for nudge-ft 0.1.2: same arguments, same vectors."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path
from typing import Any

import methods_data
import numpy as np
import pytest
import pytrec_eval
from methods_data import DataSet
from methods_oracle import (
    Array,
    Questions,
    metric_values,
    random_documents,
    random_questions,
    top_grades,
)
from nudge import NUDGEM, NUDGEN

from nudge_integrations.methods import NudgeM, NudgeN

DATA_SETS = [
    "nfcorpus",
    "scifact",
    "covidqa_passages",
    "datatalks_faq_llm2human",
    "cosqa_devtest",
]
WITH_UNUSED_DOCUMENTS = ["scifact", "covidqa_passages", "cosqa_devtest"]
METHODS = pytest.mark.parametrize(
    ("theirs", "ours"), [(NUDGEN, NudgeN), (NUDGEM, NudgeM)], ids=["nudge-n", "nudge-m"]
)


@pytest.fixture(params=DATA_SETS)
def data(request: pytest.FixtureRequest, data_dir: Path) -> DataSet:
    return methods_data.load(data_dir, request.param)


def nudge_ft(method: Any, *arguments: Any, **options: Any) -> Array:
    """nudge-ft's own result; what it prints goes nowhere."""
    with contextlib.redirect_stdout(io.StringIO()):
        return np.asarray(method("cpu").finetune_embeddings(*arguments, **options))


def largest_difference(first: Array, second: Array) -> float:
    assert first.shape == second.shape
    assert first.dtype == second.dtype == np.float32
    return float(np.abs(first - second).max())


@METHODS
def test_default_arguments(data: DataSet, theirs: Any, ours: Any) -> None:
    arguments = data.documents, data.train.as_set(), data.validation.as_set()
    expected = nudge_ft(theirs, *arguments)
    assert largest_difference(ours("cpu").finetune_embeddings(*arguments), expected) < 1e-5


def test_nudge_n_chosen_by_hits_in_the_top_ten(data: DataSet) -> None:
    arguments = data.documents, data.train.as_set(), data.validation.as_set()
    expected = nudge_ft(NUDGEN, *arguments, val_k=10)
    tuned = NudgeN("cpu").finetune_embeddings(*arguments, val_k=10)
    assert largest_difference(tuned, expected) < 1e-5


@METHODS
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_a_fixed_step(data: DataSet, theirs: Any, ours: Any, gamma: float) -> None:
    arguments = data.documents, data.train.as_set(), data.validation.as_set()
    expected = nudge_ft(theirs, *arguments, gamma=gamma)
    tuned = ours("cpu").finetune_embeddings(*arguments, gamma=gamma)
    assert largest_difference(tuned, expected) < 1e-5


@METHODS
@pytest.mark.parametrize("name", WITH_UNUSED_DOCUMENTS)
def test_documents_without_questions_split_off(
    data_dir: Path, name: str, theirs: Any, ours: Any
) -> None:
    used, others = methods_data.load(data_dir, name).split_by_use()
    assert len(others) > 500
    arguments = used.documents, used.train.as_set(), used.validation.as_set(), others
    expected = nudge_ft(theirs, *arguments)
    tuned = ours("cpu").finetune_embeddings(*arguments)
    assert largest_difference(tuned, expected) < 1e-5


def test_splitting_documents_off_changes_nothing(data_dir: Path) -> None:
    whole = methods_data.load(data_dir, "covidqa_passages")
    used, others = whole.split_by_use()
    tuned = NudgeN("cpu").finetune_embeddings(
        whole.documents, whole.train.as_set(), whole.validation.as_set()
    )
    apart = NudgeN("cpu").finetune_embeddings(
        used.documents, used.train.as_set(), used.validation.as_set(), others
    )
    rows = [whole.document_ids.index(each) for each in used.document_ids]
    assert largest_difference(tuned[rows], apart) < 1e-6


@METHODS
@pytest.mark.parametrize("seed", range(25))
def test_small_random_problems(theirs: Any, ours: Any, seed: int) -> None:
    # Without duplicates: which of two equal documents nudge-ft takes for the first is not defined.
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 60)), int(rng.integers(3, 12))
    documents = random_documents(rng, *size, twice=0.0)
    documents *= rng.uniform(0.5, 2, (len(documents), 1)).astype(np.float32)
    train, validation = (
        random_questions(rng, int(rng.integers(4, 30)), documents, at_least=1) for _ in range(2)
    )
    listed_twice = train.as_set()
    listed_twice["q_ans_indx"][0] *= 2
    arguments = documents, listed_twice, validation.as_set()
    expected = nudge_ft(theirs, *arguments)
    assert largest_difference(ours("cpu").finetune_embeddings(*arguments), expected) < 1e-5


@pytest.mark.parametrize("place", range(1, 25))
def test_each_of_nudge_fts_steps_can_be_chosen(place: int) -> None:
    """Steps are 0, 0.02, ... 0.48; the rival is beaten half a step before `0.02 * place`."""
    gamma = 0.02 * place
    needed = math.radians(80) - math.acos(1 - (gamma - 0.01) / 2)
    rival = [0, math.cos(needed), math.sin(needed)]
    documents = np.array([[math.sin(math.radians(80)), math.cos(math.radians(80)), 0], rival], "f4")
    question = {"q_embs": np.array([[0, 1, 0]], np.float32), "q_ans_indx": [[0]]}
    tuned = NudgeN("cpu").finetune_embeddings(documents, question, question)
    assert ((tuned[0] - documents[0]) ** 2).sum() == pytest.approx(gamma, abs=1e-6)
    expected = nudge_ft(NUDGEN, documents, question, question)
    assert largest_difference(tuned, expected) < 1e-5


def ndcg_as_trec_eval(data: DataSet, vectors: Array) -> float:
    """Mean NDCG@10 on the test queries by trec_eval itself."""
    scores = data.test.vectors.astype(np.float64) @ vectors.astype(np.float64).T
    names = np.array(data.document_ids)
    run, qrels = {}, {}
    for query, row, answers in zip(data.test_ids, scores, data.test.answers, strict=True):
        near = np.argsort(-row)[:50]
        run[query] = dict(zip(names[near].tolist(), row[near].tolist(), strict=True))
        qrels[query] = {data.document_ids[doc]: int(grade) for doc, grade in answers.items()}
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    return float(np.mean([each["ndcg_cut_10"] for each in found.values()]))


def ndcg_with_ties(test: Questions, vectors: Array, favour: float) -> float:
    """Mean NDCG@10 with ties all won (`favour` above 0) or all lost by relevant documents."""
    scores = test.vectors.astype(np.float64) @ vectors.astype(np.float64).T
    ranked = top_grades(scores, test.answers, 10, favour)
    return float(metric_values("ndcg@10", ranked, test.answers).mean())


def test_ndcg_on_nfcorpus_before_and_after(data_dir: Path) -> None:
    data = methods_data.load(data_dir, "nfcorpus")
    tuned = NudgeN("cpu").finetune_embeddings(
        data.documents, data.train.as_set(), data.validation.as_set()
    )
    assert ndcg_as_trec_eval(data, data.documents) == pytest.approx(0.3159, abs=5e-4)
    assert ndcg_as_trec_eval(data, tuned) == pytest.approx(0.3508, abs=5e-4)


def test_the_forty_duplicates_of_nfcorpus_make_the_untuned_figure_a_range(data_dir: Path) -> None:
    """trec_eval breaks ties by descending document id: .3159; other orders give up to .3167."""
    data = methods_data.load(data_dir, "nfcorpus")
    assert len(data.documents) - len(np.unique(data.documents, axis=0)) == 40
    assert ndcg_with_ties(data.test, data.documents, -1e-9) == pytest.approx(0.31589, abs=1e-5)
    assert ndcg_with_ties(data.test, data.documents, 1e-9) == pytest.approx(0.31672, abs=1e-5)
    once = np.sort(np.unique(data.documents, axis=0, return_index=True)[1])
    place = np.full(len(data.documents), -1)
    place[once] = np.arange(len(once))
    answers = [{int(place[d]): g for d, g in a.items() if place[d] >= 0} for a in data.test.answers]
    alone = Questions(data.test.vectors, answers)
    lost, won = (ndcg_with_ties(alone, data.documents[once], sign * 1e-9) for sign in (-1, 1))
    assert won == pytest.approx(lost, abs=1e-12)  # no duplicates, no range
