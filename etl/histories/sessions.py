"""Sessions: runs of a user's events without a long gap between them."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import USER_ID
from etl.cleaning.shown import shown_first
from etl.spark.columns import DRAW, SESSION, SESSION_PLACE, TIME
from etl.spark.times import MICROS_PER_MINUTE


def add_sessions(events: DataFrame, gap_minutes: int) -> DataFrame:
    """Add SESSION, its number in the history, and SESSION_PLACE, the number of earlier acts in it.

    A session begins with an event more than `gap_minutes` after the previous one. Both columns
    depend on earlier events only.

    Args:
        events: USER_ID, TIME, PLACE and DRAW, one row per event.
        gap_minutes: Longest gap within a session.
    """
    history = Window.partitionBy(USER_ID).orderBy(*shown_first())
    gap = F.col(TIME) - F.lag(TIME).over(history)
    begins = F.coalesce(gap > gap_minutes * MICROS_PER_MINUTE, F.lit(False)).cast("int")
    upto = history.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    numbered = events.withColumn("__begins", begins).withColumn(
        SESSION, F.sum("__begins").over(upto).cast("int")
    )
    within = Window.partitionBy(USER_ID, SESSION).orderBy(*shown_first())
    before = within.rowsBetween(Window.unboundedPreceding, -1)
    acts = F.count(F.when(F.col(DRAW) == 0, 1)).over(before).cast("int")
    return numbered.withColumn(SESSION_PLACE, acts).drop("__begins")
