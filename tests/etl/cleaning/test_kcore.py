from pathlib import Path

from pyspark.sql import SparkSession

from etl.cleaning.kcore import drop_outside_core, find_core
from tests.etl.making import frame_of, tuples

# User c falls for its one event, item z then for its one, user d then for its one.
PAIRS = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "z"), ("d", "z"), ("d", "x")]


def test_the_core_is_found_in_turns(spark: SparkSession, tmp_path: Path) -> None:
    events = frame_of(spark, "user_id string, item_id string", *PAIRS)
    core = find_core(events, 2, 2, tmp_path)
    assert tuples(core, "user_id", "item_id") == PAIRS[:4]


def test_an_item_met_often_by_one_user_is_frequent(spark: SparkSession, tmp_path: Path) -> None:
    events = frame_of(spark, "user_id string, item_id string", ("a", "x"), ("a", "x"), ("b", "y"))
    assert tuples(find_core(events, 1, 2, tmp_path), "user_id") == [("a",)]


def test_events_outside_the_core_are_dropped_but_keep_an_earlier_verdict(
    spark: SparkSession,
) -> None:
    schema = "user_id string, item_id string, verdict string"
    events = frame_of(spark, schema, ("a", "x", None), ("a", "z", None), ("c", "x", "dropped:bot"))
    core = frame_of(spark, "user_id string, item_id string", ("a", "x"), ("b", "y"))
    judged = drop_outside_core(events, core)
    assert tuples(judged, "user_id", "item_id", "verdict") == [
        ("a", "x", None), ("a", "z", "dropped:below_core"), ("c", "x", "dropped:bot"),
    ]  # fmt: skip
