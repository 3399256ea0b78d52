"""Answers of every form that models give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.questions.parsing import from_data, read_numbers, read_questions

TWO = ["How do I reset it?", "password lost"]
ANSWERS = {
    "json": '{"questions": ["How do I reset it?", "password lost"]}',
    "list": '["How do I reset it?", "password lost"]',
    "objects": '[{"question": "How do I reset it?"}, {"question": "password lost"}]',
    "kinds": '[{"kind": "x", "text": "How do I reset it?"}, {"text": "password lost"}]',
    "fenced": 'Here you are:\n```json\n{"questions": ["How do I reset it?", "password lost"]}\n```',
    "around": 'Sure! {"questions": ["How do I reset it?", "password lost"]} Anything else?',
    "numbered": "1. How do I reset it?\n2. password lost",
    "parentheses": "1) How do I reset it?\n2) password lost",
    "bullets": "- How do I reset it?\n* password lost",
    "labelled": "Q1: How do I reset it?\nQ2: password lost",
    "bold": "1. **How do I reset it?**\n2. **Keywords:** password lost",
    "quoted": '1. "How do I reset it?"\n2. “password lost”',
    "introduced": "Here are two questions:\n\n1. How do I reset it?\n2. password lost\n",
    "thinking": "<think>1. What? 2. Who?</think>\n1. How do I reset it?\n2. password lost",
    "cut off": '{"questions": ["How do I reset it?", "password lost", "and th',
    "trailing comma": '{"questions": ["How do I reset it?", "password lost",]}',
    "twice": '["How do I reset it?", "How do I reset it?", "password lost"]',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_questions_are_found(answer: str) -> None:
    assert read_questions(answer, 3) == TWO


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   \n",
        "I'm sorry, but I can't help with that.",
        "As an AI language model, I cannot assist with this. 1. Sorry",
        "The document is about passwords.",
        "{}",
        "[]",
        '{"questions": []}',
        '{"questions": null}',
        '{"questions": ["", "  ", "?", "12"]}',
        '["I\'m sorry, I cannot do that"]',
        "[[[[",
    ],
)
def test_no_questions_in(answer: str) -> None:
    assert read_questions(answer, 3) == []


def test_lines_that_ask_are_taken_where_nothing_is_numbered() -> None:
    assert read_questions("Sure.\nHow do I reset it?\nWhere is it?", 3) == [
        "How do I reset it?",
        "Where is it?",
    ]


def test_more_than_asked_for_is_dropped_and_so_is_what_is_too_long() -> None:
    assert read_questions("1. aaa?\n2. bbb?\n3. ccc?", 2) == ["aaa?", "bbb?"]
    assert read_questions(f"1. {'a' * 600}?\n2. bbb?", 2) == ["bbb?"]
    assert from_data({"questions": ["a  b\nc?"]}, 3) == ["a b c?"]


@given(st.text(max_size=200))
def test_whatever_a_model_says_is_read(answer: str) -> None:
    for found in (read_questions(answer, 3), read_questions(f"```{answer}", 3)):
        assert len(found) <= 3
        assert all("\n" not in text and text.strip() == text for text in found)


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ('{"answers": [1, 3]}', [1, 3]),
        ("[2]", [2]),
        ('{"answers": []}', []),
        ("Passages 1 and 2.", [1, 2]),
        ('{"answers": ["1", 9, 0]}', [1]),
        ("none", []),
    ],
)
def test_numbers_of_passages(answer: str, numbers: list[int]) -> None:
    assert read_numbers(answer, 3) == numbers
