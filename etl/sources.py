"""Read raw input as text: explicit schemas, each row with the file and line it came from."""

import json
import os
from collections.abc import Mapping, Sequence
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from conf.contract import ITEM_ID, USER_ID
from conf.errors import InputError
from conf.fingerprint import InputFile
from conf.input_schema import Source
from etl.columns import BLOCK, BROKEN, LINE, RAW, REDELIVERED, SOURCE_FILE
from etl.layout import group_csv_files, group_parquet_files, require_json_keys

_CORRUPT = "__corrupt"
_PATH = "__path"
_ORIGIN = (SOURCE_FILE, BLOCK, LINE, REDELIVERED)
_NEVER_IN_TEXT = "\u0001"


def read_rows(
    spark: SparkSession, source: Source, files: Sequence[InputFile], columns: Mapping[str, str]
) -> DataFrame:
    """Read the files of one input.

    Args:
        spark: The session.
        source: Format of the files.
        files: The files; of several with the same content only the first by name counts.
        columns: For each column of the result the file's column that it is read from.

    Returns:
        One row per row of the files: the columns of origin, RAW, BROKEN and `columns` as text.

    Raises:
        InputError: When a column is missing or a file cannot be read.
    """
    _require_visible(files)
    readers = {"csv": _csv, "jsonl": _json_lines, "parquet": _parquet, "sequences": _sequences}
    origins = F.broadcast(_origins(spark, files))
    frames = [
        frame.join(origins, _PATH, "left").select(*_ORIGIN, *values)
        for frame, values in readers[source.format](spark, source, files, columns)
    ]
    if not frames:
        raise InputError(f"no rows in {', '.join(f.name for f in files)}: the input is empty")
    return reduce(DataFrame.unionByName, frames)


def field_columns(source: Source) -> dict[str, str]:
    """Return for each declared field the file's column that it is read from."""
    return {name: field.column or name for name, field in source.fields.items()}


def redelivered_files(files: Sequence[InputFile]) -> set[str]:
    """Return the names of files that have the content of one with a smaller name."""
    first: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file.name):
        first.setdefault(file.sha256, file.name)
    return {file.name for file in files if first[file.sha256] != file.name}


# What each reader returns, per group of files: a frame and the columns to take from it.
_Group = tuple[DataFrame, list[Column]]


def _csv(
    spark: SparkSession, source: Source, files: Sequence[InputFile], columns: Mapping[str, str]
) -> list[_Group]:
    groups = []
    for names, members in group_csv_files(source, files, columns.values()).items():
        fields = [f"c{index}" for index in range(len(names))]
        frame = _read_csv(spark, source, members, fields, header=source.header)
        values = F.to_json(F.struct(*map(_aliased, fields, _unique(names))))
        broken = F.col(_CORRUPT)
        groups.append((_with_origin(frame), [
            broken.isNotNull().alias(BROKEN),
            F.coalesce(broken, values).alias(RAW),
            *(_aliased(fields[names.index(theirs)], ours) for ours, theirs in columns.items()),
        ]))  # fmt: skip
    return groups


def _json_lines(
    spark: SparkSession, source: Source, files: Sequence[InputFile], columns: Mapping[str, str]
) -> list[_Group]:
    require_json_keys(source, files, columns.values())
    fields = [StructField(key, StringType()) for key in dict.fromkeys(columns.values())]
    schema = StructType([*fields, StructField(_CORRUPT, StringType())])
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    keys = F.json_object_keys("line")  # null unless the line is an object
    frame = _with_origin(_read_lines(spark, source, files)).select(
        "*",
        F.from_json("line", schema, options).alias("row"),
        # Of a key that stands there twice, Spark would take the last value.
        F.coalesce(F.size(keys) == F.size(F.array_distinct(keys)), F.lit(False)).alias("sound"),
    )
    row = F.col("row")
    broken = ~F.col("sound") | row.isNull() | row[_CORRUPT].isNotNull()
    values = [row[theirs].alias(ours) for ours, theirs in columns.items()]
    return [(frame, [broken.alias(BROKEN), _aliased("line", RAW), *values])]


def _parquet(
    spark: SparkSession, source: Source, files: Sequence[InputFile], columns: Mapping[str, str]
) -> list[_Group]:
    groups = []
    for schema, members in group_parquet_files(files, columns.values()):
        frame = spark.read.parquet(*_locations(members))
        groups.append((_with_origin(frame), [
            F.lit(False).alias(BROKEN),
            F.to_json(F.struct(*map(_quoted, schema.names))).alias(RAW),
            *(_as_text(schema.field(theirs)).alias(ours) for ours, theirs in columns.items()),
        ]))  # fmt: skip
    return groups


def _sequences(
    spark: SparkSession, source: Source, files: Sequence[InputFile], columns: Mapping[str, str]
) -> list[_Group]:
    words = F.split(F.trim("line"), r"\s+")
    frame = _with_origin(_read_lines(spark, source, files)).withColumn("words", words)
    items = F.when(F.size("words") > 1, F.slice("words", 2, F.size("words")))
    exploded = frame.select("*", F.posexplode_outer(items).alias("position", ITEM_ID))
    # Numbered anew, item by item.
    numbered = exploded.withColumn(LINE, F.monotonically_increasing_id())
    return [(numbered, [
        F.col(ITEM_ID).isNull().alias(BROKEN),
        _aliased("line", RAW),
        F.col("words")[0].alias(USER_ID),
        F.col(ITEM_ID),
    ])]  # fmt: skip


def _read_lines(spark: SparkSession, source: Source, files: Sequence[InputFile]) -> DataFrame:
    """Read lines that are not blank as they are, in the source's character set."""
    plain = source.model_copy(update={"separator": _NEVER_IN_TEXT, "quote": "", "multiline": False})
    frame = _read_csv(spark, plain, files, ["line"], header=False)
    return frame.withColumn("line", F.coalesce(_CORRUPT, "line"))


def _read_csv(
    spark: SparkSession, source: Source, files: Sequence[InputFile], fields: list[str], header: bool
) -> DataFrame:
    reader = spark.read.schema(", ".join(f"{field} STRING" for field in [*fields, _CORRUPT]))
    return reader.csv(
        _locations(files),
        sep=source.separator,
        header=header,
        encoding=source.encoding,
        quote=source.quote,
        escape=source.quote,
        multiLine=source.multiline,
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=_CORRUPT,
        ignoreLeadingWhiteSpace=False,
        ignoreTrailingWhiteSpace=False,
    )


def _with_origin(frame: DataFrame) -> DataFrame:
    """Add the path, block and number of each row; the path as a plain one, without escapes."""
    decoded = F.url_decode(F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B")))
    return frame.select(
        "*",
        F.regexp_replace(decoded, "^file:/+", "/").alias(_PATH),
        F.col("_metadata.file_block_start").alias(BLOCK),
        F.monotonically_increasing_id().alias(LINE),
    )


def _origins(spark: SparkSession, files: Sequence[InputFile]) -> DataFrame:
    """Return a row per file: path, name and whether it repeats another one."""
    repeated = redelivered_files(files)
    rows = [
        {_PATH: _absolute(f), SOURCE_FILE: f.name, REDELIVERED: f.name in repeated} for f in files
    ]
    schema = f"array<struct<{_PATH}:string,{SOURCE_FILE}:string,{REDELIVERED}:boolean>>"
    # Not createDataFrame: that starts Python processes on the executors.
    return spark.range(1).select(F.inline(F.from_json(F.lit(json.dumps(rows)), schema)))


def _locations(files: Sequence[InputFile]) -> list[str]:
    """Return the files' paths with the characters escaped that Spark takes for a pattern's."""
    special = str.maketrans({char: f"\\{char}" for char in "\\{}[]*?"})
    return ["file://" + _absolute(file).translate(special) for file in files]


def _absolute(file: InputFile) -> str:
    # Not Path.resolve: of two links to one file it would make one path.
    return os.path.abspath(file.path)  # noqa: PTH100


def _require_visible(files: Sequence[InputFile]) -> None:
    hidden = [file.name for file in files if file.path.name.startswith(("_", "."))]
    if hidden:
        raise InputError(f"{', '.join(hidden)}: Spark passes over files whose name begins with "
                         "'_' or '.'; rename them or narrow `paths`")  # fmt: skip


def _as_text(field: pa.Field) -> Column:
    column = _quoted(field.name)
    if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
        column = F.timestamp_micros(F.floor(column / 1000))
    return column.cast("string")


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names with a number behind those that came before."""
    return [f"{n}_{i}" if n in names[:i] else n for i, n in enumerate(names)]


def _aliased(column: str, name: str) -> Column:
    return _quoted(column).alias(name)


def _quoted(column: str) -> Column:
    return F.col("`" + column.replace("`", "``") + "`")
