"""The columns of each input file, found before Spark reads it.

Spark names the columns of a csv by position and reads a missing key as null without a warning.
So headers, keys and schemas are read here.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fastavro
import fastavro.schema
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import Source
from conf.workspace.storage import raise_storage_failure
from etl.reading.files.copies import open_after
from etl.reading.files.file_kinds import UNPACK_ERRORS
from etl.reading.files.quotes import LineBreaks, dialect_of, line_breaks_of

Names = tuple[str, ...]
FieldPath = tuple[str | int, ...]
"""Steps from a row to a value: keys, and 0 for the first element of an array."""
SAMPLED_LINES = 100
_MOST_STEPS = 6
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
REPLACEMENT = "\ufffd"
"""What stands for bytes that cannot be decoded."""

_PRIMITIVES = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
    "fixed": pa.binary(),
}
_LOGICAL = {
    "date": pa.date32(),
    "decimal": pa.decimal128(38, 9),
    "uuid": pa.string(),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Layout:
    """The columns of one file."""

    file: InputFile
    names: Names
    """Names as in the file, duplicates included. Names within objects have dots."""
    paths: Mapping[str, FieldPath] = field(default_factory=dict)
    """For each name the path to it; empty for a csv."""
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """For each name its type; empty if all columns are text."""
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    """Names and values of the folders `name=value` that contain the file."""
    line_breaks: LineBreaks | None = None
    """How the rows end of a csv whose quoted fields may contain line breaks; None: any other."""
    is_sampled: bool = False
    """Whether later lines can contain more names."""
    num_sampled: int = 0
    """Number of rows that were sampled."""
    longer: Mapping[FieldPath, int] = field(default_factory=dict)
    """For each path to a first element, the sampled rows in which its list has more elements."""

    def is_known(self) -> bool:
        """Return whether the columns are known; they are not if all sampled lines are broken."""
        return bool(self.names) or not self.is_sampled


def read_layouts(source: Source, files: Sequence[InputFile]) -> list[Layout]:
    """Return the layout of each file that is not empty.

    Raises:
        InputError: When a file cannot be read at all, or the columns of a csv have no names.
    """
    if source.format == "csv" and not source.header and not source.column_names:
        raise InputError(
            "column_names of the input is empty, but its csv files have no header; "
            "list the names of all columns in column_names"
        )
    layouts = (_read_layout(source, file) for file in files)
    return [layout for layout in layouts if layout is not None]


def columnar_layout(file: InputFile, schema: pa.Schema) -> Layout:
    """Return the layout of a file or table whose columns have types."""
    paths, types = _struct_paths(schema)
    return Layout(file, tuple(types), paths, types, partitions_of(file))


def partitions_of(file: InputFile) -> dict[str, str | None]:
    """Return the names and values of the folders `name=value` that contain a file."""
    *folders, _ = (file.hidden or file.name).split("/")
    pairs = (part.split("=", 1) for part in folders if "=" in part)
    return {
        unquote(name): None if value == _NULL_PARTITION else unquote(value) for name, value in pairs
    }


def steps_of(name: str) -> FieldPath:
    """Return the path that a dotted name describes: `a.b[0]` is a, b, first element."""
    steps: list[str | int] = []
    for part in name.split("."):
        steps += [part.removesuffix("[0]"), 0] if part.endswith("[0]") else [part]
    return tuple(steps)


def _read_layout(source: Source, file: InputFile) -> Layout | None:
    if source.format == "csv":
        names = _header(source, file) if source.header else source.column_names
        if not names:
            return None
        breaks = _line_breaks(source, file) if source.multiline else None
        return Layout(file, names, partitions=partitions_of(file), line_breaks=breaks)
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
        raise_storage_failure(error, file.path)
        text = f"{file.name} is not a readable {source.format} file: {error}"
        raise InputError(text) from error


def _require_names_once(schema: pa.Schema) -> pa.Schema:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Spark cannot read a file with a column named more than once ({', '.join(twice)}); "
            "rename one of them"
        )
    return schema


def _require_plain_times(schema: pa.Schema) -> pa.Schema:
    zoned = [item.name for item in schema if getattr(item.type, "tz", None) is not None]
    if zoned:
        raise ValueError(
            f"Spark cannot read an ORC file with times in a zone ({', '.join(zoned)}); write them "
            "in UTC without a zone, or as text"
        )
    return schema


def _struct_paths(schema: pa.Schema) -> tuple[dict[str, FieldPath], dict[str, pa.DataType]]:
    """Return the path and the type of each column and of each field within a struct."""
    paths: dict[str, FieldPath] = {}
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
    paths: dict[str, FieldPath] = {}
    rows, longer = 0, Counter[FieldPath]()
    for line in islice(_lines(source, file), SAMPLED_LINES):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # Spark finds such a line again and puts it into quarantine
        if isinstance(row, Mapping):
            rows += 1
            paths.update((key, (key,)) for key in row)
            for path, has_more in _paths_within(row, ()):
                paths.setdefault(_dotted(path), path)
                longer[path] += has_more
    return Layout(
        file,
        tuple(paths),
        paths,
        partitions=partitions_of(file),
        is_sampled=True,
        num_sampled=rows,
        longer=+longer,
    )


def _paths_within(
    value: Any, path: FieldPath, has_more: bool = False
) -> Iterator[tuple[FieldPath, bool]]:
    """Yield each path within a value, and whether it ends at the first of several elements."""
    if path:
        yield path, has_more
    if len(path) == _MOST_STEPS:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths_within(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from _paths_within(value[0], (*path, 0), len(value) > 1)


def _dotted(path: FieldPath) -> str:
    return "".join("[0]" if step == 0 else f".{step}" for step in path).removeprefix(".")


def _header(source: Source, file: InputFile) -> Names:
    lines = _lines(source, file)
    if len(source.separator) > 1:
        found = next(lines, "").split(source.separator)
        names = tuple(name.strip(source.quote) for name in found) if found != [""] else ()
    else:
        try:
            names = tuple(next(csv.reader(lines, **dialect_of(source)), []))
        except csv.Error as error:
            raise InputError(
                f"{file.name}: its first line cannot be read as the header of a csv ({error}); it "
                "may be damaged or another kind of file, or have an open quote"
            ) from error
    if any(REPLACEMENT in name for name in names):
        raise InputError(
            f"{file.name} cannot be read as {source.encoding}: its header is in another character "
            "set; see `encoding` of its input"
        )
    return names


def _line_breaks(source: Source, file: InputFile) -> LineBreaks:
    try:
        return line_breaks_of(source, file.path, file.sha256)
    except UNPACK_ERRORS as error:
        raise _unreadable(source, file, error) from error


def _lines(source: Source, file: InputFile) -> Iterator[str]:
    """Yield the lines of a text file, without blank ones and comments, as Spark does."""
    try:
        with open_after(file.path, source.encoding, source.skip_lines) as stream:
            for line in stream:
                if line.strip() and not (source.comment and line.startswith(source.comment)):
                    yield line.rstrip("\r\n").removeprefix("\ufeff")
    except UNPACK_ERRORS as error:
        raise _unreadable(source, file, error) from error


def _unreadable(source: Source, file: InputFile, error: Exception) -> InputError:
    return InputError(
        f"{file.name} cannot be read as {source.encoding}: {error}; see `encoding` of its input"
    )


def read_avro_schema(path: Path) -> pa.Schema:
    """Return the columns of an Avro file; precision and scale of decimals are placeholders.

    Raises:
        ValueError: When the header is damaged or does not describe records.
    """
    try:
        with path.open("rb") as stream:
            schema = fastavro.reader(stream).writer_schema
    except (EOFError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise ValueError(f"its header is cut off or damaged ({error})") from error
    type_ = _arrow_type(schema)
    if not pa.types.is_struct(type_):
        raise ValueError(f"its rows are not records but {type_}")
    return pa.schema(list(type_))


def _arrow_type(schema: Any) -> pa.DataType:
    if isinstance(schema, list):
        return _union(schema)
    if isinstance(schema, str):
        return _PRIMITIVES.get(schema, pa.struct([]))  # otherwise the name of an outer record
    if not isinstance(schema, dict):
        raise ValueError("its header contains no schema")
    kind = schema["type"]
    if schema.get("logicalType") in _LOGICAL:
        return _LOGICAL[schema["logicalType"]]
    if kind == "record":
        return pa.struct([(item["name"], _arrow_type(item["type"])) for item in schema["fields"]])
    if kind == "array":
        return pa.list_(_arrow_type(schema["items"]))
    if kind == "map":
        return pa.map_(pa.string(), _arrow_type(schema["values"]))
    return _arrow_type(kind)


def _union(members: list[Any]) -> pa.DataType:
    """Return the type of a nullable value; for several types, one that no column accepts."""
    kinds = [_arrow_type(member) for member in members if member != "null"]
    return kinds[0] if len(kinds) == 1 else pa.struct([])
