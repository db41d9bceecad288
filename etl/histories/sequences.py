"""Histories as arrays, one row per user, and the rows for training, evaluation and scoring."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import (
    HISTORY_CONTEXT,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    ITEM_ID,
    ITEM_IDX,
    TARGET_ITEM,
    UNKNOWN_IDX,
    USER_ID,
    USER_IDX,
)
from etl.spark.columns import (
    CONFIDENCE,
    DRAW,
    EVENT_TYPE,
    NUM_EVENTS,
    NUM_SHOWN,
    PART,
    PLACE,
    TEST,
    TEST_PLACES,
    TIME,
    TRAIN,
    TRAIN_LENGTH,
    VALID,
    VALID_PLACES,
    WINDOW,
)

_ARRAYS = {HISTORY_ITEMS: "int", HISTORY_TYPES: "int", HISTORY_TIMES: "long"}


def collect_histories(events: DataFrame, items: DataFrame, users: DataFrame) -> DataFrame:
    """Return one row per user: the whole history, oldest act first, and where it is cut.

    Args:
        events: USER_ID, ITEM_ID, EVENT_TYPE, TIME, PLACE, DRAW and PART, one row per event;
            impressions are only counted. CONFIDENCE, and columns whose names begin with
            HISTORY_CONTEXT, become arrays too if they are there; they must not contain nulls.
        items: The vocabulary; other items become the unknown item.
        users: All users; those without events get an empty history.

    Returns:
        USER_IDX, USER_ID, NUM_EVENTS, NUM_SHOWN, the arrays, TRAIN_LENGTH (acts of the
        training part), VALID_PLACES and TEST_PLACES (lists of the targets' places).
    """
    is_act = F.col(DRAW) == 0
    if CONFIDENCE in events.columns:
        events = events.withColumnRenamed(CONFIDENCE, HISTORY_WEIGHTS)
    context = _more_of(events)
    numbered = events.join(items.select(ITEM_ID, ITEM_IDX), ITEM_ID, "left")
    event = F.struct(
        F.col(PLACE),
        F.coalesce(ITEM_IDX, F.lit(UNKNOWN_IDX)).cast("int").alias(HISTORY_ITEMS),
        F.col(EVENT_TYPE).alias(HISTORY_TYPES),
        F.col(TIME).alias(HISTORY_TIMES),
        *context,
    )
    collected = numbered.groupBy(USER_ID).agg(
        F.sort_array(F.collect_list(F.when(is_act, event))).alias("events"),
        F.count(F.when(~is_act, 1)).alias(NUM_SHOWN),
        F.count(F.when(is_act & (F.col(PART) == TRAIN), 1)).alias(TRAIN_LENGTH),
        _places_of(VALID, is_act).alias(VALID_PLACES),
        _places_of(TEST, is_act).alias(TEST_PLACES),
    )
    none = F.array()
    return users.join(collected, USER_ID, "left").select(
        USER_IDX,
        USER_ID,
        F.greatest(F.size("events"), F.lit(0)).cast("long").alias(NUM_EVENTS),
        F.coalesce(NUM_SHOWN, F.lit(0)).cast("long").alias(NUM_SHOWN),
        *(
            F.coalesce(F.col(f"events.{name}"), none.cast(f"array<{kind}>")).alias(name)
            for name, kind in {**_ARRAYS, **context}.items()
        ),
        F.coalesce(TRAIN_LENGTH, F.lit(0)).cast("int").alias(TRAIN_LENGTH),
        *(
            F.coalesce(name, none.cast("array<int>")).alias(name)
            for name in (VALID_PLACES, TEST_PLACES)
        ),
    )


def num_windows(window_length: int, windows: str) -> Column:
    """Return the number of training rows of a history: as many as its targets need."""
    needed = F.ceil((F.greatest(F.col(TRAIN_LENGTH), F.lit(1)) - 1) / window_length).cast("int")
    return F.least(needed, F.lit(1)) if windows == "last" else needed


def window_keys(histories: DataFrame, window_length: int, windows: str) -> DataFrame:
    """Return USER_IDX and WINDOW of each row of `training_windows`, without reading the arrays."""
    number = num_windows(window_length, windows)
    numbers = F.sequence(F.lit(0), number - 1)
    return histories.where(number > 0).select(USER_IDX, F.explode(numbers).alias(WINDOW))


def training_windows(
    histories: DataFrame, window_length: int, windows: str, weights: Sequence[float]
) -> DataFrame:
    """Cut the training parts into windows of up to `window_length` + 1 items, from the end.

    Adjacent windows share one item, so every event except a user's first is a target exactly once.

    Args:
        histories: Histories as returned by `collect_histories`.
        window_length: Maximum number of targets in a window.
        windows: `all`, or `last` for only the newest window.
        weights: Weight of each event type, for histories without HISTORY_WEIGHTS.

    Returns:
        One row per user and WINDOW: USER_IDX, items, weights, types, times and context arrays.
    """
    weight_of = F.array(*(F.lit(weight).cast("float") for weight in weights))
    last, more = num_windows(window_length, windows) - 1, _more_of(histories)
    has_weights = more.pop(HISTORY_WEIGHTS, None) is not None

    # Element by element: exploding the window numbers would copy the whole history for each
    # window, and so would F.slice within F.transform.
    def cut(number: Column) -> Column:
        end = F.col(TRAIN_LENGTH) - number * window_length
        places = F.sequence(F.greatest(end - window_length - 1, F.lit(0)), end - 1)

        def take(name: str, value: Callable[[Column], Column], kind: str) -> Column:
            none = F.lit(0).cast(kind)
            return F.transform(places, lambda place: F.coalesce(value(place), none)).alias(name)

        def taken(name: str, kind: str) -> Column:
            return take(name, lambda place: F.get(name, place), kind)

        def weight(place: Column) -> Column:
            if has_weights:
                return F.get(HISTORY_WEIGHTS, place)
            return F.get(weight_of, F.get(HISTORY_TYPES, place))

        return F.struct(
            number.alias(WINDOW),
            taken(HISTORY_ITEMS, "int"),
            take(HISTORY_WEIGHTS, weight, "float"),
            taken(HISTORY_TYPES, "int"),
            taken(HISTORY_TIMES, "long"),
            *(taken(name, kind) for name, kind in more.items()),
        )

    cut_up = F.transform(F.sequence(F.lit(0), last), cut)
    return histories.where(last >= 0).select(USER_IDX, F.inline(cut_up))


def evaluation_rows(
    histories: DataFrame, places: str, *, is_growing: bool = True, ties_together: bool = False
) -> DataFrame:
    """Return one row per user and target: the events before it, and its item.

    Args:
        histories: Histories as returned by `collect_histories`.
        places: Column with the places of the targets.
        is_growing: Whether a target's history includes the user's earlier targets.
        ties_together: Whether it excludes events of the target's own instant.

    Returns:
        USER_IDX, the target's PLACE, the arrays and TARGET_ITEM.
    """
    target = histories.withColumn("__first", F.array_min(places)).withColumn(
        PLACE, F.explode(places)
    )
    before = F.col(PLACE if is_growing else "__first")
    if is_growing and ties_together:
        # Times ascend, so the first event of the instant has as many events before it.
        at = F.get(HISTORY_TIMES, F.col(PLACE))
        before = (F.array_position(HISTORY_TIMES, at) - 1).cast("int")
    return target.select(
        USER_IDX,
        PLACE,
        *(
            _without_nulls(F.slice(name, F.lit(1), before), kind).alias(name)
            for name, kind in {**_ARRAYS, **_more_of(histories)}.items()
        ),
        F.coalesce(F.get(HISTORY_ITEMS, F.col(PLACE)), F.lit(UNKNOWN_IDX)).alias(TARGET_ITEM),
    )


def whole_histories(histories: DataFrame) -> DataFrame:
    """Return USER_IDX and the arrays, one row per user."""
    kinds = {**_ARRAYS, **_more_of(histories)}
    arrays = (_without_nulls(F.col(name), kind).alias(name) for name, kind in kinds.items())
    return histories.select(USER_IDX, *arrays)


def _more_of(rows: DataFrame) -> dict[str, str]:
    """Return the weights and context columns of events or histories, with the type of one value."""
    return {
        name: kind.removeprefix("array<").removesuffix(">")
        for name, kind in rows.dtypes
        if name == HISTORY_WEIGHTS or name.startswith(HISTORY_CONTEXT)
    }


def _places_of(part: str, is_act: Column) -> Column:
    return F.sort_array(F.collect_list(F.when(is_act & (F.col(PART) == part), F.col(PLACE))))


def _without_nulls(array: Column, kind: str) -> Column:
    """Declare in the schema that there are no nulls; reading from Parquet loses that fact."""
    return F.transform(array, lambda number: F.coalesce(number, F.lit(0).cast(kind)))
