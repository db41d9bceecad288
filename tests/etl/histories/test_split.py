from datetime import date
from functools import reduce

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import ConfigError, InputError
from conf.settings.etl import Split
from etl.histories.split import (
    add_places,
    drop_cold_targets,
    find_cuts,
    leave_last,
    place_training_first,
    split_at_random,
    split_by_time,
    time_at_shares,
)
from etl.histories.training import Training, require_some_training
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


def test_the_order_inside_an_instant_is_drawn_for_each_user(spark: SparkSession) -> None:
    rows = [(f"u{user:03}", item, 0, 5) for user in range(200) for item in "abc"]
    placed = tuples(add_places(frame_of(spark, EVENT, *rows), 1), "user_id", "place", "item_id")
    orders = ["".join(item for *_, item in placed[at : at + 3]) for at in range(0, 600, 3)]
    # Each of the six orders has a chance of a sixth: 33 users, with a deviation of 5.3.
    assert set(orders) == {"abc", "acb", "bac", "bca", "cab", "cba"}
    assert all(12 < orders.count(order) < 55 for order in orders)


TIED = "user_id string, place int, time long"


def test_ties_can_stay_together_when_the_last_events_are_held_out(spark: SparkSession) -> None:
    times = {"u": [1, 1, 2, 3, 3, 4, 4], "two": [1, 1, 2, 2], "one": [5, 5, 5]}
    rows = [(user, *event) for user, found in times.items() for event in enumerate(found)]
    parts = leave_last(frame_of(spark, TIED, *rows), ties_together=True)
    of = {user: "".join(part[:2] for who, _, part in tuples(parts, "user_id", "place", "part")
                        if who == user) for user in times}  # fmt: skip
    # Users with fewer than three instants have no targets.
    assert of == {"u": "trtrtrvavatete", "two": "tr" * 4, "one": "tr" * 3}


def test_ties_can_stay_together_when_targets_are_drawn(spark: SparkSession) -> None:
    rows = [(f"u{user}", place, place // 3) for user in range(40) for place in range(12)]
    parts = split_at_random(frame_of(spark, TIED, *rows), 1, ties_together=True)
    found: dict[tuple[str, int], set[str]] = {}
    for user, at, part in tuples(parts, "user_id", "time", "part"):
        found.setdefault((user, at), set()).add(part)
    assert {len(kinds) for kinds in found.values()} == {1}
    drawn = [at for (_, at), kinds in found.items() if kinds == {"test"}]
    assert len(drawn) == 40 and len(set(drawn)) == 4


def test_ties_can_stay_together_at_a_cut(spark: SparkSession) -> None:
    rows = [("u", 0, 1), ("u", 1, 10), ("u", 2, 10), ("u", 3, 11), ("new", 0, 12), ("new", 1, 12)]
    parts = split_by_time(frame_of(spark, TIED, *rows), 10, 20, ties_together=True)
    assert tuples(parts, "user_id", "place", "part") == [
        ("new", 0, "held_out"), ("new", 1, "held_out"),
        ("u", 0, "train"), ("u", 1, "valid"), ("u", 2, "valid"), ("u", 3, "held_out"),
    ]  # fmt: skip


def test_leave_one_out_keeps_the_last_two_events_out_of_train(spark: SparkSession) -> None:
    rows = [("u", place) for place in range(4)] + [("few", 0), ("few", 1)]
    parts = leave_last(frame_of(spark, "user_id string, place int", *rows))
    assert tuples(parts, "user_id", "place", "part") == [
        ("few", 0, "train"), ("few", 1, "train"), ("u", 0, "train"), ("u", 1, "train"),
        ("u", 2, "valid"), ("u", 3, "test"),
    ]  # fmt: skip


def test_the_last_n_are_the_test_and_as_many_before_them_the_validation(
    spark: SparkSession,
) -> None:
    rows = [("u", place) for place in range(6)] + [("few", place) for place in range(4)]
    parts = leave_last(frame_of(spark, "user_id string, place int", *rows), 2)
    of = {(user, place): part for user, place, part in tuples(parts, "user_id", "place", "part")}
    assert [of["u", place] for place in range(6)] == [
        "train", "train", "valid", "valid", "test", "test",
    ]  # fmt: skip
    assert {of["few", place] for place in range(4)} == {"train"}


def test_a_random_split_is_drawn_by_the_seed_and_puts_training_first(spark: SparkSession) -> None:
    rows = [(f"u{user:02}", place) for user in range(50) for place in range(9)]
    rows += [("few", place) for place in range(4)]
    drawn = []
    for seed in (1, 1, 2):
        frame = frame_of(spark, "user_id string, place int", *rows).repartition(3)
        drawn.append(tuples(split_at_random(frame, seed, 2), "user_id", "place", "part"))
        rows.reverse()
    assert drawn[0] == drawn[1] != drawn[2]
    parts: dict[str, list[str]] = {}
    for user, _, part in drawn[0]:
        parts.setdefault(user, []).append(part)
    assert parts.pop("few") == ["train"] * 4
    assert {tuple(sorted(of_user)) for of_user in parts.values()} == {
        ("test",) * 2 + ("train",) * 5 + ("valid",) * 2
    }
    assert len({tuple(of_user) for of_user in parts.values()}) > 30  # not all at the same places

    schema = "user_id string, place int, part string, draw int"
    placed = place_training_first(frame_of(spark, schema, *(
        (*row, 0) for row in drawn[0] if row[0] == "u07"
    )))  # fmt: skip
    was = [place for part in ("train", "valid", "test")
           for user, place, is_part in drawn[0] if (user, is_part) == ("u07", part)]  # fmt: skip
    assert [row[2] for row in sorted(tuples(placed, "user_id", "place", "part"))] == [
        "train"] * 5 + ["valid"] * 2 + ["test"] * 2  # fmt: skip
    assert sorted(was) == list(range(9)) and was != sorted(was)


def test_cold_targets_leave_the_measurement_where_asked(spark: SparkSession) -> None:
    rows = [
        ("u", "a", "train"), ("u", "b", "train"), ("u", "a", "valid"), ("u", "new", "test"),
        ("v", "c", "held_out"), ("v", "b", "test"),
    ]  # fmt: skip
    frame = frame_of(spark, "user_id string, item_id string, part string", *rows)

    choices = [(False, False), (False, True), (True, False), (True, True)]
    variants = [
        drop_cold_targets(frame, users=users, items=items)
        .select("user_id", "item_id", "part")
        .withColumn("choice", F.lit(number))
        for number, (users, items) in enumerate(choices)
    ]
    left = tuples(reduce(DataFrame.union, variants), "choice", "user_id", "item_id", "part")
    changed = [{row[1:] for row in left if row[0] == number} - set(rows) for number in range(4)]
    cold_item, cold_user = ("u", "new", "held_out"), ("v", "b", "held_out")
    assert changed == [set(), {cold_item}, {cold_user}, {cold_item, cold_user}]
    assert len(left) == 4 * len(rows)


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


def test_a_validation_part_behind_the_test_part_is_refused(spark: SparkSession) -> None:
    split = Split(kind="temporal", valid_from=date(2026, 3, 8), test_from=date(2026, 3, 1))
    with pytest.raises(ConfigError, match="valid_from must come first"):
        find_cuts(frame_of(spark, "time long", (0,)), split)


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    for items in (0, 1):  # one of the table: etl.catalogue: table
        with pytest.raises(InputError, match=r"no event is in the training part.* \(temporal\)"):
            require_some_training(Training(items, 0, None), "temporal", is_extended=False)
    require_some_training(Training(1, 0, None), "temporal", is_extended=True)
