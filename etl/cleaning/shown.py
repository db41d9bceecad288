"""Events that only show an item to the user: no acts, but impressions."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.etl import EventType, shown_types
from etl.cleaning.log_rules import drop_where
from etl.spark.columns import DRAW, EVENT_TYPE, HELD_OUT, PART, PLACE, TIME, TRAIN, VERDICT
from etl.spark.times import MICROS_PER_MINUTE


def is_act(event_types: Mapping[str, EventType]) -> Column:
    """Return whether an event is an act of the user; null where its type is."""
    shown = shown_types(event_types)
    return ~F.col(EVENT_TYPE).isin(shown) if shown else F.lit(True)


def drop_answered(events: DataFrame, acts: Column, minutes: int) -> DataFrame:
    """Judge what was shown to a user who acted on the same item within `minutes`.

    Args:
        events: With verdicts.
        acts: Whether an event is an act.
        minutes: Longest time from one to the other.
    """
    same = Window.partitionBy(VERDICT, USER_ID, ITEM_ID).orderBy(TIME)
    soon = same.rangeBetween(0, minutes * MICROS_PER_MINUTE)
    answered = F.count(F.when(acts, 1)).over(soon) > 0
    return drop_where(events, ~acts & answered, "answered")


def number_places(events: DataFrame, order: Sequence[Column], acts: Column) -> DataFrame:
    """Add PLACE and DRAW.

    An act's PLACE is the number of the user's acts before it and its DRAW is 0. What was shown
    between two acts has the PLACE of the second and is told apart by DRAW, from 1.

    Args:
        events: USER_ID and what the order needs.
        order: Total order of one user's events.
        acts: Whether an event is an act.
    """
    history = Window.partitionBy(USER_ID).orderBy(*order)
    before = history.rowsBetween(Window.unboundedPreceding, -1)
    placed = events.withColumn(PLACE, F.count(F.when(acts, 1)).over(before).cast("int"))
    between = Window.partitionBy(USER_ID, PLACE).orderBy(*order)
    return placed.withColumn(DRAW, F.when(acts, 0).otherwise(F.row_number().over(between)))


def add_part_of_shown(events: DataFrame, valid_from: int | None) -> DataFrame:
    """Give what was only shown a PART, where it has none.

    Args:
        events: With PLACE, DRAW and PART, which is null for what was shown.
        valid_from: First instant of the validation part where cuts make the parts: before it is
            the training part. None: the part is that of the user's next act, else of the last.
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
    """Return the order of a user's events by PLACE: what was shown stands before the act."""
    return [F.col(PLACE), F.col(DRAW) == 0, F.col(DRAW)]
