"""The BEIR folder: `corpus.jsonl`, `queries.jsonl` and one `qrels/SPLIT.tsv` a split."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nudge_integrations.common.files import write_atomically
from nudge_integrations.common.text import did_you_mean
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.checks import (
    Judgments,
    Texts,
    as_grade,
    check_document_known,
    check_id,
    check_query_known,
    check_text,
)
from nudge_integrations.relevance.tables import Skipped, lines_of, parsed_json

_log = logging.getLogger(__name__)

TextOf = Callable[[Mapping[str, Any]], Any]
_HEADER = ["query-id", "corpus-id", "score"]
_PLURAL = {"query": "queries", "document": "documents"}


def read_beir(
    folder: str | os.PathLike[str], split: str, corpus: bool, on_error: str = "raise"
) -> tuple[Texts, Texts, Judgments]:
    """Read one split; see `RelevanceDataset.from_beir`.

    Returns:
        Queries of the split, documents, judgments.

    Raises:
        DataError: A file is missing or bad; it and the line are named.
    """
    left = Skipped(on_error)
    folder = Path(folder)
    qrels_path = _split_path(folder, split)
    _check_files(folder, qrels_path, corpus)
    queries = _read_texts(folder / "queries.jsonl", "query", _query_text, left)
    documents: Texts = {}
    if corpus:
        documents = _read_texts(folder / "corpus.jsonl", "document", document_text, left)
    qrels = _read_qrels(qrels_path, queries, documents, left)
    for what, count in left.counts.items():
        _log.warning("%s: %d %s skipped, the first: %s", folder, count, what, left.first[what])
    return {name: text for name, text in queries.items() if name in qrels}, documents, qrels


def read_documents(path: str | os.PathLike[str]) -> Texts:
    """Read a `corpus.jsonl`: id -> text, the title before it where there is one.

    Raises:
        DataError: The file is missing or bad; the line is named.
    """
    return _read_texts(Path(path), "document", document_text, Skipped("raise"))


def write_beir(
    folder: str | os.PathLike[str],
    split: str,
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> None:
    """Write one split; see `RelevanceDataset.to_beir`.

    Raises:
        DataError: An id that the format cannot hold, or a text that differs from the one which
            the folder has. Nothing was written then.
        NudgeError: The folder cannot be written to.
    """
    folder = Path(folder)
    qrels_path = _split_path(folder, split)
    lines = ["\t".join(_HEADER)]
    for query_id, judged in qrels.items():
        for document_id, grade in judged.items():
            lines.append(f"{_tsv_id(query_id)}\t{_tsv_id(document_id)}\t{grade}")
    files = [
        _with_texts_added(folder / "corpus.jsonl", corpus, "document", document_text),
        _with_texts_added(folder / "queries.jsonl", queries, "query", _query_text),
        (qrels_path, "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")),
    ]
    # The judgments come last: they are what makes a split, and name what stands in the others.
    for path, data in files:
        if data:
            write_atomically(path, data)
    unjudged = len(queries) - len(qrels)
    if unjudged:
        _log.warning(
            "%d queries have no judgment, so they stand in %s but belong to no split",
            unjudged,
            folder / "queries.jsonl",
        )


def _split_path(folder: Path, split: str) -> Path:
    if not split or Path(split).name != split:
        raise DataError(f"split {split!r} is no file name; use a name such as 'train'")
    return folder / "qrels" / f"{split}.tsv"


def _check_files(folder: Path, qrels_path: Path, corpus: bool) -> None:
    if not folder.is_dir():
        problem = "is a file, no folder" if folder.exists() else "does not exist"
        raise DataError(
            f"{folder} {problem}; name a BEIR folder, which holds queries.jsonl, corpus.jsonl and "
            "qrels (LlamaIndex's JSON is read by from_llama_index, or --llama-index)"
        )
    if not (folder / "queries.jsonl").is_file():
        raise DataError(f"{folder} has no queries.jsonl; name a BEIR folder")
    if corpus and not (folder / "corpus.jsonl").is_file():
        raise DataError(
            f"{folder} has no corpus.jsonl; add it, or pass corpus=False for judgments only"
        )
    if not qrels_path.is_file():
        splits = sorted(path.stem for path in qrels_path.parent.glob("*.tsv"))
        remedy = (
            f"use one of its splits: {', '.join(splits)}{did_you_mean(qrels_path.stem, splits)}"
            if splits
            else "add it: query id, document id and grade on each line, separated by tabs"
        )
        raise DataError(f"{folder} has no qrels/{qrels_path.name}; {remedy}")


def _query_text(record: Mapping[str, Any]) -> Any:
    return record["text"]


def document_text(record: Mapping[str, Any]) -> Any:
    """Title and text of a record, joined; whatever its text is where there is no title."""
    title, text = record.get("title"), record["text"]
    # Without a title the text stays as it is, byte for byte: tuned vectors are found by it.
    if not title or not isinstance(title, str) or not isinstance(text, str):
        return text
    return f"{title} {text}".strip()


def _read_texts(path: Path, what: str, text_of: TextOf, left: Skipped) -> Texts:
    texts: Texts = {}
    for where, line in lines_of(path):
        record = parsed_json(line, where)
        try:
            name, text = record["_id"], text_of(record)
        except (KeyError, TypeError) as error:
            raise DataError(
                f'{where}: not of the form {{"_id": "...", "text": "..."}}; correct the line'
            ) from error
        try:
            check_id(name, what)
            check_text(name, text, what)
        except DataError as error:
            left.leave_out(f"{_PLURAL[what]} without a usable text", DataError(f"{where}: {error}"))
            continue
        if name in texts:
            raise DataError(f"{where}: {what} {name!r} is there twice; remove one")
        texts[name] = text
    return texts


def _read_qrels(
    path: Path, queries: Mapping[str, str], corpus: Mapping[str, str], left: Skipped
) -> Judgments:
    qrels: Judgments = {}
    for position, (where, line) in enumerate(lines_of(path)):
        fields = line.split("\t")
        if len(fields) != len(_HEADER):
            raise DataError(
                f"{where}: {len(fields)} fields where {len(_HEADER)} are needed, separated by "
                f"tabs: {', '.join(_HEADER)}; correct the line"
            )
        query_id, document_id, score = fields
        grade = _number(score)
        header = query_id not in queries and isinstance(grade, str)
        if position == 0 and (fields == _HEADER or header):
            continue
        try:
            check_query_known(query_id, queries, [document_id])
            check_document_known(document_id, query_id, corpus)
            as_grade(grade, query_id, document_id)
        except DataError as error:
            left.leave_out("judgments", DataError(f"{where}: {error}"))
            continue
        judged = qrels.setdefault(query_id, {})
        if judged.setdefault(document_id, int(grade)) != int(grade):
            raise DataError(
                f"{where}: query {query_id!r} and document {document_id!r} were judged with "
                f"another grade ({judged[document_id]}) further up; remove one"
            )
    if not qrels:
        raise DataError(f"{path} holds no judgment; add lines: query id, document id, grade")
    return qrels


def _number(text: str) -> float | str:
    """The number that `text` holds, or `text` itself, which is no grade."""
    try:
        return float(text)
    except ValueError:
        return text


def _tsv_id(name: str) -> str:
    if any(character in name for character in "\t\n\r"):
        raise DataError(
            f"id {name!r} holds a tab or a line break, which a qrels file cannot hold; "
            "use other ids or to_llama_index()"
        )
    return name


def _with_texts_added(
    path: Path, texts: Mapping[str, str], what: str, text_of: TextOf
) -> tuple[Path, bytes]:
    """What `path` must hold to have `texts` too; empty when it already does."""
    there = _read_texts(path, what, text_of, Skipped("raise")) if path.is_file() else {}
    title = {"title": ""} if what == "document" else {}
    new = bytearray()
    for name, text in texts.items():
        if there.get(name, text) != text:
            raise DataError(
                f"{path} has another text for {what} {name!r}; write to an empty folder"
            )
        if name not in there:
            record = json.dumps({"_id": name, **title, "text": text}, ensure_ascii=False)
            new += record.encode("utf-8", "surrogatepass") + b"\n"
    old = path.read_bytes() if there else b""
    if new and old and not old.endswith(b"\n"):
        old += b"\n"
    return path, old + bytes(new) if new else b""
