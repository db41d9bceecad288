"""Write rows to files of nearly equal size whose content depends on the rows only."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import NUM_RESERVED
from etl.spark.columns import SHARD
from etl.spark.footers import sort_encodings
from etl.spark.paths import target

# Large enough that the number of rows limits a row group, not its size.
_ROW_GROUP_BYTES = 256 << 20
_BUCKETS = 256
_GROUPS_PER_WORKER = 8


def num_shards(rows: int, max_rows: int, max_workers: int) -> int:
    """Return the number of files to write, with one row group each."""
    return max(-(-rows // max_rows), min(rows, _GROUPS_PER_WORKER * max_workers))


def bucket_of(keys: Sequence[str], seed: int) -> Column:
    """Return the number of the bucket, in a random order given by the seed, that a row is in.

    Args:
        keys: Columns that identify a row.
        seed: Seed of the order.
    """
    return F.pmod(F.xxhash64(*keys, F.lit(seed)), F.lit(_BUCKETS))


def bucket_sizes(rows: DataFrame) -> dict[Any, list[int]]:
    """Return the number of rows in each bucket, by part, in one query.

    Args:
        rows: `part`, any name or number, and `bucket`, as returned by `bucket_of`.
    """
    sizes: dict[Any, list[int]] = defaultdict(lambda: [0] * _BUCKETS)
    for part, bucket, number in rows.groupBy("part", "bucket").agg(F.count(F.lit(1))).collect():
        sizes[part][bucket] = number
    return sizes


def deal_out(
    rows: DataFrame, keys: Sequence[str], *, sizes: Sequence[int], num_shards: int, seed: int
) -> DataFrame:
    """Add SHARD: rows in random order, cut into shards whose sizes differ by at most one.

    Args:
        rows: The rows.
        keys: Columns that identify a row.
        sizes: Number of rows in each bucket.
        num_shards: Number of shards.
        seed: Seed of the order.
    """
    starts = ", ".join(f"{start}L" for start in accumulate(sizes[:-1], initial=0))
    start = F.get(F.expr(f"array({starts})"), F.col("bucket").cast("int"))
    shard = F.floor((start + _inside(keys)) * num_shards / F.lit(sum(sizes)))
    return _bucketed(rows, keys, seed).select(*rows.columns, shard.alias(SHARD))


def rank_by_hash(rows: DataFrame, keys: Sequence[str], seed: int) -> DataFrame:
    """Add `rank`: a number from 0, without gaps, in a random order given by the seed.

    Rows are ordered by a hash. Each bucket of hashes is sorted separately, so no task sorts all
    rows: the rank of a row is its rank in the bucket plus the sizes of the buckets before.

    Args:
        rows: The rows.
        keys: Columns that identify a row.
        seed: Seed of the order.
    """
    bucketed = _bucketed(rows, keys, seed)
    counts = bucketed.groupBy("bucket").agg(F.count(F.lit(1)).alias("rows"))
    before = Window.orderBy("bucket").rowsBetween(Window.unboundedPreceding, -1)
    starts = counts.select(
        "bucket", F.coalesce(F.sum("rows").over(before), F.lit(0)).alias("start")
    )
    ranked = bucketed.withColumn("inside", _inside(keys)).join(F.broadcast(starts), "bucket")
    return ranked.select(*rows.columns, (F.col("start") + F.col("inside")).alias("rank"))


def _bucketed(rows: DataFrame, keys: Sequence[str], seed: int) -> DataFrame:
    drawn = F.xxhash64(*keys, F.lit(seed))
    return rows.withColumns({"drawn": drawn, "bucket": bucket_of(keys, seed)})


def _inside(keys: Sequence[str]) -> Column:
    """Return the rank of a row in its bucket, from 0."""
    return F.row_number().over(Window.partitionBy("bucket").orderBy("drawn", *keys)) - 1


def cut_by_number(rows: DataFrame, number: str, rows_per_shard: int) -> DataFrame:
    """Add SHARD: each shard gets `rows_per_shard` consecutive numbers of a vocabulary."""
    return rows.withColumn(SHARD, F.floor((F.col(number) - NUM_RESERVED) / rows_per_shard))


def write_shards(
    rows: DataFrame,
    order: Sequence[str],
    folder: Path,
    scratch: Path,
    leave_out: Sequence[str] = (),
) -> None:
    """Write each SHARD to one file `part-NNNNN.parquet`, with its rows sorted by `order`.

    Every JVM writes the same bytes for the same rows.

    Args:
        rows: The rows with SHARD, which is not written.
        order: Columns that a shard is sorted by; they identify a row.
        folder: Folder of the files; it is created.
        scratch: Folder for Spark's output, on the same file system.
        leave_out: Columns that are needed for `order` only and not written.
    """
    partitions = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or "1")
    together = rows.repartition(partitions, SHARD).sortWithinPartitions(SHARD, *order)
    writer = together.drop(*leave_out).write.partitionBy(SHARD).mode("overwrite")
    writer.option("parquet.block.size", str(_ROW_GROUP_BYTES)).parquet(target(scratch))
    folder.mkdir(parents=True, exist_ok=True)
    shards = sorted(scratch.glob(f"{SHARD}=*"), key=lambda path: int(path.name.split("=")[1]))
    for number, shard in enumerate(shards):
        (file,) = shard.glob("*.parquet")
        sort_encodings(file)
        file.replace(folder / f"part-{number:05d}.parquet")
    shutil.rmtree(scratch)
