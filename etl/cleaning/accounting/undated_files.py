"""Warnings about the files of logs without times, where the order of the files is a part of time.

Files with the same rows count twice, and files that are split by item say nothing about time. With
times, neither would matter.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from etl.spark.columns import (
    DROPPED,
    EVENT_TYPE,
    FIELD,
    LOG,
    QUARANTINED,
    SOURCE_FILE,
    VALUE,
    VERDICT,
)

_REDELIVERED = DROPPED + "redelivered_file"
_FEW_ROWS, _MOST_NAMED = 10, 5
_LEAST_SHARED = 0.9
_FEW_ITEMS, _ITEMS_IN_ONE, _USERS_IN_SEVERAL = 20, 0.95, 0.2


def undated_file_warnings(judged: DataFrame) -> tuple[str, ...]:
    """Return warnings about the files of logs whose order of lines is the time.

    Args:
        judged: The stored events of all logs with their verdicts.
    """
    is_out = F.col(VERDICT).startswith(QUARANTINED) | (F.col(VERDICT) == _REDELIVERED)
    read = judged.where(~F.coalesce(is_out, F.lit(False)))
    return (*_same_rows(read), *_split_by_item(judged.where(F.col(VERDICT).isNull())))


def _same_rows(events: DataFrame) -> Iterator[str]:
    """Yield a warning about files that hold the rows of another, in whatever order and format.

    A file with the same rows as another is found wherever it is. One with further rows is compared
    with the file before it alone: exports that grow from day to day are found that way.
    """
    says = [USER_ID, ITEM_ID, EVENT_TYPE, VALUE]
    says += sorted(name for name in events.columns if name.startswith(FIELD))
    hashed = events.withColumn(
        "content", F.xxhash64(*(name for name in says if name in events.columns))
    )
    files = hashed.groupBy(LOG, SOURCE_FILE).agg(
        F.count(F.lit(1)).alias("rows"), F.sum(F.col("content").cast("decimal(20,0)")).alias("sum")
    )
    numbered = files.withColumn("file", F.row_number().over(Window.orderBy(LOG, SOURCE_FILE)))
    rows = [row for row in numbered.orderBy("file").collect() if row["rows"] >= _FEW_ROWS]
    if len(rows) < 2:
        return
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    for file in sorted(rows, key=lambda row: (row[SOURCE_FILE], row[LOG])):
        names[file["rows"], int(file["sum"])].append(file[SOURCE_FILE])
    copies = [(first, other) for first, *others in names.values() for other in others]
    told = [f"{other} has the rows of {first}" for first, other in copies]
    shared = _shared(hashed, numbered)
    pairs = [pair for pair in pairwise(rows) if (pair[0]["file"] + 1 == pair[1]["file"])]
    told += [
        f"{other[SOURCE_FILE]} has {shared[other['file']]:,} of its {other['rows']:,} rows in "
        f"common with {first[SOURCE_FILE]} ({first['rows']:,})"
        for first, other in pairs
        if shared[other["file"]] >= _LEAST_SHARED * min(first["rows"], other["rows"])
        and first["sum"] != other["sum"]  # else a copy, told above
    ]
    if told:
        more = len(told) - _MOST_NAMED
        told = told[:_MOST_NAMED]
        told += [f"and so have {more} more files those of others"] if more > 0 else []
        yield (
            f"{', '.join(told)}: without times, rows that were delivered twice cannot be told from "
            "events; remove the copy, or give the events ids (columns.event_id)"
        )


def _shared(hashed: DataFrame, numbered: DataFrame) -> dict[int, int]:
    """Return by the number of each file how many of its rows are in the one before it too.

    Args:
        hashed: Rows with a hash of their content.
        numbered: The files with their numbers.
    """
    of_file = hashed.join(F.broadcast(numbered), [LOG, SOURCE_FILE])
    counts = of_file.groupBy("content", "file").agg(F.count(F.lit(1)).alias("number"))
    before = Window.partitionBy("content").orderBy("file")
    is_next = F.lag("file").over(before) == F.col("file") - 1
    both = F.when(is_next, F.least("number", F.lag("number").over(before)))
    shared = counts.withColumn("shared", both).groupBy("file").agg(F.sum("shared").alias("shared"))
    return {row["file"]: row["shared"] or 0 for row in shared.collect()}


def _split_by_item(events: DataFrame) -> Iterator[str]:
    """Yield a warning if nearly every item is in one file, but users are in several."""
    items, items_in_several = _spread(events, ITEM_ID)
    if items < _FEW_ITEMS or items_in_several > (1 - _ITEMS_IN_ONE) * items:
        return
    users, users_in_several = _spread(events, USER_ID)
    if users_in_several > _USERS_IN_SEVERAL * users:
        yield (
            f"the files look split by item: {items - items_in_several:,} of {items:,} items are in "
            f"one file only, but {users_in_several:,} of {users:,} users in several; if the order "
            "of their names is not the order of time, models of sequences learn that order and "
            "their figures are too high: give a time (columns.time), or set "
            "etl.split.kind=random and a train.algorithm that ignores the order (item_knn, ease, "
            "als); if each file is of one day and items are short-lived, as news are, this is right"
        )


def _spread(events: DataFrame, column: str) -> Sequence[int]:
    """Return how many ids have two events or more, and how many of these are in several files."""
    file = F.xxhash64(SOURCE_FILE)  # with texts Spark would sort all events, not hash them
    of_id = events.groupBy(column).agg(
        F.count(F.lit(1)).alias("events"),
        (F.min(file) != F.max(file)).alias("in_several"),
    )
    counts: list[Column] = [F.count(F.lit(1)), F.count_if(F.col("in_several"))]
    row = of_id.where(F.col("events") > 1).agg(*counts).head()
    assert row is not None  # an aggregate without groups has one row
    return tuple(row)
