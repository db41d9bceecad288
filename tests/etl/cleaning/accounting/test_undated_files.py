from collections.abc import Iterable

from pyspark.sql import SparkSession

from etl.cleaning.accounting.undated_files import undated_file_warnings
from tests.etl.making import frame_of

SCHEMA = (
    "user_id string, item_id string, event_type int, value double, field_page string, "
    "verdict string, source_file string, log_number int"
)
Event = tuple[str, str]


def warnings_of(
    spark: SparkSession, *files: Iterable[Event], verdict: str | None = None
) -> tuple[str, ...]:
    """Return the warnings about files 0.csv, 1.csv, ...; the verdict is that of the last one."""
    rows = [
        (*event, 0, None, "p", verdict if name == len(files) - 1 else None, f"{name}.csv", 0)
        for name, events in enumerate(files)
        for event in events
    ]
    return undated_file_warnings(frame_of(spark, SCHEMA, *rows))


def events_of(items: Iterable[int], num_users: int = 10) -> list[Event]:
    """Return an event of each user with each item."""
    return [(f"u{user}", f"i{item}") for item in items for user in range(num_users)]


def test_files_with_the_same_rows_are_named_with_what_to_do(spark: SparkSession) -> None:
    rows, others = events_of(range(3)), [*events_of(range(2)), *events_of(range(2, 4), 5)]
    (warning,) = warnings_of(spark, rows, others, rows[::-1], rows)
    assert warning.startswith("2.csv has the rows of 0.csv, 3.csv has the rows of 0.csv: without")
    assert warning.endswith("remove the copy, or give the events ids (columns.event_id)")
    (warning,) = warnings_of(spark, rows, rows, verdict="dropped:repeated_item")
    assert warning.startswith("1.csv has the rows of 0.csv: ")
    assert warnings_of(spark, rows, rows, verdict="dropped:redelivered_file") == ()
    assert warnings_of(spark, rows, rows, verdict="quarantined:item_missing") == ()
    assert warnings_of(spark, rows[:9], rows[:9]) == ()  # so few may be equal by chance


def test_files_that_grow_from_day_to_day_are_named(spark: SparkSession) -> None:
    rows = events_of(range(4))
    (warning,) = warnings_of(spark, rows[:20], [*rows[:20], *rows[20:32]], rows)
    assert warning.startswith(
        "1.csv has 20 of its 32 rows in common with 0.csv (20), 2.csv has 32 of its 40 rows in "
        "common with 1.csv (32): without times, rows that were delivered twice"
    )
    # A few rows that come again are events.
    assert warnings_of(spark, rows[:20], rows[12:]) == ()


def test_files_that_are_split_by_item_are_warned_of(spark: SparkSession) -> None:
    first, second = events_of(range(15)), events_of(range(15, 30))
    (warning,) = warnings_of(spark, first, second)
    assert warning.startswith(
        "the files look split by item: 30 of 30 items are in one file only, but 10 of 10 users in "
        "several; if the order of their names is not the order of time"
    )
    # By user, by time, and too few items to tell.
    assert warnings_of(spark, first, [("v" + user, item) for user, item in second]) == ()
    assert warnings_of(spark, first, [*second, *events_of(range(2), 1)]) == ()
    assert warnings_of(spark, events_of(range(9)), events_of(range(9, 19))) == ()
