"""Reading what a language model answered, in whatever form it chose."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"```[a-zA-Z]*\n?(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
# "1. ", "2) ", "(3) ", "- ", "* ", "• ", "Q1: ", "Question 2 - "
_ITEM = re.compile(
    r"^\s*(?:[-*•–·]\s+|\(?\d{1,3}[.):]\s*|(?:q|question|frage|pregunta)\s*\d*\s*[:.)-]\s*)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\**(?:keywords?|question|situation|paraphrase|section)\**\s*:\s*", re.I)
_REFUSAL = re.compile(
    r"\b(?:i(?:'|’)?m sorry|i am sorry|i apologi[sz]e|as an ai\b|i (?:can(?:'|’)?t|cannot|can not"
    r"|am (?:not able|unable)) (?:to )?(?:help|assist|comply|fulfil|generate|create|provide|do))",
    re.IGNORECASE,
)
_STRING = re.compile(r'("(?:[^"\\\n]|\\.)*")(\s*:)?')
_LONGEST = 500
_QUOTES = "\"'“”„«»`*"


def read_questions(answer: str, most: int) -> list[str]:
    """The questions in an answer: JSON, fenced or not, or a numbered or bulleted list.

    Args:
        answer: What the model wrote.
        most: How many were asked for; more are dropped.

    Returns:
        The questions, each one line; none for a refusal, an empty answer, or prose.
    """
    answer = _THOUGHT.sub("", answer).strip()
    found = from_data(_json_in(answer), most)
    if found:
        return found
    if _REFUSAL.search(answer[:200]):
        return []
    if answer.lstrip("`jsonJSON \n").startswith(("{", "[")):
        return _checked(_strings(answer), most)
    return _checked(_lines(answer), most)


def from_data(data: Any, most: int) -> list[str]:
    """The questions in data: a list, or an object with one, of texts or of objects with one."""
    return _checked(_texts(data), most)


def read_numbers(answer: str, most: int) -> list[int]:
    """Whole numbers from 1 to `most` in an answer: those of its JSON list, or else all of them."""
    data = _json_in(_THOUGHT.sub("", answer))
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), data)
    if isinstance(data, list):
        numbers = [int(each) for each in data if str(each).strip().isdigit()]
    else:
        numbers = [int(each) for each in re.findall(r"\d+", answer)]
    return sorted({number for number in numbers if 1 <= number <= most})


def _json_in(answer: str) -> Any:
    """The first JSON that can be read; None for none."""
    fenced = _FENCE.search(answer)
    for text in ([fenced.group(1)] if fenced else []) + [answer]:
        for start in sorted(text.find(opening) for opening in "{[" if opening in text):
            with contextlib.suppress(ValueError, RecursionError):
                return json.JSONDecoder().raw_decode(text[start:])[0]
    return None


def _strings(answer: str) -> list[str]:
    """Whole strings of JSON that was cut off or is not quite JSON."""
    found = []
    for string, colon in _STRING.findall(answer):
        with contextlib.suppress(ValueError):
            if not colon:  # a string before a colon is a key
                found.append(json.loads(string))
    return found


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for each in data:
            yield from _texts(each)
    elif isinstance(data, dict):
        named = [data[name] for name in ("questions", "question", "query", "text") if name in data]
        yield from _texts(named[0] if named else list(data.values()))


def _lines(answer: str) -> list[str]:
    """Items of a list; or, where nothing is numbered, lines that ask."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    items = [_ITEM.sub("", line) for line in lines if _ITEM.match(line)]
    return items or [line for line in lines if line.rstrip(_QUOTES).endswith(("?", "？", "؟"))]


def _checked(texts: Any, most: int) -> list[str]:
    found: list[str] = []
    for text in texts:
        line = " ".join(_LABEL.sub("", _ITEM.sub("", text.strip(_QUOTES + " \n"))).split())
        line = line.strip(_QUOTES + " ")
        fits = 2 < len(line) <= _LONGEST and any(letter.isalpha() for letter in line)
        if fits and line not in found and not _REFUSAL.search(line):
            found.append(line)
    return found[:most]
