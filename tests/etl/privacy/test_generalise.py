from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.settings.privacy import ColumnRule
from etl.privacy.generalise import cut_time, floored, generalised, reduced
from tests.etl.making import frame_of

NUMBERS = ["37", "30", "39.5", "-1", "0", "1e3", " 41 ", "NaN", "old", "", None, "1" * 40]
TEXTS = ["94110-1234", "94", "", None, "ÀÉ́🙂x"]
TIMES = ["1984-05-17", "1984-05-17T23:59:59+02:00", "0001-01-01", "1984", "17.5.1984", None]
MAILS = ["ann@example.com", " b@x.org ", "@x.org", "nobody", "a@b@c.org", "", None]

CASES = {
    # rule, coarser steps, texts: what they become
    "step": (
        {"method": "generalise", "step": 10}, 0, NUMBERS,
        ["30-39", "30-39", "30-39", "-10--1", "0-9", "1000-1009", "40-49", *[None] * 5],
    ),
    "step, coarser": (
        {"method": "generalise", "step": 10}, 2, NUMBERS,
        ["0-39", "0-39", "0-39", "-40--1", "0-39", "1000-1039", "40-79", *[None] * 5],
    ),
    "keep": ({"method": "generalise", "keep": 3}, 0, TEXTS, ["941", "94", "", None, "ÀÉ́"]),
    "keep, coarser": ({"method": "generalise", "keep": 3}, 2, TEXTS, ["9", "9", "", None, "À"]),
    "keep, out of steps": ({"method": "generalise", "keep": 3}, 3, TEXTS, [None] * 5),
    "to a month": (
        {"method": "generalise", "to": "month"}, 0, TIMES,
        ["1984-05", "1984-05", "0001-01", None, None, None],
    ),
    "to an hour": (
        {"method": "generalise", "to": "hour"}, 0, TIMES,
        ["1984-05-17T00Z", "1984-05-17T21Z", "0001-01-01T00Z", None, None, None],
    ),
    "month, coarser": (
        {"method": "generalise", "to": "month"}, 1, TIMES,
        ["1984", "1984", "0001", None, None, None],
    ),
    "month, out of steps": ({"method": "generalise", "to": "month"}, 2, TIMES, [None] * 6),
    "mask": ({"method": "mask"}, 0, TEXTS, ["***", "***", "***", None, "***"]),
    "mask, ends shown": (
        {"method": "mask", "first": 1, "last": 2}, 0, TEXTS,
        ["9***34", "***", "***", None, "À***🙂x"],
    ),
    "mask, e-mail": (
        {"method": "mask", "email": True}, 0, MAILS,
        ["a***@example.com", "b***@x.org", "***", "***", "***", "***", None],
    ),
    "keep as it is": ({"method": "keep"}, 0, TEXTS, TEXTS),
}  # fmt: skip


def test_texts_say_less(spark: SparkSession) -> None:
    columns = []
    for case, (given, coarser, texts, _) in CASES.items():
        rule = ColumnRule.model_validate(given)
        name = f"col`umn.{case}"  # any name will do
        frame = frame_of(spark, f"`{name.replace('`', '``')}` string", *((t,) for t in texts))
        column = generalised(name, rule, coarser) if coarser else reduced(name, rule)
        columns.append(frame.coalesce(1).agg(F.collect_list(F.struct(column.alias("text")))))
    rows = [row for frame in columns for row in frame.collect()]
    for (case, (_, _, _, expected)), row in zip(CASES.items(), rows, strict=True):
        assert [cell["text"] for cell in row[0]] == expected, case


def test_times_and_values_of_events_become_coarser(spark: SparkSession) -> None:
    second = 1_000_000
    noon = 1_772_366_461 * second + 5  # 2026-03-01T12:01:01Z
    frame = frame_of(spark, "time long, value double", (noon, 7.5), (-1, -0.1), (None, None))
    units = [cut_time("time", unit).alias(unit) for unit in ("minute", "hour", "day")]
    rows = frame.select(*units, floored("value", 5).alias("value")).collect()
    assert [row["value"] for row in rows] == [5.0, -5.0, None]
    assert [row["minute"] for row in rows] == [1_772_366_460 * second, -60 * second, None]
    assert [row["hour"] for row in rows] == [1_772_366_400 * second, -3600 * second, None]
    assert [row["day"] for row in rows] == [1_772_323_200 * second, -86_400 * second, None]
