import random
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from etl.cleaning.event_ids import MOVED, SHARED, blank_placeholders, mark_shared_ids
from etl.cleaning.judge import judge_log
from etl.cleaning.log_rules import drop_duplicates, drop_near_duplicates, drop_repeated_items
from etl.cleaning.row_rules import Limits
from etl.privacy.pseudonyms import SEALED
from etl.spark.columns import AT_MIDNIGHT, ID_FAULT, OUTWEIGHS, VERDICT
from tests.etl.making import by_line, config_for, events_of, frame_of, tuples

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


def judged_by_id(frame: DataFrame) -> DataFrame:
    return frame.transform(blank_placeholders).transform(mark_shared_ids).transform(drop_duplicates)


def test_events_with_one_id_are_equal_whatever_their_time_and_value(spark: SparkSession) -> None:
    frame = events_of(
        spark,
        {"event_id": "a", "time": 9, "value": 2.0},
        {"event_id": "b"},
        {"event_id": "a", "time": 1},  # the earlier one of the two
        {"event_id": ""},
        {"event_id": None},
        {"event_id": "a", "time": 1, "verdict": "quarantined:x"},
    )
    assert by_line(judged_by_id(frame)) == [
        "dropped:duplicate", None, None, None, "dropped:duplicate", "quarantined:x",
    ]  # fmt: skip


def test_a_whole_day_gives_way_to_a_time_of_that_day(spark: SparkSession) -> None:
    hour, day = 3600 * SECOND, 86_400 * SECOND
    times = {
        "a": [0, 9 * hour, 11 * hour],  # 9:00 is the earliest with a time of day
        "b": [0, day, day + hour],  # of two days the first stays
        "c": [0, 0],
        "d": [-hour, 0],  # the evening before
        "e": [0, day - 1],
    }
    rows = [
        {"event_id": name, "time": time, "value": float(n)}
        for name, of_id in times.items()
        for n, time in enumerate(of_id)
    ]
    kept = []
    for ordered in (rows, rows[::-1]):
        frame = events_of(spark, *ordered).withColumn(AT_MIDNIGHT, F.col("time") % day == 0)
        left = judged_by_id(frame)
        assert AT_MIDNIGHT not in left.columns
        kept.append(tuples(left.where(f"{VERDICT} IS NULL"), "event_id", "time", "value"))
    assert [row[:2] for row in kept[0]] == [
        ("a", 9 * hour), ("b", 0), ("c", 0), ("d", -hour), ("e", day - 1),
    ]  # fmt: skip
    assert kept[0] == kept[1]


@pytest.mark.parametrize(("unit", "zone", "marks"), [
    ("iso", None, [True, True]), ("iso", "Europe/Berlin", [True, False]), ("order", None, None),
])  # fmt: skip
def test_rows_with_an_event_id_know_whether_their_time_is_a_whole_day(
    spark: SparkSession, tmp_path: Path, unit: str, zone: str | None, marks: list[bool] | None
) -> None:
    config = config_for(
        tmp_path,
        {"time_unit": unit, "local_time_zone": zone, "columns": {"event_id": "order"}},
        etl={"clean": {"trim_ids": True}},
    )
    rows = frame_of(
        spark,
        "user_id string, item_id string, event_id string, time_text string, broken boolean, "
        "redelivered boolean, source_file string, block_start long, line_number long",
        ("u", "i", " 17\u00a0", "2026-03-01", False, False, "f", 0, 0),
        ("u", "i", "17", "2026-03-01T00:00:00Z", False, False, "f", 0, 1),
    )
    judged = judge_log(rows, config.input.events["log"], config.etl, Limits())
    assert by_line(judged, "event_id") == ["17", "17"]
    if marks is None:
        assert AT_MIDNIGHT not in judged.columns
    else:
        assert by_line(judged, AT_MIDNIGHT) == marks


def test_the_lines_of_an_order_share_its_id_and_all_stay(spark: SparkSession) -> None:
    frame = events_of(
        spark,
        *({"event_id": "order-7", "item_id": item, "time": 5} for item in ("i", "j", "k", "i")),
        {"event_id": "order-7", "item_id": "i", "time": 6, "event_type": 1},  # sent, not bought
    ).withColumn("cancels", F.col("line_number") < 0)
    assert by_line(judged_by_id(frame)) == [None, None, None, "dropped:duplicate", None]
    # A cancellation of one line has the id of the order too.
    back = frame.withColumn("cancels", F.col("line_number") == 3)
    assert by_line(judged_by_id(back)) == [None] * 5


def test_an_id_that_several_users_have_is_none(spark: SparkSession) -> None:
    frame = events_of(
        spark,
        {"event_id": "1", "time": 1},
        {"event_id": "1", "time": 9},  # the first hit of another visit
        {"event_id": "1", "time": 9},
        {"event_id": "1", "time": 1, "user_id": "v"},
        {"event_id": "2", "time": 1},  # another hit of the same second
        {"event_id": "3", "time": 1},
        {"event_id": "3", "time": 2},
        {"event_id": "3", "time": 2, "user_id": "v", "verdict": "quarantined:x"},
        {"event_id": None, "user_id": "w"},
        {"event_id": None, "user_id": "x"},
    )
    judged = judged_by_id(frame)
    assert by_line(judged) == [
        None, None, "dropped:duplicate", None, None, None, "dropped:duplicate", "quarantined:x",
        None, None,
    ]  # fmt: skip
    assert by_line(judged, ID_FAULT) == [SHARED] * 4 + [None, None, MOVED, None, None, None]


@pytest.mark.parametrize("text", [
    "(not set)", "NULL", "None", " n/a ", "#N/A", "-", "0", "0.0", "\\N", "-1", "undefined", "[]",
    "n.a.", "N.A.", "not_set",
    "00000000-0000-0000-0000-000000000000", "(NOT SET)",
])  # fmt: skip
def test_a_placeholder_is_no_id(spark: SparkSession, text: str) -> None:
    (row,) = blank_placeholders(events_of(spark, {"event_id": text})).collect()
    assert row["event_id"] is None
    assert row[ID_FAULT] == "placeholder:" + text.strip().lower()[:20]


@pytest.mark.parametrize("text", ["1", "10", "n", "nano", "note set", "0a", "\u8ba2\u5355", "-12"])
def test_an_id_that_looks_like_a_placeholder_is_one(spark: SparkSession, text: str) -> None:
    (row,) = blank_placeholders(events_of(spark, {"event_id": text})).collect()
    assert (row["event_id"], row[ID_FAULT]) == (text, None)


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
        {"item_id": f"i{n % 2}", "time": n % 4, "event_type": n % 2, "value": float(n % 5),
         "event_id": f"e{n % 20}"}
        for n in range(60)
    ]  # fmt: skip
    outcomes = []
    for _ in range(2):
        draw.shuffle(rows)
        judged = judged_by_id(events_of(spark, *rows))
        judged = drop_repeated_items(drop_near_duplicates(judged, 0), keep, F.lit(True), [1.0, 2.0])
        outcomes.append(tuples(judged, "item_id", "time", "event_type", "value", "event_id",
                               VERDICT))  # fmt: skip
    assert outcomes[0] == outcomes[1]
    assert len({verdict for *_, verdict in outcomes[0]}) == 4
