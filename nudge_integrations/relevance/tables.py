"""Tables of any kind, row by row: CSV, TSV, JSON lines, JSON, Parquet, data frames, mappings."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError

Row = Mapping[str, Any]
OnError = Literal["raise", "skip"]
_SEPARATED = (".csv", ".tsv", ".tab")


class Skipped:
    """Counts what is left out on request; raises its error otherwise.

    Args:
        on_error: `"raise"` or `"skip"`.
    """

    def __init__(self, on_error: str) -> None:
        if on_error not in ("raise", "skip"):
            raise DataError(f"on_error={on_error!r} is unknown; use 'raise' or 'skip'")
        self._skip = on_error == "skip"
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def leave_out(self, what: str, error: DataError) -> None:
        """Count something that cannot be used, or raise."""
        if not self._skip:
            raise error
        self.counts[what] += 1
        self.first.setdefault(what, str(error))


def rows_of(source: Any, what: str) -> Iterator[tuple[str, Row]]:
    """Rows, each with its place for messages.

    Args:
        source: Path of a `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` file, a data frame of
            pandas or polars, or any iterable of mappings.
        what: What the rows are, for messages.

    Raises:
        DataError: The file cannot be read (the line is named), or `source` is no table.
    """
    if isinstance(source, (str, os.PathLike)):
        yield from _rows_of_file(Path(source), what)
        return
    for method in ("to_dicts", "to_pylist"):  # polars, pyarrow
        if hasattr(source, method):
            source = getattr(source, method)()
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        # An index with a name is a column, such as the span ids of Phoenix.
        named = any(getattr(getattr(source, "index", None), "names", ()))
        source = (source.reset_index() if named else source).to_dict("records")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise DataError(
            f"{what} must be rows or a .jsonl, .csv or .parquet file, not {type(source).__name__}"
        )
    for number, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise DataError(f"row {number} is a {type(row).__name__}, not a mapping of columns")
        yield f"row {number}", row


def lines_of(path: Path) -> Iterator[tuple[str, str]]:
    """Each line of a file that is not blank, and its place; only a line feed ends a line.

    Raises:
        DataError: The file cannot be read, or a line is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = decoded(raw, f"{path}, line {number}").rstrip("\r\n")
                line = line.removeprefix("\ufeff") if number == 1 else line
                if line.strip():
                    yield f"{path}, line {number}", line
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; make it readable"
        ) from error


def decoded(data: bytes, where: str) -> str:
    """UTF-8 as text; halves of surrogate pairs stay as they are.

    Raises:
        DataError: Another encoding.
    """
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}); save the file as UTF-8") from error


def parsed_json(text: str | bytes, where: str, **options: Any) -> Any:
    """Decode JSON.

    Raises:
        DataError: No valid JSON, nested too deeply, or a number of thousands of digits.
    """
    try:
        return json.loads(text, **options)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise DataError(f"{where}{line}: no valid JSON ({error.msg}); correct it") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{where}: no JSON that can be read ({reason}); correct it") from error


def missing(value: Any) -> bool:
    """Whether a cell is empty: None, nothing but space, NaN, or the NaT and NA of pandas."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth value, nor has an array
        return not isinstance(value, Sequence) and not hasattr(value, "__len__")


def finite_number(value: Any) -> float | None:
    """A cell as a number; None for what is none, or is not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def cell_text(value: Any) -> str:
    """A cell as text; whole floats, which pandas makes of integers beside NaN, as integers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def column_of(header: Iterable[str], names: str) -> str | None:
    """The first of the names, given with spaces between, that is in the header.

    Case, separators and a plural do not matter.
    """
    known = {_folded(each): each for each in reversed(list(header))}
    return next((known[name] for name in map(_folded, names.split()) if name in known), None)


def _folded(name: str) -> str:
    return str(name).strip().casefold().replace("-", "_").replace(" ", "_").strip("_").rstrip("s")


def _rows_of_file(path: Path, what: str) -> Iterator[tuple[str, Row]]:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            table = require("pyarrow.parquet", "lancedb").read_table(path)
            yield from ((f"{path}, row {at}", row) for at, row in enumerate(table.to_pylist()))
        elif kind in _SEPARATED:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header = file.readline()
                file.seek(0)
                # Spreadsheets of many languages write semicolons.
                reader = csv.DictReader(file, delimiter=max(",;\t", key=header.count))
                for cells in reader:
                    cells.pop(None, None)
                    yield f"{path}, line {reader.line_num}", cells
        elif kind == ".json":
            rows = parsed_json(path.read_bytes(), str(path))
            yield from ((f"{path}, {place}", row) for place, row in rows_of(rows, what))
        else:
            for place, line in lines_of(path):
                row = parsed_json(line, place)
                if not isinstance(row, dict):
                    raise DataError(f"{place}: not an object of columns")
                yield place, row
    except csv.Error as error:
        raise DataError(
            f"{path}: no table that can be read ({error}); a cell holds at most "
            f"{csv.field_size_limit():,} characters, so save long texts as .jsonl"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: {error}; give a .jsonl or .csv file") from error
