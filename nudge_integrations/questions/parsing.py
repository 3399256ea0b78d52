"""Read what a language model answered, in whatever form it chose, in linear time.

Strings of JSON are taken as they are; only lines of prose lose their markers ("1. ", "Q: ").
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.text import safe

_THOUGHT = r"(?:think|thinking|thought|reasoning|reflection|analysis|scratchpad)\s*>"
_OPENED, _CLOSED = re.compile("<" + _THOUGHT, re.I), re.compile("</" + _THOUGHT, re.I)
# The channels of gpt-oss: with its special tokens, and as servers show it that drop them.
_FINAL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>|assistantfinal")

_WORDS = (
    "q|questions?|keywords?|situation|paraphrase|section|query|frage|pregunta|pergunta|domanda|"
    "вопрос|问题|問題|質問|질문|سؤال"
)
# "1. ", "2) ", "(3) ", "4、", "a) ", "- ", "• "; but not the beginning of "3.5 mm" or "10:30".
_ITEM = re.compile(
    r"^\s*(?:[-*•–·▪‣]\s+|[(（【]?\d{1,3}(?:[.:](?!\d)|[)、．）：】])\s*|\(?[a-zA-Z]\)\s+)"
)
_LABEL = re.compile(rf"^\s*\**(?:{_WORDS})\s*\d{{0,3}}\**\s*(?:[:：.)]|-\s)\s*", re.I)
_APOLOGY = (
    r"(?:i(?:['’])?m sorry|i am sorry|i apologi[sz]e)\b.{0,40}\bi (?:can(?:['’])?t|cannot|can not|"
    r"am (?:not able|unable) to) (?:help|assist|comply|fulfil|do|answer|generate|create|provide)\b"
    r"|\bas an ai\b"
)
_REFUSED = re.compile(rf"\s*(?:{_APOLOGY})", re.I)
_REFUSES = re.compile(
    rf"{_APOLOGY}|\bi (?:can(?:['’])?t|cannot|can not|am (?:not able|unable) to) "
    r"(?:help|assist|comply|fulfil|generate|create|provide|do)\b|\bi(?:['’])?m sorry\b",
    re.I,
)
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"(\s*:)?')
# A pair of backslash and what JSON allows after it, or a backslash that stands for itself. Nobody
# means a backspace or a form feed: \beta and \frac are LaTeX.
_ESCAPE = re.compile(r'(\\(?:["\\/nrt]|u[0-9a-fA-F]{4}))|\\')
_MANY = ("questions", "queries")
_ONE = (
    "question",
    "query",
    "keyword",
    "situation",
    "paraphrase",
    "section",
    "q",
    "frage",
    "pergunta",
)
_OTHER_ONE = ("pregunta", "domanda", "вопрос", "问题", "問題", "質問", "질문", "search", "")
_LONGEST = 500
_MOST_TRIES = 20
_LONGEST_LIST = 20_000
_QUOTES = "\"'“”„«»`*"


def read_questions(answer: str, most: int) -> list[str]:
    """The questions in an answer: JSON, JSON lines, a Python list, or a list in prose.

    Args:
        answer: What the model wrote. Its reasoning (`<think>` and the like) is left out.
        most: How many were asked for; more are dropped.

    Returns:
        The questions, each on one line, without control characters; none for a refusal, an empty
        answer, or prose that asks nothing.
    """
    answer = said(answer)
    found = _checked(_texts(list(_values(answer))), most)
    if found:
        return found
    if answer.lstrip("`jsonJSON \n").startswith(("{", "[")):
        return _checked(_loose_strings(answer), most)
    return _checked(_lines(answer), most)


def from_data(data: Any, most: int) -> list[str]:
    """The questions in structured output: texts, or objects with a question, in any nesting."""
    return _checked(_texts(data), most)


def said(answer: str) -> str:
    """An answer without the reasoning before it; nothing where it is reasoning alone."""
    final = None
    for final in _FINAL.finditer(answer):  # noqa: B007
        pass
    if final is not None:
        return answer[final.end() :].partition("<|")[0].strip()
    if answer.lstrip().startswith(("<|channel|>", "<|start|>")):
        return ""
    for closed in _CLOSED.finditer(answer):
        final = closed
    answer = answer if final is None else answer[final.end() :]
    opened = _OPENED.search(answer)
    return (answer if opened is None else answer[: opened.start()]).strip()


def _values(answer: str) -> Iterator[Any]:
    """Every JSON object or array in an answer, one after the other; else a Python list."""
    text = _ESCAPE.sub(lambda found: found.group(1) or "\\\\", answer)
    decoder = json.JSONDecoder()
    place, failures, found = 0, 0, False
    starts = re.compile(r"[{\[]")
    while failures < _MOST_TRIES and (start := starts.search(text, place)):
        try:
            value, place = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):  # noqa: PERF203
            place, failures = start.end(), failures + 1
        else:
            found = True
            yield value
    start = starts.search(answer)
    if not found and start is not None:
        end = max(answer.rfind("]"), answer.rfind("}")) + 1
        if end - start.start() <= _LONGEST_LIST:
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                yield ast.literal_eval(answer[start.start() : end])


def _texts(data: Any) -> Iterator[str]:
    """Questions among decoded JSON. Answers, ids and other fields beside them are none."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list | tuple):
        for each in data:
            yield from _texts(each)
    elif isinstance(data, dict):
        # "Question 1" and "question_2" are questions, too.
        named = {str(key).casefold().strip(" 0123456789_-?:"): each for key, each in data.items()}
        many = [named[key] for key in _MANY if key in named]
        one = [
            each
            for key, each in data.items()
            if _is_question_key(key) and isinstance(each, str | list | dict)
        ]
        if many or one:
            yield from _texts(many or one)
        elif "text" in named:
            yield from _texts(named["text"])
        else:
            for key, each in named.items():
                if isinstance(each, list | dict) and "answer" not in key:
                    yield from _texts(each)


def _is_question_key(key: Any) -> bool:
    name = str(key).casefold().strip(" 0123456789_-?:").rstrip("s")
    return name in _ONE or name in _OTHER_ONE


def _loose_strings(answer: str) -> list[str]:
    """Whole strings of JSON that was cut off or is not quite JSON, but those of other fields."""
    found, key = [], "questions"
    for string, colon in _STRING.findall(answer):
        if colon:
            key = string
        elif key.casefold() in _MANY or _is_question_key(key):
            text = _ESCAPE.sub(lambda match: match.group(1) or "\\\\", string)
            with contextlib.suppress(ValueError):
                found.append(json.loads(f'"{text}"'))
    return found


def _lines(answer: str) -> list[str]:
    """Items of a list; or, where nothing is numbered, lines that ask."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    items = [line for line in lines if _ITEM.match(line) or _LABEL.match(line)]
    if not items:
        if _REFUSES.search(answer[:200]):
            return []
        items = [line for line in lines if line.rstrip(_QUOTES).endswith(("?", "？", "؟"))]
    elif _REFUSES.search(answer[:200].partition(items[0])[0]):
        return []
    # Once each: what follows a marker may begin like one.
    return [_bare(_LABEL.sub("", _bare(_ITEM.sub("", line)))) for line in items]


def _bare(line: str) -> str:
    return line.strip(_QUOTES + " \n")


def _checked(texts: Iterable[str], most: int) -> list[str]:
    found: list[str] = []
    for text in texts:
        line = " ".join(safe(text[: 4 * _LONGEST]).split())
        fits = _least(line) <= len(line) <= _LONGEST and any(map(str.isalpha, line))
        if fits and line not in found and not _REFUSED.match(line):
            found.append(line)
        if len(found) == most:
            break
    return found


def _least(line: str) -> int:
    """Fewest characters of a search: two are a word in Chinese, Japanese and Korean."""
    return 2 if any("\u3040" <= letter <= "\ud7ff" for letter in line) else 3


def read_numbers(answer: str, most: int, key: str = "answers") -> list[int]:
    """Whole numbers from 1 to `most`: those of the JSON list under a key, or else all in the text.

    Args:
        answer: What the model wrote.
        most: Largest number that means something.
        key: Of the list; the first list counts where there is no such key.
    """
    answer = said(answer)
    data = next(_values(answer), None)
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        data = data.get(key, lists[0] if lists else None)
    if not isinstance(data, list):
        data = re.findall(r"\d{1,4}", answer) if key == "answers" else []
    numbers = {int(each) for each in data if str(each).strip().isdecimal() and len(str(each)) < 9}
    return sorted(number for number in numbers if 1 <= number <= most)
