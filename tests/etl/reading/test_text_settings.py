"""Settings of real exports: how lines, quotes, missing values and numbers are written."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.settings.input import EventSource
from etl.reading.files.quotes import line_breaks_of, why_never_closed
from etl.reading.sources import read_rows
from tests.etl.read_rows import COLUMNS, check, input_files, read

VALUES = {**COLUMNS, "time_text": "at", "value_text": "price"}


def rows_of(
    spark: SparkSession, root: Path, text: str, name: str = "a.csv", **source: Any
) -> list[tuple[Any, ...]]:
    """Return (broken, user, item) of each row of a file with this text."""
    path = root / name
    path.write_bytes(text.encode())
    found = read(spark, root, path, scratch=root / "copies", **source)
    return [row[1:] for row in found]


def test_quotes_are_escaped_as_the_file_escapes_them(spark: SparkSession, tmp_path: Path) -> None:
    text = 'user,item\n"say \\"hi\\", u","c:\\\\"\n"\\"","x,y"\nplain,1\nv,"open\\"\n'
    expected = [
        (False, 'say "hi", u', "c:\\"), (False, '"', "x,y"), (False, "plain", "1"),
    ]  # fmt: skip
    found = rows_of(spark, tmp_path, text, escape="\\")
    assert found[:3] == expected
    assert found[3][0]  # its quote is never closed
    many_lined = 'user,item\n"a\n\\"b\\"","1"\n"v\\\\",2\n'
    found = rows_of(spark, tmp_path, many_lined, "b.csv", escape="\\", multiline=True)
    assert found == [(False, 'a\n"b"', "1"), (False, "v\\", "2")]


def test_an_escaped_quote_does_not_close_its_field(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = EventSource(paths=("*",), time_unit="iso", multiline=True, escape="\\")
    path.write_text('user,item\n"u\\"","1"\n')
    assert why_never_closed(source, path, "sound") is None
    path.write_text('user,item\n"u\\"","1\nv,2\n')
    assert "has a quote in line 2 that is never closed" in str(
        why_never_closed(source, path, "open")
    )


def test_separators_of_any_character_are_read(spark: SparkSession, tmp_path: Path) -> None:
    for number, separator in enumerate(("\\", "|", ";", "\t", "\\t", "¦", "||", "\\|", "-", "^")):
        mark = "\t" if separator == "\\t" else separator
        text = f'user{mark}item\nu{mark}"1"\n'
        found = rows_of(spark, tmp_path, text, f"{number}.csv", separator=separator)
        assert found == [(False, "u", "1")], separator


def test_rows_may_end_in_both_ways(spark: SparkSession, tmp_path: Path) -> None:
    text = 'user,item\n"u","1\r\n2"\r\nv,3\r\n"w\r\nw",""\r\nx,"4"\ny,"say ""5"""\r\n'
    assert rows_of(spark, tmp_path, text, multiline=True) == [
        (False, "u", "1\r\n2"), (False, "v", "3"), (False, "w\r\nw", None), (False, "x", "4"),
        (False, "y", 'say "5"'),
    ]  # fmt: skip


def test_the_line_breaks_between_rows_are_found(tmp_path: Path) -> None:
    source = EventSource(paths=("*",), time_unit="iso", multiline=True)
    cases = {
        'a,b\r\n"1\n2",3\r\n': ("\r\n", False), 'a,"b\r\nc"\n1,2\n': ("\n", False),
        "a,b\n1,2\r\n": ("\n", True), "a,b\r1,2\r": ("\r", False), "a": ("\n", False),
    }  # fmt: skip
    for number, (text, expected) in enumerate(cases.items()):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(text.encode())
        assert tuple(line_breaks_of(source, path, str(number))) == expected


def test_leading_lines_and_comments_are_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    text = 'Report of "May\n\n# made by hand\nuser,item\n#u,0\nu,1\n# v,2\nw,#3\n'
    expected = [(False, "u", "1"), (False, "w", "#3")]
    assert rows_of(spark, tmp_path, text, skip_lines=1, comment="#") == expected
    found = rows_of(spark, tmp_path, text, "b.csv", skip_lines=1, comment="#", multiline=True)
    assert found == expected
    lines = 'log of May\n{"user": "u", "item": 1}\n# {"user": "v", "item": 2}\n'
    found = rows_of(spark, tmp_path, lines, "a.jsonl", format="jsonl", skip_lines=1, comment="#")
    assert found == [(False, "u", "1")]
    found = rows_of(spark, tmp_path, "x\nu 1\n#v 2\n", "a.txt", format="sequences", skip_lines=1,
                    comment="#")  # fmt: skip
    assert found == [(False, "u", "1")]
    assert rows_of(spark, tmp_path, "#u,1\n", "c.csv", header=False,
                   column_names=("user", "item")) == [(False, "#u", "1")]  # fmt: skip


def test_a_file_with_lines_to_skip_is_checked_after_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Export\nuser,item\nu,1\n")
    assert check(tmp_path, [path], skip_lines=1) == []
    with pytest.raises(InputError, match="missing; present are Export"):
        check(tmp_path, [path])


def test_texts_that_mean_a_missing_value_are_null(spark: SparkSession, tmp_path: Path) -> None:
    nulls = ("\\N", "null", "NaN", "-")
    text = "user,item\n\\N,1\nu, null \n-,NaN\nu-,NULL\n"
    expected = [(False, None, "1"), (False, "u", None), (False, None, None), (False, "u-", "NULL")]
    assert rows_of(spark, tmp_path, text, null_values=nulls) == expected
    lines = '{"user": "\\\\N", "item": "NaN"}\n{"user": "u", "item": 3}\n'
    found = rows_of(spark, tmp_path, lines, "a.jsonl", format="jsonl", null_values=nulls)
    assert found == [(False, None, None), (False, "u", "3")]
    pq.write_table(pa.table({"user": ["null", "u"], "item": [1, 2]}), tmp_path / "a.parquet")
    found = read(
        spark, tmp_path, tmp_path / "a.parquet", format="parquet", null_values=("null", "2")
    )
    assert [row[2:] for row in found] == [(None, "1"), ("u", None)]


def values_of(spark: SparkSession, root: Path, path: Path, **source: Any) -> list[tuple[str, ...]]:
    log = EventSource(
        paths=("*",), columns={"value": "price"}, **{"time_unit": "iso", "decimal": ",", **source}
    )
    frame = read_rows(spark, log, input_files(root, path), VALUES, root / "copies")
    return [tuple(r) for r in frame.orderBy("item_id").select("time_text", "value_text").collect()]


def test_numbers_that_a_file_holds_as_such_get_the_decimal_mark_of_its_texts(
    spark: SparkSession, tmp_path: Path
) -> None:
    prices = ["1.234,5", 1234.5, 7, -0.25]
    lines = [
        json.dumps({"user": "u", "item": n, "price": price, "at": "2026-05-01"})
        for n, price in enumerate(prices)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    found = values_of(spark, tmp_path, path, format="jsonl", thousands=".")
    assert [value for _, value in found] == ["1.234,5", "1234,5", "7", "-0,25"]
    for number, column in enumerate((pa.array([1.5]), pa.array([Decimal("1.50")]))):
        path = tmp_path / f"{number}.parquet"
        table = {"user": ["u"], "item": ["i"], "at": ["2026-05-01"], "price": column}
        pq.write_table(pa.table(table), path)
        found = values_of(spark, tmp_path, path, format="parquet")
        assert found[0][1] in ("1,5", "1,50")


def test_moments_of_typed_columns_are_not_local(spark: SparkSession, tmp_path: Path) -> None:
    for zone, expected in (("UTC", "2026-05-01 10:00:00Z"), (None, "2026-05-01 10:00:00")):
        path = tmp_path / f"{zone}.parquet"
        at = pa.array([1_777_629_600_000_000], pa.timestamp("us", zone))
        table = {"user": ["u"], "item": ["i"], "at": at, "price": [1.0]}
        pq.write_table(pa.table(table), path)
        found = values_of(
            spark, tmp_path, path, format="parquet", local_time_zone="Europe/Berlin", decimal="."
        )
        assert found == [(expected, "1.0")]


def test_patterns_are_for_texts_of_times_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    at = pa.array([1_777_629_600_000_000], pa.timestamp("us"))
    pq.write_table(pa.table({"user": ["u"], "item": ["i"], "at": at}), path)
    columns = {**COLUMNS, "time_text": "at"}
    keys = {"format": "parquet", "time_format": ("dd.MM.yyyy",)}
    with pytest.raises(InputError, match=r"at is timestamp.* must be text, because time_format is"):
        check(tmp_path, [path], columns, **keys)
    assert check(tmp_path, [path], columns, **{**keys, "time_format": ("dd.MM.yyyy", "iso")}) == []
