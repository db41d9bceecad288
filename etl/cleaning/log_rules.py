"""Rules that need a user's other events too, and the order of events that they use."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.etl import Cancellations, Clean
from etl.cleaning.event_ids import MOVED
from etl.privacy.pseudonyms import SEALED
from etl.spark import columns as c
from etl.spark.columns import (
    AT_MIDNIGHT,
    CANCELS,
    DROPPED,
    EVENT_ID,
    EVENT_TYPE,
    FIELD,
    ID_FAULT,
    LINE_ORDER,
    OUTWEIGHS,
    TIME,
    TYPE_TEXT,
    VALUE,
    VERDICT,
)
from etl.spark.times import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

# Columns about the row itself, not about what happened.
_ABOUT_THE_ROW = {
    *c.LINE_ORDER, c.LOG, c.REDELIVERED, c.BROKEN, c.NOT_DECODED, c.RAW, c.TIME_TEXT, c.TYPE_TEXT,
    c.VALUE_TEXT, c.VERDICT, c.BLANKED, c.OUTWEIGHS, c.CANCELS, c.ID_FAULT, c.AT_MIDNIGHT,
    USER_ID, ITEM_ID,
}  # fmt: skip
# Sort keys of the columns that say what happened; declared fields have the key 1.
_PLACES = {c.EVENT_ID: 0, c.TIME: 2, c.VALUE: 3, c.EVENT_TYPE: 4}


def drop_where(events: DataFrame, condition: Column, reason: str) -> DataFrame:
    """Drop the events that are kept so far and meet the condition."""
    verdict = F.when(F.col(c.VERDICT).isNull() & condition, c.DROPPED + reason)
    return events.withColumn(c.VERDICT, F.coalesce(c.VERDICT, verdict))


def content_columns(events: DataFrame) -> list[str]:
    """Return the columns that say what happened: time, type, value, declared fields.

    Hashes depend on their order, so it does not depend on the order of logs and fields in the
    configuration.
    """
    says = (
        name
        for name in events.columns
        if name not in _ABOUT_THE_ROW and not name.startswith(SEALED)
    )
    return sorted(says, key=lambda name: (_PLACES.get(name, 1), name))


def order_of_events(events: DataFrame) -> list[Column]:
    """Return an order of one user's events with one item that does not depend on the files.

    Events are ordered by time, then by the order of the configured types, by value, and by a hash
    of the other content. The order of the lines decides only between fully equal events.
    """
    first = [c.TIME, c.EVENT_TYPE, c.VALUE]
    rest = [name for name in content_columns(events) if name not in first]
    drawn = [F.xxhash64(*rest)] if rest else []
    return [*map(F.col, first), *drawn, *map(F.col, c.LINE_ORDER)]


def drop_duplicates(events: DataFrame, has_times: bool = True) -> DataFrame:
    """Drop all but the first of equal events as duplicates.

    Events with the same EVENT_ID are equal if user, item and type are the same too, and the
    earliest is kept: the lines of an order share its id. A time at midnight (AT_MIDNIGHT) may be
    that of a whole day, so another time of the same day goes before it. Events without an id, or
    with one that identifies nothing (ID_FAULT), are equal if user, item and all their content are
    the same.

    Args:
        events: Events with verdicts; AT_MIDNIGHT is dropped.
        has_times: Whether the log has times; if not, TIME differs in every row of a user.
    """
    says = [USER_ID, ITEM_ID, *(n for n in content_columns(events) if n != EVENT_ID)]
    order = [F.col(name) for name in LINE_ORDER]
    if EVENT_ID not in events.columns:
        first = Window.partitionBy(VERDICT, *says).orderBy(*order)
        return drop_where(events, F.row_number().over(first) > 1, "duplicate")
    always = [USER_ID, ITEM_ID, EVENT_TYPE, EVENT_ID]
    if CANCELS in events.columns:
        always.append(CANCELS)
    is_id = F.col(EVENT_ID).isNotNull() & F.col(ID_FAULT).isNull()
    rest = [F.when(~is_id, F.col(name)) for name in says if name not in always]
    at = F.col(TIME)
    if AT_MIDNIGHT in events.columns:  # a whole day counts as its end
        at = F.when(F.col(AT_MIDNIGHT), at + (MICROS_PER_DAY - 1)).otherwise(at)
    # Two of the same time may differ: a hash decides, not the order of the files.
    first = Window.partitionBy(VERDICT, *always, *rest).orderBy(at, F.xxhash64(*says), *order)
    repeated = F.col(VERDICT).isNull() & (F.row_number().over(first) > 1)
    moved = F.lit(has_times) & repeated & is_id & (F.col(TIME) != F.first(TIME).over(first))
    return events.withColumns(
        {
            VERDICT: F.coalesce(VERDICT, F.when(repeated, DROPPED + "duplicate")),
            ID_FAULT: F.coalesce(ID_FAULT, F.when(moved, MOVED)),
        }
    ).drop(AT_MIDNIGHT)


def drop_near_duplicates(events: DataFrame, seconds: int) -> DataFrame:
    """Drop events that follow one of the same user, item and type within `seconds`.

    The time is measured from the previous event, kept or not: a chain of clicks, each soon after
    the last, counts as one click however long it is. Cancellations are never dropped here.
    """
    cancels = F.col(CANCELS) if CANCELS in events.columns else F.lit(False)
    alike = Window.partitionBy(VERDICT, USER_ID, ITEM_ID, EVENT_TYPE, cancels)
    before = F.lag(TIME).over(alike.orderBy(*order_of_events(events)))
    is_near = F.col(TIME) - before <= seconds * MICROS_PER_SECOND
    return drop_where(events, is_near & ~cancels, "near_duplicate")


def drop_repeated_items(
    events: DataFrame, keep: str, acts: Column, weights: Sequence[float]
) -> DataFrame:
    """Drop all but one of a user's acts on one item, and add OUTWEIGHS if weights differ.

    Args:
        events: Events with verdicts.
        keep: The one that stays: the `first`, the `last`, or the `strongest`, which is the last of
            those with the largest weight.
        acts: Whether an event is an act.
        weights: Weight of each event type.
    """
    order = order_of_events(events)
    if keep != "first":
        order = [column.desc() for column in order]
    weight = F.get(F.array(*map(F.lit, weights)), F.col(EVENT_TYPE))
    if keep == "strongest":
        order = [weight.desc(), *order]
    ordered = Window.partitionBy(VERDICT, USER_ID, ITEM_ID, acts).orderBy(*order)
    is_repeated = F.col(VERDICT).isNull() & acts & (F.row_number().over(ordered) > 1)
    marks = {"__is_repeated": is_repeated}
    if keep != "strongest" and len(set(weights)) > 1:
        marks[OUTWEIGHS] = is_repeated & (weight > F.first(weight).over(ordered))
    marked = events.withColumns(marks)
    return drop_where(marked, F.col("__is_repeated"), "repeated_item").drop("__is_repeated")


def mark_cancellations(
    events: DataFrame, marks: Cancellations, only_type: str | None = None
) -> DataFrame:
    """Add CANCELS: whether an event cancels another one.

    Args:
        events: Events as returned by `parse_events`.
        marks: What marks a cancellation.
        only_type: Type of all events of the log, if they have only one.
    """
    found = [F.lit(only_type in marks.event_types)]
    if marks.negative_value:
        found.append(F.col(VALUE) < 0)
    if marks.event_types and TYPE_TEXT in events.columns:
        found.append(F.col(TYPE_TEXT).isin(*marks.event_types))
    field = EVENT_ID if marks.id_field is None else FIELD + marks.id_field
    if marks.id_prefix is not None and field in events.columns:
        found.append(F.col(field).startswith(marks.id_prefix))
    marked = [F.coalesce(condition, F.lit(False)) for condition in found]
    return events.withColumn(CANCELS, F.greatest(*marked, F.lit(False)))


def net_cancellations(events: DataFrame, cancelled_types: Sequence[int]) -> DataFrame:
    """Drop each cancellation and the event that it cancels.

    It cancels the latest event at or before its time that has the same user, item and quantity
    (value without its sign) and is not cancelled already. Cancellations apply whenever they
    happened: one after the cut of a split removes its event from the training part.

    The two are paired like brackets. The depth of a row is the number of open events; an event
    opens a level, a cancellation closes the topmost one. On each level events and cancellations
    alternate, so an event is cancelled if there is a next row on its level.

    Args:
        events: Events with CANCELS.
        cancelled_types: Numbers of the types that can be cancelled; empty: all.
    """
    cancels, kind = F.col(CANCELS), F.col(EVENT_TYPE)
    is_open = kind.isin(*cancelled_types) if cancelled_types else F.lit(True)
    takes_part = F.col(VERDICT).isNull() & (cancels | F.coalesce(is_open, F.lit(False)))
    same = ("__takes_part", USER_ID, ITEM_ID, "__quantity")
    time, *rest = order_of_events(events)
    order = Window.partitionBy(*same).orderBy(time, CANCELS, *rest)
    upto = order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    before = order.rowsBetween(Window.unboundedPreceding, -1)
    counted = (
        events.withColumns({"__takes_part": takes_part, "__quantity": F.abs(VALUE)})
        .withColumn("__sum", F.sum(F.when(cancels, -1).otherwise(1)).over(upto))
        .withColumn("__least_before", F.least(F.min("__sum").over(before), F.lit(0)))
    )
    sum_, least = F.col("__sum"), F.col("__least_before")
    # A cancellation without an open event brings the sum to a new minimum and closes no level.
    unmatched = cancels & (sum_ < least)
    level = sum_ - least + F.when(cancels, 1).otherwise(0)
    on_level = Window.partitionBy(*same, "__unmatched", "__level").orderBy(time, CANCELS, *rest)
    has_next = F.lead(F.lit(1)).over(on_level).isNotNull()
    return (
        counted.withColumns({"__unmatched": unmatched, "__level": level})
        .withColumn(VERDICT, F.coalesce(VERDICT, F.when(F.col("__takes_part"), _verdict(has_next))))
        .drop(
            "__takes_part",
            "__quantity",
            "__sum",
            "__least_before",
            "__unmatched",
            "__level",
            CANCELS,
        )
    )


def _verdict(has_next: Column) -> Column:
    cancels = F.col(CANCELS)
    return (
        F.when(F.col("__unmatched"), DROPPED + "cancellation_unmatched")
        .when(cancels, DROPPED + "cancellation")
        .when(has_next, DROPPED + "cancelled")
    )


@dataclass(frozen=True)
class Cap:
    """Maximum number of events of one user."""

    reason: str
    most: int
    period: int | None
    """Microseconds; None: in total."""


def caps_of(clean: Clean) -> list[Cap]:
    """Return the caps that are set, the shortest period first."""
    asked = (
        ("bot_per_minute", clean.max_events_per_user_minute, MICROS_PER_MINUTE),
        ("bot_per_hour", clean.max_events_per_user_hour, MICROS_PER_HOUR),
        ("bot", clean.max_events_per_user_day, MICROS_PER_DAY),
        ("bot_in_total", clean.max_events_per_user, None),
    )
    return [Cap(reason, most, period) for reason, most, period in asked if most is not None]


def drop_bots(events: DataFrame, cap: Cap, acts: Column) -> DataFrame:
    """Drop all events of users who have more acts than the cap allows in one period (in UTC)."""
    by_user = (VERDICT, USER_ID)
    period = [] if cap.period is None else [F.floor(F.col(TIME) / cap.period)]
    count = F.count(F.when(acts, 1)).over(Window.partitionBy(*by_user, *period))
    counted = events.withColumn("__in_period", count)
    most = F.max("__in_period").over(Window.partitionBy(*by_user))
    return drop_where(counted, most > cap.most, cap.reason).drop("__in_period")
