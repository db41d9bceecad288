"""Facts about the raw log, collected again, that the leak check compares a dataset with.

Times are parsed here in Python, not by the code that made the dataset.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.spark.columns import EVENT_ID, FIELD, TIME_TEXT, TYPE_TEXT, VALUE_TEXT
from etl.spark.folders import store
from etl.spark.times import MICROS_PER_DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FACTOR = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}

Event = tuple[str, int]  # id of the item, microseconds since 1970


class Times:
    """The sorted times of one user's or item's events, so counting needs no loop."""

    def __init__(self, times: Iterable[int]) -> None:
        self.sorted = np.sort(np.fromiter(times, np.int64))
        self.days, self.events = np.unique(self.sorted // MICROS_PER_DAY, return_counts=True)

    def count_before(self, until: int, since: int | None = None) -> int:
        """Return the number of events before `until`, and from `since` on if it is given."""
        upto = np.searchsorted(self.sorted, until)
        return int(upto if since is None else upto - np.searchsorted(self.sorted, since))

    def decayed_before(self, day: int, half_life_days: float) -> float:
        """Return the events before a day, each halved per half-life of its age in whole days."""
        known = self.days < day
        return float(
            (self.events[known] * 0.5 ** ((day - self.days[known]) / half_life_days)).sum()
        )


@dataclass
class Facts:
    """Events of some users and items in the raw log; equal rows are counted once."""

    of_user: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    of_item: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(_no_times))
    """Times only, to save memory: the items together may have much of the log."""

    def first_times(self) -> dict[str, dict[str, int]]:
        """Return for each user and item the time of the first event."""
        firsts: dict[str, dict[str, int]] = defaultdict(dict)
        for user, events in self.of_user.items():
            for item, at in events:
                firsts[user][item] = min(at, firsts[user].get(item, at))
        return firsts


def _no_times() -> "array[int]":
    return array("q")


def collect_facts(
    logs: Iterable[tuple[DataFrame, str]],
    users: Sequence[str],
    items: Sequence[str],
    scratch: Path,
    time_step: int = 1,
) -> Facts:
    """Return all raw events of the users and of the items.

    Args:
        logs: For each log its raw rows, with USER_ID, ITEM_ID and TIME_TEXT, and its time unit.
        users: Ids of the users.
        items: Ids of the items.
        scratch: Folder for the rows found.
        time_step: Resolution of the dataset's times in microseconds.
    """
    facts, asked = Facts(), (set(users), set(items))
    for number, (rows, unit) in enumerate(logs):
        wanted = F.col(USER_ID).isin(list(users)) | F.col(ITEM_ID).isin(list(items))
        # The removal of duplicates compares these columns too.
        told_apart_by = (
            name
            for name in rows.columns
            if name in (TYPE_TEXT, VALUE_TEXT, EVENT_ID) or name.startswith(FIELD)
        )
        found = rows.where(wanted).select(USER_ID, ITEM_ID, TIME_TEXT, *told_apart_by).distinct()
        folder = scratch / f"facts-{number}"
        store(found, folder)
        for user, item, text in _read_rows(folder):
            micros = parse_micros(text, unit)
            if micros is None or user is None or item is None:
                continue  # such a row is in quarantine
            micros -= micros % time_step
            if user in asked[0]:
                facts.of_user[user].append((item, micros))
            if item in asked[1]:
                facts.of_item[item].append(micros)
    return facts


def _read_rows(folder: Path) -> Iterator[tuple[str | None, str | None, str | None]]:
    columns = [USER_ID, ITEM_ID, TIME_TEXT]
    for file in folder.glob("*.parquet"):
        for batch in pq.ParquetFile(file).iter_batches(columns=columns):
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def parse_micros(text: str | None, unit: str) -> int | None:
    """Return a time of the log as microseconds since 1970 UTC, None if it cannot be parsed."""
    if text is None:
        return None
    try:
        if unit == "iso":
            trimmed = re.sub(r"\s?(UTC|GMT)$", "Z", text.strip().replace(",", ".").upper())
            trimmed = re.sub(r"\s+(?=[Z+-])", "", trimmed)
            moment = datetime.fromisoformat(trimmed)
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return (aware - _EPOCH) // _MICROSECOND
        return int((Decimal(text.strip()) * _FACTOR[unit]).to_integral_value("ROUND_FLOOR"))
    except (ValueError, InvalidOperation, OverflowError):
        return None


def ids_of(rows: Mapping[int, str], numbers: Iterable[int]) -> set[str]:
    """Return the raw ids of numbers; numbers without an id are skipped."""
    return {rows[number] for number in numbers if number in rows}
