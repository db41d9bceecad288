"""Events that are there more than once."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.columns import CANCELS, EVENT_ID, EVENT_TYPE, LINE_ORDER, TIME, VERDICT
from etl.rules import is_blank
from etl.times import MICROS_PER_SECOND
from etl.verdicts import content_columns, drop_where, order_of_events


def drop_duplicates(events: DataFrame) -> DataFrame:
    """Judge all but the first of equal events as duplicates.

    Equal are those with the same EVENT_ID, of which the earliest stays; where there is none,
    those with the same user, item, time, type, value and declared fields.
    """
    says = [USER_ID, ITEM_ID, *(n for n in content_columns(events) if n != EVENT_ID)]
    same, order = [F.col(name) for name in says], [F.col(name) for name in LINE_ORDER]
    if EVENT_ID in events.columns:
        by_id = F.when(~is_blank(EVENT_ID), F.col(EVENT_ID))
        same = [by_id, *(F.when(by_id.isNull(), column) for column in same)]
        # Two of one instant may say different things: drawn, not by the order of the files.
        order = [F.col(TIME), F.xxhash64(*says), *order]
    first = Window.partitionBy(VERDICT, *same).orderBy(*order)
    return drop_where(events, F.row_number().over(first) > 1, "duplicate")


def drop_near_duplicates(events: DataFrame, seconds: int) -> DataFrame:
    """Judge events that follow one of the same user, item and type within `seconds`.

    The distance is that to the event before, kept or not: a chain of clicks, each soon after
    the last, counts as one however long it is. Cancellations are no such events.
    """
    cancels = F.col(CANCELS) if CANCELS in events.columns else F.lit(False)
    alike = Window.partitionBy(VERDICT, USER_ID, ITEM_ID, EVENT_TYPE, cancels)
    before = F.lag(TIME).over(alike.orderBy(*order_of_events(events)))
    is_near = F.col(TIME) - before <= seconds * MICROS_PER_SECOND
    return drop_where(events, is_near & ~cancels, "near_duplicate")


def drop_repeated_items(events: DataFrame, keep: str, acts: Column) -> DataFrame:
    """Judge all but the `first` or the `last` of one user's acts on one item as repeated."""
    order = order_of_events(events)
    if keep == "last":
        order = [column.desc() for column in order]
    same = Window.partitionBy(VERDICT, USER_ID, ITEM_ID, acts)
    place = F.row_number().over(same.orderBy(*order))
    return drop_where(events, acts & (place > 1), "repeated_item")
