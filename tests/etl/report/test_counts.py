"""Counts of literal rows, all in one job, and the bins that are made of them."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.report.bins import NOT_IN_USE, per_id_bins, type_bins, value_bins
from etl.report.counts import (
    Counts,
    collect_counts,
    events_by_value,
    events_per_id,
    missing_by_log,
)
from etl.report.data import MissingField
from etl.report.missing import (
    LogFields,
    columns_of_logs,
    count_missing,
    kept_rows,
    missing_in_logs,
)
from etl.spark.folders import store
from tests.etl.making import frame_of

BAD, BOT = "quarantined:price_negative", "dropped:bot"
# u: 8 events of which 7 kept, v: 2 and both, w: 1 and none; a blank user and a missing one.
EVENTS = [
    *(("u", 0, 12.34, None) for _ in range(7)),
    ("u", 1, -5.0, BAD),
    ("v", 0, 12.0, None),
    ("v", 1, 0.0, None),
    ("w", None, None, BOT),
    (" ", 0, 0.00029, BAD),
    (None, 0, 1e11, BAD),
]
LOG_SCHEMA = "source_file string, field_shop string, value double, verdict string"
LOGS = [
    ("a", "x", 1.0, None), ("b", None, 1.0, None), ("b", " ", None, BAD), ("a", "x", None, BOT),
    ("c", None, None, None), ("c", None, 0.0, None),
]  # fmt: skip
ITEMS = [("red", " ", None, None), ("", "x", 1, None), (None, "y", 1, BOT)]


@pytest.fixture(scope="module")
def counts(spark: SparkSession) -> dict[str, Counts]:
    schema = "user_id string, event_type int, value double, verdict string"
    events = frame_of(spark, schema, *EVENTS).withColumn("item_id", F.lit("i"))
    return collect_counts({
        "ids": events_per_id(events, ["user_id", "item_id"]),
        "values": events_by_value(events),
        "logs": missing_by_log(frame_of(spark, LOG_SCHEMA, *LOGS), [["a", "b"], ["c"]],
                               ["field_shop", "value"]),
    })  # fmt: skip


def test_ids_are_counted_by_events_before_and_after(counts: dict[str, Counts]) -> None:
    # One item has all 13 events, of which 9 are kept.
    users = {(0, 3, 2): 1, (0, 1, 1): 1, (0, 0, None): 1}
    assert counts["ids"] == {**users, (1, 3, 3): 1}
    bins = per_id_bins(counts["ids"], 0, "users")
    assert bins.title == "Events per user"
    assert bins.labels == ["1", "2 to 3", "4 to 7", "8 to 15"]
    assert bins.series == {"as read": [1, 1, 0, 1], "kept": [0, 1, 1, 0]}


def test_values_are_counted_by_their_first_two_digits(counts: dict[str, Counts]) -> None:
    assert counts["values"] == {
        (1, 0, 12, 0): 8, (0, 1, -50, -1): 1, (1, 1, 0, 0): 1, (0, None, None, None): 1,
        (0, 0, 29, -5): 1, (0, 0, 10, 10): 1,
    }  # fmt: skip
    bins = value_bins(counts["values"])
    assert bins is not None
    assert bins.labels == ["-5", "0", "0.00029", "12", "100,000,000,000"]
    assert bins.series == {"as read": [1, 1, 1, 8, 1], "kept": [0, 1, 0, 8, 0]}


def test_events_of_types_not_in_use_are_shown_as_such(counts: dict[str, Counts]) -> None:
    bins = type_bins(counts["values"], ["view", "buy"])
    assert bins.labels == ["view", "buy", NOT_IN_USE]
    assert bins.series == {"as read": [10, 2, 1], "kept": [8, 1, 0]}


def test_fields_that_are_null_or_blank_in_kept_rows_are_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    store(
        frame_of(spark, "colour string, size string, year long, verdict string", *ITEMS), tmp_path
    )
    names = ["colour", "size", "year", "weight"]
    rows = kept_rows(tmp_path, names)
    assert count_missing(rows, names) == (2, {"colour": 1, "size": 1, "year": 1, "weight": 2})


def test_fields_of_events_are_counted_for_each_log_as_read_and_as_kept(
    counts: dict[str, Counts],
) -> None:
    logs = {
        "clicks": LogFields(["a", "b"], {"shop": "field_shop", "value": "value"}),
        "sales": LogFields(["c"], {"value": "value"}),
    }
    assert columns_of_logs(logs) == ["field_shop", "value"]
    assert missing_in_logs(logs, counts["logs"]) == [
        MissingField("events.clicks", "shop", 4, 2, 2, 1),
        MissingField("events.clicks", "value", 4, 2, 2, 0),
        MissingField("events.sales", "value", 2, 1, 2, 1),
    ]
