from collections.abc import Mapping

import pytest
from pyspark.sql import DataFrame, SparkSession

from conf.etl_schema import EventType
from etl.clean import (
    drop_bots,
    drop_duplicates,
    drop_repeated_items,
    judge_rows,
    number_lines,
    parse_events,
)
from etl.columns import TIME, VERDICT
from etl.times import MICROS_PER_DAY
from tests.etl.making import frame_of, tuples

ROW = (
    "redelivered boolean, broken boolean, user_id string, item_id string, time_text string, "
    "type_text string, value_text string"
)
TYPES = {"view": EventType(), "buy": EventType(weight=3.0, min_value=2.0)}
GOOD = (False, False, "u", "i", "100", "view", "1")
EVENT = (
    "user_id string, item_id string, time long, event_type int, value double, event_id string, "
    "verdict string, source_file string, block_start long, line_number long"
)


def judged(
    spark: SparkSession, *rows: tuple[object, ...], types: Mapping[str, EventType] = TYPES
) -> list[str | None]:
    """Return the verdicts on rows whose times have to be in seconds 50 to 1000, up to 500."""
    numbered = [(index, *row) for index, row in enumerate(rows)]
    frame = frame_of(spark, f"n int, {ROW}", *numbered)
    verdicts = judge_rows(
        parse_events(frame, "seconds", types),
        earliest=50_000_000,
        latest=1_000_000_000,
        until=500_000_000,
        allow_negative_value=False,
        event_types=types,
    )
    return [row[0] for row in verdicts.orderBy("n").select(VERDICT).collect()]


def changed(**columns: object) -> tuple[object, ...]:
    names = [part.split()[0] for part in ROW.split(", ")]
    return tuple(columns.get(name, value) for name, value in zip(names, GOOD, strict=True))


def test_each_fault_gets_its_reason(spark: SparkSession) -> None:
    faults = {
        "dropped:redelivered_file": changed(redelivered=True),
        "quarantined:line_unparsable": changed(broken=True),
        "quarantined:user_missing": changed(user_id="  "),
        "quarantined:item_missing": changed(item_id=None),
        "quarantined:time_unparsable": changed(time_text=""),
        "quarantined:time_too_early": changed(time_text="49"),
        "quarantined:time_in_future": changed(time_text="1000"),
        "quarantined:value_unparsable": changed(value_text="cheap"),
        "quarantined:price_negative": changed(value_text="-1"),
        "dropped:after_logical_date": changed(time_text="500"),
        "dropped:event_type_not_used": changed(type_text="scroll"),
        "dropped:below_threshold": changed(type_text="buy", value_text="1.9"),
    }
    assert judged(spark, GOOD, *faults.values()) == [None, *faults]


def test_the_first_of_several_faults_counts(spark: SparkSession) -> None:
    everything = changed(redelivered=True, broken=True, user_id="", time_text="x")
    rows = [everything, changed(user_id="", item_id=""), changed(time_text="2000", value_text="-1")]
    assert judged(spark, *rows) == [
        "dropped:redelivered_file", "quarantined:user_missing", "quarantined:time_in_future",
    ]  # fmt: skip


def test_an_empty_value_is_right_unless_a_threshold_asks_for_one(spark: SparkSession) -> None:
    rows = [changed(value_text=""), changed(value_text=None, type_text="buy")]
    assert judged(spark, *rows) == [None, "dropped:below_threshold"]


def events(spark: SparkSession, *rows: tuple[object, ...]) -> DataFrame:
    """Return events of (user, item, time, value, event id, verdict), one file, in line order."""
    full = [
        (user, item, time, 0, value, event_id, verdict, "f", 0, line)
        for line, (user, item, time, value, event_id, verdict) in enumerate(rows)
    ]
    return frame_of(spark, EVENT, *full)


def by_line(frame: DataFrame, column: str = VERDICT) -> list[object]:
    return [row[0] for row in frame.orderBy("source_file", "line_number").select(column).collect()]


def test_the_first_of_equal_events_stays(spark: SparkSession) -> None:
    frame = events(
        spark,
        ("u", "i", 1, 1.0, None, "quarantined:x"),  # not counted: it is out already
        ("u", "i", 1, 1.0, None, None),
        ("u", "i", 1, 1.0, None, None),
        ("u", "i", 1, 2.0, None, None),
        ("v", "i", 1, 1.0, None, None),
    )
    verdicts = by_line(drop_duplicates(frame.drop("event_id")))
    assert verdicts == ["quarantined:x", None, "dropped:duplicate", None, None]


def test_events_with_an_id_are_equal_by_it_alone(spark: SparkSession) -> None:
    frame = events(
        spark,
        ("u", "i", 1, 1.0, "a", None),
        ("u", "i", 1, 1.0, "b", None),
        ("v", "j", 9, 7.0, "a", None),
        ("u", "i", 1, 1.0, "", None),
        ("u", "i", 1, 1.0, None, None),
    )
    assert by_line(drop_duplicates(frame)) == [
        None, None, "dropped:duplicate", None, "dropped:duplicate",
    ]  # fmt: skip


def test_all_events_of_a_bot_are_dropped_and_nobody_elses(spark: SparkSession) -> None:
    bot = [("bot", "i", time, None, None, None) for time in (1, 2, 3)]
    later = ("bot", "i", MICROS_PER_DAY, None, None, None)
    person = [("u", "i", day * MICROS_PER_DAY, None, None, None) for day in (0, 1, 2)]
    person += [("u", "j", 5, None, None, "dropped:duplicate"), ("u", "j", 5, None, None, None)]
    verdicts = by_line(drop_bots(events(spark, *bot, later, *person), 2))
    assert verdicts == ["dropped:bot"] * 4 + [None, None, None, "dropped:duplicate", None]


@pytest.mark.parametrize(("keep", "stays"), [("first", 5), ("last", 9)])
def test_one_event_stays_of_a_users_with_one_item(
    spark: SparkSession, keep: str, stays: int
) -> None:
    frame = events(spark, *(("u", "i", time, None, None, None) for time in (7, 5, 9)),
                   ("u", "j", 1, None, None, None), ("v", "i", 1, None, None, None))  # fmt: skip
    kept = drop_repeated_items(frame, keep).where(f"{VERDICT} IS NULL")
    assert tuples(kept, "user_id", "item_id", "time") == [
        ("u", "i", stays), ("u", "j", 1), ("v", "i", 1),
    ]  # fmt: skip


def test_the_order_of_lines_becomes_the_time(spark: SparkSession) -> None:
    frame = events(spark, *((user, "i", None, None, None, None) for user in "uvuuv"))
    assert by_line(number_lines(frame), TIME) == [1, 1, 2, 3, 2]
