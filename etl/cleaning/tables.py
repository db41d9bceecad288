"""The tables of items and users, with one row per id."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from conf.contract import (
    ITEM_ID,
    ITEM_IDX,
    TITLE,
    TRAIN_EVENTS,
    TRAIN_WEIGHT,
    USER_ID,
    USER_IDX,
)
from conf.errors import ConfigError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import ColumnName, InputField, TableSource
from etl.cleaning.row_rules import check_fields, is_blank
from etl.reading.sources import field_columns, read_rows
from etl.spark import columns as c
from etl.spark.notation import PLAIN, Notation
from etl.spark.texts import as_vector

ID_OF_TABLE = {"items": ITEM_ID, "users": USER_ID}
_TAKEN = {
    ITEM_ID, ITEM_IDX, TITLE, TRAIN_EVENTS, TRAIN_WEIGHT, USER_ID, USER_IDX,
    c.NUM_EVENTS, c.NUM_SHOWN,
    c.VERDICT, c.SOURCE_FILE, c.BLOCK, c.LINE, c.REDELIVERED, c.DAMAGED, c.BROKEN, c.RAW, c.BLANKED,
    c.NOT_DECODED,
}  # fmt: skip


def read_table(
    spark: SparkSession,
    source: TableSource,
    files: Sequence[InputFile],
    id_name: str,
    scratch: Path | None = None,
) -> DataFrame:
    """Read a table's id (as `id_name`), TITLE if it has one, and features, all as text."""
    return read_rows(spark, source, files, table_columns(source, id_name), scratch)


def table_columns(source: TableSource, id_name: str) -> dict[str, ColumnName]:
    """Return for each column of a table the name, or names, of its column in the files.

    Raises:
        ConfigError: When a field has the name of a column that the dataset adds.
    """
    taken = [name for name in source.fields if name in _TAKEN]
    if taken:
        raise ConfigError(
            f"fields: {', '.join(taken)} cannot be a field's name, because the "
            "dataset uses it for another column; rename the field"
        )
    columns: dict[str, ColumnName] = {id_name: source.id_column, **field_columns(source)}
    if source.title_column is not None:
        columns[TITLE] = source.title_column
    return columns


def judge_table(
    rows: DataFrame,
    id_name: str,
    fields: Mapping[str, InputField] = MappingProxyType({}),
    vectors: Mapping[str, int] = MappingProxyType({}),
    notation: Notation = PLAIN,
) -> DataFrame:
    """Add VERDICT and convert the fields to their types; one row of each id is kept.

    It is the first row with a title, or the first row if none has a title.

    Args:
        rows: The table's rows, as text.
        id_name: Column of the id.
        fields: The declared fields.
        vectors: Number of dimensions of each field that contains vectors.
        notation: How numbers and times are written.
    """
    alone = F.coalesce(
        F.when(F.col(c.REDELIVERED), c.DROPPED + "redelivered_file"),
        F.when(F.col(c.DAMAGED), c.QUARANTINED + "file_damaged"),
        F.when(F.col(c.BROKEN), c.QUARANTINED + "line_unparsable"),
        F.when(is_blank(id_name), c.QUARANTINED + "id_missing"),
        *(
            F.when(
                ~is_blank(name) & as_vector(name, dimension).isNull(),
                f"{c.QUARANTINED}{name}_no_vector",
            )
            for name, dimension in vectors.items()
        ),
    )
    untitled = [is_blank(TITLE)] if TITLE in rows.columns else []
    first = Window.partitionBy(c.VERDICT, id_name).orderBy(*untitled, *c.LINE_ORDER)
    repeated = F.col(c.VERDICT).isNull() & (F.row_number().over(first) > 1)
    duplicate = F.when(repeated, c.DROPPED + "duplicate")
    judged = rows.withColumn(c.VERDICT, alone).transform(check_fields, fields, notation=notation)
    return judged.withColumn(c.VERDICT, F.coalesce(c.VERDICT, duplicate))


def item_rows(items: DataFrame, table: DataFrame | None, features: Sequence[str]) -> DataFrame:
    """Return the published item table, one row per item: indexes, ids, titles and features."""
    if table is None:
        joined = items.withColumn(TITLE, F.lit(None).cast("string"))
    else:
        titled = table if TITLE in table.columns else table.withColumn(TITLE, F.lit(None))
        wanted = titled.select(ITEM_ID, F.col(TITLE).cast("string"), *features)
        joined = items.join(wanted, ITEM_ID, "left")
    sums = [name for name in (TRAIN_EVENTS, TRAIN_WEIGHT) if name in items.columns]
    return joined.select(ITEM_IDX, ITEM_ID, TITLE, *sums, *features)


def user_rows(
    histories: DataFrame,
    table: DataFrame | None,
    features: Sequence[str],
    counts: Sequence[str] = (c.NUM_EVENTS,),
) -> DataFrame:
    """Return the published user table, one row per user: indexes, ids, counts and features."""
    if table is not None:
        histories = histories.join(table.select(USER_ID, *features), USER_ID, "left")
    return histories.select(USER_IDX, USER_ID, *counts, *features)
