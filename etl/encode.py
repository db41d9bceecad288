"""Number users and items. An item's number depends on the training part alone."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from conf.contract import (
    ITEM_ID,
    ITEM_IDX,
    NUM_RESERVED,
    TRAIN_EVENTS,
    USER_ID,
    USER_IDX,
    Vocabulary,
)
from etl.columns import DROPPED, PART, TRAIN, VERDICT

# Who has only such events was there, but has no history.
_STILL_A_USER = tuple(DROPPED + reason for reason in ("event_type_not_used", "below_threshold"))


def number_items(events: DataFrame) -> DataFrame:
    """Return ITEM_ID, ITEM_IDX and TRAIN_EVENTS of the training part's items, frequent ones first.

    One row per item; items of one frequency stand in the byte order of their ids.
    """
    counts = events.where(F.col(PART) == TRAIN).groupBy(ITEM_ID)
    counted = counts.agg(F.count(F.lit(1)).alias(TRAIN_EVENTS))
    order = Window.orderBy(F.col(TRAIN_EVENTS).desc(), ITEM_ID)
    return counted.select(ITEM_ID, _number(order, "int").alias(ITEM_IDX), TRAIN_EVENTS)


def number_users(judged: DataFrame, table: DataFrame | None) -> DataFrame:
    """Return USER_ID and USER_IDX of all users that get a list, in an order without meaning.

    One row per user: those with events that are kept, would be but for the k-core, or are
    not used; those of the users table; but no bots.

    Args:
        judged: Events with verdicts, the k-core's not among them.
        table: The users table's rows that are kept.
    """
    verdict = F.col(VERDICT)
    known = judged.where(verdict.isNull() | verdict.isin(*_STILL_A_USER)).select(USER_ID).distinct()
    bots = judged.where(verdict.startswith(DROPPED + "bot")).select(USER_ID).distinct()
    users = known.join(bots, USER_ID, "left_anti")
    if table is not None:
        users = users.union(table.select(USER_ID)).distinct()
    order = Window.orderBy(F.xxhash64(USER_ID), USER_ID)
    return users.select(USER_ID, _number(order, "long").alias(USER_IDX))


def describe_vocabulary(folder: Path, id_column: str) -> Vocabulary:
    """Return size and fingerprint of the ids in Parquet files, taken in the files' order."""
    digest, size = hashlib.sha256(), NUM_RESERVED
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=[id_column]):
            for raw_id in batch.column(0).to_pylist():
                text = raw_id.encode()
                digest.update(len(text).to_bytes(8, "little") + text)
                size += 1
    return Vocabulary(size=size, fingerprint=digest.hexdigest())


def _number(order: WindowSpec, type_name: str) -> Column:
    return (F.row_number().over(order) - 1 + NUM_RESERVED).cast(type_name)
