"""The JSON of LlamaIndex's `EmbeddingQAFinetuneDataset`, and any object of that shape."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nudge_integrations.common.files import write_atomically
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.beir import document_text
from nudge_integrations.relevance.tables import decoded, parsed_json

_log = logging.getLogger(__name__)

_ABSENT = object()


def fields_of(source: Any) -> tuple[Any, Any, Any]:
    """Take queries, corpus and judgments out of a mapping or an object, unchecked.

    Args:
        source: Has `queries`, `qrels` or `relevant_docs`, and `corpus` (else it is empty).

    Raises:
        DataError: `source` lacks queries or judgments.
    """

    def field(name: str) -> Any:
        if isinstance(source, Mapping):
            return source.get(name, _ABSENT)
        return getattr(source, name, _ABSENT)

    queries, corpus, qrels = field("queries"), field("corpus"), field("qrels")
    if qrels is _ABSENT:
        qrels = field("relevant_docs")
    if queries is _ABSENT or qrels is _ABSENT:
        raise DataError(
            f"{type(source).__name__} has no {'queries' if queries is _ABSENT else 'judgments'}; "
            "pass a RelevanceDataset, or anything with queries, corpus, and qrels or relevant_docs"
            f"{_instead_of(source)}"
        )
    corpus = {} if corpus is _ABSENT else corpus
    return _plain_texts(queries), _plain_texts(corpus), qrels


def _plain_texts(texts: Any) -> Any:
    """Texts out of the rows or dictionaries of BEIR and MTEB: title and text joined."""

    def has_text(each: Any) -> bool:
        return isinstance(each, Mapping) and "text" in each

    if isinstance(texts, Iterable) and not isinstance(texts, (str, Mapping)):
        rows = list(texts)
        if rows and all(map(has_text, rows)):
            texts = {each.get("_id", each.get("id")): each for each in rows}
    if not isinstance(texts, Mapping):
        return texts
    return {name: document_text(each) if has_text(each) else each for name, each in texts.items()}


def _instead_of(source: Any) -> str:
    """What was probably meant, where that can be seen."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        return (
            f": RelevanceDataset.from_beir({name!r}) reads a BEIR folder, "
            f"RelevanceDataset.from_llama_index({name!r}) LlamaIndex's JSON"
        )
    parts = enumerate(source) if isinstance(source, (list, tuple)) else ()
    for name, part in source.items() if isinstance(source, Mapping) else parts:
        if hasattr(part, "queries"):
            return f". It holds datasets: pass one of them, such as [{name!r}]"
    return ""


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object at `path`.

    Raises:
        DataError: The file is missing, no JSON (the line is named), no object, or names a key
            twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        folder = "; a BEIR folder is read by from_beir, or --beir" if path.is_dir() else ""
        raise DataError(f"cannot read {path}: {error.strerror or error}{folder}") from error
    text = decoded(data, str(path)).removeprefix("\ufeff")
    value = parsed_json(text, str(path), object_pairs_hook=_refuse_repeated)
    if not isinstance(value, dict):
        raise DataError(
            f"{path} holds a JSON {type(value).__name__}; it must be an object with queries, "
            "corpus and relevant_docs"
        )
    return value


def write_json(
    path: str | os.PathLike[str],
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> None:
    """Write the JSON; see `RelevanceDataset.to_llama_index`.

    Raises:
        NudgeError: The folder cannot be written to.
    """
    answers = {
        # LlamaIndex's own adapter reads the first answer only, so that is the best one.
        query_id: sorted(
            (name for name, grade in judged.items() if grade > 0),
            key=judged.__getitem__,
            reverse=True,
        )
        for query_id, judged in qrels.items()
    }
    answers = {query_id: names for query_id, names in answers.items() if names}
    if len(answers) < len(queries):
        unanswered = len(queries) - len(answers)
        _log.warning("%s: %d queries without an answer are left out", path, unanswered)
    lost = sum(grade != 1 for judged in qrels.values() for grade in judged.values())
    if lost:
        _log.warning(
            "%s: this format has no grades, so %d judgments lose theirs (those of grade 0 are "
            "left out); to_beir() keeps them",
            path,
            lost,
        )
    content = {
        # A query without an answer would be an IndexError in LlamaIndex's engines.
        "queries": {name: text for name, text in queries.items() if name in answers},
        "corpus": dict(corpus),
        "relevant_docs": answers,
        "mode": "text",
    }
    # LlamaIndex opens the file in the platform's own encoding, and ASCII is the same in each.
    write_atomically(Path(path), (json.dumps(content, indent=4) + "\n").encode("ascii"))


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise DataError(f"{key!r} is there twice; remove one")
        value[key] = item
    return value
