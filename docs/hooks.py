"""Pages that are the repository's own files, so that nothing is written twice.

README, the benchmarks' README, the examples' and the project's files become pages of the site;
their links to each other are turned into links between pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "figures.md",
    "examples/README.md": "examples.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
# A link to what is no page is one to the file: the site holds it as it is.
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the repository's own pages, and the files that they link to."""
    for source, page in PAGES.items():
        text, linked = _relinked((ROOT / source).read_text("utf-8"), posixpath.dirname(source))
        files.append(File.generated(config, page, content=text))
        for each in linked:
            if files.get_file_from_path(f"files/{each}") is None:
                content = (ROOT / each).read_bytes()
                files.append(File.generated(config, f"files/{each}", content=content))
    return files


def _relinked(text: str, folder: str) -> tuple[str, list[str]]:
    """The text with links that hold in the site, and the files that are to lie beside it."""
    linked: list[str] = []

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        if target in PAGES:
            return f"{found[1]}{PAGES[target]}{found[3]}"
        if target.startswith("docs/"):
            return f"{found[1]}{target.removeprefix('docs/')}{found[3]}"
        if (ROOT / target).is_file():
            linked.append(target)
            return f"{found[1]}files/{target}{found[3]}"
        return found[0]

    return _LINK.sub(link, text), linked
