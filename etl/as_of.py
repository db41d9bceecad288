"""Counts as they stood before an event's day: no event of that day or later is in them.

They are found from counts per key and day, so that a user or an item with a million events costs
no more than its days.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import Feature
from etl.times import MICROS_PER_DAY

DAY = "day"  # int64, days since 1970 UTC
AGE_DAYS = "age_days"
DECAYED = "popularity"
_ASKED = "asked_day"
_FARTHEST = 1000.0  # half-lives; 2 ** 1024 is no double


def day_of_time(time: str) -> Column:
    """Return the day of a time in microseconds."""
    return F.floor(F.col(time) / MICROS_PER_DAY).cast("long")


def counts_before(
    asked: DataFrame,
    events: DataFrame,
    key: str,
    *,
    prefix: str,
    kinds: Mapping[str, Column],
    windows_days: Sequence[int],
    half_life_days: float,
    newest_day: int,
) -> DataFrame:
    """Return what was known of each asked key before each asked day.

    Args:
        asked: `key` and DAY.
        events: `key` and DAY of every event, and what `kinds` reads.
        key: Column of the user or the item.
        prefix: First part of the features' names.
        kinds: For each kind of event to be counted a condition.
        windows_days: Lengths of the windows.
        half_life_days: Time in which an event's share in the popularity halves.
        newest_day: Newest day of the events; the popularity is computed relative to it.

    Returns:
        One row per key and day asked for, with, all as float and never null: for each kind its
        events in each window and `_all`, the popularity (events, each halved per half-life of
        its age), and days since the first event (-1 where there was none).
    """
    daily = _daily(events, key, kinds, half_life_days, newest_day)
    running = _summed_up(daily, asked, key, [f"n_{kind}" for kind in kinds], windows_days)
    return running.groupBy(key, F.col(_ASKED).alias(DAY)).agg(
        *_windowed(prefix, list(kinds), windows_days),
        _popularity(half_life_days, newest_day).alias(f"{prefix}{DECAYED}"),
        F.coalesce(F.max(F.col(_ASKED) - F.col("first")), F.lit(-1))
        .cast("float")
        .alias(f"{prefix}{AGE_DAYS}"),
    )


def _daily(
    events: DataFrame,
    key: str,
    kinds: Mapping[str, Column],
    half_life_days: float,
    newest_day: int,
) -> DataFrame:
    """Return a row per key and day: events of each kind, and all of them weighed by their age."""
    weight = F.pow(2.0, _capped((F.col(DAY) - newest_day) / half_life_days))
    return events.groupBy(key, DAY).agg(
        *(F.count(F.when(is_one, 1)).alias(f"n_{kind}") for kind, is_one in kinds.items()),
        (F.count(F.lit(1)) * weight).alias("decayed"),
    )


def _summed_up(
    daily: DataFrame,
    asked: DataFrame,
    key: str,
    counts: Sequence[str],
    windows_days: Sequence[int],
) -> DataFrame:
    """Return for each asked day, and the beginnings of its windows, all sums up to before it."""
    marks = _marks(asked.select(key, DAY).distinct(), [0, *windows_days], key, counts)
    together = daily.withColumns(
        {_ASKED: F.lit(None).cast("long"), "back": F.lit(None).cast("int"), "is_event": F.lit(1)}
    ).unionByName(marks)
    # Marks stand before the events of their day, so what is summed up lies before it.
    order = Window.partitionBy(key).orderBy(DAY, "is_event").rowsBetween(
        Window.unboundedPreceding, Window.currentRow
    )  # fmt: skip
    first_day = F.min(F.when(F.col("is_event") == 1, F.col(DAY)))
    return together.withColumns({
        **{name: F.sum(name).over(order) for name in [*counts, "decayed"]},
        "first": first_day.over(order),
    }).where(F.col("is_event") == 0)  # fmt: skip


def feature_names(prefix: str, kinds: Sequence[str], windows_days: Sequence[int]) -> list[str]:
    """Return the names of the columns that `counts_before` adds."""
    spans = [*(f"{days}d" for days in windows_days), "all"]
    counts = [f"{prefix}{kind}_{span}" for kind in kinds for span in spans]
    return [*counts, f"{prefix}{DECAYED}", f"{prefix}{AGE_DAYS}"]


def describe(names: Sequence[str]) -> tuple[Feature, ...]:
    """Return what a model has to know of such columns."""
    return tuple(Feature(name=name, kind="numeric", encoding="as_of") for name in names)


def _marks(asked: DataFrame, back: Sequence[int], key: str, counts: Sequence[str]) -> DataFrame:
    """Return a row for each day asked for and for each beginning of a window before it."""
    begins = F.explode(F.array(*map(F.lit, back))).alias("back")
    nothing = {name: F.lit(0).cast("long") for name in counts}
    return (
        asked.select(key, F.col(DAY).alias(_ASKED), begins)
        .withColumn(DAY, F.col(_ASKED) - F.col("back"))
        .withColumns({**nothing, "decayed": F.lit(0.0), "is_event": F.lit(0)})
    )


def _windowed(prefix: str, kinds: Sequence[str], windows_days: Sequence[int]) -> list[Column]:
    def upto(kind: str, back: int) -> Column:
        return F.max(F.when(F.col("back") == back, F.col(f"n_{kind}")))

    columns = []
    for kind in kinds:
        spans = {f"{days}d": upto(kind, 0) - upto(kind, days) for days in windows_days}
        for span, count in {**spans, "all": upto(kind, 0)}.items():
            columns.append(count.cast("float").alias(f"{prefix}{kind}_{span}"))
    return columns


def _popularity(half_life_days: float, newest_day: int) -> Column:
    at_day = F.max(F.when(F.col("back") == 0, F.col("decayed")))
    age = (F.lit(newest_day) - F.max(_ASKED)) / half_life_days
    return (at_day * F.pow(2.0, _capped(age))).cast("float")


def _capped(exponent: Column) -> Column:
    return F.greatest(F.least(exponent, F.lit(_FARTHEST)), F.lit(-_FARTHEST))
