"""Add to every event its place in the user's history and its part: train, valid or test."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.errors import ConfigError
from conf.settings.etl import Etl, Split, shown_types
from etl.cleaning.shown import add_part_of_shown, is_act, number_places
from etl.histories.sessions import add_sessions
from etl.spark.columns import (
    CONFIDENCE,
    DRAW,
    EVENT_TYPE,
    HELD_OUT,
    PART,
    PLACE,
    TEST,
    TIME,
    TRAIN,
    VALID,
)
from etl.spark.times import day_start, iso_text


def add_places(events: DataFrame, seed: int, acts: Column | None = None) -> DataFrame:
    """Add PLACE, the event's number in its user's history by time, from 0, and DRAW.

    Events of the same time are in a random order given by the seed and the user. It is the same on
    every run and does not depend on the order of files or ids. It says nothing about other users:
    if two items had the same order everywhere, a model would learn that order from the training
    part and find it again in the test part.

    Args:
        events: The events.
        seed: Seed of that order.
        acts: Whether an event is an act, see `number_places`; None: all are.
    """
    tie_break = F.xxhash64(F.lit(seed), USER_ID, ITEM_ID, EVENT_TYPE)
    # The other columns order events that differ in nothing else.
    first = (USER_ID, TIME, ITEM_ID, EVENT_TYPE)
    rest = sorted(name for name in events.columns if name not in first)
    behind = [tie_break, *map(F.col, (ITEM_ID, EVENT_TYPE, *rest))]
    if acts is not None:
        return number_places(events, [F.col(TIME), acts, *behind], acts)
    order = Window.partitionBy(USER_ID).orderBy(TIME, *behind)
    return events.withColumns({PLACE: F.row_number().over(order) - 1, DRAW: F.lit(0)})


def leave_last(
    events: DataFrame, num_targets: int = 1, *, ties_together: bool = False
) -> DataFrame:
    """Add PART: a user's last events are test targets, those before them validation targets.

    Args:
        events: Events with PLACE, and with TIME if `ties_together`.
        num_targets: Targets per user in each part. All events of users with fewer than
            2 `num_targets` + 1 events are in the training part.
        ties_together: Whether `num_targets` counts instants; all events of one are targets.
    """
    of_user = Window.partitionBy(USER_ID)
    if ties_together:
        from_end = F.dense_rank().over(of_user.orderBy(F.col(TIME).desc())) - 1
    else:
        from_end = F.count(F.lit(1)).over(of_user) - 1 - F.col(PLACE)
    return _with_part_by_rank(events, from_end, num_targets)


def split_at_random(
    events: DataFrame, seed: int, num_targets: int = 1, *, ties_together: bool = False
) -> DataFrame:
    """Add PART: the targets are drawn at random, anywhere in the history.

    Training then sees events that came after a target, and nothing can prevent that: the figures
    show how well gaps are filled, not how well the future is predicted.

    Args:
        events: Events with PLACE.
        seed: Seed of the draw.
        num_targets: As for `leave_last`.
        ties_together: As for `leave_last`.
    """
    unit = TIME if ties_together else PLACE
    drawn = Window.partitionBy(USER_ID).orderBy(F.xxhash64(F.lit(seed), USER_ID, unit), unit)
    return _with_part_by_rank(events, F.dense_rank().over(drawn) - 1, num_targets)


def place_training_first(events: DataFrame) -> DataFrame:
    """Renumber PLACE and DRAW: first the training part, then the validation, then the test part.

    Each part is in time order. As with the other splits, a target's history is then made of the
    events with a smaller PLACE.
    """
    behind = F.when(F.col(PART) == TRAIN, 0).when(F.col(PART) == VALID, 1).otherwise(2)
    was = {name: f"__{name}" for name in (PLACE, DRAW)}
    renamed = events.withColumnsRenamed(was)
    acts = F.col(was[DRAW]) == 0
    order = [behind, F.col(was[PLACE]), acts, F.col(was[DRAW])]
    return number_places(renamed, order, acts).drop(*was.values())


def drop_cold_targets(events: DataFrame, *, users: bool, items: bool) -> DataFrame:
    """Exclude cold targets from evaluation; their events stay in the histories.

    Args:
        events: Events with PART.
        users: Whether to exclude targets of users without an event in the training part.
        items: Whether to exclude targets whose item is not in the training part.
    """
    if not (users or items):
        return events
    targets = F.col(PART).isin(VALID, TEST)
    cold = F.lit(False)
    if users:
        in_training = F.max(F.col(PART) == TRAIN).over(Window.partitionBy(USER_ID))
        cold = cold | ~in_training
    if items:
        known = events.where(F.col(PART) == TRAIN).select(ITEM_ID).distinct()
        events = events.join(known.withColumn("__is_known", F.lit(True)), ITEM_ID, "left")
        cold = cold | F.col("__is_known").isNull()
    part = F.when(targets & cold, HELD_OUT).otherwise(F.col(PART))
    return events.withColumn(PART, part).drop("__is_known")


def drop_unwanted_targets(events: DataFrame) -> DataFrame:
    """Exclude targets with the confidence 0 from evaluation; their events stay in the histories."""
    if CONFIDENCE not in events.columns:
        return events
    unwanted = F.col(PART).isin(VALID, TEST) & (F.col(CONFIDENCE) == 0)
    return events.withColumn(PART, F.when(unwanted, HELD_OUT).otherwise(F.col(PART)))


def split_by_time(
    events: DataFrame, valid_from: int, test_from: int, *, ties_together: bool = False
) -> DataFrame:
    """Add PART: the log is cut at two times, the same for all users.

    Events before `valid_from` are the training part. A user's first event after a cut is the
    target of that cut if the user has an earlier event; with `ties_together`, all events of the
    first instant are.
    """
    time, place = F.col(TIME), F.col(PLACE)
    window = F.when(time < valid_from, TRAIN).when(time < test_from, VALID).otherwise(TEST)
    in_window = Window.partitionBy(USER_ID, "window")
    first = F.min(PLACE).over(in_window)
    is_first = time == F.min(TIME).over(in_window) if ties_together else place == first
    target = is_first & (first > 0)
    part = F.when((F.col("window") == TRAIN) | target, F.col("window")).otherwise(HELD_OUT)
    return events.withColumn("window", window).withColumn(PART, part).drop("window")


def time_at_shares(events: DataFrame, valid_share: float, test_share: float) -> DataFrame:
    """Return one row (valid_from, test_from): the times that cut off these shares of the events.

    `test_from` is the time of the first event of the last `test_share` of all events,
    `valid_from` the time of the first event of the `valid_share` before it.
    """
    counts = events.groupBy(TIME).agg(F.count(F.lit(1)).alias("events"))
    upto = F.sum("events").over(Window.orderBy(TIME))
    total = F.sum("events").over(Window.partitionBy())
    running = counts.select(TIME, upto.alias("upto"), total.alias("total"))
    return running.agg(
        _first_time_behind(1 - valid_share - test_share).alias("valid_from"),
        _first_time_behind(1 - test_share).alias("test_from"),
    )


def _with_part_by_rank(events: DataFrame, rank: Column, num_targets: int) -> DataFrame:
    """Add PART by the rank of an event, or of its instant, among those of the user, from 0."""
    has_enough = F.max("__rank").over(Window.partitionBy(USER_ID)) >= 2 * num_targets
    part = (
        F.when(has_enough & (F.col("__rank") < num_targets), TEST)
        .when(has_enough & (F.col("__rank") < 2 * num_targets), VALID)
        .otherwise(TRAIN)
    )
    return events.withColumn("__rank", rank).withColumn(PART, part).drop("__rank")


def _first_time_behind(share: float) -> Column:
    # Rounded, because 1 - 0.1 - 0.1 is not exactly 0.8.
    behind = F.col("upto") > F.floor(F.round(F.col("total") * share, 6))
    return F.coalesce(F.min(F.when(behind, F.col(TIME))), F.max(TIME) + 1)


def split_events(kept: DataFrame, etl: Etl, seed: int, cuts: tuple[int, int] | None) -> DataFrame:
    """Add PLACE, DRAW and PART to events, and their sessions if these are configured.

    Args:
        kept: The events that are kept, with PART if the log defines it.
        etl: The section of the configuration.
        seed: Seed of all random choices.
        cuts: Result of `find_cuts`.
    """
    some_are_shown = bool(shown_types(etl.event_types))
    placed = add_places(kept, seed, is_act(etl.event_types) if some_are_shown else None)
    if etl.session_gap_minutes is not None:
        placed = add_sessions(placed, etl.session_gap_minutes)
    if not some_are_shown:
        return _with_parts(placed, etl.split, seed, cuts)
    acts = _with_parts(placed.where(F.col(DRAW) == 0), etl.split, seed, cuts)
    together = acts.unionByName(placed.where(F.col(DRAW) > 0), allowMissingColumns=True)
    return add_part_of_shown(together, None if cuts is None else cuts[0])


def _with_parts(
    acts: DataFrame, split: Split, seed: int, cuts: tuple[int, int] | None
) -> DataFrame:
    together = split.ties == "together"
    if cuts is not None:
        acts = split_by_time(acts, *cuts, ties_together=together)
    elif split.kind == "random":
        acts = split_at_random(acts, seed, split.num_targets, ties_together=together)
    elif split.kind != "given":
        acts = leave_last(acts, split.num_targets, ties_together=together)
    return drop_cold_targets(
        acts.transform(drop_unwanted_targets),
        users=split.cold_users == "drop",
        items=split.cold_items == "drop",
    )


def find_cuts(kept: DataFrame, split: Split) -> tuple[int, int] | None:
    """Return the start times of the validation and the test part; None if not a temporal split.

    Raises:
        ConfigError: When they are in the wrong order.
    """
    if split.kind != "temporal":
        return None
    days = (split.valid_from, split.test_from)
    if None in days:
        row = time_at_shares(kept, split.valid_share, split.test_share).head()
        assert row is not None  # an aggregate without groups has one row
        by_share = (row["valid_from"], row["test_from"])
    else:
        by_share = (None, None)
    valid, test = (
        share if day is None else day_start(day) for day, share in zip(days, by_share, strict=True)
    )
    if valid > test:
        raise ConfigError(
            f"etl.split: the validation part begins at {iso_text(valid)}, after the test part at "
            f"{iso_text(test)}; valid_from must come first"
        )
    return valid, test
