"""Read what a language model answered, whatever form it chose, in linear time.

JSON strings are taken as they are; only lines of prose lose their markers ("1. ", "Q: ").
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nudge_integrations.common.text import safe

_THOUGHT = r"(?:think|thinking|thought|reasoning|reflection|analysis|scratchpad)\s*[>\]▷]"
_OPENED = re.compile(r"[<\[◁]" + _THOUGHT, re.I)
_CLOSED = re.compile(r"[<\[◁]/" + _THOUGHT, re.I)
# The channels of gpt-oss: with its special tokens, and from servers that strip these.
_FINAL = re.compile(r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>|assistantfinal")

_NAMES = (
    "q|question|query|querie|keyword|situation|paraphrase|section|search|frage|pregunta|pergunta|"
    "domanda|вопрос|问题|問題|質問|질문|السؤال|سؤال"
)
# "1. ", "2) ", "(3) ", "4、", "a) ", "b. ", "一、", "- ", "• "; but not "3.5 mm" or "10:30".
_ITEM = re.compile(
    r"^\s*(?:[-*•–·▪‣]\s+|[(（【]?\d{1,3}(?:[.:．](?!\d)|[)、）：】])\s*|[①-⑳]\s*|"
    r"[一二三四五六七八九十]{1,3}、\s*|\(?[a-zA-Z]\)\s+|[a-hA-H]\.\s+|[ivx]{1,4}[.)]\s+)"
)
# "Q1: ", "**Question 1:** ", "**Lost property:** ", "**Keywords**: "
_LABEL = re.compile(
    rf"^\s*(?:\**(?:{_NAMES})s?\s*\d{{0,3}}\**\s*(?:[:：.)]|-\s)\**"
    r"|\*\*[^*]{1,40}(?::\*\*|\*\*:))\s*",
    re.I,
)
_TAGGED = re.compile(rf"<((?:{_NAMES})s?|li)>([^<>]*)</\1>", re.I)
_CANNOT = (
    r"\bi (?:can(?:['’])?t|cannot|can not|am (?:not able|unable) to) "
    r"(?:help|assist|comply|fulfil|do|answer|generate|create|provide)\b"
)
_SORRY = r"(?:i(?:['’])?m sorry|i am sorry|i apologi[sz]e)\b"
_REFUSED = re.compile(rf"\s*(?:{_SORRY}.{{0,40}}{_CANNOT}|as an ai\b)", re.I)
_REFUSES = re.compile(rf"{_CANNOT}|\b{_SORRY}|\bas an ai\b", re.I)
# A quotation mark ends a string where what follows continues the JSON, and is a part of it else.
_START = re.compile(r'^[`"{\[]', re.MULTILINE)
_MARK = re.compile(r'\\.|\n|"([ \t]{0,9}(?:[,\]}:\n]|$))?')
# A pair of backslash and what JSON allows after it, or a backslash that stands for itself. Nobody
# means a backspace or a form feed: \beta and \frac are LaTeX.
_PAIR = r'(\\(?:["\\/nrt]|u[0-9a-fA-F]{4}))'
_OUTER, _INNER = re.compile(rf"{_PAIR}|\\"), re.compile(rf'{_PAIR}|[\\"]')
_KEY = re.compile(rf"(?:{_NAMES})?s?", re.I)
_LONGEST, _LONGEST_LIST = 500, 20_000
_MOST_TRIES = 20
_QUOTES = "\"'“”„«»`*"


def read_questions(answer: str, most: int) -> list[str]:
    """The questions in an answer: JSON, JSON lines, a Python list, tags, or a list in prose.

    Args:
        answer: What the model wrote. Its reasoning (`<think>` and the like) is ignored.
        most: How many to return at most.

    Returns:
        The questions, each on one line, without control characters; none for a refusal, an empty
        answer, or prose that asks nothing.
    """
    answer = said(answer)
    values, whole = _values(answer)
    found = list(_texts(values)) if whole else []
    found = found or _loose(answer) or list(_texts(values))
    checked = _checked(found, most)
    if checked or answer.lstrip("`jsonJSON \n").startswith(("{", "[")):
        return checked
    return _checked(_lines(answer), most)


def refuses(answer: str) -> bool:
    """Whether an answer is empty or begins with a refusal."""
    answer = said(answer)
    return not answer or _REFUSES.search(answer[:200]) is not None


def said(answer: str) -> str:
    """An answer without the reasoning before it; empty if there is nothing but reasoning."""
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


def _values(answer: str) -> tuple[list[Any], bool]:
    """Every JSON object or array in an answer, else a Python list; and whether none was broken."""
    text = _OUTER.sub(_escaped, answer)
    decoder = json.JSONDecoder(strict=False)
    starts = re.compile(r"[{\[]")
    found: list[Any] = []
    place, failures = 0, 0
    while failures < _MOST_TRIES and (start := starts.search(text, place)):
        try:
            value, place = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):  # noqa: PERF203
            place, failures = start.end(), failures + 1
        else:
            found.append(value)
    if not found and len(answer) <= _LONGEST_LIST and '"' not in answer.partition("'")[0]:
        start = re.search(r"[{\[(]", answer)
        end = max(map(answer.rfind, "]})")) + 1
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return [ast.literal_eval(answer[start.start() : end])] if start else [], True
    return found, not failures


def _escaped(found: re.Match[str]) -> str:
    return found.group(1) or f"\\{found.group()}"


def _texts(data: Any) -> Iterator[str]:
    """Questions among decoded JSON, without the answers, ids and other fields beside them."""
    if isinstance(data, str):
        lines = [line for line in data.splitlines() if _ITEM.match(line)]
        yield from _lines(data) if len(lines) > 1 else [data]
    elif isinstance(data, list | tuple):
        for each in data:
            yield from _texts(each)
    elif isinstance(data, dict):
        named = {str(key).casefold().strip(" 0123456789_-?:"): each for key, each in data.items()}
        asked = [each for key, each in data.items() if _asks(key)]
        asked = [each for each in asked if isinstance(each, str | list | dict)]
        if asked or "text" in named:
            yield from _texts(asked or named["text"])
        else:
            for key, each in named.items():
                if isinstance(each, list | dict) and "answer" not in key:
                    yield from _texts(each)


def _asks(key: Any) -> bool:
    """Whether a key is that of questions: "Questions", "Question 1" and "q_2" are."""
    return _KEY.fullmatch(str(key).strip(" 0123456789_-?:")) is not None


def _loose(answer: str) -> list[str]:
    """The whole strings of JSON that was cut off or is not quite JSON, without other fields'."""
    found, key, opened = [], "questions", None
    start = _START.search(answer)
    for mark in _MARK.finditer(answer, start.start()) if start else ():
        if mark.group()[0] != '"' or opened is None or mark.group(1) is None:
            if mark.group()[0] != "\\":
                opened = None if mark.group() == "\n" else opened or mark.start() + 1
            continue
        string, opened = answer[opened : mark.start()], None
        if ":" in mark.group(1):
            key = string
        elif _asks(key) or key.casefold() == "text":
            text = _INNER.sub(_escaped, string)
            with contextlib.suppress(ValueError):
                found.append(json.loads(f'"{text}"', strict=False))
    return found


def _lines(answer: str) -> list[str]:
    """Items of a list, or tags; or, where nothing is marked, lines that ask."""
    tagged = [text for _, text in _TAGGED.findall(answer)]
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    items = tagged or [line for line in lines if _ITEM.match(line) or _LABEL.match(line)]
    if _REFUSES.search(answer[:200].partition(items[0])[0] if items else answer[:200]):
        return []
    if not items:
        items = [line for line in lines if line.rstrip(_QUOTES).endswith(("?", "？", "؟"))]
    # Once each: what follows a marker may begin like one.
    return [_bare(_LABEL.sub("", _ITEM.sub("", line, 1).strip(), 1)) for line in items]


def _bare(line: str) -> str:
    return line.strip(_QUOTES + " \n")


def _checked(texts: Iterable[str], most: int) -> list[str]:
    found: list[str] = []
    for text in texts:
        line = " ".join(safe(text[: 4 * _LONGEST]).split())
        # Two characters are a word in Chinese, Japanese and Korean.
        least = 2 if any("\u3040" <= letter <= "\ud7ff" for letter in line) else 3
        fits = least <= len(line) <= _LONGEST and any(map(str.isalpha, line))
        if fits and line not in found and not _REFUSED.match(line):
            found.append(line)
        if len(found) == most:
            break
    return found


def read_numbers(answer: str, most: int, key: str = "answers") -> list[int]:
    """Whole numbers from 1 to `most`: those of the JSON list under a key, or else all in the text.

    Args:
        answer: What the model wrote.
        most: Largest number that means something.
        key: Of the list; the first list counts where there is no such key.
    """
    answer = said(answer)
    data = next(iter(_values(answer)[0]), None)
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        data = data.get(key, lists[0] if lists else None)
    if not isinstance(data, list):
        data = re.findall(r"\d{1,4}", answer) if key == "answers" else []
    numbers = {int(each) for each in data if str(each).strip().isdecimal() and len(str(each)) < 9}
    return sorted(number for number in numbers if 1 <= number <= most)
