"""What columns each input file has, looked up before Spark reads it.

Spark gives a csv's columns their names by position and turns a key that is not there into
null without a word. So headers, keys and schemas are read here.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from conf.errors import InputError
from conf.fingerprint import InputFile
from conf.input_schema import Source
from etl.avro_header import read_avro_schema
from etl.file_kinds import UNPACK_ERRORS, open_text

Names = tuple[str, ...]
Path = tuple[str | int, ...]
"""Steps from a row to a value: keys, and 0 for the first element of an array."""
SAMPLED_LINES = 100
_MOST_STEPS = 6
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Layout:
    """The columns of one file."""

    file: InputFile
    names: Names
    """As the file has them: a name that stands there twice is here twice. Those within objects
    have dots."""
    paths: Mapping[str, Path] = field(default_factory=dict)
    """For each name the way to it; empty for a csv."""
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """For each name its type; empty where all is text."""
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    """Names and values of the folders `name=value` that the file lies in."""
    line_break: str = ""
    """Of a csv whose quoted fields may hold line breaks; Spark would make all of them equal."""
    is_sampled: bool = False
    """Whether later lines can hold further names."""

    def is_known(self) -> bool:
        """Return whether anything can be said: of lines that are all broken nothing can."""
        return bool(self.names) or not self.is_sampled


def read_layouts(source: Source, files: Sequence[InputFile]) -> list[Layout]:
    """Return the layout of each file that is not empty.

    Raises:
        InputError: When a file cannot be read at all, or a csv's columns have no names.
    """
    if source.format == "csv" and not source.header and not source.column_names:
        raise InputError("column_names of the input is empty, but its csv files have no header; "
                         "list the names of all their columns there")  # fmt: skip
    layouts = (_read_layout(source, file) for file in files)
    return [layout for layout in layouts if layout is not None]


def columnar_layout(file: InputFile, schema: pa.Schema) -> Layout:
    """Return the layout of a file or table whose columns have types."""
    paths, types = _struct_paths(schema)
    return Layout(file, tuple(types), paths, types, partitions_of(file))


def partitions_of(file: InputFile) -> dict[str, str | None]:
    """Return the names and values of the folders `name=value` that a file lies in."""
    pairs = (part.split("=", 1) for part in file.name.split("/")[:-1] if "=" in part)
    return {
        unquote(name): None if value == _NULL_PARTITION else unquote(value) for name, value in pairs
    }


def steps_of(name: str) -> Path:
    """Return the way that a dotted name stands for: `a.b[0]` is a, b, first element."""
    steps: list[str | int] = []
    for part in name.split("."):
        steps += [part.removesuffix("[0]"), 0] if part.endswith("[0]") else [part]
    return tuple(steps)


def _read_layout(source: Source, file: InputFile) -> Layout | None:
    if source.format == "csv":
        names = _header(source, file) if source.header else source.column_names
        if not names:
            return None
        line_break = _first_line_break(source, file) if source.multiline else ""
        return Layout(file, names, partitions=partitions_of(file), line_break=line_break)
    if source.format == "jsonl":
        return _json_layout(source, file)
    if source.format == "sequences":
        return Layout(file, ())
    return columnar_layout(file, _schema(source, file))


def _schema(source: Source, file: InputFile) -> pa.Schema:
    try:
        if source.format == "parquet":
            return _require_names_once(pq.read_schema(file.path).remove_metadata())
        if source.format == "orc":
            schema = _require_names_once(orc.ORCFile(file.path).schema.remove_metadata())
            return _require_plain_times(schema)
        return read_avro_schema(file.path)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        text = f"{file.name} is no readable {source.format} file: {error}"
        raise InputError(text) from error


def _require_names_once(schema: pa.Schema) -> pa.Schema:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Spark reads no file with a column named more than once ({', '.join(twice)}); "
            "rename one of them"
        )
    return schema


def _require_plain_times(schema: pa.Schema) -> pa.Schema:
    zoned = [item.name for item in schema if getattr(item.type, "tz", None) is not None]
    if zoned:
        raise ValueError(
            f"Spark reads no ORC file with times in a zone ({', '.join(zoned)}); write them "
            "without one, in UTC, or as text"
        )
    return schema


def _struct_paths(schema: pa.Schema) -> tuple[dict[str, Path], dict[str, pa.DataType]]:
    """Return the way to and the type of each column and of each field within a struct."""
    paths: dict[str, Path] = {}
    types: dict[str, pa.DataType] = {}
    level: list[tuple[Names, pa.DataType]] = [((item.name,), item.type) for item in schema]
    while level:
        deeper: list[tuple[Names, pa.DataType]] = []
        for path, type_ in level:
            if paths.setdefault(".".join(path), path) == path:
                types[".".join(path)] = type_
            if pa.types.is_struct(type_) and len(path) < _MOST_STEPS:
                deeper += [((*path, item.name), item.type) for item in type_]
        level = deeper
    return paths, types


def _json_layout(source: Source, file: InputFile) -> Layout:
    paths: dict[str, Path] = {}
    for line in islice(_lines(source, file), SAMPLED_LINES):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # such a line goes to quarantine with the others of its kind
        if isinstance(row, Mapping):
            paths.update((key, (key,)) for key in row)
            for path in _paths_within(row, ()):
                paths.setdefault(_dotted(path), path)
    return Layout(file, tuple(paths), paths, partitions=partitions_of(file), is_sampled=True)


def _paths_within(value: Any, path: Path) -> Iterator[Path]:
    if path:
        yield path
    if len(path) == _MOST_STEPS:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths_within(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from _paths_within(value[0], (*path, 0))


def _dotted(path: Path) -> str:
    return "".join("[0]" if step == 0 else f".{step}" for step in path).removeprefix(".")


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


def _first_line_break(source: Source, file: InputFile) -> str:
    with open_text(file.path, source.encoding) as stream:
        stream.reconfigure(newline="")  # leaves line breaks as they are
        line = stream.readline()
    return line[len(line.rstrip("\r\n")) :][:2] or "\n"


def _lines(source: Source, file: InputFile) -> Iterator[str]:
    """Yield a text file's lines that are not blank, as Spark does."""
    encoding = "utf-8-sig" if source.encoding.lower() in ("utf-8", "utf8") else source.encoding
    try:
        with open_text(file.path, encoding) as stream:
            yield from (line.rstrip("\r\n") for line in stream if line.strip())
    except UNPACK_ERRORS as error:
        raise InputError(f"{file.name} cannot be read as {source.encoding}: {error}; "
                         "see `encoding` of its input") from error  # fmt: skip
