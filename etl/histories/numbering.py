"""Number users and items. Item numbers depend on the training part and the items table only."""

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
    TRAIN_WEIGHT,
    USER_ID,
    USER_IDX,
    WEIGHT_STEPS,
    Vocabulary,
)
from etl.spark.columns import CONFIDENCE, DRAW, DROPPED, PART, TRAIN, VERDICT

# Users who have only such events get a number, but have no history.
_STILL_A_USER = tuple(DROPPED + reason for reason in ("event_type_not_used", "below_threshold"))


def number_items(
    events: DataFrame, known: DataFrame | None = None, table: DataFrame | None = None
) -> DataFrame:
    """Return ITEM_ID, ITEM_IDX and TRAIN_EVENTS of the training part's items, frequent ones first.

    One row per item; items of equal frequency are in the byte order of their ids. Items that were
    only shown have 0 TRAIN_EVENTS. If the events have CONFIDENCE, there is TRAIN_WEIGHT too.

    Args:
        events: ITEM_ID, PART, DRAW and perhaps CONFIDENCE, one row per event.
        known: ITEM_ID and ITEM_IDX of items that keep their numbers, even without events; new
            items are numbered after them.
        table: ITEM_ID of the items table, if items without events get numbers too.
    """
    is_act = F.col(DRAW) == 0
    sums = {TRAIN_EVENTS: F.count(F.when(is_act, 1))}
    if CONFIDENCE in events.columns:
        steps = F.rint(F.col(CONFIDENCE).cast("double") * WEIGHT_STEPS)
        sums[TRAIN_WEIGHT] = F.sum(F.when(is_act, steps).otherwise(0.0)) / WEIGHT_STEPS
    in_training = events.where(F.col(PART) == TRAIN).groupBy(ITEM_ID)
    counted = in_training.agg(*(value.alias(name) for name, value in sums.items()))
    none = {name: F.lit(0).cast(kind) for name, kind in counted.dtypes if name in sums}
    if table is not None:
        cold = table.select(ITEM_ID).join(counted.select(ITEM_ID), ITEM_ID, "left_anti")
        counted = counted.unionByName(cold.withColumns(none))
    order = Window.orderBy(F.col(TRAIN_EVENTS).desc(), ITEM_ID)
    if known is None:
        return counted.select(ITEM_ID, _number(order, "int").alias(ITEM_IDX), *sums)
    old = known.select(ITEM_ID, ITEM_IDX).join(counted, ITEM_ID, "left")
    found = (F.coalesce(name, zero).alias(name) for name, zero in none.items())
    numbered = old.select(ITEM_ID, ITEM_IDX, *found)
    return numbered.unionByName(_appended(counted, known, order, ITEM_ID, ITEM_IDX))


def number_users(
    judged: DataFrame, table: DataFrame | None, known: DataFrame | None = None
) -> DataFrame:
    """Return USER_ID and USER_IDX of all users that get a list, in hash order.

    One row per user: the users with events that are kept, or dropped only because of their type
    or its threshold, and those of the users table. Bots among the former are left out.

    Args:
        judged: Events with verdicts, before the k-core is applied.
        table: The rows of the users table that are kept.
        known: USER_ID and USER_IDX of users who keep their numbers, even if missing from the log;
            new users are numbered after them.
    """
    users = users_of(judged, table)
    order = Window.orderBy(F.xxhash64(USER_ID), USER_ID)
    if known is None:
        return users.select(USER_ID, _number(order, "long").alias(USER_IDX))
    old = known.select(USER_ID, USER_IDX)
    return old.unionByName(_appended(users, known, order, USER_ID, USER_IDX))


def users_of(judged: DataFrame, table: DataFrame | None) -> DataFrame:
    """Return USER_ID of the users that the inputs have; arguments as for `number_users`."""
    verdict = F.col(VERDICT)
    there = judged.where(verdict.isNull() | verdict.isin(*_STILL_A_USER)).select(USER_ID).distinct()
    bots = judged.where(verdict.startswith(DROPPED + "bot")).select(USER_ID).distinct()
    users = there.join(bots, USER_ID, "left_anti")
    return users if table is None else users.union(table.select(USER_ID)).distinct()


def _appended(
    rows: DataFrame, known: DataFrame, order: WindowSpec, id_column: str, number: str
) -> DataFrame:
    """Number the rows with unknown ids, starting at the first free number."""
    new = rows.join(known.select(id_column), id_column, "left_anti")
    last = F.broadcast(known.agg(F.max(number).alias("last")))
    kind = dict(known.dtypes)[number]
    numbered = new.withColumn("place", F.row_number().over(order)).crossJoin(last)
    columns = [name for name in rows.columns if name != id_column]
    return numbered.select(
        id_column, (F.col("last") + F.col("place")).cast(kind).alias(number), *columns
    )


def describe_vocabulary(
    folder: Path, id_column: str, number: str, base: Vocabulary | None = None
) -> Vocabulary:
    """Return the size and the fingerprint of the ids in Parquet files, in the order of the files.

    Args:
        folder: Folder of the files.
        id_column: Column of the ids.
        number: Column of their numbers, which increase and may have gaps.
        base: The vocabulary that this one extends.

    Raises:
        RuntimeError: When it does not begin with the ids of `base`, which is a bug.
    """
    digest, size = hashlib.sha256(), NUM_RESERVED
    marks: dict[int, str] = {}
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=[id_column, number]):
            rows = zip(batch[id_column].to_pylist(), batch[number].to_pylist(), strict=True)
            for raw_id, place in rows:
                text = raw_id.encode()
                digest.update(len(text).to_bytes(8, "little") + text)
                size = place + 1
                if base is not None and size == base.size:
                    marks[size] = digest.hexdigest()
    if base is None:
        return Vocabulary(size=size, fingerprint=digest.hexdigest())
    if marks.get(base.size) != base.fingerprint:
        raise RuntimeError(f"the numbers of {folder.name} differ from those of the base dataset")
    earlier = (*base.earlier, (base.size, base.fingerprint))
    return Vocabulary(size=size, fingerprint=digest.hexdigest(), earlier=earlier)


def _number(order: WindowSpec, type_name: str) -> Column:
    return (F.row_number().over(order) - 1 + NUM_RESERVED).cast(type_name)
