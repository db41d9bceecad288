from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.spark.shards import (
    bucket_of,
    bucket_sizes,
    cut_by_number,
    deal_out,
    num_shards,
    write_shards,
)
from tests.etl.making import tuples


@pytest.mark.parametrize(
    ("rows", "max_rows", "expected"),
    [(0, 10, 0), (5, 10, 5), (100, 10, 16), (1000, 10, 100), (1001, 10, 101)],
)
def test_there_are_eight_row_groups_a_worker_if_there_are_rows(
    rows: int, max_rows: int, expected: int
) -> None:
    assert num_shards(rows, max_rows, max_workers=2) == expected


def test_shards_are_equal_and_mixed_whatever_the_partitions(spark: SparkSession) -> None:
    rows = spark.range(103)
    parts = rows.select(F.lit("a").alias("part"), bucket_of(["id"], 7).alias("bucket"))
    sizes = bucket_sizes(parts)["a"]
    assert sum(sizes) == 103
    dealt = [
        tuples(
            deal_out(rows.repartition(n), ["id"], sizes=sizes, num_shards=10, seed=7),
            "id",
            "shard",
        )
        for n in (1, 5)
    ]
    assert dealt[0] == dealt[1]
    sizes = [sum(shard == n for _, shard in dealt[0]) for n in range(10)]
    assert set(sizes) == {10, 11}
    firsts = [row for row, shard in dealt[0] if shard == 0]
    assert firsts != list(range(len(firsts)))


def test_each_shard_is_one_sorted_file_of_one_row_group(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = cut_by_number(spark.range(2, 102).repartition(7), "id", 30)
    write_shards(rows, ["id"], tmp_path / "part", tmp_path / "scratch")
    files = sorted(tmp_path.rglob("*"))
    assert [path.name for path in files] == ["part", *(f"part-{n:05d}.parquet" for n in range(4))]
    assert [pq.read_metadata(path).num_row_groups for path in files[1:]] == [1] * 4
    ids = [value for path in files[1:] for value in pq.read_table(path)["id"].to_pylist()]
    assert ids == list(range(2, 102))
