"""Read Parquet, ORC and Avro files and tables of Spark's catalogue: typed columns, as text."""

from collections.abc import Mapping

import pyarrow as pa
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BinaryType, DataType, LongType, StringType

from conf.errors import ConfigError, InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import ColumnName, Source
from etl.reading.drift import Group, group_files
from etl.reading.layout import Layout, columnar_layout
from etl.reading.origin import PATH, Rows, quoted, with_origin
from etl.reading.typed import in_notation, is_time
from etl.spark.columns import BLOCK, LINE
from etl.spark.paths import absolute, locations

# Read times as written, whatever calendar or Spark release wrote them.
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "parquet": {"mergeSchema": "false", "datetimeRebaseMode": "CORRECTED",
                "int96RebaseMode": "CORRECTED"},
    "orc": {"mergeSchema": "false"},
    "avro": {"datetimeRebaseMode": "CORRECTED"},
}  # fmt: skip
_NOT_DECODED = "\ufffd"


def read_columnar(spark: SparkSession, source: Source, group: Group) -> Rows:
    """Read columnar files of one schema.

    Raises:
        ConfigError: When this Spark cannot read Avro.
        InputError: When Spark cannot read the type of a column.
    """
    if source.format == "orc" and any(map(pa.types.is_timestamp, group.layout.types.values())):
        _require_utc(spark)
    reader = spark.read.format(source.format).options(**_OPTIONS[source.format])
    try:
        frame = reader.load(locations([file.path for file in group.files]))
    except PySparkException as error:
        if source.format != "avro" or "data source" not in str(error):
            raise InputError(
                f"{group.layout.file.name} has a column that Spark cannot read, used or not: "
                f"{str(error).splitlines()[0]} Write it as another type, or remove it"
            ) from error
        version = spark.version
        raise ConfigError(
            "format: avro needs Spark's Avro package; set spark.conf to {spark.jars.packages: "
            f"'org.apache.spark:spark-avro_2.13:{version}'}}, or add that jar to Spark's jars"
        ) from error
    return _as_rows(with_origin(frame), frame, group, source)


def read_table(
    spark: SparkSession, source: Source, file: InputFile, columns: Mapping[str, ColumnName]
) -> Rows:
    """Read a table of the catalogue.

    Its rows have no line numbers; a hash of each row's content is used instead.

    Args:
        spark: The session, connected to the catalogue.
        source: The table.
        file: The entry that represents the table in the list of files.
        columns: For each of our columns its name, or names, in the table.

    Raises:
        InputError: When there is no such table, or a column is missing in it.
    """
    assert source.table is not None  # because the format is 'table'
    try:
        table = spark.read.table(source.table)
    except AnalysisException as error:
        raise InputError(
            f"table {source.table!r} cannot be read: {error}; correct the name, or name "
            "the table's catalogue in spark.conf"
        ) from error
    layout = columnar_layout(file, to_arrow_schema(table.schema))
    (group,) = group_files(source, [layout], columns)
    content = F.xxhash64(F.to_json(F.struct(*map(quoted, table.columns))))
    placed = table.withColumns(
        {PATH: F.lit(absolute(file.path)), BLOCK: F.lit(0).cast("long"), LINE: content}
    )
    return _as_rows(placed, table, group, source)


def _require_utc(spark: SparkSession) -> None:
    """Refuse a process in a time zone other than UTC: Spark would shift the times in ORC files."""
    assert spark._jvm is not None  # our sessions always have one
    zone = spark._jvm.java.util.TimeZone.getDefault()
    if zone.getRawOffset() != 0 or zone.useDaylightTime():
        raise ConfigError(
            f"Spark runs in the time zone {zone.getID()} and would shift the times in ORC files; "
            "add -Duser.timezone=UTC to spark.driver.extraJavaOptions and "
            "spark.executor.extraJavaOptions"
        )


def _as_rows(placed: DataFrame, frame: DataFrame, group: Group, source: Source) -> Rows:
    inside = {ours: place for ours, place in group.places.items() if place.where == "file"}
    ways = {ours: _column(group.layout, place.names[0]) for ours, place in inside.items()}
    read = frame.select(*(way.alias(ours) for ours, way in ways.items())).schema
    return Rows(
        placed,
        broken=F.lit(False),
        raw=F.to_json(F.struct(*map(quoted, frame.columns))),
        values={
            ours: _in_notation(
                source,
                ours,
                _as_text(way, group.layout.types[inside[ours].names[0]], read[ours].dataType),
                group.layout.types[inside[ours].names[0]],
            )
            for ours, way in ways.items()
        },
    )


def _in_notation(source: Source, ours: str, text: Column, written: pa.DataType) -> Column:
    """Return a text of a number or a time as the source writes such texts."""
    if pa.types.is_timestamp(written) and source.local_time_zone and is_time(source, ours):
        return text if written.tz is None else F.concat(text, F.lit("Z"))
    is_written_number = pa.types.is_floating(written) or pa.types.is_decimal(written)
    return in_notation(source, ours, text) if is_written_number else text


def _column(layout: Layout, name: str) -> Column:
    first, *steps = layout.paths[name]
    column = quoted(str(first))
    for step in steps:
        column = column.getField(str(step))
    return column


def _as_text(column: Column, written: pa.DataType, read: DataType) -> Column:
    """Return a column as text.

    Args:
        column: The column.
        written: Its type in the file.
        read: Its type in Spark, which reads nanosecond timestamps as whole numbers.
    """
    if pa.types.is_timestamp(written) and isinstance(read, LongType):
        column = F.timestamp_micros(F.floor(column / 1000))
    if pa.types.is_nested(written):
        return F.to_json(column)
    text = column.cast("string")
    if isinstance(read, BinaryType | StringType):
        # The cast does not check that bytes are valid UTF-8; only regular expressions decode them.
        decoded = F.regexp_replace(text, _NOT_DECODED, _NOT_DECODED)
        return F.when(text.rlike(_NOT_DECODED), decoded).otherwise(text)
    return text
