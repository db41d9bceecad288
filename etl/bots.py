"""Users whose events come too fast, or are too many, for a person."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.clean_schema import Clean
from conf.contract import USER_ID
from etl.columns import TIME, VERDICT
from etl.times import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE
from etl.verdicts import drop_where


@dataclass(frozen=True)
class Cap:
    """Most events of one user."""

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
    """Judge all events of users who have more acts than the cap in one of its periods (of UTC)."""
    by_user = (VERDICT, USER_ID)
    period = [] if cap.period is None else [F.floor(F.col(TIME) / cap.period)]
    count = F.count(F.when(acts, 1)).over(Window.partitionBy(*by_user, *period))
    counted = events.withColumn("__in_period", count)
    most = F.max("__in_period").over(Window.partitionBy(*by_user))
    return drop_where(counted, most > cap.most, cap.reason).drop("__in_period")
