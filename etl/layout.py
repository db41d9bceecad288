"""What columns each input file has, looked up before Spark reads it.

Spark gives a csv's columns their names by position and turns a key that is not there into
null without a word. So headers, keys and Parquet schemas are read here, and files are grouped
by them.
"""

import bz2
import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from conf.errors import InputError
from conf.fingerprint import InputFile
from conf.input_schema import Source

Names = tuple[str, ...]
_SAMPLED_LINES = 100


def group_csv_files(
    source: Source, files: Sequence[InputFile], needed: Iterable[str]
) -> dict[Names, list[InputFile]]:
    """Return the csv files that are not empty, grouped by their columns.

    Raises:
        InputError: When a file lacks a needed column or names it twice.
    """
    groups: dict[Names, list[InputFile]] = {}
    for file in files:
        names = _header(source, file) if source.header else source.column_names
        if names:
            _require(file.name, needed, names)
            groups.setdefault(names, []).append(file)
    if not source.header and not source.column_names:
        raise InputError("column_names of the input is empty, but its csv files have no header; "
                         "list the names of all their columns there")  # fmt: skip
    return groups


def group_parquet_files(
    files: Sequence[InputFile], needed: Iterable[str]
) -> list[tuple[pa.Schema, list[InputFile]]]:
    """Return the Parquet files grouped by their schema.

    Raises:
        InputError: When a file is no Parquet file or lacks a needed column.
    """
    groups: dict[str, tuple[pa.Schema, list[InputFile]]] = {}
    for file in files:
        try:
            schema = pq.read_schema(file.path).remove_metadata()
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{file.name} is no readable Parquet file: {error}") from error
        _require(file.name, needed, schema.names)
        groups.setdefault(str(schema), (schema, []))[1].append(file)
    return list(groups.values())


def require_json_keys(source: Source, files: Sequence[InputFile], needed: Iterable[str]) -> None:
    """Refuse JSON lines whose first lines hold a needed key nowhere.

    Raises:
        InputError: Naming the missing and the present keys.
    """
    present: dict[str, None] = {}
    for file in files:
        for line in islice(_lines(source, file), _SAMPLED_LINES):
            try:
                row = json.loads(line)
            except ValueError:
                continue  # such a line goes to quarantine with the others of its kind
            present.update(dict.fromkeys(row if isinstance(row, Mapping) else ()))
    if present:
        _require(files[0].name, needed, tuple(present))


def _require(file: str, needed: Iterable[str], present: Sequence[str]) -> None:
    missing = [name for name in needed if name not in present]
    if missing:
        raise InputError(f"{file}: column(s) {', '.join(missing)} missing; present are "
                         f"{', '.join(present)}; correct the names in the input section "
                         "(upper and lower case count)")  # fmt: skip
    twice = [name for name in needed if list(present).count(name) > 1]
    if twice:
        raise InputError(f"{file}: column(s) {', '.join(twice)} named more than once")


def _header(source: Source, file: InputFile) -> Names:
    lines = _lines(source, file)
    if len(source.separator) > 1:
        names = next(lines, "").split(source.separator)
        return tuple(name.strip(source.quote) for name in names) if names != [""] else ()
    rows = csv.reader(
        lines,
        delimiter=source.separator,
        quotechar=source.quote or None,
        quoting=csv.QUOTE_MINIMAL if source.quote else csv.QUOTE_NONE,
    )
    return tuple(next(rows, []))


def _lines(source: Source, file: InputFile) -> Iterator[str]:
    """Yield a text file's lines that are not blank, as Spark does."""
    encoding = "utf-8-sig" if source.encoding.lower() in ("utf-8", "utf8") else source.encoding
    try:
        with _open(file.path, encoding) as stream:
            yield from (line.rstrip("\r\n") for line in stream if line.strip())
    except (UnicodeError, LookupError, EOFError, OSError) as error:
        raise InputError(f"{file.name} cannot be read as {source.encoding}: {error}; "
                         "see `encoding` of its input") from error  # fmt: skip


def _open(path: Path, encoding: str) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding)
    if path.suffix == ".bz2":
        return bz2.open(path, "rt", encoding=encoding)
    return path.open(encoding=encoding)
