"""Read the fresher table of items: every value as a text, then converted; nothing bad is silent."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from conf.errors import InputError
from conf.settings.lists.items_now import ItemsNow

_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us"),
}


def read_rows(path: Path, section: ItemsNow) -> Iterator[tuple[Any, ...] | None]:
    """Yield the id and the fields of each row as they are in a file; None for a broken row.

    Raises:
        InputError: When the file cannot be read, or does not have each column once.
    """
    names = [section.id_column, *(field.column or name for name, field in section.fields.items())]
    try:
        yield from _READERS[section.format](path, names)
    except InputError:
        raise
    except (pa.ArrowException, csv.Error, OSError, ValueError, OverflowError) as error:
        raise InputError(  # a time that Python has not is an OverflowError
            f"score.items_now: {path} cannot be read as {section.format}: {error}; correct the "
            "file, or score.items_now.format"
        ) from None


def _csv_rows(path: Path, names: list[str]) -> Iterator[tuple[Any, ...] | None]:
    broken = 0

    def skip(row: Any) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    with pa.input_stream(str(path), compression="detect") as stream:
        first = io.TextIOWrapper(stream, encoding="utf-8-sig").readline()
    _require(path, names, next(csv.reader([first]), []))
    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(dict.fromkeys(names)),
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    yield from zip(*(table.column(name).to_pylist() for name in names), strict=True)
    yield from (None for _ in range(broken))


def _json_rows(path: Path, names: list[str]) -> Iterator[tuple[Any, ...] | None]:
    with pa.input_stream(str(path), compression="detect") as stream:
        lines = stream.read().decode("utf-8-sig").split("\n")  # others may be in a text
    for line in filter(str.strip, lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # also a number of thousands of digits
            row = None
        yield tuple(row.get(name) for name in names) if isinstance(row, dict) else None


def _parquet_rows(path: Path, names: list[str]) -> Iterator[tuple[Any, ...] | None]:
    _require(path, names, pq.read_schema(path).names)
    table = pq.read_table(path, columns=list(dict.fromkeys(names)))
    yield from zip(*(table.column(name).to_pylist() for name in names), strict=True)


_READERS: Mapping[str, Callable[[Path, list[str]], Iterator[tuple[Any, ...] | None]]] = {
    "csv": _csv_rows,
    "jsonl": _json_rows,
    "parquet": _parquet_rows,
}


def _require(path: Path, names: list[str], present: list[str]) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        raise InputError(
            f"score.items_now: {path} has no column {', '.join(missing)}; it has "
            f"{', '.join(present[:30])}; correct score.items_now.id_column or "
            "score.items_now.fields.NAME.column"
        )
    twice = [name for name in dict.fromkeys(names) if present.count(name) > 1]
    if twice:
        raise InputError(
            f"score.items_now: {path} has the column {', '.join(twice)} more than once; keep one "
            "of them"
        )


def converted(value: Any, kind: str) -> Any:
    """Return a value as a field of a type; None if it is missing.

    Raises:
        ValueError: When it is not of that type.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return value if kind == "text" and isinstance(value, str) else _OF_TYPE[kind](value)


def _integer(value: Any) -> int:
    try:  # 3.0 is what many programs write for 3 in a column with gaps
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except ArithmeticError as error:
        raise ValueError(value) from error
    if not number.is_finite() or not -(2**63) <= number < 2**63 or number % 1:
        raise ValueError(value)  # % fails for large numbers
    return int(number)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _truth(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUTHS:
        raise ValueError(value)
    return _TRUTHS[text]


def _time(value: Any) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


_OF_TYPE: Mapping[str, Callable[[Any], Any]] = {
    "text": str,
    "integer": _integer,
    "number": _number,
    "boolean": _truth,
    "time": _time,
}
