"""Times of given files are those that the ETL reads."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.settings.rules.time_patterns import why_unusable
from etl.spark.notation import Notation
from etl.spark.times import parse_time
from serving.given_files.time_formats import moment_of
from serving.given_files.times import as_number, as_numbers

CASES = {
    "dd.MM.yyyy HH:mm:ss": ["01.05.2026 08:00:00", " 01.05.2026 08:00:00 ", "31.02.2026 08:00:00",
                            "1.5.2026 08:00:00", "01.05.2026 24:00:00", "01.05.2026", "2026-05-01"],
    "d.M.yy": ["1.5.26", "01.05.26", "31.12.99", "1.5.2026"],
    "MM/dd/yyyy hh:mm a": ["05/01/2026 08:00 AM", "05/01/2026 12:00 pm", "05/01/2026 13:00 PM",
                           "05/01/2026 12:30 AM", "13/01/2026 08:00 AM"],
    "dd/MMM/yyyy:HH:mm:ss Z": ["01/May/2026:10:00:00 +0200", "01/may/2026:10:00:00 +0000"],
    "EEE, dd MMM yyyy HH:mm:ss z": ["Fri, 01 May 2026 08:00:00 GMT"],
    "EEEE d MMMM yyyy, H'h'mm": ["Friday 1 May 2026, 8h00", "Friday 1 Mayor 2026, 8h00"],
    "yyyy-MM-dd HH:mm:ss.SSSSSS": ["2026-05-01 08:00:00.000000", "2026-05-01 08:00:00.25"],
    "yyyyMMddHHmmss": ["20260501080000", "2026050108000"],
    "yyyyDDD HH": ["2026121 08", "2026366 08", "2024366 08"],
    "yyyy-MM-dd HH:mm:ss VV": ["2026-05-01 10:00:00 Europe/Berlin", "2026-05-01 10:00:00 No/Where"],
    "yyyy-MM-dd'T'HH:mm[:ss]XXX": ["2026-05-01T10:00+02:00", "2026-05-01T10:00:30Z"],
    "yyyy-MM-dd'T'HH:mm:ss[XXX][X]": ["2026-05-01T10:00:00+02:00", "2026-05-01T08:00:00Z"],
    "yyyy-MM-dd[ HH:mm:ss][ HH:mm]": ["2026-05-01 10:00", "2026-05-01 10:00:01", "2026-05-01"],
    "d.M.y": ["5.1.2026", "05.01.2026"],
    "iso": ["2026-05-01T08:00:00Z", "2026-05-01 08:00", "2026-05-01", "soon"],
}  # fmt: skip


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_texts_are_the_times_that_the_etl_reads(spark: SparkSession, zone: str | None) -> None:
    rows = [(pattern, text) for pattern, texts in CASES.items() for text in texts]
    assert all(why_unusable(pattern) is None for pattern in CASES if pattern != "iso")
    read = {}
    for pattern, texts in CASES.items():
        frame = spark.createDataFrame([(text,) for text in texts], "text string")
        notation = Notation(time_formats=(pattern,), time_zone=zone)
        found = frame.select("text", parse_time("text", "iso", notation).alias("time")).collect()
        read |= {(pattern, text): time for text, time in found}
    assert {row: number(*row, zone) for row in rows} == read
    assert sum(time is None for time in read.values()) > 5


def number(pattern: str, text: str, zone: str | None) -> int | None:
    try:
        return as_number(text, log(pattern, zone=zone))
    except ValueError:
        return None


def log(*patterns: str, zone: str | None = None) -> Any:
    return SimpleNamespace(time_unit="iso", time_format=patterns, local_time_zone=zone)


def test_the_first_pattern_that_fits_is_taken() -> None:
    patterns = ["dd.MM.yyyy", "MM.dd.yyyy", "iso"]
    assert moment_of("02.03.2026", patterns) == datetime(2026, 3, 2)
    assert moment_of("03.20.2026", patterns) == datetime(2026, 3, 20)
    assert moment_of("2026-03-04T00:00:00Z", patterns) == datetime(2026, 3, 4, tzinfo=UTC)


def test_a_text_that_no_pattern_fits_is_told_with_them() -> None:
    wrong: dict[int, str] = {}
    as_numbers(["02.03.2026", "gestern"], log("dd.MM.yyyy", "iso"), wrong)
    assert wrong == {1: "is no time with time_format=[dd.MM.yyyy, iso]"}
