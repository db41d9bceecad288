"""Read a csv, JSON lines or Parquet file of a command: each column as a list of Python values.

Legend of shapes: M rows of the file.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from conf.errors import InputError
from conf.settings.files import Files
from conf.settings.input import ColumnName

_MOST_TOLD = 5
_KINDS = "csv with a header, .jsonl with one object a line, or .parquet"


class GivenFile(NamedTuple):
    """A file that an option of the command names."""

    option: str
    path: Path
    columns: Mapping[str, list[Any]]
    """[M] values each, None for missing and blank ones, and for NaN."""
    rows: int
    """M"""

    def has(self, name: ColumnName, source: Files) -> bool:
        """Return whether the file has a column of the configuration."""
        return self._found(name, source) is not None

    def column(self, name: ColumnName, source: Files) -> list[Any]:
        """Return a column: [M].

        Args:
            name: Its name in the configuration, or names of which a file has one.
            source: The input that declares it.

        Raises:
            InputError: When the file lacks it.
        """
        found = self._found(name, source)
        if found is None:
            raise InputError(
                f"{self.option}={str(self.path)!r} has no column {told_column(name)}, only "
                f"{', '.join(list(self.columns)[:30])}; its columns are named as those of the input"
            )
        return self.columns[found]

    def _found(self, name: ColumnName, source: Files) -> str | None:
        names = (name,) if isinstance(name, str) else name
        fold: Callable[[str], str] = str if source.match_case else str.casefold
        there = {fold(one): one for one in self.columns}
        return next((there[fold(one)] for one in names if fold(one) in there), None)

    def refuse(self, wrong: Mapping[int, str]) -> None:
        """Refuse the file if rows of it are wrong.

        Args:
            wrong: What is wrong, by the number of the row from 0.

        Raises:
            InputError: When there is one; it names the first rows.
        """
        if wrong:
            first = sorted(wrong.items())[:_MOST_TOLD]
            told = "; ".join(f"row {place + 1}: {text}" for place, text in first)
            more = f"; and {len(wrong) - len(first):,} more rows" if len(wrong) > len(first) else ""
            raise InputError(f"{self.option}={str(self.path)!r}: {told}{more}; correct the file")


def told_column(name: ColumnName) -> str:
    """Return a column of the configuration, or several of which a file has one, for people."""
    return name if isinstance(name, str) else " or ".join(name)


def read_file(option: str, path: Path, source: Files) -> GivenFile:
    """Return the content of a file; its name tells its kind.

    Args:
        option: The option of the command, for messages.
        path: The file.
        source: The input that has such rows; a csv is written as its files are.

    Raises:
        InputError: When it cannot be read.
    """
    readers = {".parquet": _parquet, ".jsonl": _json_lines}
    try:
        columns = readers.get(path.suffix, _csv)(path, source)
    except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"{option}={str(path)!r} cannot be read: {said}; give a file in one of these forms: "
            f"{_KINDS}"
        ) from error
    blank = {"", *source.null_values}
    whole = {
        name: column if {str, float}.isdisjoint(map(type, column)) else _values(column, blank)
        for name, column in columns.items()
    }
    return GivenFile(option, path, whole, max(map(len, whole.values()), default=0))


def _values(column: list[Any], blank: set[str]) -> list[Any]:
    """Return a column with None for blank texts and for numbers that are none (NaN)."""
    return [
        None if (isinstance(one, str) and one.strip() in blank) or one != one else one
        for one in column
    ]


def _csv(path: Path, source: Files) -> dict[str, list[Any]]:
    as_log = source.format == "csv" and len(source.separator) == 1
    parse = pc_csv.ParseOptions(
        delimiter=source.separator if as_log else ",",
        quote_char=(source.quote or False) if as_log else '"',
        newlines_in_values=True,
    )
    read = pc_csv.ReadOptions(encoding=source.encoding, use_threads=False)
    header = pc_csv.open_csv(path, read_options=read, parse_options=parse).schema.names
    texts = pc_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    table = pc_csv.read_csv(path, read_options=read, parse_options=parse, convert_options=texts)
    return _by_name(table)


def _parquet(path: Path, source: Files) -> dict[str, list[Any]]:
    table = pq.read_table(path)
    return _by_name(table)


def _by_name(table: pa.Table) -> dict[str, list[Any]]:
    """Return the columns by name; two of one name are a ValueError."""
    names = table.schema.names
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the column {name} is there more than once; keep one of them")
    return {name: table[name].to_pylist() for name in names}


def _json_lines(path: Path, source: Files) -> dict[str, list[Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no object")
        rows.append(dict(_flat(row)))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a row; those inside an object have the names `object.name`."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
