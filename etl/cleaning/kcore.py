"""k-core: drop users and items with too few events, repeatedly until all have enough."""

from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.spark.columns import DROPPED, VERDICT
from etl.spark.folders import store

_EVENTS = "pair_events"


def find_core(kept: DataFrame, min_per_user: int, min_per_item: int, folder: Path) -> DataFrame:
    """Return the user-item pairs that are in the core, one row per pair.

    Works on counts per pair. The result of each round is written to disk, so the query plan does
    not grow with the number of rounds.

    Args:
        kept: Events kept so far.
        min_per_user: Minimum number of events of a user.
        min_per_item: Minimum number of events of an item.
        folder: Where the rounds are written.
    """
    pairs = kept.groupBy(USER_ID, ITEM_ID).agg(F.count(F.lit(1)).alias(_EVENTS))
    pairs, size = _write(pairs, folder / "round-0")
    for number in range(1, size + 2):
        enough = _with_enough(_with_enough(pairs, USER_ID, min_per_user), ITEM_ID, min_per_item)
        pairs, left = _write(enough, folder / f"round-{number}")
        if left == size:
            break
        size = left
    return pairs


def drop_outside_core(events: DataFrame, core: DataFrame) -> DataFrame:
    """Drop the events of users or items that are not in the core."""
    users = core.select(USER_ID).distinct().withColumn("user_in_core", F.lit(True))
    items = core.select(ITEM_ID).distinct().withColumn("item_in_core", F.lit(True))
    joined = events.join(users, USER_ID, "left").join(items, ITEM_ID, "left")
    outside = F.when(
        F.col("user_in_core").isNull() | F.col("item_in_core").isNull(), DROPPED + "below_core"
    )
    return joined.withColumn(VERDICT, F.coalesce(VERDICT, outside)).select(events.columns)


def _with_enough(pairs: DataFrame, column: str, least: int) -> DataFrame:
    if least <= 1:
        return pairs
    enough = pairs.groupBy(column).agg(F.sum(_EVENTS).alias("total")).where(F.col("total") >= least)
    return pairs.join(enough.select(column), column, "left_semi")


def _write(pairs: DataFrame, folder: Path) -> tuple[DataFrame, int]:
    stored = store(pairs, folder)
    return stored, sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
