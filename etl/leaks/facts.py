"""Facts about the raw log, collected again, that the leak check compares a dataset with.

Times are parsed here in Python, not by the code that made the dataset. Only a text that Python
cannot read (a zone such as CET, a mark of thousands) is taken as the dataset has it.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.rules.time_patterns import ISO
from etl.leaks.patterns import parse_pattern
from etl.spark.columns import EVENT_ID, FIELD, TIME_TEXT, TYPE_TEXT, VALUE_TEXT
from etl.spark.folders import store
from etl.spark.notation import PLAIN, Notation
from etl.spark.texts import BLANKS, NO_BREAK_SPACES
from etl.spark.times import MICROS_PER_DAY

READ_AS = "read_as"
"""int64, the time as the dataset has it: microseconds since 1970, null if it cannot be parsed."""
_SPACE = re.compile(f"[{NO_BREAK_SPACES}]")
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
    misread: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Texts of times that Python reads differently: microseconds in the dataset, and in Python."""

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
    logs: Iterable[tuple[DataFrame, str, Notation]],
    users: Sequence[str],
    items: Sequence[str],
    scratch: Path,
    time_step: int = 1,
) -> Facts:
    """Return all raw events of the users and of the items.

    Args:
        logs: For each log its raw rows, with USER_ID, ITEM_ID, TIME_TEXT and, unless its times are
            plain, READ_AS; its time unit; and how times are written.
        users: Ids of the users.
        items: Ids of the items.
        scratch: Folder for the rows found.
        time_step: Resolution of the dataset's times in microseconds.
    """
    facts, asked = Facts(), (set(users), set(items))
    for number, (rows, unit, notation) in enumerate(logs):
        wanted = F.col(USER_ID).isin(list(users)) | F.col(ITEM_ID).isin(list(items))
        # The removal of duplicates compares these columns too.
        told_apart_by = (
            name
            for name in rows.columns
            if name in (TYPE_TEXT, VALUE_TEXT, EVENT_ID) or name.startswith(FIELD)
        )
        read_as = F.col(READ_AS) if READ_AS in rows.columns else F.lit(None).cast("long")
        found = rows.where(wanted).withColumn(READ_AS, read_as)
        found = found.select(USER_ID, ITEM_ID, TIME_TEXT, READ_AS, *told_apart_by).distinct()
        folder = scratch / f"facts-{number}"
        store(found, folder)
        for user, item, text, in_dataset in _read_rows(folder):
            micros = parse_micros(text, unit, notation)
            if READ_AS in rows.columns:
                if micros is None or in_dataset is None:
                    micros = in_dataset
                elif micros != in_dataset:
                    facts.misread[text] = (in_dataset, micros)
            if micros is None or user is None or item is None:
                continue  # such a row is in quarantine
            micros -= micros % time_step
            if user in asked[0]:
                facts.of_user[user].append((item, micros))
            if item in asked[1]:
                facts.of_item[item].append(micros)
    return facts


def _read_rows(folder: Path) -> Iterator[tuple[Any, ...]]:
    columns = [USER_ID, ITEM_ID, TIME_TEXT, READ_AS]
    for file in folder.glob("*.parquet"):
        for batch in pq.ParquetFile(file).iter_batches(columns=columns):
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def parse_micros(text: str | None, unit: str, notation: Notation = PLAIN) -> int | None:
    """Return a time of the log as microseconds since 1970 UTC, None if it cannot be parsed."""
    if text is None:
        return None
    text = text.strip(BLANKS)
    try:
        if unit != "iso":
            if notation.thousands is not None and notation.thousands in text:
                return None
            number = Decimal(text.replace(notation.decimal, "."))
            return int((number * _FACTOR[unit]).to_integral_value("ROUND_FLOOR"))
        local: tzinfo = UTC if notation.time_zone is None else ZoneInfo(notation.time_zone)
        for pattern in notation.time_formats or (ISO,):
            moment = _moment(_SPACE.sub(" ", text), pattern, local)
            if moment is not None:
                return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, KeyError, InvalidOperation, OverflowError):
        return None
    return None


def _moment(text: str, pattern: str, local: tzinfo) -> datetime | None:
    """Return the moment of a text, None if the pattern does not fit."""
    if pattern != ISO:
        with suppress(ValueError):  # a later pattern may fit
            return parse_pattern(text, _SPACE.sub(" ", pattern), local)
        return None
    trimmed = re.sub(r"\s?(UTC|GMT)$", "Z", text.replace(",", ".").upper())
    with suppress(ValueError):
        moment = datetime.fromisoformat(re.sub(r"\s+(?=[Z+-])", "", trimmed))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=local)
    return None


def ids_of(rows: Mapping[int, str], numbers: Iterable[int]) -> set[str]:
    """Return the raw ids of numbers; numbers without an id are skipped."""
    return {rows[number] for number in numbers if number in rows}
