"""Facts of the raw log that the leak check compares a dataset with, found anew.

Times are parsed here by Python, not by the code that made the dataset.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.columns import EVENT_ID, FIELD, TIME_TEXT, TYPE_TEXT, VALUE_TEXT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FACTOR = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}

Event = tuple[str, int]  # id of the other side, microseconds since 1970


@dataclass
class Facts:
    """What the raw log says of some users and items, equal rows counted once."""

    of_user: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    of_item: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))


def collect_facts(
    logs: Iterable[tuple[DataFrame, str]],
    users: Sequence[str],
    items: Sequence[str],
    time_step: int = 1,
) -> Facts:
    """Return all raw events of the users and of the items.

    Args:
        logs: For each log its raw rows, with USER_ID, ITEM_ID and TIME_TEXT, and its time unit.
        users: Ids of the users.
        items: Ids of the items.
        time_step: Microseconds that the dataset's times are cut to.
    """
    facts, asked = Facts(), (set(users), set(items))
    for rows, unit in logs:
        wanted = F.col(USER_ID).isin(list(users)) | F.col(ITEM_ID).isin(list(items))
        # What the removal of equal events looks at too.
        told_apart_by = (
            name
            for name in rows.columns
            if name in (TYPE_TEXT, VALUE_TEXT, EVENT_ID) or name.startswith(FIELD)
        )
        found = rows.where(wanted).select(USER_ID, ITEM_ID, TIME_TEXT, *told_apart_by).distinct()
        for user, item, text, *_ in found.collect():
            micros = parse_micros(text, unit)
            if micros is None or user is None or item is None:
                continue  # such a row is in quarantine
            micros -= micros % time_step
            if user in asked[0]:
                facts.of_user[user].append((item, micros))
            if item in asked[1]:
                facts.of_item[item].append((user, micros))
    return facts


def parse_micros(text: str | None, unit: str) -> int | None:
    """Return a time of the log as microseconds since 1970 UTC, None where it is none."""
    if text is None:
        return None
    try:
        if unit == "iso":
            trimmed = re.sub(r"\s+(?=[Z+-])", "", text.strip().replace(",", ".").upper())
            moment = datetime.fromisoformat(trimmed)
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return (aware - _EPOCH) // _MICROSECOND
        return int((Decimal(text.strip()) * _FACTOR[unit]).to_integral_value("ROUND_FLOOR"))
    except (ValueError, InvalidOperation, OverflowError):
        return None


def count_before(events: Iterable[Event], until: int, since: int | None = None) -> int:
    """Return how many of the events lie before an instant, and not before another."""
    return sum(1 for _, at in events if at < until and (since is None or at >= since))


def decayed_before(events: Iterable[Event], until: int, half_life: float) -> float:
    """Return the events before an instant, each halved per half-life (microseconds) of its age.

    Ages are counted in whole days, as the feature's are.
    """
    day = 86_400_000_000
    ages = ((until // day - at // day) * day for _, at in events if at < until)
    return sum(math.pow(0.5, age / half_life) for age in ages)


def ids_of(rows: Mapping[int, str], numbers: Iterable[int]) -> set[str]:
    """Return the raw ids of numbers, without those that have none."""
    return {rows[number] for number in numbers if number in rows}
