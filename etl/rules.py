"""The rules that a row alone decides: kept (null), quarantined as wrong, or dropped as asked.

Each event gets one verdict, the first that fits, in the order of this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.etl_schema import EventType
from etl.columns import (
    BROKEN,
    CANCELS,
    DAMAGED,
    DROPPED,
    EVENT_TYPE,
    QUARANTINED,
    REDELIVERED,
    TIME,
    TIME_TEXT,
    TYPE_TEXT,
    VALUE,
    VALUE_TEXT,
    VERDICT,
)
from etl.times import parse_number, parse_time


def parse_events(
    rows: DataFrame,
    time_unit: str,
    event_types: Mapping[str, EventType],
    only_type: str | None = None,
) -> DataFrame:
    """Add TIME, VALUE and EVENT_TYPE, each null where the text says no such thing.

    Reads the columns *_TEXT; where the rows have none for it, the time stays null, the value
    too, and the type is `only_type`, or else the first.
    """
    number_of = {name: index for index, name in enumerate(event_types)}
    alone = 0 if only_type is None else number_of.get(only_type)
    types = [F.when(F.col(TYPE_TEXT) == name, number_of[name]) for name in event_types]
    has = rows.columns
    time = parse_time(TIME_TEXT, time_unit) if TIME_TEXT in has else F.lit(None)
    value = parse_number(VALUE_TEXT) if VALUE_TEXT in has else F.lit(None)
    return rows.withColumns({
        TIME: time.cast("long"),
        VALUE: value.cast("double"),
        EVENT_TYPE: (F.coalesce(*types) if TYPE_TEXT in has else F.lit(alone)).cast("int"),
    })  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a right and wanted event lies within; None: no limit. Instants in microseconds."""

    earliest: int | None = None
    """First instant that is no wrong one."""
    latest: int | None = None
    """First instant that is in the future."""
    until: int | None = None
    """First instant after the logical date."""
    kept_from: int | None = None
    """First instant that is wanted."""
    kept_until: int | None = None
    """First instant that is wanted no more."""
    allow_negative_value: bool = False
    min_value: float | None = None
    max_value: float | None = None
    item_pattern: str | None = None
    """What the whole id of a wanted item matches."""


def judge_rows(
    events: DataFrame, limits: Limits, event_types: Mapping[str, EventType]
) -> DataFrame:
    """Add VERDICT as far as a row alone decides it.

    Args:
        events: As `parse_events` returns them; if with CANCELS, cancellations may have any value.
        limits: What an event lies within.
        event_types: Types that are used.
    """
    time, value = F.col(TIME), F.col(VALUE)
    reads_time, reads_value = TIME_TEXT in events.columns, VALUE_TEXT in events.columns
    never = F.lit(False)
    lowest = None if limits.allow_negative_value else 0
    counts = ~F.col(CANCELS) if CANCELS in events.columns else F.lit(True)
    checks = [
        (DROPPED + "redelivered_file", F.col(REDELIVERED)),
        (QUARANTINED + "file_damaged", F.col(DAMAGED) if DAMAGED in events.columns else never),
        (QUARANTINED + "line_unparsable", F.col(BROKEN)),
        (QUARANTINED + "user_missing", is_blank(USER_ID)),
        (QUARANTINED + "item_missing", is_blank(ITEM_ID)),
        (QUARANTINED + "time_unparsable", time.isNull() if reads_time else never),
        (QUARANTINED + "time_too_early", _is_below(time, limits.earliest)),
        (QUARANTINED + "time_in_future", _is_from(time, limits.latest)),
        (QUARANTINED + "value_unparsable",
         ~is_blank(VALUE_TEXT) & value.isNull() if reads_value else never),
        (QUARANTINED + "price_negative", _is_below(value, lowest) & counts),
        (QUARANTINED + "value_out_of_range",
         is_outside(value, limits.min_value, limits.max_value) & counts),
        (DROPPED + "after_logical_date", _is_from(time, limits.until)),
        (DROPPED + "outside_window", _is_below(time, limits.kept_from)),
        (DROPPED + "outside_window", _is_from(time, limits.kept_until)),
        (DROPPED + "item_excluded", ~_matches(ITEM_ID, limits.item_pattern)),
        (DROPPED + "event_type_not_used", F.col(EVENT_TYPE).isNull() & counts),
        (DROPPED + "below_threshold", _is_below_threshold(event_types) & counts),
    ]  # fmt: skip
    verdicts = [F.when(condition, verdict) for verdict, condition in checks]
    return events.withColumn(VERDICT, F.coalesce(*verdicts))


def is_blank(column: str) -> Column:
    """Return whether a text column is null or holds nothing but white space."""
    return ~F.coalesce(F.col(column).rlike(r"\S"), F.lit(False))


def is_outside(number: Column, least: float | None, most: float | None) -> Column:
    """Return whether a number is below `least` or above `most`; null where it is null."""
    above = F.lit(False) if most is None else number > most
    return _is_below(number, least) | above


def _matches(column: str, pattern: str | None) -> Column:
    return F.lit(True) if pattern is None else F.col(column).rlike(rf"^(?:{pattern})\z")


def _is_below(number: Column, limit: float | None) -> Column:
    return F.lit(False) if limit is None else number < limit


def _is_from(number: Column, limit: float | None) -> Column:
    return F.lit(False) if limit is None else number >= limit


def _is_below_threshold(event_types: Mapping[str, EventType]) -> Column:
    """Return whether an event's value is below its type's threshold, or not there at all."""
    below = [
        (F.col(EVENT_TYPE) == index) & ~F.coalesce(F.col(VALUE) >= type_.min_value, F.lit(False))
        for index, type_ in enumerate(event_types.values())
        if type_.min_value is not None
    ]
    return reduce(Column.__or__, below, F.lit(False))
