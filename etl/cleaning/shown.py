"""Events that only show an item to the user: impressions, not acts of the user."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.etl import EventType, shown_types
from etl.cleaning.log_rules import drop_where
from etl.spark.columns import DRAW, EVENT_TYPE, HELD_OUT, PART, PLACE, TIME, TRAIN, VERDICT
from etl.spark.times import MICROS_PER_MINUTE


def is_act(event_types: Mapping[str, EventType]) -> Column:
    """Return whether an event is an act of the user; null if its type is null."""
    shown = shown_types(event_types)
    return ~F.col(EVENT_TYPE).isin(shown) if shown else F.lit(True)


def drop_answered(events: DataFrame, acts: Column, minutes: int) -> DataFrame:
    """Drop impressions if the user acted on the same item within `minutes` after them.

    Args:
        events: Events with verdicts.
        acts: Whether an event is an act.
        minutes: Longest time between impression and act.
    """
    same = Window.partitionBy(VERDICT, USER_ID, ITEM_ID).orderBy(TIME)
    soon = same.rangeBetween(0, minutes * MICROS_PER_MINUTE)
    answered = F.count(F.when(acts, 1)).over(soon) > 0
    return drop_where(events, ~acts & answered, "answered")


def number_places(events: DataFrame, order: Sequence[Column], acts: Column) -> DataFrame:
    """Add PLACE and DRAW.

    The PLACE of an act is the number of the user's acts before it, and its DRAW is 0.
    Impressions between two acts have the PLACE of the second act and a DRAW counted from 1.

    Args:
        events: Events with USER_ID and the columns that the order needs.
        order: Total order of one user's events.
        acts: Whether an event is an act.
    """
    history = Window.partitionBy(USER_ID).orderBy(*order)
    before = history.rowsBetween(Window.unboundedPreceding, -1)
    placed = events.withColumn(PLACE, F.count(F.when(acts, 1)).over(before).cast("int"))
    between = Window.partitionBy(USER_ID, PLACE).orderBy(*order)
    return placed.withColumn(DRAW, F.when(acts, 0).otherwise(F.row_number().over(between)))


def add_part_of_shown(events: DataFrame, valid_from: int | None) -> DataFrame:
    """Give impressions without a PART one.

    Args:
        events: Events with PLACE, DRAW and PART, which is null for impressions.
        valid_from: First instant of the validation part if the parts are divided by time; earlier
            events are in the training part. None: an impression is in the part of the user's next
            act, or else of the last act.
    """
    if valid_from is not None:
        part = F.when(F.col(TIME) < valid_from, TRAIN).otherwise(HELD_OUT)
        return events.withColumn(PART, F.coalesce(PART, part))
    history = Window.partitionBy(USER_ID).orderBy(*shown_first())
    behind = history.rowsBetween(Window.currentRow, Window.unboundedFollowing)
    upto = history.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    following = F.first(PART, ignorenulls=True).over(behind)
    last = F.last(PART, ignorenulls=True).over(upto)
    return events.withColumn(PART, F.coalesce(PART, following, last, F.lit(TRAIN)))


def shown_first() -> list[Column]:
    """Return the order of a user's events by PLACE, with impressions before the act."""
    return [F.col(PLACE), F.col(DRAW) == 0, F.col(DRAW)]
