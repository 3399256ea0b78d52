"""What holds for every dataset: splits, folds, and the way through a file and back."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset, check_leaks, text_key
from nudge_integrations.relevance.splits import By

FRACTIONS = st.sampled_from([(0.7, 0.1, 0.2), (0.5, 0.5), (0.1, 0.9), (0.25, 0.25, 0.25, 0.25)])
SEEDS = st.integers(0, 2**64)
BYS = st.sampled_from(["query", "document"])

# Few texts and few documents, so that texts come twice and answers are shared.
FEW_TEXTS = st.one_of(
    st.sampled_from(["What?", "what?", " WHAT? ", "Why?", "Straße", "STRASSE"]),
    st.integers(0, 30).map("Question {}?".format),
)
ANY_TEXT = st.text(min_size=1).filter(str.strip)
SHORT_IDS = st.text("abc1\u00e9", min_size=1, max_size=3)
TSV_IDS = st.text(st.characters(exclude_characters="\t\n\r"), min_size=1).filter(str.strip)


@st.composite
def datasets(
    draw: st.DrawFn,
    ids: st.SearchStrategy[str] = SHORT_IDS,
    texts: st.SearchStrategy[str] = FEW_TEXTS,
    max_queries: int = 25,
    all_judged: bool = False,
) -> RelevanceDataset:
    """Datasets of all sorts, judgments of grade 0 and documents of the same text included."""
    queries = draw(st.dictionaries(ids, texts, min_size=1, max_size=max_queries))
    corpus = draw(st.dictionaries(ids, texts, min_size=1, max_size=12))
    judged = st.dictionaries(
        st.sampled_from(sorted(corpus)), st.integers(0, 3), min_size=all_judged, max_size=3
    )
    qrels = {name: draw(judged) for name in queries}
    assume(any(grade for grades in qrels.values() for grade in grades.values()))
    return RelevanceDataset(queries, corpus, qrels)


def shuffled(draw: Any, mapping: Any) -> dict[str, Any]:
    return {name: mapping[name] for name in draw(st.permutations(list(mapping)))}


@st.composite
def splittable(draw: st.DrawFn) -> RelevanceDataset:
    """Datasets of all sorts with five more queries, which share nothing: enough to cut."""
    more = {f"x{number}": [f"y{number}"] for number in range(5)}
    extra = RelevanceDataset(
        {name: f"Unlike any other: {name}?" for name in more},
        {name: f"Answers only {name}." for (name,) in more.values()},
        more,
    )
    return draw(datasets()).merge(extra)


@given(splittable(), FRACTIONS, SEEDS, BYS)
def test_every_query_lands_in_exactly_one_split_with_its_judgments(
    data: RelevanceDataset, fractions: tuple[float, ...], seed: int, by: By
) -> None:
    parts = data.split(fractions, seed, by)
    assert len(parts) == len(fractions)
    assert sorted(name for part in parts for name in part.queries) == sorted(data.queries)
    for part in parts:
        assert part.judged_queries
        assert part.corpus == data.corpus
        for name, text in part.queries.items():
            assert data.queries[name] == text
            assert part.qrels.get(name) == data.qrels.get(name)


@given(splittable(), FRACTIONS, SEEDS, BYS)
def test_no_two_splits_share_a_question(
    data: RelevanceDataset, fractions: tuple[float, ...], seed: int, by: By
) -> None:
    parts = data.split(fractions, seed, by)
    for first, second in combinations(parts, 2):
        keys = {text_key(text) for text in first.queries.values()}
        assert keys.isdisjoint(text_key(text) for text in second.queries.values())
    check_leaks(**{f"part{number}": part for number, part in enumerate(parts)})


@given(splittable(), st.booleans(), FRACTIONS, SEEDS)
def test_by_document_no_two_splits_share_an_answer(
    data: RelevanceDataset, with_corpus: bool, fractions: tuple[float, ...], seed: int
) -> None:
    if not with_corpus:
        data = data.with_corpus({})
    parts = data.split(fractions, seed, "document")
    answers = [{name for query in part.queries for name in part.answers(query)} for part in parts]
    for first, second in combinations(answers, 2):
        assert first.isdisjoint(second)
        if with_corpus:
            texts = {text_key(data.corpus[name]) for name in first}
            assert texts.isdisjoint(text_key(data.corpus[name]) for name in second)


@given(st.data(), splittable(), FRACTIONS, SEEDS, BYS)
def test_a_split_does_not_depend_on_the_order_of_anything(
    draws: st.DataObject, data: RelevanceDataset, fractions: tuple[float, ...], seed: int, by: By
) -> None:
    qrels = {name: shuffled(draws.draw, judged) for name, judged in data.qrels.items()}
    reordered = RelevanceDataset(
        shuffled(draws.draw, data.queries),
        shuffled(draws.draw, data.corpus),
        shuffled(draws.draw, qrels),
    )
    parts = data.split(fractions, seed, by)
    again = reordered.split(fractions, seed, by)
    assert parts == again
    assert [list(part.queries) for part in parts] == [list(part.queries) for part in again]


@given(st.integers(20, 200), st.integers(1, 3), SEEDS, FRACTIONS)
def test_splits_of_different_questions_have_the_sizes_asked_for(
    number: int, answers: int, seed: int, fractions: tuple[float, ...]
) -> None:
    queries = {f"q{n}": f"Question {n}?" for n in range(number)}
    qrels = {name: [f"d{n}" for n in range(answers)] for name in queries}
    parts = RelevanceDataset(queries, {}, qrels).split(fractions, seed)
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - fraction * number) < len(fractions)


@given(splittable(), st.integers(2, 5), SEEDS, BYS)
def test_folds_hold_every_query_out_once_and_train_on_all_others(
    data: RelevanceDataset, k: int, seed: int, by: By
) -> None:
    folds = data.folds(k, seed, by)
    assert len(folds) == k
    assert sorted(name for _, held in folds for name in held.queries) == sorted(data.queries)
    for train, held in folds:
        assert train.queries.keys() | held.queries.keys() == data.queries.keys()
        assert train.queries.keys().isdisjoint(held.queries)
        assert list(train.queries) == sorted(train.queries)
        check_leaks(train=train, held=held)


@given(datasets(), datasets())
def test_without_the_queries_of_another_there_is_no_leak_and_no_other_loss(
    data: RelevanceDataset, other: RelevanceDataset
) -> None:
    keys = {text_key(text) for text in other.queries.values()}
    expected = [name for name, text in data.queries.items() if text_key(text) not in keys]
    if set(expected).isdisjoint(data.judged_queries):
        with pytest.raises(DataError):
            data.without_queries_of(other)
    else:
        cleaned = data.without_queries_of(other)
        assert list(cleaned.queries) == expected
        check_leaks(cleaned=cleaned, other=other)


@given(splittable(), FRACTIONS, SEEDS, BYS)
def test_the_splits_merge_into_the_whole(
    data: RelevanceDataset, fractions: tuple[float, ...], seed: int, by: By
) -> None:
    first, *others = data.split(fractions, seed, by)
    for other in others:
        first = first.merge(other)
    assert first == data


@given(ANY_TEXT)
def test_the_key_of_a_text_ignores_case_and_white_space_and_is_its_own_key(text: str) -> None:
    assert text_key(text_key(text)) == text_key(text)
    assert text_key(f" \n{text}\t") == text_key(text)


QUOTED = 'line\nfeed, "quotes", \\backslash\\, \ttab, \u2028, 日本語, 🙂'


@given(datasets(ids=TSV_IDS, texts=ANY_TEXT, max_queries=5, all_judged=True))
@example(RelevanceDataset({QUOTED[10:18]: QUOTED}, {"d": QUOTED}, {QUOTED[10:18]: {"d": 3}}))
@example(RelevanceDataset({"query-id": " a\n"}, {"corpus-id": "\nb "}, {"query-id": ["corpus-id"]}))
def test_a_dataset_comes_back_from_beir_as_it_was(data: RelevanceDataset) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data.to_beir(folder)
        again = RelevanceDataset.from_beir(folder)
    assert again == data
    assert list(again.queries) == list(data.queries)
    assert list(again.corpus) == list(data.corpus)


@given(datasets(ids=ANY_TEXT, texts=ANY_TEXT, max_queries=5))
@example(RelevanceDataset({QUOTED: QUOTED}, {QUOTED: QUOTED}, {QUOTED: {QUOTED: 1}}))
def test_a_dataset_comes_back_from_llama_index_json_with_all_its_answers(
    data: RelevanceDataset,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.json"
        data.to_llama_index(path)
        again = RelevanceDataset.from_llama_index(path)
    assert again.corpus == data.corpus
    assert again.queries == {name: data.queries[name] for name in data.judged_queries}
    for name in again.queries:
        assert set(again.answers(name)) == set(data.answers(name))
