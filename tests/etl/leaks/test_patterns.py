"""Python's reading of times agrees with Spark's, which shares no code with it."""

import pytest
from pyspark.sql import SparkSession

from etl.leaks.facts import parse_micros
from etl.spark.notation import Notation
from etl.spark.times import parse_time
from tests.etl.making import frame_of

PATTERNS = {
    "dd.MM.yyyy HH:mm[:ss]": ("01.05.2026 10:30", "01.05.2026\u00a010:30:05", "31.02.2026 10:00"),
    "MM/dd/yy h:mm a": ("05/01/26 3:04 pm", "12/01/26 12:04 AM", "05/01/26 12:04\u202fPM"),
    "d MMM yyyy": ("1 May 2026", "11 sep 2026", "1 Mai 2026"),
    "dd.MM.yyyy HH:mm:ss,SSS": ("01.05.2026 08:00:00,250", "01.05.2026 08:00:00,2"),
    "yyyyMMddHHmmss": ("20260501080000",),
    "d.M.y": ("1.5.2026", "1.5.26", "1.5.026"),
    "yyyyDDD HH": ("2026121 08", "2024366 23"),
    "dd/MMM/yyyy:HH:mm:ss Z": ("01/May/2026:10:00:00 -0330",),
    "EEEE d MMMM yyyy, H'h'mm": ("Friday 1 May 2026, 8h00",),
    "yyyy-MM-dd HH:mm XXX": ("2026-05-01 10:00 -09:30", "2026-05-01 10:00 Z"),
    "yyyy-MM-dd HH:mm O": ("2026-05-01 10:00 GMT+2",),
    "yyyy-MM-dd HH:mm:ss VV": ("2026-05-01 10:00:00 America/New_York",),
    "yyyy-MM-dd kk:mm 'o''clock'": ("2026-05-01 24:30 o'clock",),
    "iso": ("2026-05-01", "2026-05-01T10:30:00+02:00", "20260501T103000", "soon"),
}
LOCAL = {
    "dd.MM.yyyy HH:mm": ("29.03.2026 02:30", "25.10.2026 02:30", "15.07.1985 12:00"),
    "iso": ("2026-03-29 02:30:00", "2026-07-15", "2026-07-15\u00a012:00:00Z\u00a0"),
}
CASES = [*((pattern, None) for pattern in PATTERNS), *((one, "Europe/Berlin") for one in LOCAL)]


@pytest.mark.parametrize(("pattern", "zone"), CASES)
def test_python_and_spark_read_the_same(
    spark: SparkSession, pattern: str, zone: str | None
) -> None:
    texts = (PATTERNS if zone is None else LOCAL)[pattern]
    notation = Notation(time_formats=(pattern,), time_zone=zone)
    frame = frame_of(spark, "n int, text string", *enumerate(texts)).orderBy("n")
    found = [row[0] for row in frame.select(parse_time("text", "iso", notation)).collect()]
    assert [parse_micros(text, "iso", notation) for text in texts] == found
    assert any(found)


def test_what_python_cannot_read_is_no_time() -> None:
    for pattern, text in {"yyyy-MM-dd z": "2026-05-01 CET", "yyyy yyyy": "2026 2026"}.items():
        assert parse_micros(text, "iso", Notation(time_formats=(pattern,))) is None


def test_numbers_are_read_with_their_marks() -> None:
    german = Notation(decimal=",", thousands=".")
    assert parse_micros("\u00a01,7e9 ", "seconds", german) == 1_700_000_000_000_000
    assert parse_micros("1.700.000.000", "seconds", german) is None
    assert parse_micros("-0,5", "milliseconds", Notation(decimal=",")) == -500
