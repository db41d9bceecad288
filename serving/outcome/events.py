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
from conf.settings.input import EventSource
from serving.outcome.codes import Codes
from serving.visitors.cells import EVENTS_OPTION, ids_of, reaches, times_of
from serving.visitors.files import GivenFile, read_file

OTHER, SHOWN, ACT, TOO_SMALL = range(4)
"""What an event is; TOO_SMALL: an act whose value is below `min_value` of its type."""
NO_LIST, NO_PLACE = -1, 0


class Events(NamedTuple):
    """The events of all files, in their order."""

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
    acts, users = acts_of(config), Codes()
    parts, types = [], set[str]()
    given = {"list_id": config.outcome.list_id, "position": config.outcome.position}
    missing = {key: column for key, column in given.items() if column is not None}
    for text in files:
        name, file = _log_of(config, text)
        log = config.input.events[name]
        missing = {key: column for key, column in missing.items() if not file.has(column, log)}
        part, found = _part(config, manifest, config.input.events[name], file, acts)
        parts.append(part)
        types |= found
    _require_shown(config, types)
    for key, column in missing.items():
        raise InputError(
            f"outcome.{key}={column!r} is a column of none of the files of {EVENTS_OPTION}; "
            f"correct it, or set outcome.{key} to null"
        )
    frame = pd.concat(parts, ignore_index=True)
    labels: dict[Kind, np.ndarray] = {}
    kinds: tuple[tuple[Kind, Codes], ...] = (("user", users), ("item", names.items))
    for kind, codes in kinds:
        own = Codes()
        raw = own.of(pa.array(frame[kind], pa.string()))
        as_listed = _as_listed(config, manifest, kind, own.texts, known[kind])
        labels[kind] = np.array([codes.number(one) for one in as_listed], dtype=np.int64)[raw]
    lists = names.lists.of(pa.array(frame["list_id"], pa.string()))
    same = ["event_id", "user", "item", "type"]
    is_copy = frame.duplicated([*same, "time", "list_id", "place"])
    is_copy |= frame["event_id"].notna() & frame.duplicated(same)
    return Events(
        users.texts,
        labels["user"],
        labels["item"],
        frame["time"].to_numpy(np.int64),
        frame["kind"].to_numpy(np.int8),
        frame["worth"].to_numpy(np.float64),
        lists,
        frame["place"].to_numpy(np.int64),
        is_copy.to_numpy(bool),
    )


def _log_of(config: Config, text: str) -> tuple[str, GivenFile]:
    """Return the name of the log that a file is of, and the file."""
    logs, (name, is_named, rest) = config.input.events, text.partition("=")
    if is_named and name in logs:
        return name, read_file(EVENTS_OPTION, Path(rest), logs[name])
    read = {one: read_file(EVENTS_OPTION, Path(text), log) for one, log in logs.items()}
    fit = [
        one
        for one, file in read.items()
        if all(file.has(column, logs[one]) for column in _needed(logs[one]))
    ]
    if not fit:
        wanted = "; ".join(f"{one}: {', '.join(map(_told, _needed(logs[one])))}" for one in logs)
        there = ", ".join(list(next(iter(read.values())).columns)[:30])
        raise InputError(
            f"{EVENTS_OPTION}={text!r} has the columns {there}, but needs those of a log of "
            f"input.events ({wanted}); rename them"
        )
    if len(fit) > 1:
        raise ConfigError(
            f"{EVENTS_OPTION}={text!r} has the columns of several logs of input.events "
            f"({', '.join(fit)}); say which one it is: {EVENTS_OPTION} {fit[0]}={text}"
        )
    return fit[0], read[fit[0]]


def _needed(log: EventSource) -> list[Any]:
    columns = log.columns
    return [
        one
        for one in (columns.user_id, columns.item_id, columns.time, columns.event_type)
        if one is not None
    ]


def _told(column: Any) -> str:
    return column if isinstance(column, str) else " or ".join(column)


def _part(
    config: Config, manifest: Manifest, log: EventSource, file: GivenFile, acts: dict[str, float]
) -> tuple[pd.DataFrame, set[str]]:
    """Return the rows of a file, and the types that are in it."""
    columns, wrong = log.columns, dict[int, str]()
    frame = {
        "user": ids_of(file, log, columns.user_id, wrong),
        "item": ids_of(file, log, columns.item_id, wrong),
        "time": times_of(file, log, config, manifest, wrong),
    }
    names = [log.event_type or next(iter(config.etl.event_types))] * file.rows
    if columns.event_type is not None:
        names = [str(one) for one in file.column(columns.event_type, log)]
    values = _optional(file, log, columns.value)
    outcome = config.outcome
    codes = Codes(names)
    is_shown = {one: one == outcome.shown for one in codes.numbers}
    kinds = [SHOWN if is_shown[one] else ACT if one in acts else OTHER for one in names]
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        rule = config.etl.event_types.get(name)
        if kinds[place] == ACT and rule is not None and rule.min_value is not None:
            kinds[place] = ACT if reaches(value, rule.min_value, log) else TOO_SMALL
    places = [
        _place(one, row, wrong) for row, one in enumerate(_optional(file, log, outcome.position))
    ]
    file.refuse(wrong)
    return pd.DataFrame(
        {
            **frame,
            "type": names,
            "kind": np.array(kinds, dtype=np.int8),
            "worth": [acts.get(one, 0.0) for one in names],
            "list_id": _texts(_optional(file, log, outcome.list_id)),
            "place": places,
            "event_id": _texts(_optional(file, log, columns.event_id)),
        }
    ), set(codes.numbers)


def _optional(file: GivenFile, log: EventSource, name: Any) -> Sequence[Any]:
    """Return a column, all None if the file lacks it."""
    if name is None or not file.has(name, log):
        return [None] * file.rows
    return file.column(name, log)


def _texts(values: Sequence[Any]) -> pd.Series:
    return pd.Series([None if one is None else str(one) for one in values], dtype="object")


def _place(value: Any, row: int, wrong: dict[int, str]) -> int:
    """Return a place from 1 on, NO_PLACE for none; note what cannot be one."""
    if value is None:
        return NO_PLACE
    try:
        number = float(value)
        if number >= 1 and number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    wrong.setdefault(row, f"outcome.position={value!r} is no place; places are 1, 2, 3, ...")
    return NO_PLACE


def _as_listed(
    config: Config, manifest: Manifest, kind: Kind, ids: list[str], known: pa.Array
) -> list[str]:
    """Return ids of events as lists have them; those that are labels already stay."""
    convert = as_files_name_them(config, manifest, kind, f"outcome {EVENTS_OPTION}")
    there = set(known.to_pylist()) if has_labels(manifest, kind) else set[str]()
    return [one if one in there else convert(one) for one in ids]


def _require_shown(config: Config, types: set[str]) -> None:
    shown = config.outcome.shown
    if shown is not None and shown not in types:
        raise InputError(
            f"outcome.shown={shown!r}, but no event of {EVENTS_OPTION} has this type; there are "
            f"{', '.join(sorted(types)[:30]) or 'no events'}"
        )
