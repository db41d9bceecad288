"""Count the stored events for the data report, in one query with small results."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.cleaning.row_rules import is_blank
from etl.spark.columns import EVENT_TYPE, SOURCE_FILE, VALUE, VERDICT

Counts = dict[tuple[int | None, ...], int]


def collect_counts(figures: Mapping[str, DataFrame]) -> dict[str, Counts]:
    """Return the `rows` of each frame by `key`, by the frame's name."""
    frames = [frame.select(F.lit(n).alias("figure"), "key", "rows") for n, frame in figures.items()]
    counts: dict[str, Counts] = {name: {} for name in figures}
    for figure, key, rows in reduce(DataFrame.unionAll, frames).collect():
        counts[figure][tuple(key)] = rows
    return counts


def events_per_id(events: DataFrame, id_names: Sequence[str]) -> DataFrame:
    """Count the ids by their number of events before and after cleaning.

    Args:
        events: The ids and VERDICT, one row per event that was read; events without an id are
            left out.
        id_names: Columns of the users and the items.

    Returns:
        One row per column and pair of bins: `key` (number of the column, bin before, bin after:
        n for 2^n to 2^(n+1) - 1 events, null for none) and `rows` (number of ids).
    """
    ids = (
        F.struct(F.lit(n).alias("n"), F.col(name).alias("id")) for n, name in enumerate(id_names)
    )
    is_kept = F.col(VERDICT).isNull().alias("is_kept")
    counts = (
        events.select(is_kept, F.inline(F.array(*ids)))
        .where(~is_blank("id"))
        .groupBy("n", "id")
        .agg(F.count(F.lit(1)).alias("before"), F.count_if("is_kept").alias("after"))
    )
    bins = (_power_of_two(F.col(name)) for name in ("before", "after"))
    return _counted(counts, [F.col("n"), *bins])


def events_by_value(events: DataFrame) -> DataFrame:
    """Count the events by type and value.

    Args:
        events: VERDICT, EVENT_TYPE and VALUE, one row per event that was read.

    Returns:
        One row per combination: `key` (1 if kept, else 0; type or null; mantissa and exponent of
        the value rounded to two digits, null for none) and `rows` (number of events).
    """
    kept = F.col(VERDICT).isNull().cast("int")
    size = F.abs(F.col(VALUE))
    exponent = F.when(size > 0, F.floor(F.log10(size)) - 1).when(size == 0, 0).cast("int")
    mantissa = F.round(F.col(VALUE) / F.pow(F.lit(10.0), exponent)).cast("int")
    return _counted(events, [kept, F.col(EVENT_TYPE), mantissa, exponent])


def missing_by_log(
    events: DataFrame, files: Sequence[Sequence[str]], columns: Sequence[str]
) -> DataFrame:
    """Count the events of each log, and those without a value in each column.

    Args:
        events: VERDICT, SOURCE_FILE and the columns, one row per event that was read.
        files: Names of each log's files; they identify the log of a row.
        columns: The columns, null or blank if an event has no usable value.

    Returns:
        One row per log and figure: `key` (the number of the log; 0 for all rows or n for rows
        without a value in the n-th column; 0 for rows read or 1 for rows kept) and `rows`.
    """
    of_log = [F.when(F.col(SOURCE_FILE).isin(list(own)), n) for n, own in enumerate(files[:-1])]
    log = F.coalesce(*of_log, F.lit(len(files) - 1))
    is_kept = F.col(VERDICT).isNull()
    conditions = [F.lit(True), *map(_says_nothing, columns)]
    counts = F.array(
        *(
            F.array(F.count(F.when(condition, 1)), F.count(F.when(condition & is_kept, 1)))
            for condition in conditions
        )
    )
    by_log = events.groupBy(log.alias("log")).agg(counts.alias("counts"))
    by_column = by_log.select("log", F.posexplode("counts").alias("column", "both"))
    numbered = by_column.select("log", "column", F.posexplode("both").alias("kept", "rows"))
    return numbered.select(F.array("log", "column", "kept").alias("key"), "rows")


def _counted(rows: DataFrame, key: Sequence[Column]) -> DataFrame:
    return rows.groupBy(F.array(*key).alias("key")).agg(F.count(F.lit(1)).alias("rows"))


def _power_of_two(count: Column) -> Column:
    # By the number of binary digits: a logarithm may be off by its last digit.
    return F.when(count > 0, F.length(F.bin(count)) - 1)


def _says_nothing(field: str) -> Column:
    return ~F.coalesce(F.col(f"`{field}`").cast("string").rlike(r"\S"), F.lit(False))
