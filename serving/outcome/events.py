"""Read the files of `headrace outcome --events`: who was shown what, and who acted on what.

Legend of shapes: E events of all files, U users of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from conf.contract import Manifest
from conf.errors import ConfigError, InputError
from conf.privacy.log_ids import Kind, as_files_name_them, has_labels
from conf.settings.config import Config
from conf.settings.input import ColumnName, EventSource
from serving.given_files.cells import (
    EVENTS_OPTION,
    Cells,
    logs_of,
    optional,
    reaches,
    read_cells,
)
from serving.given_files.reading import GivenFile, read_file
from serving.outcome.joining import Codes

OTHER, SHOWN, ACT, TOO_SMALL = range(4)
"""What an event is; TOO_SMALL: an act whose value is below `min_value` of its type."""
NO_LIST, NO_PLACE = -1, 0
_DTYPES = {
    "user": np.int64, "item": np.int64, "time": np.int64, "kind": np.int8, "worth": np.float64,
    "list_id": np.int64, "place": np.int64,
}  # fmt: skip
_ORDER = ("place", "list_id", "worth", "kind", "item", "time", "user")
"""By what events are sorted, the last one first."""
_LAST_PLACE = 2**31 - 1


class Events(NamedTuple):
    """The events of all files, in an order that does not depend on that of files and rows."""

    user_ids: list[str]
    """[U] as in the lists."""
    user: np.ndarray
    """[E] int64, place in `user_ids`."""
    item: np.ndarray
    """[E] int64"""
    time: np.ndarray
    """[E] int64, microseconds since 1970 UTC."""
    kind: np.ndarray
    """[E] int8"""
    worth: np.ndarray
    """[E] float64, of an act; 0 for others."""
    list_id: np.ndarray
    """[E] int64, number of the list that the event names, or NO_LIST."""
    place: np.ndarray
    """[E] int64, place in the list that the event names, or NO_PLACE."""
    is_copy: np.ndarray
    """[E] bool, an event that an earlier one equals."""


class Names(NamedTuple):
    """The ids that lists and events share, as numbers."""

    items: Codes
    lists: Codes


def acts_of(config: Config) -> dict[str, float]:
    """Return what an act of each type is worth.

    Raises:
        ConfigError: When no type is a success.
    """
    outcome, types = config.outcome, config.etl.event_types
    if outcome.acted:
        return dict(outcome.acted)
    found = {
        name: 1.0
        for name, kind in types.items()
        if not kind.shown_only and kind.weight > 0 and name != outcome.shown
    }
    if not found:
        raise ConfigError(
            "outcome.acted is empty, and no type of etl.event_types is a success; name the types "
            "that are, such as outcome.acted={purchase: 1}"
        )
    return found


def read_logs(
    config: Config,
    manifest: Manifest,
    files: Sequence[str],
    names: Names,
    known: Mapping[Kind, pa.Array],
) -> Events:
    """Return the events of the files.

    Args:
        config: Declares columns and types.
        manifest: The dataset of the current lists.
        files: Paths, or NAME=PATH with a name of `input.events`.
        names: Gets the items and lists that events name.
        known: Ids of users and items in that dataset.

    Raises:
        ConfigError: When a file fits several logs.
        InputError: When a file cannot be read, lacks a column, or has a row that is wrong, or when
            no event is of the type `outcome.shown`.
    """
    logs = [_log_of(config, text) for text in files]
    _require_columns(config, logs)
    acts, users = acts_of(config), Codes()
    frame = pd.concat(
        [_part(config, manifest, log, file, acts) for log, file in logs], ignore_index=True
    )
    _require_shown(config, set(frame["type"]))
    frame["user"] = _numbers(config, manifest, "user", frame, users, known)
    frame["item"] = _numbers(config, manifest, "item", frame, names.items, known)
    frame["list_id"] = _coded(frame["list_id"], names.lists)
    order = np.lexsort([frame[name] for name in _ORDER])
    frame = frame.iloc[order]
    return Events(
        user_ids=users.texts,
        **{name: frame[name].to_numpy(kind) for name, kind in _DTYPES.items()},
        is_copy=_copies(frame),
    )


def _log_of(config: Config, text: str) -> tuple[EventSource, GivenFile]:
    """Return the log that a file of `--events` is of, and the file."""
    logs, (name, is_named, rest) = config.input.events, text.partition("=")
    if is_named and name in logs:
        return logs[name], read_file(EVENTS_OPTION, Path(rest), logs[name])
    fit = dict(logs_of(config, Path(text), _needed))
    if len(fit) > 1:
        raise ConfigError(
            f"{EVENTS_OPTION}={text!r} has the columns of several logs of input.events "
            f"({', '.join(fit)}); say which one it is: {EVENTS_OPTION} {next(iter(fit))}={text}"
        )
    return next((logs[one], file) for one, file in fit.items())


def _needed(log: EventSource) -> list[ColumnName]:
    columns = log.columns
    return [
        one
        for one in (columns.user_id, columns.item_id, columns.time, columns.event_type)
        if one is not None
    ]


def _require_columns(config: Config, logs: Sequence[tuple[EventSource, GivenFile]]) -> None:
    """Refuse a column of the section `outcome` that no file has."""
    outcome = config.outcome
    for key, column in (("list_id", outcome.list_id), ("position", outcome.position)):
        if column is not None and not any(file.has(column, log) for log, file in logs):
            raise InputError(
                f"outcome.{key}={column!r} is a column of none of the files of {EVENTS_OPTION}; "
                f"correct it, or set outcome.{key} to null"
            )


def _part(
    config: Config,
    manifest: Manifest,
    log: EventSource,
    file: GivenFile,
    acts: Mapping[str, float],
) -> pd.DataFrame:
    """Return the rows of a file."""
    wrong = dict[int, str]()
    positions = optional(file, log, config.outcome.position)
    places = [_place(one, row, wrong) for row, one in enumerate(positions)]
    cells = read_cells(file, log, config, manifest, wrong)
    return pd.DataFrame(
        {
            "user": cells.users,
            "item": cells.items,
            "time": cells.times,
            "type": cells.types,
            "kind": _kinds(config, log, cells, acts),
            "worth": np.array([acts.get(one, 0.0) for one in cells.types], dtype=np.float64),
            "list_id": _texts(optional(file, log, config.outcome.list_id)),
            "place": np.array(places, dtype=np.int64),
            "event_id": _texts(optional(file, log, log.columns.event_id)),
            "value": _texts(cells.values),
        }
    )


def _kinds(config: Config, log: EventSource, cells: Cells, acts: Mapping[str, float]) -> np.ndarray:
    """Return what each event is: [M] int8."""
    types = cells.types
    shown, known = config.outcome.shown, config.etl.event_types
    kind_of = {one: SHOWN if one == shown else ACT if one in acts else OTHER for one in set(types)}
    kinds = np.array([kind_of[one] for one in types], dtype=np.int8)
    for place in np.flatnonzero(kinds == ACT).tolist():
        rule = known.get(types[place])
        if rule is not None and rule.min_value is not None:
            kinds[place] = ACT if reaches(cells.values[place], rule.min_value, log) else TOO_SMALL
    return kinds


def _copies(frame: pd.DataFrame) -> np.ndarray:
    """Return which events an earlier one equals: in all columns that are read, or its event id.

    An event that is a success is no copy of one whose value is too small.
    """
    same = ["event_id", "user", "item", "type", "kind"]
    found = frame.duplicated([*same, "time", "list_id", "place", "value"])
    found |= frame["event_id"].notna() & frame.duplicated(same)
    return found.to_numpy(bool)


def _texts(values: Sequence[Any]) -> pd.Series:
    return pd.Series([None if one is None else str(one) for one in values], dtype="object")


def _place(value: Any, row: int, wrong: dict[int, str]) -> int:
    """Return a place from 1 on, NO_PLACE for none; note what cannot be one."""
    if value is None:
        return NO_PLACE
    try:
        number = float(value)
        if 1 <= number <= _LAST_PLACE and number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    wrong.setdefault(row, f"outcome.position={value!r} is no position; positions are 1, 2, 3, ...")
    return NO_PLACE


def _numbers(
    config: Config,
    manifest: Manifest,
    kind: Kind,
    frame: pd.DataFrame,
    codes: Codes,
    known: Mapping[Kind, pa.Array],
) -> np.ndarray:
    """Return the number of each event's id, as lists have it: [E] int64.

    Ids of the log get the labels that the dataset gave them; those that are labels already stay.
    """
    own = Codes()
    raw = _coded(frame[kind], own)
    convert = as_files_name_them(config, manifest, kind, f"outcome {EVENTS_OPTION}")
    labels = set(known[kind].to_pylist()) if has_labels(manifest, kind) else set[str]()
    as_listed = [one if one in labels else convert(one) for one in own.texts]
    found: np.ndarray = np.array([codes.number(one) for one in as_listed], dtype=np.int64)[raw]
    return found


def _coded(texts: pd.Series, codes: Codes) -> np.ndarray:
    """Return the number of each text: [E] int64; new ones are numbered in their own order."""
    column = pa.array(texts, pa.string())
    for text in sorted(column.unique().drop_null().to_pylist()):
        codes.number(text)
    return codes.of(column)


def _require_shown(config: Config, types: set[str]) -> None:
    shown = config.outcome.shown
    if shown is not None and shown not in types:
        raise InputError(
            f"outcome.shown={shown!r}, but no event of {EVENTS_OPTION} has this type; there are "
            f"{', '.join(sorted(types)[:30]) or 'no events'}"
        )
