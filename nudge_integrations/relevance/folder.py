"""A folder of files as documents: passages of .txt, .md and .html files, and others by a reader."""

from __future__ import annotations

import logging
import os
import re
from html.parser import HTMLParser
from pathlib import Path

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.text import safe
from nudge_integrations.errors import DataError
from nudge_integrations.relevance.beir import read_documents
from nudge_integrations.relevance.checks import Texts

_log = logging.getLogger(__name__)

_PLAIN, _HTML = (".txt", ".md", ".markdown", ".rst"), (".html", ".htm")
_SILENT = ("script", "style", "head", "template")
_BLOCKS = re.compile(r"p|div|h[1-6]|li|tr|section|article|br|pre")
_LONGEST = 1000


def documents_at(path: str | os.PathLike[str]) -> Texts:
    """Documents of a file as BEIR's `corpus.jsonl`, or passages of all files in a folder.

    A passage is called `FILE#NUMBER`: paragraphs of one file, up to 1,000 characters together.
    Other files than text, Markdown and HTML are read by LlamaIndex where its readers are installed.

    Raises:
        DataError: Nothing there can be read.
    """
    path = Path(path)
    if not path.is_dir():
        return read_documents(path)
    found: Texts = {}
    unread = []
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        name = file.relative_to(path).as_posix()
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        text = _text_of(file)
        if text is None:
            unread.append(name)
            continue
        for number, passage in enumerate(passages(text), 1):
            found[f"{name}#{number}"] = passage
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
    if kind in _PLAIN + _HTML:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        return _Page(text).text if kind in _HTML else text
    try:
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
