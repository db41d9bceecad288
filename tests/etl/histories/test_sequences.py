from collections.abc import Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from etl.histories.sequences import (
    collect_histories,
    evaluation_rows,
    training_windows,
    whole_histories,
    window_keys,
)
from etl.spark.columns import TEST_PLACES, VALID_PLACES
from tests.etl.making import frame_of, tuples

EVENT = (
    "user_id string, item_id string, event_type int, time long, place int, draw int, part string"
)
HISTORY = (
    "user_idx long, history_item_idx array<int>, history_event_type array<int>, "
    "history_time array<long>, train_length int, valid_places array<int>, test_places array<int>"
)


def history(
    user: int, length: int, train: int, valid: Sequence[int] = (), test: Sequence[int] = ()
) -> tuple[Any, ...]:
    """Return a history of items 10, 11, ... with types 0, 1, 0, ... at times 0, 1, ..."""
    items = [10 + place for place in range(length)]
    return (
        user,
        items,
        [p % 2 for p in range(length)],
        list(range(length)),
        train,
        list(valid),
        list(test),
    )


def test_histories_are_in_order_and_items_outside_the_vocabulary_unknown(
    spark: SparkSession,
) -> None:
    events = frame_of(
        spark, EVENT,
        ("u", "z", 0, 300, 2, 0, "test"), ("u", "a", 1, 100, 0, 0, "train"),
        ("u", "b", 0, 200, 1, 0, "valid"), ("u", "a", 2, 150, 1, 1, "valid"),
        ("seer", "a", 2, 150, 0, 1, "train"),
    )  # fmt: skip
    items = frame_of(spark, "item_id string, item_idx int", ("a", 2), ("b", 3))
    users = frame_of(spark, "user_id string, user_idx long", ("u", 2), ("silent", 3), ("seer", 4))
    rows = collect_histories(events, items, users).orderBy("user_idx").collect()
    assert [tuple(row) for row in rows] == [
        (2, "u", 3, 1, [2, 3, 1], [1, 0, 0], [100, 200, 300], 1, [1], [2]),
        (3, "silent", 0, 0, [], [], [], 0, [], []),
        (4, "seer", 0, 1, [], [], [], 0, [], []),
    ]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ("all", [(2, 0, [13, 14, 15]), (2, 1, [11, 12, 13]), (2, 2, [10, 11]), (3, 0, [10, 11])]),
        ("last", [(2, 0, [13, 14, 15]), (3, 0, [10, 11])]),
    ],
)
def test_each_event_but_the_first_is_a_target_once(
    spark: SparkSession, windows: str, expected: list[tuple[int, int, list[int]]]
) -> None:
    # User 2: six of eight events to train on; user 3: two; user 4: one, which has no history.
    histories = frame_of(spark, HISTORY, history(2, 8, 6), history(3, 2, 2), history(4, 1, 1))
    rows = training_windows(histories, 2, windows, [1.0, 0.5])
    assert tuples(rows, "user_idx", "window", "history_item_idx") == expected
    keys = tuples(window_keys(histories, 2, windows), "user_idx", "window")
    assert keys == [row[:2] for row in expected]


def test_weights_follow_the_event_types(spark: SparkSession) -> None:
    row = training_windows(frame_of(spark, HISTORY, history(2, 3, 3)), 5, "all", [1.0, 0.5]).head()
    assert row is not None
    assert row["history_event_type"] == [0, 1, 0] and row["history_time"] == [0, 1, 2]
    assert row["history_weight"] == [1.0, 0.5, 1.0]


def test_a_target_comes_with_all_events_before_it_and_none_behind(spark: SparkSession) -> None:
    histories = frame_of(spark, HISTORY, history(2, 5, 2, [2], [4]), history(3, 2, 2))
    columns = ("user_idx", "history_item_idx", "history_time", "target_item_idx")
    assert tuples(evaluation_rows(histories, VALID_PLACES), *columns) == [(2, [10, 11], [0, 1], 12)]
    assert tuples(evaluation_rows(histories, TEST_PLACES), *columns) == [
        (2, [10, 11, 12, 13], [0, 1, 2, 3], 14)
    ]


def test_several_targets_of_a_user_are_rows_of_their_own(spark: SparkSession) -> None:
    histories = frame_of(spark, HISTORY, history(2, 5, 2, [2], [3, 4]))
    columns = ("user_idx", "place", "history_item_idx", "target_item_idx")
    assert tuples(evaluation_rows(histories, TEST_PLACES), *columns) == [
        (2, 3, [10, 11, 12], 13), (2, 4, [10, 11, 12, 13], 14),
    ]  # fmt: skip
    assert tuples(evaluation_rows(histories, TEST_PLACES, is_growing=False), *columns) == [
        (2, 3, [10, 11, 12], 13), (2, 4, [10, 11, 12], 14),
    ]  # fmt: skip


def test_a_target_can_come_without_the_events_of_its_own_instant(spark: SparkSession) -> None:
    # Six events at the times 0, 1, 1, 2, 2, 2; the last instant is the test.
    tied = (2, [10, 11, 12, 13, 14, 15], [0] * 6, [0, 1, 1, 2, 2, 2], 1, [1, 2], [3, 4, 5])
    histories = frame_of(spark, HISTORY, tied)
    columns = ("place", "history_item_idx", "history_time", "target_item_idx")
    assert tuples(evaluation_rows(histories, TEST_PLACES, ties_together=True), *columns) == [
        (3, [10, 11, 12], [0, 1, 1], 13), (4, [10, 11, 12], [0, 1, 1], 14),
        (5, [10, 11, 12], [0, 1, 1], 15),
    ]  # fmt: skip
    assert tuples(evaluation_rows(histories, VALID_PLACES, ties_together=True), *columns) == [
        (1, [10], [0], 11), (2, [10], [0], 12),
    ]  # fmt: skip


def test_no_array_can_hold_nulls(spark: SparkSession) -> None:
    histories = frame_of(spark, HISTORY, history(2, 5, 3, [3], [4]))
    frames: list[DataFrame] = [
        training_windows(histories, 5, "all", [1.0, 1.0]), evaluation_rows(histories, TEST_PLACES),
        whole_histories(histories),
    ]  # fmt: skip
    kinds = [
        field.dataType for frame in frames for field in frame.schema if "history" in field.name
    ]
    assert len(kinds) == 10
    assert not any(kind.containsNull for kind in kinds)  # type: ignore[attr-defined]


def test_a_long_history_is_cut_without_a_copy_of_it_for_each_window(spark: SparkSession) -> None:
    length = 200_000  # 4,000 windows; with copies they would take 6 GB
    events = spark.range(length).agg(
        F.collect_list(F.col("id").cast("int")).alias("history_item_idx"),
        F.collect_list(F.lit(0)).alias("history_event_type"),
        F.collect_list("id").alias("history_time"),
    )
    long = events.select(F.lit(7).alias("user_idx"), "*", F.lit(length).alias("train_length"))
    rows = training_windows(long, 50, "all", [1.0])

    counts = rows.agg(F.count("window"), F.max("window"), F.sum(F.size("history_item_idx"))).head()
    assert counts == (4000, 3999, length - 1 + 4000)
