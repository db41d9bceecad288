"""Columnar files and tables: values of every type as the text that they stand for."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from pyspark.sql import SparkSession

from conf.errors import ConfigError, InputError
from conf.runs.inputs.input_files import UNKNOWN_BYTES, InputFile
from conf.settings.input import Source
from etl.reading.sources import read_rows
from etl.spark.columns import LINE_ORDER
from tests.etl.making import config_for, make
from tests.etl.read_rows import COLUMNS, check, read
from tests.etl.reading.test_avro_header import record, write_header

MOMENTS = [datetime(1, 1, 1, 12, 34, 56), datetime(2026, 3, 8, 2, 30), datetime(9999, 12, 31)]
TEXTS = ["0001-01-01 12:34:56", "2026-03-08 02:30:00", "9999-12-31 00:00:00"]


def test_whole_numbers_and_decimals_are_read_to_the_last_digit(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = {
        "user": [
            pa.array([2**64 - 1], pa.uint64()), pa.array([-(2**63)]), pa.array([b"caf\xc3\xa9"]),
        ],
        "item": [
            pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
            pa.array([Decimal("1.5")], pa.decimal128(38, 1)), pa.array([True]),
        ],
    }  # fmt: skip
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path, user, item in zip(paths, rows["user"], rows["item"], strict=True):
        pq.write_table(pa.table({"user": user, "item": item}), path)
    assert [row[2:] for row in read(spark, tmp_path, *paths, format="parquet")] == [
        (str(2**64 - 1), "1.50"), (str(-(2**63)), "1.5"), ("café", "true"),
    ]  # fmt: skip


def test_times_of_every_kind_in_parquet_are_read_in_utc(
    spark: SparkSession, tmp_path: Path
) -> None:
    kinds = {
        "int96": pa.timestamp("us"), "plain": pa.timestamp("us"),
        "zoned": pa.timestamp("us", "Europe/Berlin"), "milli": pa.timestamp("ms"),
    }  # fmt: skip
    columns = {**COLUMNS, "time": "time"}
    paths = []
    for name, type_ in kinds.items():
        table = {"user": TEXTS, "item": [1, 2, 3], "time": pa.array(MOMENTS, type_)}
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table(table), paths[-1], use_deprecated_int96_timestamps=name == "int96")
    rows = read(spark, tmp_path, *paths, columns=columns, format="parquet")
    assert len(rows) == 12
    assert all(row[4] == row[2] for row in rows)


def test_orc_files_are_read_as_parquet_files_are(spark: SparkSession, tmp_path: Path) -> None:
    inner = pa.array([{"id": 7}, {"id": 2**60}], pa.struct([("id", pa.int64())]))
    times = pa.array(MOMENTS[1:], pa.timestamp("us"))
    table = {"user": inner, "item": ["007", None], "day": [date(2026, 2, 3)] * 2, "time": times}
    orc.write_table(pa.table(table), tmp_path / "a.orc")
    columns = {"user_id": "user.id", "item_id": "item", "day": "day", "time": "time"}
    rows = read(spark, tmp_path, tmp_path / "a.orc", columns=columns, format="orc")
    assert [row[1:] for row in rows] == [
        (False, "7", "007", "2026-02-03", TEXTS[1]),
        (False, str(2**60), None, "2026-02-03", TEXTS[2]),
    ]


def test_orc_files_with_zoned_times_are_refused_as_spark_cannot_read_them(tmp_path: Path) -> None:
    times = pa.array(MOMENTS[1:2], pa.timestamp("us", "UTC"))
    orc.write_table(pa.table({"user": [1], "item": [2], "at": times}), tmp_path / "a.orc")
    with pytest.raises(
        InputError, match=r"a\.orc .* cannot read an ORC file with times in a zone \(at\)"
    ):
        check(tmp_path, [tmp_path / "a.orc"], format="orc")


def test_a_type_that_spark_does_not_know_is_told_with_its_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    for type_, told in ((pa.float16(), "FLOAT16"), (pa.decimal256(60, 2), "precision 60")):
        table = pa.table({"user": [1], "item": [2], "odd": pa.nulls(1, type_)})
        pq.write_table(table, tmp_path / "a.parquet")
        message = rf"a\.parquet has a column that Spark cannot read, used or not: .*{told}"
        with pytest.raises(InputError, match=message):
            read(spark, tmp_path, tmp_path / "a.parquet", format="parquet")


def test_a_file_that_breaks_amid_the_work_is_named(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "a b.parquet"
    users = [f"u{number}" for number in range(5000)]
    pq.write_table(pa.table({"user_id": users, "item_id": users, "time": range(5000)}), path)
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    path.write_bytes(content)
    log = {"paths": ["*.parquet"], "format": "parquet"}
    with pytest.raises(InputError, match=r"/a b\.parquet cannot be read to its end: .*again$"):
        make(config_for(tmp_path, log))


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Iterator[str]:
    name = "default.clicks_of_the_test"
    frame = spark.createDataFrame(
        [("u", 7, 1.5), ("v", 8, None)], "user string, sku long, price double"
    )
    frame.write.option("path", str(tmp_path / "clicks")).saveAsTable(name)
    yield name
    spark.sql(f"DROP TABLE {name}")


def test_a_table_of_the_catalogue_is_read_by_its_name(spark: SparkSession, table: str) -> None:
    file = InputFile(Path(table), table, UNKNOWN_BYTES, 0.0, "made of its version")
    source = Source(format="table", table=table, table_version="1")
    columns = {"user_id": ("user", "customer"), "item_id": "sku"}
    frame = read_rows(spark, source, [file], columns)
    rows = sorted(tuple(row) for row in frame.select("source_file", "raw", *columns).collect())
    assert rows == [
        (table, '{"user":"u","sku":7,"price":1.5}', "u", "7"),
        (table, '{"user":"v","sku":8}', "v", "8"),
    ]
    # The order is one of the rows' content, whichever way the table lies.
    order = [tuple(row) for row in frame.orderBy(*LINE_ORDER).select("user_id").collect()]
    again = read_rows(spark, source, [file], columns).repartition(3).orderBy(*LINE_ORDER)
    assert [tuple(row) for row in again.select("user_id").collect()] == order
    with pytest.raises(InputError, match=r"column\(s\) item missing; present are user, sku, price"):
        read_rows(spark, source, [file], COLUMNS)
    unknown = source.model_copy(update={"table": "default.none"})
    with pytest.raises(InputError, match=r"table 'default\.none' cannot be read"):
        read_rows(spark, unknown, [file], COLUMNS)


def test_a_table_of_the_catalogue_makes_a_dataset(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    log = {
        "format": "table", "table": table, "table_version": "1", "time_unit": "seconds",
        "columns": {"user_id": "user", "item_id": "sku", "time": "sku", "value": "price"},
    }  # fmt: skip
    clean = {"earliest_time": "1970-01-01", "latest_time": "1970-01-01"}
    manifest, _ = make(config_for(tmp_path, logs={"clicks": log}, etl={"clean": clean}))
    assert manifest.ledger["events"].rows_kept == manifest.ledger["events"].rows_read == 2
    assert manifest.ledger["events"].files.keys() == {table}
    assert manifest.as_of == "1970-01-01T00:00:08Z"


def test_without_its_package_avro_is_refused_with_what_to_add(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = write_header(tmp_path / "a.avro", record(user="long", item="string"))
    with pytest.raises(ConfigError, match=r"spark\.jars\.packages: 'org\.apache\.spark:spark-avro"):
        read(spark, tmp_path, path, format="avro")
