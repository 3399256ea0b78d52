"""What each filter takes away, against slow and plain re-statements of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from chat_models import langchain_model
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings
from openai_server import Ask, OpenAIServer

from nudge_integrations import Embedder, QuestionFilters, RelevanceDataset, generate_questions
from nudge_integrations.errors import DataError
from nudge_integrations.questions import filters, generating, near_duplicates, train_and_test
from nudge_integrations.questions.filters import Candidate, Space, as_dataset, filtered, merged
from nudge_integrations.questions.generating import GeneratedQuestions
from nudge_integrations.relevance import leaks, text_key

SEEDS = st.integers(0, 2**32 - 1)
LEAST = st.sampled_from([0.5, 0.8, 0.9, 0.99])


def some(count: int) -> list[Candidate]:
    return [Candidate(f"question {place}?", (f"d{place}",)) for place in range(count)]


def vectors_of(seed: int, count: int, width: int = 3) -> np.ndarray:
    # Few dimensions, and steps, so that near ones and ties happen.
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (count, width)) + 0.01 * rng.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 40), LEAST)
def test_no_two_that_stay_are_alike_and_no_answer_is_lost(
    seed: int, count: int, least: float
) -> None:
    candidates, vectors = some(count), vectors_of(seed, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_BLOCK", 7)
        kept = filters.without_near_duplicates(candidates, vectors, least)

    # One after the other: what is like one that stays joins the first such.
    stays: list[int] = []
    answers: dict[int, set[str]] = {}
    for row in range(count):
        like = [other for other in stays if vectors[row] @ vectors[other] >= least]
        home = like[0] if like else row
        if not like:
            stays.append(row)
        answers.setdefault(home, set()).add(f"d{row}")
    assert [each.text for each in kept] == [candidates[row].text for row in stays]
    assert [set(each.documents) for each in kept] == [answers[row] for row in stays]


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 30), LEAST)
def test_groups_of_alike_are_connected_components(seed: int, count: int, least: float) -> None:
    import networkx

    vectors = vectors_of(seed, count)
    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(zip(*np.nonzero(vectors @ vectors.T >= least), strict=True))
    expected = {
        frozenset(map(str, group))
        for group in networkx.connected_components(graph)
        if len(group) > 1
    }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generating, "_BLOCK", 5)
        found = generating.alike([str(row) for row in range(count)], vectors, least)

    assert set(map(frozenset, found)) == expected


def test_round_trip_and_other_answers() -> None:
    two = [Candidate("one", ("a",)), Candidate("two", ("a",))]
    where = {"one": [0.9, 0.4, 0.1], "two": [0.3, 0.9, 0.2]}

    def space(judge: Any = None) -> Space:
        def of(some: Any) -> np.ndarray:
            return np.array([where[each.text] for each in some], np.float32)

        return Space(["a", "b", "c"], lambda: np.eye(3, dtype=np.float32), of, judge)

    assert filters.found_again(two, space(), 1) == two[:1]
    assert filters.found_again(two, space(), 2) == two
    for said, kept in ((["a"], two), ([], two[:1])):
        shown: list[Any] = []

        def asked_whether(questions: Any, said: Any = said, shown: Any = shown) -> list[list[str]]:
            shown.extend(questions)
            return [said]

        assert filters.found_again(two, space(asked_whether), 1) == kept
        assert shown == [("two", ["a"])]
    assert filters.with_all_answers(two, space()) == two[:1]

    asked = []

    def judge(questions: Any) -> list[list[str]]:
        asked.extend(questions)
        return [["a", "b"]]

    kept = filters.with_all_answers(two, space(judge), k=2)
    assert asked == [("two", ["a", "b"])]
    assert kept == [two[0], Candidate("two", ("a", "b"))]
    assert filters.with_all_answers(two, space(lambda _: [["b"]]), k=2) == two[:1]


def test_balance_and_merging() -> None:
    many = [Candidate(f"q{place}", ("a" if place < 3 else "b",)) for place in range(5)]
    assert [each.text for each in filters.balanced(many, 2)] == ["q0", "q1", "q3", "q4"]
    twice = [Candidate("Undo  it", ("a",)), Candidate("undo it", ("b",))]
    assert merged(twice) == [Candidate("Undo  it", ("a", "b"))]


def test_the_report_counts_and_shows_what_was_dropped() -> None:
    given_ = [
        Candidate("same", ("a",)),
        Candidate("Same", ("b",)),
        Candidate("far away", ("a",)),
    ]
    where = {"same": [1, 0], "far away": [0, 1]}
    space = Space(
        ["a", "b"],
        lambda: np.array([[1, 0], [0, 1]], np.float32),
        lambda those: np.array([where[each.text] for each in those], np.float32),
    )

    chosen = QuestionFilters(round_trip=1)
    found = filtered(given_, chosen, space)

    assert [each.text for each in found.kept] == ["same"]
    counts = {each.name: (each.count, each.examples) for each in found.dropped}
    assert counts["same text"] == (1, ("Same",))
    assert counts["does not find its document"] == (1, ("far away",))


@pytest.mark.parametrize(
    "wrong",
    [{"near_duplicates": 1.5}, {"round_trip": -1}, {"per_document": 0}],
)
def test_filters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        QuestionFilters(**wrong)


class Letters(Embeddings):
    """Counts letters: near-duplicates are near."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows = np.zeros((len(texts), 64), np.float32)
        for row, text in enumerate(texts):
            for letter in text.casefold():
                rows[row, ord(letter) % 64] += 1
        return rows.tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def embedder() -> Embedder:
    return Embedder(Letters(), cache=False, show_progress=False)


def test_a_judge_adds_the_answers_that_other_documents_are() -> None:
    documents = {"a": "aaab", "b": "aabb", "c": "cccc"}

    def script(ask: Ask) -> str:
        if "numbered passages" in ask.system:
            shown = [line for line in ask.user.splitlines() if set(line) <= set("abc") and line]
            return json.dumps({"answers": [1 + n for n, text in enumerate(shown) if "b" in text]})
        asked = {"aaab": "abb?", "aabb": "bbb?", "cccc": "aab?"}[ask.document]
        return json.dumps({"questions": [asked]})

    with OpenAIServer(script) as server:
        llm = langchain_model(server.url)
        found = generate_questions(
            documents,
            llm,
            judge=llm,
            questions_per_document=1,
            embed_model=embedder(),
            filters=QuestionFilters(other_answers=True, near_duplicates=None, round_trip=None),
            show_progress=False,
        )

    by_text = {text: found.dataset.answers(name) for name, text in found.dataset.queries.items()}
    assert by_text == {"abb?": ("a", "b"), "bbb?": ("b",)}
    assert found.report.usage.asked == 5
    assert "1 dropped: another document is nearer" in str(found)


@settings(max_examples=40)
@given(SEEDS)
def test_no_split_shares_a_question_or_a_near_duplicate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = ["undo", "Undo", "reset", "ｒeset", "pass  word", "password", "login", "tax"]
    texts = {" ".join(rng.choice(words, rng.integers(1, 4))) for _ in range(60)}
    candidates = [Candidate(text, (f"d{rng.integers(9)}",)) for text in sorted(texts)]
    model = embedder()
    keys = {text_key(each.text) for each in candidates}
    if len(keys) < 3:
        return

    # By the filter, and by groups that a split keeps together.
    everything = merged(candidates)
    vectors = model.embed_queries([each.text for each in everything])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = as_dataset(filters.without_near_duplicates(everything, vectors, 0.97), {})
    whole = as_dataset(everything, {})
    groups = near_duplicates(whole, model, 0.97)
    for data, together in ((kept, []), (whole, groups)):
        try:
            train, test = data.split((0.7, 0.3), seed=seed % 7, together=together)
        except DataError as error:
            assert "too few" in str(error) or "needed" in str(error)  # noqa: PT017
            continue
        assert not leaks(train, test)
        assert len(train) + len(test) == len(data)
        one, two = (
            model.embed_queries(list(part.queries.values())).astype(np.float64)
            for part in (train, test)
        )
        cosines = (one @ two.T) / np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1))
        assert cosines.max() < 0.97 + 1e-6


def test_few_questions_are_all_trained_on() -> None:
    def generated(count: int) -> GeneratedQuestions:
        return GeneratedQuestions(as_dataset(some(count), {}), None)  # type: ignore[arg-type]

    train, test = train_and_test(generated(9), 0.2, 0)
    assert (len(train), test) == (9, None)
    train, test = train_and_test(generated(50), 0.2, 0)
    assert isinstance(test, RelevanceDataset)
    assert (len(train), len(test)) == (40, 10)
    assert train_and_test(generated(50), 0.0, 0)[1] is None
    with pytest.raises(DataError, match="test_share=1"):
        train_and_test(generated(50), 1.0, 0)


def test_documents_are_embedded_only_for_filters_that_look_at_them() -> None:
    def embedded(filters_: QuestionFilters) -> list[str]:
        seen: list[str] = []

        class Watched(Letters):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                seen.extend(texts)
                return super().embed_documents(texts)

            def embed_query(self, text: str) -> list[float]:
                return Letters().embed_query(text)

        generate_questions(
            {"a": "aaab", "b": "bbba"},
            lambda prompt: "1. aab?" if "aaab" in prompt else "1. bba?",
            embed_model=Embedder(Watched(), cache=False, show_progress=False),
            filters=filters_,
            show_progress=False,
        )
        return seen

    assert embedded(QuestionFilters()) == []
    both = QuestionFilters(round_trip=2, other_answers=True)
    assert sorted(embedded(both)) == ["aaab", "bbba"]  # each once


def test_the_filter_that_dropped_most_is_named_when_no_question_is_left() -> None:
    with pytest.raises(DataError, match="'does not find its document' dropped 1"):
        generate_questions(
            {"a": "x", "b": "zzzz"},
            lambda prompt: "" if "zzzz" in prompt else json.dumps(["zz?"]),
            filters=QuestionFilters(round_trip=1),
            embed_model=embedder(),
            show_progress=False,
        )
