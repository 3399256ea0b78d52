"""Count lines of code: without blanks, comments and docstrings.

    python tools/lines.py [FOLDER] [--rooms]

A line counts if it holds a token that is neither a comment nor part of a docstring.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Lines of `source` that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        # A string that stands alone is a docstring, of whatever it follows.
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> None:
    """Print the total, and with `--rooms` each folder."""
    arguments = [each for each in sys.argv[1:] if not each.startswith("--")]
    folder = Path(arguments[0] if arguments else "nudge_integrations")
    rooms: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).parts[0]
        room = "(root)" if room.endswith(".py") else room
        rooms[room] += code_lines(path.read_text(encoding="utf-8"))
        files[room] += 1
    if "--rooms" in sys.argv:
        for room, count in sorted(rooms.items()):
            print(f"{room:<14} {count:>7,} lines {files[room]:>4} files")
    print(f"{'all':<14} {rooms.total():>7,} lines {files.total():>4} files")


if __name__ == "__main__":
    main()
