import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.settings.input import Source
from etl.reading.origin import redelivered_files
from etl.reading.sources import read_rows
from etl.spark.columns import BROKEN, RAW
from tests.etl.making import write_lines
from tests.etl.read_rows import COLUMNS, input_files, read


def test_csv_columns_are_found_by_name_in_every_file(spark: SparkSession, tmp_path: Path) -> None:
    odd = tmp_path / "day 1" / "a+b%20 [x]{y} ü.csv"  # what paths can hold
    one = write_lines(odd, "user,item", "u,1", "u,2")
    two = write_lines(tmp_path / "b.csv", "item,more,user", "3,x,v")
    empty = write_lines(tmp_path / "c.csv", "user,item")
    name = one.relative_to(tmp_path).as_posix()
    assert read(spark, tmp_path, one, two, empty) == [
        ("b.csv", False, "v", "3"), (name, False, "u", "1"), (name, False, "u", "2"),
    ]  # fmt: skip


def test_quotes_line_breaks_and_byte_order_marks_are_read(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffuser,item\n"say ""hi"", u","1\n2"\nv,"3"\n', encoding="utf-8")
    assert read(spark, tmp_path, path, multiline=True) == [
        ("a.csv", False, 'say "hi", u', "1\n2"), ("a.csv", False, "v", "3"),
    ]  # fmt: skip


def test_lines_of_the_wrong_length_are_broken_and_kept_as_they_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.csv", "user,item", "u,1,extra", "v", "", "w,2")
    frame = read_rows(spark, Source(paths=("*",)), input_files(tmp_path, path), COLUMNS)
    rows = frame.orderBy("line_number").select(BROKEN, RAW).collect()
    assert [tuple(row) for row in rows] == [
        (True, "u,1,extra"), (True, "v"), (False, '{"user":"w","item":"2"}'),
    ]  # fmt: skip


def test_a_line_that_repeats_the_header_is_broken(spark: SparkSession, tmp_path: Path) -> None:
    joined = tmp_path / "a.csv"
    first, second = "user,more,item\nu,x,1\n", "user,other,item\nuser,x,2\n"
    third = '"user", more ,"item"\nv,x,item\n'
    joined.write_text(first + second + "\ufeff" + third, encoding="utf-8")
    same = write_lines(tmp_path / "b.csv", "item,user", "1,u", "item,user", "user,item")
    assert read(spark, tmp_path, joined, same) == [
        ("a.csv", False, "u", "1"), ("a.csv", True, "user", "item"), ("a.csv", False, "user", "2"),
        ("a.csv", True, '\ufeff"user"', "item"), ("a.csv", False, "v", "item"),
        ("b.csv", False, "u", "1"), ("b.csv", True, "user", "item"),
        ("b.csv", False, "item", "user"),
    ]  # fmt: skip
    unnamed = {"header": False, "column_names": ("user", "more", "item"), "multiline": True}
    assert [row[1] for row in read(spark, tmp_path, joined, **unnamed)] == [
        True, False, True, False, True, False,
    ]  # fmt: skip


def test_the_one_column_that_is_read_may_hold_its_own_name(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.csv", "title,sku", "Sku,sku", "title,sku", "a,b")
    assert read(spark, tmp_path, path, columns={"item_id": "sku"}) == [
        ("a.csv", False, "sku"), ("a.csv", True, "sku"), ("a.csv", False, "b"),
    ]  # fmt: skip


def test_separators_of_two_characters_character_sets_and_gzip(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "a.dat.gz"
    path.write_bytes(gzip.compress("1::Amélie\n2::Léon\n".encode("latin-1")))
    source = {"separator": "::", "header": False, "column_names": ("user", "item"),
              "encoding": "ISO-8859-1", "quote": ""}  # fmt: skip
    assert read(spark, tmp_path, path, **source) == [
        ("a.dat.gz", False, "1", "Amélie"), ("a.dat.gz", False, "2", "Léon"),
    ]  # fmt: skip


def test_json_keys_count_by_case_and_a_repeated_key_is_broken(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", '{"user": "u", "item": 12345678901234567890, "Item": 3}',
        '{"user": "a", "user": "b", "item": 1}', '{"user": "u", "it', '[1]', '{"user": null}',
    )  # fmt: skip
    assert read(spark, tmp_path, path, format="jsonl") == [
        ("a.jsonl", False, "u", "12345678901234567890"),
        ("a.jsonl", True, "b", "1"),
        ("a.jsonl", True, None, None),
        ("a.jsonl", True, None, None),
        ("a.jsonl", False, None, None),
    ]


def test_parquet_files_of_unequal_types_are_read_together(
    spark: SparkSession, tmp_path: Path
) -> None:
    moment = pa.array([1_772_368_496_000_000_000], pa.timestamp("ns"))
    columns = {**COLUMNS, "time": "time"}
    pq.write_table(pa.table({"user": pa.array([1], pa.int32()), "item": ["a"], "time": moment}),
                   tmp_path / "a.parquet")  # fmt: skip
    pq.write_table(pa.table({"user": pa.array([2**60], pa.int64()), "item": ["b"],
                             "time": moment.cast(pa.timestamp("us", "UTC"))}),
                   tmp_path / "b.parquet")  # fmt: skip
    paths = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert read(spark, tmp_path, *paths, columns=columns, format="parquet") == [
        ("a.parquet", False, "1", "a", "2026-03-01 12:34:56"),
        ("b.parquet", False, str(2**60), "b", "2026-03-01 12:34:56"),
    ]


def test_a_line_of_a_sequence_file_is_an_event_per_item(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.txt", "u 3 1 3", "alone", "v  2")
    assert read(spark, tmp_path, path, format="sequences") == [
        ("a.txt", False, "u", "3"), ("a.txt", False, "u", "1"), ("a.txt", False, "u", "3"),
        ("a.txt", True, "alone", None), ("a.txt", False, "v", "2"),
    ]  # fmt: skip


def test_a_missing_column_is_named_with_those_present(spark: SparkSession, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", "User,item", "u,1")
    with pytest.raises(InputError, match=r"a\.csv: column.* user missing; present are User, item"):
        read(spark, tmp_path, path)
    lines = write_lines(tmp_path / "a.jsonl", '{"User": "u", "item": 1}')
    with pytest.raises(InputError, match=r"user missing; present are User, item"):
        read(spark, tmp_path, lines, format="jsonl")
    twice = write_lines(tmp_path / "b.csv", "user,item,user", "u,1,v")
    with pytest.raises(InputError, match="user named more than once"):
        read(spark, tmp_path, twice)


def test_a_file_that_spark_passes_over_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "_a.csv", "user,item", "u,1")
    with pytest.raises(InputError, match=r"_a\.csv.*rename"):
        read(spark, tmp_path, path)


def test_of_files_with_the_same_content_the_first_by_name_counts(tmp_path: Path) -> None:
    names = ("c.csv", "a.csv", "b.csv")
    files = [write_lines(tmp_path / name, "same" if name < "c" else "other") for name in names]
    assert redelivered_files(input_files(tmp_path, *files)) == {"b.csv"}
