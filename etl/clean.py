"""Judge every event: kept (null), quarantined as what cannot be right, or dropped as asked.

Each event gets one verdict, the first that fits, in the order of this file.
"""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.etl_schema import EventType
from etl.columns import (
    BROKEN,
    DAMAGED,
    DROPPED,
    EVENT_ID,
    EVENT_TYPE,
    LINE_ORDER,
    QUARANTINED,
    REDELIVERED,
    TIME,
    TIME_TEXT,
    TYPE_TEXT,
    VALUE,
    VALUE_TEXT,
    VERDICT,
)
from etl.times import MICROS_PER_DAY, parse_number, parse_time


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


def judge_rows(
    events: DataFrame,
    *,
    earliest: int | None,
    latest: int | None,
    until: int | None,
    allow_negative_value: bool,
    event_types: Mapping[str, EventType],
) -> DataFrame:
    """Add VERDICT as far as a row alone decides it.

    Args:
        events: As `parse_events` returns them.
        earliest: First instant (microseconds) that is no wrong one; None: all are right.
        latest: First instant that is in the future.
        until: First instant after the logical date.
        allow_negative_value: Whether a value below zero is right.
        event_types: Types that are used.
    """
    time, value = F.col(TIME), F.col(VALUE)
    read_from = {name: name in events.columns for name in (TIME_TEXT, VALUE_TEXT)}
    never = F.lit(False)
    checks = [
        (DROPPED + "redelivered_file", F.col(REDELIVERED)),
        (QUARANTINED + "file_damaged", F.col(DAMAGED) if DAMAGED in events.columns else never),
        (QUARANTINED + "line_unparsable", F.col(BROKEN)),
        (QUARANTINED + "user_missing", is_blank(USER_ID)),
        (QUARANTINED + "item_missing", is_blank(ITEM_ID)),
        (QUARANTINED + "time_unparsable", time.isNull() if read_from[TIME_TEXT] else never),
        (QUARANTINED + "time_too_early", never if earliest is None else time < earliest),
        (QUARANTINED + "time_in_future", never if latest is None else time >= latest),
        (QUARANTINED + "value_unparsable",
         ~is_blank(VALUE_TEXT) & value.isNull() if read_from[VALUE_TEXT] else never),
        (QUARANTINED + "price_negative", never if allow_negative_value else value < 0),
        (DROPPED + "after_logical_date", never if until is None else time >= until),
        (DROPPED + "event_type_not_used", F.col(EVENT_TYPE).isNull()),
        (DROPPED + "below_threshold", _is_below_threshold(event_types)),
    ]  # fmt: skip
    verdicts = [F.when(condition, verdict) for verdict, condition in checks]
    return events.withColumn(VERDICT, F.coalesce(*verdicts))


def number_lines(events: DataFrame) -> DataFrame:
    """Take the order of a user's lines, counted from 1, as TIME."""
    order = Window.partitionBy(VERDICT, USER_ID).orderBy(*LINE_ORDER)
    return events.withColumn(TIME, F.row_number().over(order).cast("long"))


def drop_duplicates(events: DataFrame) -> DataFrame:
    """Judge all but the first of equal events as duplicates.

    Equal are those with the same EVENT_ID; where there is none, those with the same user, item,
    time, type and value.
    """
    content = (USER_ID, ITEM_ID, TIME, EVENT_TYPE, VALUE)
    same: list[Column | str] = [*content]
    if EVENT_ID in events.columns:
        by_id = F.when(~is_blank(EVENT_ID), F.col(EVENT_ID))
        same = [by_id, *(F.when(by_id.isNull(), F.col(name)) for name in content)]
    first = Window.partitionBy(VERDICT, *same).orderBy(*LINE_ORDER)
    return _judge(events, F.row_number().over(first) > 1, "duplicate")


def drop_bots(events: DataFrame, max_events_per_user_day: int) -> DataFrame:
    """Judge all events of users who have more than so many in one day (UTC) as a bot's."""
    day = F.floor(F.col(TIME) / MICROS_PER_DAY)
    in_a_day = F.count(F.lit(1)).over(Window.partitionBy(VERDICT, USER_ID, day))
    counted = events.withColumn("events_in_day", in_a_day)
    most = F.max("events_in_day").over(Window.partitionBy(VERDICT, USER_ID))
    return _judge(counted, most > max_events_per_user_day, "bot").drop("events_in_day")


def drop_repeated_items(events: DataFrame, keep: str) -> DataFrame:
    """Judge all but the `first` or the `last` of one user's events with one item as repeated."""
    order = [F.col(name) for name in (TIME, *LINE_ORDER)]
    if keep == "last":
        order = [column.desc() for column in order]
    place = F.row_number().over(Window.partitionBy(VERDICT, USER_ID, ITEM_ID).orderBy(*order))
    return _judge(events, place > 1, "repeated_item")


def is_blank(column: str) -> Column:
    """Return whether a text column is null or holds nothing but white space."""
    return ~F.coalesce(F.col(column).rlike(r"\S"), F.lit(False))


def _judge(events: DataFrame, condition: Column, reason: str) -> DataFrame:
    verdict = F.when(F.col(VERDICT).isNull() & condition, DROPPED + reason)
    return events.withColumn(VERDICT, F.coalesce(VERDICT, verdict))


def _is_below_threshold(event_types: Mapping[str, EventType]) -> Column:
    """Return whether an event's value is below its type's threshold, or not there at all."""
    below = [
        (F.col(EVENT_TYPE) == index) & ~F.coalesce(F.col(VALUE) >= type_.min_value, F.lit(False))
        for index, type_ in enumerate(event_types.values())
        if type_.min_value is not None
    ]
    return reduce(Column.__or__, below, F.lit(False))
