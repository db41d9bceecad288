from pyspark.sql import SparkSession

from etl.histories.sessions import add_sessions
from etl.spark.times import MICROS_PER_MINUTE
from tests.etl.making import frame_of, tuples

EVENT = "user_id string, place int, draw int, time long"


def test_a_gap_longer_than_asked_for_begins_a_session(spark: SparkSession) -> None:
    minutes = {"u": [0, 30, 30, 61, 100], "v": [5]}
    rows = [
        (user, place, 0, minute * MICROS_PER_MINUTE)
        for user, times in minutes.items() for place, minute in enumerate(times)
    ]  # fmt: skip
    expected = [
        ("u", 0, 0, 0), ("u", 1, 0, 1), ("u", 2, 0, 2), ("u", 3, 1, 0), ("u", 4, 2, 0),
        ("v", 0, 0, 0),
    ]  # fmt: skip
    columns = ("user_id", "place", "session", "session_place")
    assert tuples(add_sessions(frame_of(spark, EVENT, *rows), 30), *columns) == expected
    # What comes later changes nothing.
    early = frame_of(spark, EVENT, *(row for row in rows if row[1] < 4))
    assert tuples(add_sessions(early, 30), *columns) == [row for row in expected if row[1] < 4]
