from pyspark.sql import SparkSession

from etl.split import add_places, leave_one_out, split_by_time, time_at_shares
from tests.etl.making import frame_of, tuples

EVENT = "user_id string, item_id string, event_type int, time long"


def test_places_follow_time_and_ties_are_drawn_by_the_seed(spark: SparkSession) -> None:
    rows = [("u", item, 0, 5) for item in "abcdef"] + [("u", "first", 0, 1), ("u", "last", 0, 9)]
    orders = []
    for seed in (1, 1, 2):
        placed = add_places(frame_of(spark, EVENT, *rows), seed).repartition(3)
        orders.append([item for _, item in tuples(placed, "place", "item_id")])
        rows.reverse()
    assert orders[0] == orders[1] != orders[2]
    assert [order[0] for order in orders] == ["first"] * 3
    assert [order[-1] for order in orders] == ["last"] * 3


def test_leave_one_out_keeps_the_last_two_events_out_of_train(spark: SparkSession) -> None:
    rows = [("u", place) for place in range(4)] + [("few", 0), ("few", 1)]
    parts = leave_one_out(frame_of(spark, "user_id string, place int", *rows))
    assert tuples(parts, "user_id", "place", "part") == [
        ("few", 0, "train"), ("few", 1, "train"), ("u", 0, "train"), ("u", 1, "train"),
        ("u", 2, "valid"), ("u", 3, "test"),
    ]  # fmt: skip


def test_a_temporal_split_takes_the_first_event_behind_each_cut(spark: SparkSession) -> None:
    times = {"u": [1, 9, 10, 11, 20, 21], "new": [12, 25], "late": [30], "gone": [3]}
    rows = [(user, place, time) for user, t in times.items() for place, time in enumerate(t)]
    frame = frame_of(spark, "user_id string, place int, time long", *rows)
    assert tuples(split_by_time(frame, 10, 20), "user_id", "time", "part") == [
        ("gone", 3, "train"),
        ("late", 30, "held_out"),  # nothing before it to tell from
        ("new", 12, "held_out"), ("new", 25, "test"),
        ("u", 1, "train"), ("u", 10, "valid"), ("u", 11, "held_out"), ("u", 20, "test"),
        ("u", 21, "held_out"), ("u", 9, "train"),
    ]  # fmt: skip


def test_cuts_by_share_are_exact(spark: SparkSession) -> None:
    frame = frame_of(spark, "time long", *((time,) for time in [*range(9), 8]))
    row = time_at_shares(frame, 0.2, 0.1).head()
    # Ten events 0..8, 8: the last tenth begins with an 8, the fifth before it with 7.
    assert row is not None and tuple(row) == (7, 8)
    nothing = time_at_shares(frame, 0.0, 0.0).head()
    assert nothing is not None and tuple(nothing) == (9, 9)
