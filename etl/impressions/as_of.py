"""Counts as of the day of an event: events of that day or later are not included.

They are computed from counts per key and day, so the cost of a user or an item depends on its
number of days, not on its number of events.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from conf.contract import Feature
from etl.spark.times import MICROS_PER_DAY

DAY = "day"  # int64, days since 1970 UTC
AGE_DAYS = "age_days"
DECAYED = "popularity"
_NUMBER, _IS_ASKED = "__number", "__is_asked"
_FARTHEST = 1000.0  # half-lives; 2 ** 1024 is too large for a double


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
    """Return the counts of each requested key before each requested day.

    Args:
        asked: The requested `key` and DAY.
        events: `key` and DAY of every event, and the columns that `kinds` reads.
        key: Column of the user or the item.
        prefix: Prefix of the features' names.
        kinds: A condition for each kind of event to count.
        windows_days: Lengths of the windows.
        half_life_days: Time in which an event's weight in the popularity halves.
        newest_day: Newest day of the events; the popularity is computed relative to it.

    Returns:
        One row per requested key and day. Its columns are float and never null: the number of
        events of each kind in each window and in total (`_all`), the popularity (number of
        events, each halved per half-life of its age), and the days since the first event, -1 if
        there was none.
    """
    daily = _daily(asked, events, key, kinds)
    weight = F.pow(2.0, _capped((F.col(DAY) - newest_day) / half_life_days))
    weighed = daily.withColumns(
        {"decayed": F.col(_NUMBER) * weight, "event_day": F.when(F.col(_NUMBER) > 0, F.col(DAY))}
    )
    order = Window.partitionBy(key).orderBy(DAY)
    before = _upto(order, 0)
    since = F.pow(2.0, _capped((newest_day - F.col(DAY)) / half_life_days))
    popularity = F.coalesce(F.sum("decayed").over(before), F.lit(0.0)) * since
    age = F.coalesce(F.col(DAY) - F.min("event_day").over(before), F.lit(-1))
    summed = weighed.withColumns(
        {
            **_windowed(prefix, list(kinds), windows_days, order),
            f"{prefix}{DECAYED}": popularity.cast("float"),
            f"{prefix}{AGE_DAYS}": age.cast("float"),
        }
    )
    names = feature_names(prefix, list(kinds), windows_days)
    return summed.where(F.col(_IS_ASKED) == 1).select(key, DAY, *names)


def _daily(asked: DataFrame, events: DataFrame, key: str, kinds: Mapping[str, Column]) -> DataFrame:
    """Return a row per key and day: its events in total and by kind, and if it is requested."""
    counts = {f"n_{kind}": is_one.cast("long") for kind, is_one in kinds.items()}
    happened = events.select(
        key,
        DAY,
        *(F.coalesce(count, F.lit(0)).alias(name) for name, count in counts.items()),
        F.lit(1).alias(_NUMBER),
        F.lit(0).alias(_IS_ASKED),
    )
    marks = asked.select(
        key,
        DAY,
        *(F.lit(0).cast("long").alias(name) for name in counts),
        F.lit(0).alias(_NUMBER),
        F.lit(1).alias(_IS_ASKED),
    )
    sums = (F.sum(name).alias(name) for name in (*counts, _NUMBER))
    return (
        happened.unionByName(marks).groupBy(key, DAY).agg(*sums, F.max(_IS_ASKED).alias(_IS_ASKED))
    )


def _upto(order: WindowSpec, back: int) -> WindowSpec:
    """Return a window of all days up to `back` + 1 days before the row's day.

    All windows begin at the first day, so each row is summed once, not once for each window that
    contains it.
    """
    return order.rangeBetween(Window.unboundedPreceding, -1 - back)


def feature_names(prefix: str, kinds: Sequence[str], windows_days: Sequence[int]) -> list[str]:
    """Return the names of the columns that `counts_before` adds."""
    spans = [*(f"{days}d" for days in windows_days), "all"]
    counts = [f"{prefix}{kind}_{span}" for kind in kinds for span in spans]
    return [*counts, f"{prefix}{DECAYED}", f"{prefix}{AGE_DAYS}"]


def describe(names: Sequence[str]) -> tuple[Feature, ...]:
    """Return the descriptions of these columns that a model needs."""
    return tuple(Feature(name=name, kind="numeric", encoding="as_of") for name in names)


def _windowed(
    prefix: str, kinds: Sequence[str], windows_days: Sequence[int], order: WindowSpec
) -> dict[str, Column]:
    def upto(kind: str, back: int) -> Column:
        return F.coalesce(F.sum(f"n_{kind}").over(_upto(order, back)), F.lit(0))

    columns = {}
    for kind in kinds:
        spans = {f"{days}d": upto(kind, 0) - upto(kind, days) for days in windows_days}
        for span, count in {**spans, "all": upto(kind, 0)}.items():
            columns[f"{prefix}{kind}_{span}"] = count.cast("float")
    return columns


def _capped(exponent: Column) -> Column:
    return F.greatest(F.least(exponent, F.lit(_FARTHEST)), F.lit(-_FARTHEST))
