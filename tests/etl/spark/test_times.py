import pytest
from pyspark.sql import SparkSession

from etl.spark.times import day_of, day_start, iso_text, parse_number, parse_time
from tests.etl.making import frame_of

# 2026-03-01T12:34:56Z
MOMENT = 1_772_368_496_000_000


def parsed(spark: SparkSession, unit: str, *texts: str | None) -> list[int | None]:
    frame = frame_of(spark, "n int, text string", *enumerate(texts))
    return [row[0] for row in frame.orderBy("n").select(parse_time("text", unit)).collect()]


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("seconds", "1772368496"), ("seconds", "1772368496.0"), ("seconds", "1.772368496E9"),
        ("milliseconds", "1772368496000"), ("microseconds", "1772368496000000"),
    ],
)  # fmt: skip
def test_numbers_of_each_unit_give_the_same_moment(
    spark: SparkSession, unit: str, text: str
) -> None:
    assert parsed(spark, unit, text) == [MOMENT]


def test_iso_times_are_read_in_their_zone_and_in_utc_without_one(spark: SparkSession) -> None:
    forms = [
        "2026-03-01T12:34:56Z", "2026-03-01 12:34:56", "2026-03-01T13:34:56+01:00",
        "2026-03-01T07:34:56-0500", "2026-03-01t12:34:56.000z", " 2026-03-01T14:34:56+02 ",
    ]  # fmt: skip
    assert parsed(spark, "iso", *forms) == [MOMENT] * len(forms)


def test_iso_dates_and_fractions_are_read(spark: SparkSession) -> None:
    times = parsed(spark, "iso", "2026-03-01", "2026-03-01T12:34", "2026-03-01T12:34:56,25Z")
    assert times == [MOMENT - 45_296_000_000, MOMENT - 56_000_000, MOMENT + 250_000]


def test_what_is_no_time_is_null(spark: SparkSession) -> None:
    wrong = ["2026", "12:34:56", "2026-02-30", "01.03.2026", "1772368496", "soon", "", None]
    assert parsed(spark, "iso", *wrong) == [None] * len(wrong)
    wrong = ["2026-03-01", "12s", "0x10", "NaN", "1e40", "-", "", None]
    assert parsed(spark, "seconds", *wrong) == [None] * len(wrong)
    assert parsed(spark, "order", "7", "7.0", "7.5", "x") == [7, 7, None, None]


def test_a_time_that_is_too_large_for_its_unit_is_far_off_but_a_time(spark: SparkSession) -> None:
    far = parsed(spark, "seconds", "1772368496000000", "1772368496000", "-1e20")
    assert far == [9 * 10**18, 1_772_368_496 * 10**9, -9 * 10**18]


def test_numbers_are_finite_decimals(spark: SparkSession) -> None:
    frame = frame_of(spark, "text string", ("1.5",), ("-2e1",), (" 3 ",), ("1d",), ("NaN",), ("",))
    values = [row[0] for row in frame.select(parse_number("text")).collect()]
    assert values == [1.5, -20.0, 3.0, None, None, None]


def test_a_day_begins_at_midnight_utc() -> None:
    day = day_of(MOMENT)
    assert day.isoformat() == "2026-03-01"
    assert day_of(day_start(day)) == day
    assert day_of(day_start(day) - 1).isoformat() == "2026-02-28"
    assert iso_text(MOMENT) == "2026-03-01T12:34:56Z"
