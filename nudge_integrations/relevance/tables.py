"""Tables of any kind, row by row: CSV, TSV, JSON lines, JSON, Parquet, data frames, mappings."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nudge_integrations.common.lazy import require
from nudge_integrations.errors import DataError

Row = Mapping[str, Any]
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


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
        source = source.to_dict("records")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise DataError(
            f"{what} must be rows or a .jsonl, .csv or .parquet file, not {type(source).__name__}"
        )
    for number, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise DataError(f"row {number} is a {type(row).__name__}, not a mapping of columns")
        yield f"row {number}", row


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


def column_of(header: Sequence[str], names: Iterable[str]) -> str | None:
    """The first of `names` that is in the header, whatever its case and separators."""
    known = {_folded(each): each for each in reversed(header)}
    return next((known[name] for name in map(_folded, names) if name in known), None)


def _folded(name: str) -> str:
    return str(name).strip().casefold().replace("-", "_").replace(" ", "_").strip("_")


def _rows_of_file(path: Path, what: str) -> Iterator[tuple[str, Row]]:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            table = require("pyarrow.parquet", "lancedb").read_table(path)
            yield from ((f"{path}, row {at}", row) for at, row in enumerate(table.to_pylist()))
            return
        with path.open(encoding="utf-8-sig", newline="") as file:
            if kind in _SEPARATORS:
                reader = csv.DictReader(file, delimiter=_SEPARATORS[kind])
                for cells in reader:
                    cells.pop(None, None)
                    yield f"{path}, line {reader.line_num}", cells
            elif kind == ".json":
                for place, row in rows_of(parsed_json(file.read(), str(path)), what):
                    yield f"{path}, {place}", row
            else:
                yield from _json_lines(path, file)
    except csv.Error as error:
        raise DataError(
            f"{path}: no table that can be read ({error}); a cell holds at most "
            f"{csv.field_size_limit():,} characters, so save long texts as .jsonl"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; give a .jsonl or .csv file") from error


def _json_lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}, line {number}"
            row = parsed_json(line.strip(), place)
            if not isinstance(row, dict):
                raise DataError(f"{place}: not an object of columns")
            yield place, row
