"""Cancellations, netted against the events that they cancel."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.clean_schema import Cancellations
from conf.contract import ITEM_ID, USER_ID
from etl.columns import CANCELS, DROPPED, EVENT_ID, EVENT_TYPE, FIELD, TYPE_TEXT, VALUE, VERDICT
from etl.verdicts import order_of_events


def mark_cancellations(
    events: DataFrame, marks: Cancellations, only_type: str | None = None
) -> DataFrame:
    """Add CANCELS: whether an event takes another one back.

    Args:
        events: As `parse_events` returns them.
        marks: What marks a cancellation.
        only_type: Type of all events of the log, if it has one.
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
    """Judge each cancellation, and the event that it takes back.

    That is the latest earlier one (or one of the same instant) of the same user, item and
    quantity (value without its sign) that no other cancellation has taken back. A cancellation
    counts whenever it came: one behind a split's cut takes its event out of the training part.

    The two are paired as brackets are. The depth is how many events are open at a row; an event
    opens one level, a cancellation closes the topmost one. On one level events and
    cancellations take turns, so an event is cancelled if there is a next row on its level.

    Args:
        events: With CANCELS.
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
    # A cancellation with nothing open takes the sum below all before it and closes no level.
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
