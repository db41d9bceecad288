"""Read the pairs of a file, and the context that it gives, as a dataset encodes them.

Legend of shapes: M rows of the file.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from conf.contract import (
    CLOCK,
    ITEM_ID,
    NUM_RESERVED,
    PADDING_IDX,
    UNKNOWN_IDX,
    USER_ID,
    Manifest,
)
from conf.errors import ConfigError, InputError
from trainer.networks.fields import FieldSpec
from trainer.prediction.context import CONTEXT, Known
from trainer.prediction.encoded import code_of, number_of

HISTORY = "history"  # column with a list of item ids, oldest first


class Table(NamedTuple):
    """A file of pairs."""

    path: Path
    rows: pa.Table

    def column(self, name: str) -> list[Any]:
        """Return a column as Python values, None for missing and empty ones."""
        values: list[Any] = self.rows[name].to_pylist()
        return [None if isinstance(one, str) and not one.strip() else one for one in values]

    def wrong(self, place: int, name: str, value: Any, rule: str) -> InputError:
        """Return the error about a value of a row."""
        return InputError(f"{self.path} row {place + 1}: {name}={value!r} {rule}")


def read_pairs(path: Path) -> Table:
    """Return the rows of a CSV file with a header, or of a Parquet file.

    Raises:
        InputError: When it cannot be read, lacks a column, or a row has no user or item.
    """
    try:
        if path.suffix == ".parquet":
            rows = pq.read_table(path)
        else:
            header = pc_csv.read_csv(path, parse_options=_csv()).schema.names
            as_text = pc_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
            rows = pc_csv.read_csv(path, parse_options=_csv(), convert_options=as_text)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"--input={str(path)!r} cannot be read as {path.suffix or 'CSV'}: {said}; give a CSV "
            "file with a header, or a Parquet file whose name ends in .parquet"
        ) from error
    missing = [name for name in (USER_ID, ITEM_ID) if name not in rows.schema.names]
    if missing:
        raise InputError(
            f"--input={str(path)!r} has no column {', '.join(missing)}, only "
            f"{', '.join(rows.schema.names[:30])}"
        )
    twice = [name for name, count in Counter(rows.schema.names).items() if count > 1]
    if twice:
        raise InputError(
            f"--input={str(path)!r} has the column {twice[0]} more than once; keep one of them"
        )
    table = Table(path, rows)
    for name in (USER_ID, ITEM_ID):
        for place, value in enumerate(table.column(name)):
            if value is None:
                raise table.wrong(place, name, value, "is missing; every row needs a user and item")
    return table


def _csv() -> Any:
    return pc_csv.ParseOptions(newlines_in_values=True)


def numbers_in(table: Table, name: str, numbered: pa.Array, label: Callable[[str], str]) -> Any:
    """Return the number of each row's user or item, `UNKNOWN_IDX` for unknown ones: [M] int64.

    Args:
        table: The file.
        name: USER_ID or ITEM_ID.
        numbered: The raw id of each number, null for those that are not in use.
        label: Returns the label of a raw id.
    """
    texts = table.rows[name].cast(pa.string()).to_pylist()
    labels = pa.array([label(text) for text in texts], pa.string())
    for ids in (labels, pa.array(texts, pa.string())):
        places = pc.index_in(ids, value_set=numbered, skip_nulls=True).to_numpy(False)
        if not np.isnan(places.astype(float)).all():
            break
    found = np.nan_to_num(places.astype(float), nan=UNKNOWN_IDX).astype(np.int64)
    return np.where(found < NUM_RESERVED, UNKNOWN_IDX, found)


def histories_in(table: Table, item_numbers: dict[str, int]) -> list[list[int]] | None:
    """Return the items of the column `history` of each row; None without such a column.

    Raises:
        InputError: When a value is no list.
    """
    if HISTORY not in table.rows.schema.names:
        return None
    found = []
    for place, value in enumerate(table.column(HISTORY)):
        items = value
        if isinstance(value, str):
            try:
                items = json.loads(value)
            except ValueError:
                items = None
        if value is not None and not isinstance(items, list):
            raise table.wrong(place, HISTORY, value, 'is no list of item ids, such as ["a", "b"]')
        found.append([item_numbers.get(str(item), UNKNOWN_IDX) for item in items or ()])
    return found


def fields_in(
    table: Table, folder: Path, manifest: Manifest, fields: Sequence[FieldSpec]
) -> dict[str, Known]:
    """Return the context that the file gives, by field: `hour`, an event's field, or a number.

    Raises:
        InputError: When a value cannot be encoded; the message names the row.
    """
    found = {}
    for field in fields:
        raw = field.name.removeprefix(CONTEXT)
        if raw in table.rows.schema.names:
            encoded = [
                _encoded(table, folder, manifest, field, place, value)
                for place, value in enumerate(table.column(raw))
            ]
            kind = np.float32 if field.kind == "numbers" else np.int64
            found[field.name] = Known("row", np.array(encoded, dtype=kind))
    return found


def _encoded(
    table: Table, folder: Path, manifest: Manifest, field: FieldSpec, place: int, value: Any
) -> Any:
    """Return a code, or a number with its mask."""
    raw = field.name.removeprefix(CONTEXT)
    if field.kind == "numbers":
        if value is None:
            return (0.0, 0.0)
        number = _number(table, place, raw, value)
        if field.name.startswith(CONTEXT):
            return (number_of(folder, manifest, raw, number), 1.0)
        return (np.sign(number) * np.log1p(abs(number)) if field.is_count else number, 1.0)
    if field.name in CLOCK:
        number = UNKNOWN_IDX if value is None else _number(table, place, raw, value)
        if value is not None and number not in range(CLOCK[field.name]):
            rule = f"is no whole number from 0 to {CLOCK[field.name] - 1}"
            raise table.wrong(place, raw, value, rule)
        return UNKNOWN_IDX if value is None else int(number) + UNKNOWN_IDX + 1
    if value is None:
        return PADDING_IDX
    try:
        return code_of(folder, manifest, raw, value, is_strict=False)
    except ConfigError as error:
        raise table.wrong(place, raw, value, f"cannot be encoded: {error}") from error


def _number(table: Table, place: int, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise table.wrong(place, name, value, "is no number")
    return number
