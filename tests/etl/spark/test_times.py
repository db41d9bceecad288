import pytest
from pyspark.sql import SparkSession

from conf.settings.rules.time_patterns import why_unusable
from etl.spark.decimals import parse_number
from etl.spark.notation import PLAIN, Notation
from etl.spark.times import clock_faults, day_of, day_start, is_midnight, iso_text, parse_time
from tests.etl.making import frame_of

# 2026-03-01T12:34:56Z
MOMENT = 1_772_368_496_000_000


def parsed(
    spark: SparkSession, unit: str, *texts: str | None, notation: Notation = PLAIN
) -> list[int | None]:
    frame = frame_of(spark, "n int, text string", *enumerate(texts))
    times = frame.orderBy("n").select(parse_time("text", unit, notation))
    return [row[0] for row in times.collect()]


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
        "2026-03-01 12:34:56 utc", "2026-03-01T12:34:56 Gmt", "20260301t123456z",
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


def test_numbers_of_times_may_have_the_marks_of_numbers(spark: SparkSession) -> None:
    comma, german = Notation(decimal=","), Notation(decimal=",", thousands=".")
    texts = ["1772368496,0", "1,772368496e9", "1772368496.0", "-0,5", "1.772.368.496", "1,7,7"]
    half = -500_000
    assert parsed(spark, "seconds", *texts, notation=comma) == [MOMENT] * 3 + [half, None, None]
    # What a column of doubles holds has a point, whatever the marks in texts are.
    texts = ["1.772.368.496", "1772368496.0", "1.772368496E9", "1.772.368.496,0"]
    assert parsed(spark, "seconds", *texts, notation=german) == [MOMENT] * 4
    assert parsed(spark, "seconds", "1772368496,0", "1,772368496e9") == [None, None]
    assert parsed(spark, "order", "1.000", "3,0", "3.0", "3,5", notation=german) == [
        1000, 3, 3, None,
    ]  # fmt: skip


def test_blanks_of_any_kind_around_and_within_times_do_not_count(spark: SparkSession) -> None:
    numbers = ["\u00a01772368496", "\t1772368496\r", "1772368496\u202f", "\ufeff1772368496"]
    assert parsed(spark, "seconds", *numbers) == [MOMENT] * 4
    texts = ["\u00a02026-03-01 12:34:56\u00a0", "2026-03-01\u00a012:34:56", "\t2026-03-01 12:34:56"]
    assert parsed(spark, "iso", *texts) == [MOMENT] * 3
    # An offset counts whatever is after and before it.
    zoned = ["2026-03-01\u00a012:34:56Z\u00a0", "2026-03-01\u202f12:34:56\u00a0+00:00\t"]
    assert parsed(spark, "iso", *zoned, notation=BERLIN) == [MOMENT] * 2
    american = Notation(time_formats=("M/d/yyyy, h:mm:ss a",))
    texts = ["3/1/2026, 12:34:56\u202fPM", "\u00a03/1/2026,\u00a012:34:56 PM\t"]
    assert parsed(spark, "iso", *texts, notation=american) == [MOMENT] * 2


def test_midnight_is_that_of_the_time_zone(spark: SparkSession) -> None:
    # In Berlin, 2 am on 29 March 2026 does not exist, and the day has 23 hours.
    texts = ["2026-03-29T00:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z",
             "1969-12-31T00:00:00Z", "2026-03-29T00:00:00.000001Z"]  # fmt: skip
    frame = frame_of(spark, "n int, text string", *enumerate(texts)).orderBy("n")
    micros = parse_time("text", "iso")
    zones = (None, "Europe/Berlin")
    rows = frame.select(*(is_midnight(micros, zone) for zone in zones)).collect()
    assert [row[0] for row in rows] == [True, False, False, True, False]
    assert [row[1] for row in rows] == [False, True, True, False, False]


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


BERLIN = Notation(time_zone="Europe/Berlin")


def in_notation(spark: SparkSession, notation: Notation, *texts: str) -> list[str | None]:
    """Return the times as ISO 8601 in UTC."""
    frame = frame_of(spark, "n int, text string", *enumerate(texts))
    times = frame.orderBy("n").select(parse_time("text", "iso", notation)).collect()
    return [None if row[0] is None else iso_text(row[0]) for row in times]


def test_other_forms_of_iso_8601_are_read(spark: SparkSession) -> None:
    forms = [
        "2026-03-01 12:34:56 UTC", "2026-03-01T12:34:56GMT", "20260301T123456Z",
        "20260301T143456+0200", "2026-03-01T14:34:56+0200", "20260301 123456", "20260301T123456,0Z",
    ]  # fmt: skip
    assert parsed(spark, "iso", *forms) == [MOMENT] * len(forms)
    short = ["2026-03-01T12:34Z", "20260301T1234", "2026-03-01 12:34 UTC", "20260301T1334+01"]
    assert parsed(spark, "iso", *short) == [MOMENT - 56_000_000] * len(short)
    assert parsed(spark, "iso", "20260301") == [MOMENT - 45_296_000_000]
    wrong = ["20261301", "2026030", "20260301T9", "2026-03-01T25:00Z", "1772368496", "20260301Z"]
    assert parsed(spark, "iso", *wrong) == [None] * len(wrong)


def test_patterns_are_tried_in_their_order(spark: SparkSession) -> None:
    patterns = ("dd.MM.yyyy HH:mm[:ss]", "MM/dd/yy h:mm a", "d MMM yyyy", "iso")
    texts = ["01.05.2026 10:30", " 01.05.2026 10:30:05 ", "05/01/26 3:04 pm", "1 May 2026",
             "2026-05-01T10:30:00+02:00", "31.02.2026 10:00", "2026/05/01", ""]  # fmt: skip
    assert in_notation(spark, Notation(time_formats=patterns), *texts) == [
        "2026-05-01T10:30:00Z", "2026-05-01T10:30:05Z", "2026-05-01T15:04:00Z",
        "2026-05-01T00:00:00Z", "2026-05-01T08:30:00Z", None, None, None,
    ]  # fmt: skip
    ambiguous = Notation(time_formats=("dd/MM/yyyy", "MM/dd/yyyy"))
    assert in_notation(spark, ambiguous, "02/01/2026", "01/13/2026") == [
        "2026-01-02T00:00:00Z", "2026-01-13T00:00:00Z",
    ]  # fmt: skip
    assert in_notation(spark, Notation(time_formats=("dd.MM.yyyy",)), "2026-05-01") == [None]


def test_patterns_with_offsets_fractions_and_weekdays_are_read(spark: SparkSession) -> None:
    cases = {
        "dd/MMM/yyyy:HH:mm:ss Z": "01/May/2026:10:00:00 +0200",
        "EEE, dd MMM yyyy HH:mm:ss z": "Fri, 01 May 2026 08:00:00 GMT",
        "EEE MMM dd HH:mm:ss Z yyyy": "Fri May 01 08:00:00 +0000 2026",
        "EEEE d MMMM yyyy, H'h'mm": "Friday 1 May 2026, 8h00",
        "yyyy-MM-dd HH:mm:ss.SSSSSS": "2026-05-01 08:00:00.000000",
        "yyyyMMddHHmmss": "20260501080000",
        "yyyyDDD HH": "2026121 08",
        "yyyy-MM-dd HH:mm:ss VV": "2026-05-01 10:00:00 Europe/Berlin",
    }
    for pattern, text in cases.items():
        assert why_unusable(pattern) is None
        found = in_notation(spark, Notation(time_formats=(pattern,)), text)
        assert found == ["2026-05-01T08:00:00Z"], pattern


def test_local_times_are_moved_by_the_offset_of_their_day(spark: SparkSession) -> None:
    texts = ["2026-01-15 12:00:00", "2026-07-15 12:00:00", "2026-07-15", "2026-07-15T12:00:00Z",
             "2026-07-15T12:00:00+05:00", "20260715T120000", "soon"]  # fmt: skip
    assert in_notation(spark, BERLIN, *texts) == [
        "2026-01-15T11:00:00Z", "2026-07-15T10:00:00Z", "2026-07-14T22:00:00Z",
        "2026-07-15T12:00:00Z", "2026-07-15T07:00:00Z", "2026-07-15T10:00:00Z", None,
    ]  # fmt: skip
    mixed = Notation(
        time_formats=("dd.MM.yyyy HH:mm", "dd.MM.yyyy HH:mm XXX"), time_zone="Europe/Berlin"
    )
    assert in_notation(spark, mixed, "15.07.2026 12:00", "15.07.2026 12:00 +00:00") == [
        "2026-07-15T10:00:00Z", "2026-07-15T12:00:00Z",
    ]  # fmt: skip


def test_gaps_and_repeats_of_the_clocks_are_found_and_resolved(spark: SparkSession) -> None:
    # In Berlin, 02:00 to 03:00 is passed over on 29 March 2026 and shown twice on 25 October.
    texts = {
        "2026-03-29 01:59:59": ("2026-03-29T00:59:59Z", False, False),
        "2026-03-29 02:00:00": ("2026-03-29T01:00:00Z", True, False),
        "2026-03-29 02:30:00": ("2026-03-29T01:30:00Z", True, False),
        "2026-03-29 03:00:00": ("2026-03-29T01:00:00Z", False, False),
        "2026-10-25 01:59:59": ("2026-10-24T23:59:59Z", False, False),
        "2026-10-25 02:00:00": ("2026-10-25T00:00:00Z", False, True),
        "2026-10-25 02:59:59": ("2026-10-25T00:59:59Z", False, True),
        "2026-10-25 03:00:00": ("2026-10-25T02:00:00Z", False, False),
        "2026-10-25 02:30:00+01:00": ("2026-10-25T01:30:00Z", False, False),
        "soon": (None, False, False),
    }
    frame = frame_of(spark, "n int, text string", *enumerate(texts))
    faults = clock_faults("text", BERLIN)
    assert faults is not None
    rows = frame.orderBy("n").select(parse_time("text", "iso", BERLIN), *faults).collect()
    found = [(None if row[0] is None else iso_text(row[0]), row[1], row[2]) for row in rows]
    assert dict(zip(texts, found, strict=True)) == texts
    # Lord Howe Island moves its clocks by half an hour.
    half = Notation(time_zone="Australia/Lord_Howe")
    faults = clock_faults("text", half)
    assert faults is not None
    frame = frame_of(spark, "text string", ("2026-04-05 01:29:59",), ("2026-04-05 01:30:00",))
    assert [row[0] for row in frame.select(faults[1]).collect()] == [False, True]
    assert clock_faults("text", Notation()) is None
