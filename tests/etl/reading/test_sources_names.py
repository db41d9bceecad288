"""Where columns are found: by several names, in another case, in the names of folders."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.errors import ConfigError, InputError
from conf.settings.input import TableSource
from etl.cleaning.tables import table_columns
from tests.etl.making import write_lines
from tests.etl.read_rows import COLUMNS, read
from tests.etl.reading.files.test_file_kinds import PACK


def test_each_file_is_read_by_the_name_that_it_has(spark: SparkSession, tmp_path: Path) -> None:
    paths = [
        write_lines(tmp_path / "1.csv", "user,item", "u,1"),
        write_lines(tmp_path / "2.csv", "sku,USER", "2,v"),
        write_lines(tmp_path / "3.csv", "Customer,price,item", "w,9.5,3"),
    ]
    columns = {"user_id": ("user", "customer"), "item_id": ("item", "sku"), "value": "price"}
    assert read(spark, tmp_path, *paths, columns=columns, match_case=False) == [
        ("1.csv", False, "u", "1", None), ("2.csv", False, "v", "2", None),
        ("3.csv", False, "w", "3", "9.5"),
    ]  # fmt: skip


def test_json_files_are_read_by_the_names_that_each_has(
    spark: SparkSession, tmp_path: Path
) -> None:
    late = ['{"who": "b", "item": 2}'] * 100
    paths = [
        write_lines(tmp_path / "1.jsonl", '{"user": "a", "item": 1, "price": 5}'),
        write_lines(tmp_path / "2.jsonl", *late, '{"who": "c", "item": 3, "price": 6}'),
        write_lines(tmp_path / "3.jsonl", "{"),
    ]
    columns = {"user_id": ("user", "who"), "item_id": "item", "value": "price"}
    rows = read(spark, tmp_path, *paths, columns=columns, format="jsonl")
    assert rows[0] == ("1.jsonl", False, "a", "1", "5")
    assert rows[1:101] == [("2.jsonl", False, "b", "2", None)] * 100
    assert rows[101] == ("2.jsonl", False, "c", "3", "6")  # a key that only a later line has
    assert rows[102][:2] == ("3.jsonl", True)
    assert len(rows) == 103


def test_the_value_of_a_folder_is_a_column(spark: SparkSession, tmp_path: Path) -> None:
    days = ("day=2026-03-01/shop=a%2Fb", "day=2026-03-02/shop=__HIVE_DEFAULT_PARTITION__")
    paths = [write_lines(tmp_path / day / "part-0.csv", "user,item", "u,1") for day in days]
    columns = {**COLUMNS, "time_text": "day", "shop": "shop"}
    assert [row[1:] for row in read(spark, tmp_path, *paths, columns=columns)] == [
        (False, "u", "1", "2026-03-01", "a/b"), (False, "u", "1", "2026-03-02", None),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"hour missing; present are user, item, day \(folder\)"):
        read(spark, tmp_path, *paths, columns={**COLUMNS, "time_text": "hour"})


def test_a_field_cannot_take_the_name_of_a_column_of_the_dataset() -> None:
    source = TableSource.model_validate({
        "paths": ["*"], "id_column": "id", "fields": {"title": {}, "verdict": {}, "size": {}},
    })  # fmt: skip
    with pytest.raises(ConfigError, match="title, verdict cannot be a field's name"):
        table_columns(source, "item_id")


def test_compressed_files_are_read_as_plain_ones(spark: SparkSession, tmp_path: Path) -> None:
    plain = write_lines(tmp_path / "a.csv", "user,item", "u,1", "é,2").read_bytes()
    paths = [tmp_path / f"a.csv.{suffix}" for suffix in PACK]
    for path, pack in zip(paths, PACK.values(), strict=True):
        path.write_bytes(pack(plain))
    (tmp_path / "empty.csv.gz").write_bytes(b"")
    for multiline in (False, True):
        rows = read(spark, tmp_path, *paths, tmp_path / "empty.csv.gz", multiline=multiline)
        assert [row[1:] for row in rows] == [(False, "u", "1"), (False, "é", "2")] * 3
