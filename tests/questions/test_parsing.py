"""Answers of every form that models give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.questions.parsing import read_numbers, read_questions

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
    assert read_questions('{"questions": ["a  b\\nc?"]}', 3) == ["a b c?"]


AS_THEY_ARE = {
    "number first": ('["3.5 mm jack is loose"]', ["3.5 mm jack is loose"]),
    "time first": ('["10:30 train to Hamm"]', ["10:30 train to Hamm"]),
    "number in a list": (
        "1. 3.5 mm jack is loose\n2. 10:30 train",
        ["3.5 mm jack is loose", "10:30 train"],
    ),
    "capital keys": (
        '[{"Question": "How A?", "Answer": "so"}, {"QUESTION": "How B?", "answer": "no"}]',
        ["How A?", "How B?"],
    ),
    "numbered keys": ('{"question1": "How A?", "Question 2": "How B?"}', ["How A?", "How B?"]),
    "other fields": (
        '{"document_id": "doc seven", "kind": "keywords", "questions": ["the real one"]}',
        ["the real one"],
    ),
    "other fields, cut off": (
        '{"document_id": "doc x", "questions": ["one two", "and',
        ["one two"],
    ),
    "a support question": (
        '["I cannot create an account here"]',
        ["I cannot create an account here"],
    ),
    "a support question in a list": (
        "- I cannot create an account",
        ["I cannot create an account"],
    ),
    "JSON lines": ('{"question": "a b c"}\n{"question": "d e f"}', ["a b c", "d e f"]),
    "a list of Python": ("['How do I?', 'password lost']", ["How do I?", "password lost"]),
    "LaTeX": (
        r'{"questions": ["what is \alpha", "\beta decay"]}',
        [r"what is \alpha", r"\beta decay"],
    ),
    "a Windows path": (r'["where is C:\Users"]', [r"where is C:\Users"]),
    "a path escaped": (r'["where is C:\\Users"]', [r"where is C:\Users"]),
    "Chinese": ("1、如何退款\n2、发票在哪", ["如何退款", "发票在哪"]),
    "Chinese labels": ("问题1：如何退款\n问题2：发票", ["如何退款", "发票"]),
    "two characters": ('["退款", "no"]', ["退款"]),
    "Russian": ("Вопрос 1: как вернуть", ["как вернуть"]),
    "letters": ("a) how one\nb) how two", ["how one", "how two"]),
    "bold labels": ("**Question 1:** How one?", ["How one?"]),
    "citations": ("See [1].\n1. How one?\n2. How two?", ["How one?", "How two?"]),
    "answers beside": ('{"qa": [{"question": "How?!", "answers": ["so so"]}]}', ["How?!"]),
    "thought without an opening": ("1. What? </think> 1. How?!", ["How?!"]),
    "two thoughts": ("<think>1. a?</think>so<think>2. b?</think>\n1. How?!", ["How?!"]),
    "reasoning": ("<reasoning>1. What?</reasoning>\n- the real one", ["the real one"]),
    "thought alone": ("<think>1. What? 2. Who?", []),
    "channels": (
        "<|channel|>analysis<|message|>1. What?<|end|><|start|>assistant<|channel|>final"
        '<|message|>["the real one"]<|return|>',
        ["the real one"],
    ),
    "channels, cut off": ("<|channel|>analysis<|message|>1. What?", []),
    "channels without their marks": (
        'analysisWhat? 1. no?assistantfinal["the real one"]',
        ["the real one"],
    ),
    "the final channel with a constraint": (
        '<|channel|>final <|constrain|>json<|message|>{"questions": ["the real one"]}',
        ["the real one"],
    ),
    "thoughts in brackets": ("[THINK]1. What?[/THINK]\n1. How?!", ["How?!"]),
    "thoughts of other marks": ("◁think▷1. What?◁/think▷1. How?!", ["How?!"]),
    "a tuple of Python": ("('How do I?', 'password lost')", ["How do I?", "password lost"]),
    "strings alone": ('"How do I?", "password lost"', ["How do I?", "password lost"]),
    "no comma": ('{"questions": ["How one?"\n"How two?"]}', ["How one?", "How two?"]),
    "line feed in a string": ('{"questions": ["a line\nbreak?"]}', ["a line break?"]),
    "quotation marks inside": ('["How "far" is it?", "two"]', ['How "far" is it?', "two"]),
    "objects, cut off": (
        '[{"Question": "How A?", "Answer": "so"}, {"Question": "How B?", "Answer": "cut o',
        ["How A?", "How B?"],
    ),
    "cut off, introduced": (
        'Here they are:\n{"questions": ["How one?", "two words", "and th',
        ["How one?", "two words"],
    ),
    "a list in a string": ('{"questions": "1. How A?\\n2. How B?"}', ["How A?", "How B?"]),
    "questions by number": ('{"1": "How A?", "2": "How B?"}', ["How A?", "How B?"]),
    "question, answer": ('{"q1": "How A?", "a1": "so", "q2": "How B?"}', ["How A?", "How B?"]),
    "tags": ("<question>How A?</question>\n<question>two</question>", ["How A?", "two"]),
    "items of HTML": ("<ol><li>How A?</li><li>two words</li></ol>", ["How A?", "two words"]),
    "letters with a full stop": ("a. How one?\nb. two words", ["How one?", "two words"]),
    "Roman numbers": ("i. How one?\nii. two words", ["How one?", "two words"]),
    "numbers in circles": ("① 如何退款\n② 发票在哪", ["如何退款", "发票在哪"]),
    "Chinese numbers": ("一、如何退款？\n二、发票", ["如何退款？", "发票"]),
    "wide numbers": ("１．如何退款\n２．发票", ["如何退款", "发票"]),
    "Arabic": ("السؤال 1: كيف؟", ["كيف؟"]),
    "German": ("Frage 1: Wie geht das?\nFrage 2: wo", ["Wie geht das?"]),
    "labels of two words": ("1) **Keyword search:** lost card", ["lost card"]),
    "answers in prose": ("Q: How A?\nA: So.\nQ: How B?\nA: Or so?", ["How A?", "How B?"]),
    "escape and bidi": (r'["a\u001b[31m red", "b\u202e c", "\ud800 lone", "n\u0000ul"]', None),
}


@pytest.mark.parametrize(("answer", "found"), AS_THEY_ARE.values(), ids=AS_THEY_ARE.keys())
def test_what_real_models_write(answer: str, found: list[str] | None) -> None:
    if found is None:
        found = ["a [31m red", "b c", "? lone", "n ul"]
    assert read_questions(answer, 4) == found


UNITS = [
    *("<think>", "</think", "`", "{", "[", '"', "\\", '{"a":', "1. ", "- ", "<|channel|>final"),
    *('["a', "**", "analysis", "('", "i'm sorry ", " ", "assistant", "<|channel|>"),
]


@pytest.mark.parametrize("unit", UNITS)
def test_long_nonsense_is_read_in_linear_time(unit: str) -> None:
    # 200 KB of some of these once took 25 seconds in a regular expression; with 2 MB of each, this
    # test would not end if anything were quadratic.
    assert read_questions(unit * (2_000_000 // len(unit)), 3) == []


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
