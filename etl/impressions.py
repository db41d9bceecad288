"""Rows for a ranking model: a user, an item, a context and what came of it.

Every row knows only what was before its event: the history and the counts end there.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_ID,
    ITEM_IDX,
    UNKNOWN_IDX,
    USER_ID,
    USER_IDX,
    Feature,
)
from etl.columns import (
    DRAW,
    EVENT_TYPE,
    GAP,
    HOUR,
    NUM_BEFORE,
    PART,
    PERIOD,
    PLACE,
    PROBABILITY,
    SESSION_PLACE,
    TEST,
    TIME,
    TRAIN,
    VALID,
    VALUE,
    WEEKDAY,
)
from etl.times import MICROS_PER_DAY

LABEL = "label_"  # in front of a label's name: float
VALUE_AS_LABEL = ("value",)
_HOURS, _WEEKDAYS = 24, 7
_FIRST_MONDAY = 4  # of 1970, counted in days from 0


def number_events(events: DataFrame, items: DataFrame, users: DataFrame) -> DataFrame:
    """Add USER_IDX and ITEM_IDX (the unknown item's where the vocabulary lacks it)."""
    numbered = events.join(items.select(ITEM_ID, ITEM_IDX), ITEM_ID, "left")
    known = numbered.withColumn(ITEM_IDX, F.coalesce(ITEM_IDX, F.lit(UNKNOWN_IDX)).cast("int"))
    return known.join(users.select(USER_ID, USER_IDX), USER_ID).drop(USER_ID, ITEM_ID)


def add_period(events: DataFrame, cuts: tuple[int, int] | None) -> DataFrame:
    """Add PERIOD by the first instants of validation and test; by PART where there are none.

    Without cuts, events of no part have none either.
    """
    if cuts is None:
        period = (
            F.when(F.col(PART) == TEST, 2)
            .when(F.col(PART) == VALID, 1)
            .when(F.col(PART) == TRAIN, 0)
        )
    else:
        valid_from, test_from = cuts
        period = F.when(F.col(TIME) < valid_from, 0).when(F.col(TIME) < test_from, 1).otherwise(2)
    return events.withColumn(PERIOD, period)


def add_gap(events: DataFrame) -> DataFrame:
    """Add GAP."""
    gap = F.col(TIME) - F.lag(TIME).over(Window.partitionBy(USER_IDX).orderBy(PLACE))
    return events.withColumn(GAP, F.coalesce(F.log1p(gap / 1e6), F.lit(-1.0)).cast("float"))


def add_history(events: DataFrame, length: int) -> DataFrame:
    """Add HISTORY_ITEMS: items of the user's newest `length` events before this, oldest first."""
    before = Window.partitionBy(USER_IDX).orderBy(PLACE).rowsBetween(-length, -1)
    return events.withColumn(HISTORY_ITEMS, F.collect_list(ITEM_IDX).over(before))


def add_labels(
    events: DataFrame, labels: Mapping[str, Sequence[str]], event_types: Sequence[str]
) -> DataFrame:
    """Add a column LABEL + name for each label: 1 for its event types, or the event's value."""
    return events.withColumns(
        {LABEL + name: _label(types, event_types) for name, types in labels.items()}
    )


def add_context(events: DataFrame, is_dated: bool) -> DataFrame:
    """Add DRAW, PROBABILITY, NUM_BEFORE and, where events have times, GAP, HOUR and WEEKDAY."""
    day = F.floor(F.col(TIME) / MICROS_PER_DAY)
    hour = F.floor((F.col(TIME) - day * MICROS_PER_DAY) / (MICROS_PER_DAY // _HOURS))
    weekday = F.pmod(day - _FIRST_MONDAY, F.lit(_WEEKDAYS))
    columns = {
        DRAW: F.lit(0),
        PROBABILITY: F.lit(1.0).cast("float"),
        NUM_BEFORE: F.log1p(F.col(PLACE).cast("double")).cast("float"),
    }
    if is_dated:
        events = add_gap(events)
        columns |= {HOUR: (hour + 2).cast("int"), WEEKDAY: (weekday + 2).cast("int")}
    return events.withColumns(columns)


def is_positive(labels: Mapping[str, Sequence[str]]) -> Column:
    """Return whether any label of the row is above zero."""
    return F.greatest(*(F.col(LABEL + name) for name in labels), F.lit(0.0)) > 0


def without_labels(rows: DataFrame, labels: Mapping[str, Sequence[str]]) -> DataFrame:
    """Set all labels to 0."""
    return rows.withColumns({LABEL + name: F.lit(0.0).cast("float") for name in labels})


def context_features(is_dated: bool, has_sessions: bool) -> tuple[Feature, ...]:
    """Return what a model has to know of the columns of `add_context` and of sessions."""
    numbers = [NUM_BEFORE, *([GAP] if is_dated else []), *([SESSION_PLACE] if has_sessions else [])]
    sizes = {HOUR: _HOURS + 2, WEEKDAY: _WEEKDAYS + 2} if is_dated else {}
    return (
        *(Feature(name=name, kind="numeric", encoding="context") for name in numbers),
        *(Feature(name=name, kind="categorical", encoding="context", cardinality=size)
          for name, size in sizes.items()),
    )  # fmt: skip


def _label(types: Sequence[str], event_types: Sequence[str]) -> Column:
    if tuple(types) == VALUE_AS_LABEL and "value" not in event_types:
        return F.coalesce(F.col(VALUE), F.lit(0.0)).cast("float")
    numbers = [event_types.index(name) for name in types]
    return F.col(EVENT_TYPE).isin(numbers).cast("float")


def training_part(rows: DataFrame) -> DataFrame:
    """Return the rows of the training part's time."""
    return rows.where(F.col(PERIOD) == 0)
