"""Give every event its place in the user's history and its part: train, valid or test."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.columns import EVENT_TYPE, HELD_OUT, PART, PLACE, TEST, TIME, TRAIN, VALID

_MIN_EVENTS = 3  # leave-one-out: one each for train, valid and test


def add_places(events: DataFrame, seed: int) -> DataFrame:
    """Add PLACE: the event's number in its user's history by time, from 0.

    Events of one instant stand in an order that the seed draws, the same on every run.
    """
    tie_break = F.xxhash64(F.lit(seed), ITEM_ID, EVENT_TYPE)
    order = Window.partitionBy(USER_ID).orderBy(TIME, tie_break, ITEM_ID, EVENT_TYPE)
    return events.withColumn(PLACE, F.row_number().over(order) - 1)


def leave_one_out(events: DataFrame) -> DataFrame:
    """Add PART: a user's last event is the test, the one before it the validation.

    Users with fewer than three events are all in the training part.
    """
    history = Window.partitionBy(USER_ID).orderBy(PLACE)
    whole = history.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    length = F.count(F.lit(1)).over(whole)
    from_end = F.when(length >= _MIN_EVENTS, length - 1 - F.col(PLACE))
    part = F.when(from_end == 0, TEST).when(from_end == 1, VALID).otherwise(TRAIN)
    return events.withColumn(PART, part)


def split_by_time(events: DataFrame, valid_from: int, test_from: int) -> DataFrame:
    """Add PART: two instants cut the log for everybody.

    What lies before `valid_from` is the training part. A user's first event behind a cut is
    that cut's target, provided that there is an event before it.
    """
    time, place = F.col(TIME), F.col(PLACE)
    window = (
        F.when(time < valid_from, TRAIN).when(time < test_from, VALID).otherwise(TEST)
    )  # fmt: skip
    first = F.min(PLACE).over(Window.partitionBy(USER_ID, "window"))
    target = (place == first) & (place > 0)
    part = F.when((F.col("window") == TRAIN) | target, F.col("window")).otherwise(HELD_OUT)
    return events.withColumn("window", window).withColumn(PART, part).drop("window")


def time_at_shares(events: DataFrame, valid_share: float, test_share: float) -> DataFrame:
    """Return one row (valid_from, test_from): the instants with so much of the log behind them.

    `test_from` is the time of the event that begins the last `test_share` of all events,
    `valid_from` that of the one that begins the `valid_share` before it.
    """
    counts = events.groupBy(TIME).agg(F.count(F.lit(1)).alias("events"))
    upto = F.sum("events").over(Window.orderBy(TIME))
    total = F.sum("events").over(Window.partitionBy())
    running = counts.select(TIME, upto.alias("upto"), total.alias("total"))
    return running.agg(
        _first_time_behind(1 - valid_share - test_share).alias("valid_from"),
        _first_time_behind(1 - test_share).alias("test_from"),
    )


def _first_time_behind(share: float) -> Column:
    # Rounded: 1 - 0.1 - 0.1 is not quite 0.8.
    behind = F.col("upto") > F.floor(F.round(F.col("total") * share, 6))
    return F.coalesce(F.min(F.when(behind, F.col(TIME))), F.max(TIME) + 1)
