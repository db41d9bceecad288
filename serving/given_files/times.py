"""Times of events as numbers, in the form that the histories of a dataset have."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from conf.contract import Manifest
from conf.settings.config import Config
from conf.settings.input import EventSource
from conf.settings.rules.time_patterns import ISO
from conf.workspace.instants import microseconds, newest_instant
from serving.given_files.time_formats import moment_of

_STEPS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_MICROSECOND = timedelta(microseconds=1)
_MOST_LATER = timedelta(days=3653) // _MICROSECOND
_LARGEST = 2**63 - 1
_UNITS = {"minute": "m", "hour": "h", "day": "D", "month": "M", "year": "Y"}


def as_number(value: Any, log: EventSource) -> int:
    """Return a time in microseconds since 1970 UTC, or an order number.

    Args:
        value: The time as the file has it; if the unit is iso, texts are in ISO 8601 or as the
            log's `time_format` says.
        log: The log whose unit it has.

    Raises:
        ValueError: When it is no such time.
    """
    try:
        if isinstance(value, datetime) or log.time_unit == "iso":
            return _microseconds(value, log)
        text = str(value).strip()
        if log.thousands is not None:
            text = text.replace(log.thousands, "")
        number = Decimal(text.replace(log.decimal, "."))
        return int(number * _STEPS.get(log.time_unit, 1))
    except (ArithmeticError, OverflowError, TypeError) as error:
        raise ValueError(value) from error


def _microseconds(value: Any, log: EventSource) -> int:
    is_read = isinstance(value, datetime)
    moment = value if is_read else moment_of(str(value), log.time_format or (ISO,))
    if moment.tzinfo is None and log.local_time_zone is not None:
        moment = moment.replace(tzinfo=ZoneInfo(log.local_time_zone))
    return microseconds(moment)


def as_numbers(values: Sequence[Any], log: EventSource, wrong: dict[int, str]) -> np.ndarray:
    """Return times as `as_number` does; note those that are none: [E] -> [E] int64."""
    if log.time_unit in _STEPS and set(map(type, values)) <= {int}:
        with suppress(OverflowError):
            numbers = np.array(values, dtype=np.int64)
            if not len(numbers) or np.abs(numbers).max() < _LARGEST // _STEPS[log.time_unit]:
                found: np.ndarray = numbers * _STEPS[log.time_unit]
                return found
    found = np.zeros(len(values), dtype=np.int64)
    for place, value in enumerate(values):
        try:
            found[place] = as_number(value, log)
        except (ValueError, OverflowError):
            wrong.setdefault(place, f"is no time with {_form(log)}")
    return found


def _form(log: EventSource) -> str:
    """Return the keys that say how times are written."""
    if log.time_format and log.time_unit == "iso":
        return f"time_format=[{', '.join(log.time_format)}]"
    return f"time_unit={log.time_unit}"


def why_wrong(numbers: np.ndarray, config: Config, manifest: Manifest) -> dict[int, str]:
    """Return why times cannot be right, by place; those that can are left out.

    Args:
        numbers: [E] microseconds since 1970 UTC.
        config: Has the earliest time.
        manifest: Has the newest event.
    """
    first, newest = config.etl.clean.earliest_time, newest_instant(manifest)
    early = f"is before etl.clean.earliest_time={first}; most often the time unit is wrong"
    late = (
        "is more than ten years after the dataset's newest event; most often the time unit is wrong"
    )
    begin = microseconds(datetime.combine(first, time()))
    found = dict.fromkeys(np.flatnonzero(numbers < begin).tolist(), early)
    if newest is not None:
        places = np.flatnonzero(numbers > newest + _MOST_LATER).tolist()
        found |= dict.fromkeys(places, late)
    return found


def cut(numbers: np.ndarray, config: Config) -> np.ndarray:
    """Return times as `privacy.columns.events.time` makes them coarser: [E] -> [E] int64."""
    rule = config.privacy.columns.events.get("time")
    if rule is None or rule.to is None:
        return numbers
    moments = numbers.astype("datetime64[us]").astype(f"datetime64[{_UNITS[rule.to]}]")
    return moments.astype("datetime64[us]").astype(np.int64)
