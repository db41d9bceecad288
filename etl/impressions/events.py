"""Rows for a ranking model: a user, an item, a context and the outcome.

A row contains only data from before its event: its history and counts end there.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_ID,
    ITEM_IDX,
    LABEL_PREFIX,
    NUM_BEFORE,
    UNKNOWN_IDX,
    USER_ID,
    USER_IDX,
    Feature,
)
from etl.cleaning.shown import shown_first
from etl.spark.columns import (
    DRAW,
    EVENT_TYPE,
    GAP,
    HOUR,
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
from etl.spark.times import MICROS_PER_DAY

LABEL = LABEL_PREFIX
VALUE_AS_LABEL = ("value",)
_LAST, _BEFORE = "__last_time", "__num_before"
_HOURS, _WEEKDAYS = 24, 7
_FIRST_MONDAY = 4  # day number of the first Monday of 1970; 1 January is 0


def number_events(events: DataFrame, items: DataFrame, users: DataFrame) -> DataFrame:
    """Add USER_IDX and ITEM_IDX, that of the unknown item if the vocabulary lacks the item."""
    numbered = events.join(items.select(ITEM_ID, ITEM_IDX), ITEM_ID, "left")
    known = numbered.withColumn(ITEM_IDX, F.coalesce(ITEM_IDX, F.lit(UNKNOWN_IDX)).cast("int"))
    return known.join(users.select(USER_ID, USER_IDX), USER_ID).drop(USER_ID, ITEM_ID)


def add_period(events: DataFrame, cuts: tuple[int, int] | None) -> DataFrame:
    """Add PERIOD by the start times of validation and test, or by PART if there are no cuts.

    Without cuts, PERIOD is null for held-out events.
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


def add_history(
    events: DataFrame, length: int, *, is_growing: bool, ties_together: bool = False
) -> DataFrame:
    """Add the history of the user's acts before each row.

    HISTORY_ITEMS are the items of the newest `length` acts, oldest first. NUM_BEFORE is ln(1 + the
    number of all acts before), GAP is ln(1 + seconds since the last one), or -1.

    Args:
        events: The numbered events with PERIOD.
        length: Maximum number of items in a history.
        is_growing: Whether the history of a target includes the user's earlier targets.
        ties_together: Whether a history excludes events of the row's own instant.
    """
    acts = F.col(DRAW) == 0
    before = Window.partitionBy(USER_IDX).orderBy(PLACE).rangeBetween(-length, -1)
    known = {
        HISTORY_ITEMS: F.collect_list(F.when(acts, F.col(ITEM_IDX))).over(before),
        _LAST: F.max(F.when(acts, F.col(TIME))).over(before),
        _BEFORE: F.col(PLACE),
    }
    made = events.withColumns(known)
    if ties_together:
        instant = Window.partitionBy(USER_IDX, TIME).orderBy(*shown_first())
        made = made.withColumns({n: F.first(n).over(instant) for n in known})
    if not is_growing:
        first = Window.partitionBy(USER_IDX, PERIOD).orderBy(*shown_first())
        of_part = {
            n: F.when(F.col(PERIOD) > 0, F.first(n).over(first)).otherwise(F.col(n)) for n in known
        }
        made = made.withColumns(of_part)
    gap = F.log1p((F.col(TIME) - F.col(_LAST)) / 1e6)
    return made.withColumns(
        {
            NUM_BEFORE: F.log1p(F.col(_BEFORE).cast("double")).cast("float"),
            GAP: F.when(F.col(_LAST) <= F.col(TIME), gap).otherwise(-1.0).cast("float"),
        }
    ).drop(_LAST, _BEFORE)


def add_labels(
    events: DataFrame, labels: Mapping[str, Sequence[str]], event_types: Sequence[str]
) -> DataFrame:
    """Add a column LABEL + name for each label: 1 for its event types, or the event's value."""
    return events.withColumns(
        {LABEL + name: _label(types, event_types) for name, types in labels.items()}
    )


def add_context(events: DataFrame, is_dated: bool) -> DataFrame:
    """Add PROBABILITY; also add HOUR and WEEKDAY if events have times, else drop GAP."""
    day = F.floor(F.col(TIME) / MICROS_PER_DAY)
    hour = F.floor((F.col(TIME) - day * MICROS_PER_DAY) / (MICROS_PER_DAY // _HOURS))
    weekday = F.pmod(day - _FIRST_MONDAY, F.lit(_WEEKDAYS))
    probability = F.lit(1.0).cast("float")
    if not is_dated:
        return events.withColumn(PROBABILITY, probability).drop(GAP)
    times = {HOUR: (hour + 2).cast("int"), WEEKDAY: (weekday + 2).cast("int")}
    return events.withColumns({PROBABILITY: probability, **times})


def is_positive(labels: Mapping[str, Sequence[str]]) -> Column:
    """Return whether any label of the row is above zero."""
    return F.greatest(*(F.col(LABEL + name) for name in labels), F.lit(0.0)) > 0


def without_labels(rows: DataFrame, labels: Mapping[str, Sequence[str]]) -> DataFrame:
    """Set all labels to 0."""
    return rows.withColumns({LABEL + name: F.lit(0.0).cast("float") for name in labels})


def context_features(is_dated: bool, has_sessions: bool) -> tuple[Feature, ...]:
    """Return the descriptions of context and session columns that a model needs."""
    numbers = [NUM_BEFORE, *([GAP] if is_dated else []), *([SESSION_PLACE] if has_sessions else [])]
    sizes = {HOUR: _HOURS + 2, WEEKDAY: _WEEKDAYS + 2} if is_dated else {}
    return (
        *(Feature(name=name, kind="numeric", encoding="context") for name in numbers),
        *(
            Feature(name=name, kind="categorical", encoding="context", cardinality=size)
            for name, size in sizes.items()
        ),
    )


def _label(types: Sequence[str], event_types: Sequence[str]) -> Column:
    if tuple(types) == VALUE_AS_LABEL and "value" not in event_types:
        return F.coalesce(F.col(VALUE), F.lit(0.0)).cast("float")
    numbers = [event_types.index(name) for name in types]
    return F.col(EVENT_TYPE).isin(numbers).cast("float")


def training_part(rows: DataFrame) -> DataFrame:
    """Return the rows of the training period."""
    return rows.where(F.col(PERIOD) == 0)
