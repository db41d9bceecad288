import random

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.cleaning.log_rules import drop_duplicates, drop_near_duplicates, drop_repeated_items
from etl.privacy.pseudonyms import SEALED
from etl.spark.columns import OUTWEIGHS, VERDICT
from tests.etl.making import by_line, events_of, tuples

SECOND = 1_000_000


def test_the_first_of_equal_events_stays(spark: SparkSession) -> None:
    frame = events_of(
        spark,
        {"value": 1.0, "verdict": "quarantined:x"},  # not counted: it is out already
        {"value": 1.0},
        {"value": 1.0},
        {"value": 2.0},
        {"user_id": "v", "value": 1.0},
    ).drop("event_id")
    # One row of each user holds the sealed id; that does not make it another event.
    frame = frame.withColumn(SEALED + "user_id", F.when(F.col("line_number") == 1, "x"))
    verdicts = by_line(drop_duplicates(frame))
    assert verdicts == ["quarantined:x", None, "dropped:duplicate", None, None]
    colours = frame.withColumn("colour", F.when(F.col("line_number") == 2, "red"))
    assert by_line(drop_duplicates(colours)) == ["quarantined:x", None, None, None, None]


def test_events_with_an_id_are_equal_by_it_alone(spark: SparkSession) -> None:
    frame = events_of(
        spark,
        {"event_id": "a", "time": 9, "user_id": "v"},
        {"event_id": "b"},
        {"event_id": "a", "time": 1},  # the earlier one of the two
        {"event_id": ""},
        {"event_id": None},
    )
    assert by_line(drop_duplicates(frame)) == [
        "dropped:duplicate", None, None, None, "dropped:duplicate",
    ]  # fmt: skip


def test_a_chain_of_like_events_counts_as_one(spark: SparkSession) -> None:
    times = [0, 10, 20, 31, 30]
    frame = events_of(
        spark,
        *({"time": time * SECOND, "value": float(time)} for time in times),
        {"time": 5 * SECOND, "event_type": 1},
        {"time": 5 * SECOND, "item_id": "j"},
        {"time": 5 * SECOND, "user_id": "v"},
        {"time": 15 * SECOND + 1, "user_id": "v"},
    )
    near = "dropped:near_duplicate"
    assert by_line(drop_near_duplicates(frame, 10)) == [
        None, near, near, near, near, None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(("keep", "stays"), [("first", 5), ("last", 9)])
def test_one_event_stays_of_a_users_with_one_item(
    spark: SparkSession, keep: str, stays: int
) -> None:
    frame = events_of(spark, *({"time": time} for time in (7, 5, 9)),
                      {"item_id": "j", "time": 1}, {"user_id": "v", "time": 1})  # fmt: skip
    kept = drop_repeated_items(frame, keep, F.lit(True), [1.0]).where(f"{VERDICT} IS NULL")
    assert tuples(kept, "user_id", "item_id", "time") == [
        ("u", "i", stays), ("u", "j", 1), ("v", "i", 1),
    ]  # fmt: skip


# Times and types: view 1, cart 2, purchase 3, view 4; wish 5 weighs as much as a cart.
@pytest.mark.parametrize(
    ("keep", "stays", "outweighing"),
    [("first", 1, [2, 3, 5]), ("last", 5, [3]), ("strongest", 3, [])],
)
def test_the_strongest_event_keeps_its_own_time(
    spark: SparkSession, keep: str, stays: int, outweighing: list[int]
) -> None:
    frame = events_of(
        spark,
        *({"time": time, "event_type": kind} for time, kind in enumerate((0, 1, 2, 0, 3), 1)),
        {"time": 9, "event_type": 2, "verdict": "dropped:bot"},
    )
    judged = drop_repeated_items(frame, keep, F.lit(True), [1.0, 2.0, 3.0, 2.0])
    assert tuples(judged.where(f"{VERDICT} IS NULL"), "time") == [(stays,)]
    lost = judged.where(OUTWEIGHS) if OUTWEIGHS in judged.columns else judged.limit(0)
    assert tuples(lost, "time") == [(time,) for time in outweighing]


def test_of_equal_weights_the_last_stays(spark: SparkSession) -> None:
    frame = events_of(spark, *({"time": time, "event_type": time % 2} for time in (2, 3, 1, 4)))
    judged = drop_repeated_items(frame, "strongest", F.lit(True), [1.0, 1.0])
    assert tuples(judged.where(f"{VERDICT} IS NULL"), "time") == [(4,)]


def test_an_impression_is_never_the_strongest(spark: SparkSession) -> None:
    frame = events_of(spark, *({"time": time, "event_type": time % 2} for time in range(4)))
    judged = drop_repeated_items(frame, "strongest", F.col("event_type") == 0, [1.0, 9.0])
    assert by_line(judged) == ["dropped:repeated_item", None, None, None]


@pytest.mark.parametrize("keep", ["first", "last", "strongest"])
def test_which_one_stays_does_not_depend_on_the_order_of_the_lines(
    spark: SparkSession, keep: str
) -> None:
    draw = random.Random(3)
    rows = [
        {"item_id": f"i{n % 3}", "time": n % 4, "event_type": n % 2, "value": float(n % 5),
         "event_id": f"e{n % 20}"}
        for n in range(60)
    ]  # fmt: skip
    outcomes = []
    for _ in range(2):
        draw.shuffle(rows)
        judged = events_of(spark, *rows).transform(drop_duplicates)
        judged = drop_repeated_items(drop_near_duplicates(judged, 0), keep, F.lit(True), [1.0, 2.0])
        outcomes.append(tuples(judged, "item_id", "time", "event_type", "value", "event_id",
                               VERDICT))  # fmt: skip
    assert outcomes[0] == outcomes[1]
    assert len({verdict for *_, verdict in outcomes[0]}) == 4
