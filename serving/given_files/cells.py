"""A file of events: the log that it is of, ids, times, types and values. Nothing needs a model.

Legend of shapes: M rows of the file.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conf.contract import Manifest
from conf.errors import InputError
from conf.settings.config import Config
from conf.settings.input import ColumnName, EventSource
from serving.given_files.reading import GivenFile, read_file, told_column
from serving.given_files.times import as_numbers, why_wrong

EVENTS_OPTION = "--events"
Needed = Callable[[EventSource], Sequence[ColumnName]]
"""Returns the columns that a file of a log must have."""


def logs_of(config: Config, path: Path, needed: Needed) -> Iterator[tuple[str, GivenFile]]:
    """Yield the logs of `input.events` whose columns a file has, with the file read as theirs.

    Args:
        config: Declares the logs.
        path: The file.
        needed: Which columns it must have.

    Raises:
        InputError: When the file cannot be read, or has the columns of no log.
    """
    logs, fits = config.input.events, False
    there: list[str] = []
    for name, log in logs.items():
        file = read_file(EVENTS_OPTION, path, log)
        there = there or list(file.columns)
        if all(file.has(column, log) for column in needed(log)):
            fits = True
            yield name, file
    if not fits:
        wanted = "; ".join(
            f"{name}: {', '.join(map(told_column, needed(log)))}" for name, log in logs.items()
        )
        raise InputError(
            f"{EVENTS_OPTION}={str(path)!r} has the columns {', '.join(there[:30])}, but needs "
            f"those of a log of input.events ({wanted}); rename them"
        )


class Cells(NamedTuple):
    """What the rows of a file say."""

    users: list[str]
    """[M] ids"""
    items: list[str]
    """[M] ids"""
    times: np.ndarray
    """[M] int64, microseconds since 1970 UTC or order numbers; all 0 if there is no column."""
    types: list[str]
    """[M]"""
    values: Sequence[Any]
    """[M] as in the file; None where there is none."""


def read_cells(
    file: GivenFile,
    log: EventSource,
    config: Config,
    manifest: Manifest,
    wrong: dict[int, str] | None = None,
) -> Cells:
    """Return what the rows of a file say.

    Args:
        file: The file.
        log: The log that it is of.
        config: Declares types and times.
        manifest: The dataset.
        wrong: What is wrong in other columns, by the number of the row.

    Raises:
        InputError: When rows are wrong, or a column is missing.
    """
    columns, wrong = log.columns, dict(wrong or {})
    users, items = (_ids_of(file, log, name, wrong) for name in (columns.user_id, columns.item_id))
    times = _times_of(file, log, config, manifest, wrong)
    file.refuse(wrong)
    values = optional(file, log, columns.value)
    return Cells(users, items, times, _types_of(file, log, config), values)


def _ids_of(file: GivenFile, log: EventSource, name: Any, wrong: dict[int, str]) -> list[str]:
    """Return the id in each row; note the rows without one: [M]."""
    values = file.column(name, log)
    for place, value in enumerate(values):
        if value is None:
            wrong.setdefault(place, f"{name} is missing; every event needs a user and an item")
    return [str(value) for value in values]


def _times_of(
    file: GivenFile, log: EventSource, config: Config, manifest: Manifest, wrong: dict[int, str]
) -> np.ndarray:
    """Return the time of each row; note what cannot be one: [M] int64."""
    name = log.columns.time
    if log.is_ordered_by_lines or name is None:
        return np.zeros(file.rows, dtype=np.int64)
    values, odd = file.column(name, log), dict[int, str]()
    found = as_numbers(values, log, odd)
    if config.input.is_dated:
        odd = {**why_wrong(found, config, manifest), **odd}
    for place, why in odd.items():
        wrong.setdefault(place, f"{name}={values[place]!r} {why}")
    return found


def _types_of(file: GivenFile, log: EventSource, config: Config) -> list[str]:
    """Return the type of each row, that of the log if it has no such column: [M]."""
    if log.columns.event_type is None:
        return [log.event_type or next(iter(config.etl.event_types))] * file.rows
    return [str(one) for one in file.column(log.columns.event_type, log)]


def optional(file: GivenFile, log: EventSource, name: ColumnName | None) -> Sequence[Any]:
    """Return a column, all None if it has no name or the file lacks it: [M]."""
    if name is None or not file.has(name, log):
        return [None] * file.rows
    return file.column(name, log)


def reaches(value: Any, least: float, log: EventSource) -> bool:
    """Return whether the value of an event is at least this number."""
    try:
        return (
            float(str(value).replace(log.thousands or " ", "").replace(log.decimal, ".")) >= least
        )
    except ValueError:
        return False
