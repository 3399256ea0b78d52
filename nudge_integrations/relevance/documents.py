"""Documents, whatever holds them: a mapping, documents or nodes, a store, a folder; their words."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import described, safe
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.beir import read_documents
from nudge_integrations.relevance.checks import Texts

_log = logging.getLogger(__name__)

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]|[^\W_]+")
_K1, _B = 1.2, 0.75

Floats = npt.NDArray[np.float64]
_GIVE = "give a list of LangChain documents or LlamaIndex nodes, or a mapping from id to text"
_PLAIN, _HTML = (".txt", ".md", ".markdown", ".rst"), (".html", ".htm")
_SILENT = ("script", "style", "head", "template")
_BLOCKS = re.compile(r"p|div|h[1-6]|li|tr|section|article|br|pre")
_LONGEST = 1000


@dataclass(frozen=True)
class Record:
    """A document.

    Attributes:
        id: Its id.
        text: As it is embedded.
        shown: As people read it: without the metadata that LlamaIndex embeds, too.
        source: What it is a part of; None if unknown.
        metadata: Whatever else is known.
    """

    id: str
    text: str
    shown: str
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def in_hand(documents: Any) -> bool:
    """Whether these are documents themselves, not a store of them."""
    listed = isinstance(documents, (Mapping, Sequence)) and not isinstance(documents, (str, bytes))
    return listed or hasattr(documents, "corpus")


def records_of(documents: Any) -> list[Record]:
    """Documents from whatever holds them.

    Args:
        documents: LangChain `Document`s with ids, LlamaIndex nodes, a mapping from id to text,
            anything with a `corpus`, such as a `RelevanceDataset`, or anything that `open_store`
            opens.

    Raises:
        DataError: None of these, a document without an id, or two with the same.
    """
    documents = getattr(documents, "corpus", documents)
    if isinstance(documents, Mapping):
        return [Record(name, text, text) for name, text in documents.items()]
    if in_hand(documents):
        found = [_record(place, each) for place, each in enumerate(documents)]
        names = set()
        for each in found:
            if each.id in names:
                raise DataError(f"two documents have the id {each.id!r}; give each its own")
            names.add(each.id)
        return found
    if isinstance(documents, (bytes, int, float, type(None))) or (
        isinstance(documents, str) and "#" not in documents
    ):
        raise DataError(f"no documents: {described(documents)}; {_GIVE}")
    # Stores are in a room above this one, and load when somebody brings one.
    stored = importlib.import_module("nudge_integrations.stores.records").records(documents)
    return [Record(name, text, text, metadata=metadata) for name, text, metadata in stored]


def _record(place: int, document: Any) -> Record:
    if hasattr(document, "node_id"):
        name, source = document.node_id, document.ref_doc_id
        text = document.get_content(metadata_mode="embed")
        shown = document.get_content(metadata_mode="none")
    elif hasattr(document, "page_content"):
        name, source = document.id, document.metadata.get("source")
        text = shown = document.page_content
    else:
        raise DataError(f"document {place} is {described(document)}: {_GIVE}")
    if not name:
        raise DataError(
            f"document {place} ({shown[:40]!r}) has no id; judgments name documents by id, so "
            "make it Document(id=..., page_content=...)"
        )
    return Record(name, text, shown, None if source is None else str(source), document.metadata)


def documents_at(path: str | os.PathLike[str]) -> Texts:
    """Documents of a `corpus.jsonl` in BEIR's layout, or passages of a file or a folder of files.

    A passage is called `FILE#NUMBER`: paragraphs of one file, up to 1,000 characters together.
    Other files than text, Markdown and HTML are read by LlamaIndex if its readers are installed.

    Raises:
        DataError: Nothing there can be read.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix.lower() not in _PLAIN + _HTML:
        return read_documents(path)
    found: Texts = {}
    unread = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        if not file.is_file() or any(part.startswith(".") for part in Path(name).parts):
            continue
        text = _text_of(file)
        if text is None:
            unread.append(name)
        found |= {f"{name}#{n}": passage for n, passage in enumerate(passages(text or ""), 1)}
    if unread:
        _log.warning("%d files cannot be read and are left out: %s", len(unread), name_some(unread))
    if not found:
        raise DataError(f"{path} holds no text, Markdown or HTML with words in it; name a folder")
    return found


def passages(text: str) -> list[str]:
    """Paragraphs, joined up to 1,000 characters; a longer one stays whole."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", safe(text)):
        block = paragraph.strip()
        if block and found and len(found[-1]) + len(block) < _LONGEST:
            found[-1] += f"\n\n{block}"
        elif block:
            found.append(block)
    return found


def _text_of(file: Path) -> str | None:
    kind = file.suffix.lower()
    try:
        if kind in _PLAIN + _HTML:
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            return _Page(text).text if kind in _HTML else text
        from llama_index.core import SimpleDirectoryReader

        read = SimpleDirectoryReader(input_files=[file], raise_on_error=True).load_data()
    except Exception as error:  # readers raise whatever their libraries do
        _log.debug("%s: %s", file, error)
        return None
    text = "\n\n".join(each.text for each in read)
    return None if "\x00" in text or "\ufffd" in text[:_LONGEST] else text


class _Page(HTMLParser):
    """The words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self._silent = "", 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._silent += tag in _SILENT
        if _BLOCKS.fullmatch(tag):
            self.text += "\n\n"

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data


def words_of(text: str) -> list[str]:
    """The words of a text, case-folded; every Chinese, Japanese or Korean character is one."""
    return _WORD.findall(text.casefold())


class Lexical:
    """An index of words over texts.

    Args:
        texts: `n` texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from scipy.sparse import csr_array

        counts = [Counter(words_of(text)) for text in texts]
        self._columns: dict[str, int] = {}
        for each in counts:
            for word in each:
                self._columns.setdefault(word, len(self._columns))
        rows = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
        columns = [self._columns[word] for each in counts for word in each]
        values = [count for each in counts for count in each.values()]
        shape = (len(counts), len(self._columns))
        matrix = csr_array((np.asarray(values, np.float64), (rows, columns)), shape=shape)
        documents = np.bincount(np.asarray(columns, np.int64), minlength=shape[1])
        # Lucene's BM25: no word weighs less than nothing.
        self._idf = np.log1p((shape[0] - documents + 0.5) / (documents + 0.5))
        lengths = np.asarray(matrix.sum(axis=1)).ravel()
        norm = _K1 * (1 - _B + _B * lengths / max(lengths.mean() if len(lengths) else 1, 1e-9))
        saturated = matrix.copy()
        saturated.data = (
            matrix.data * (_K1 + 1) / (matrix.data + np.repeat(norm, np.diff(matrix.indptr)))
        )
        present = matrix.copy()
        present.data = np.ones_like(matrix.data)
        self._saturated, self._present = saturated.tocsc(), present.tocsc()
        self._weights = present @ self._idf

    def search(self, query: str, k: int) -> list[int]:
        """Rows of the texts with the `k` highest BM25 scores, best first; only those above 0."""
        columns = self._known(query)
        if not columns:
            return []
        scores = self._saturated[:, columns] @ self._idf[columns]
        best = np.argsort(-scores, kind="stable")[:k]
        return [int(row) for row in best if scores[row] > 0]

    def overlap(self, text: str) -> Floats:
        """How much of the shorter of two texts stands in the other one, by weight of its words.

        Returns:
            Shape `(n,)`, from 0 to 1. A text that is much shorter than the given one stays below.
        """
        columns = self._known(text)
        unknown = len(dict.fromkeys(words_of(text))) - len(columns)
        own = self._idf[columns].sum() + unknown * (self._idf.max() if len(self._idf) else 1)
        shared = self._present[:, columns] @ self._idf[columns]
        found: Floats = shared / np.maximum(np.minimum(self._weights, own), own / 4 + 1e-9)
        return found

    def _known(self, text: str) -> Sequence[int]:
        return [
            self._columns[each] for each in dict.fromkeys(words_of(text)) if each in self._columns
        ]
