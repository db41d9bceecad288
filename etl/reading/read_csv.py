"""Read text files: csv with columns, and plain lines."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.input import Source
from etl.reading.drift import Group
from etl.reading.files.quotes import LineBreaks
from etl.reading.origin import Rows, with_origin
from etl.spark.columns import LINE
from etl.spark.paths import locations

_CORRUPT = "__corrupt"
_NEVER_IN_TEXT = "\u0001"
_AROUND_NAMES = " \t\r\"'\ufeff"  # each of the joined files may begin with a byte order mark


def read_csv(spark: SparkSession, source: Source, group: Group) -> Rows:
    """Read the columns of csv files by position.

    A line is broken if it has more or fewer columns, or contains only a part of a quoted field,
    which Spark would read as the whole field. So is a line that repeats the header, as it does in
    files that were joined.
    """
    names = group.layout.names
    fields = [f"c{index}" for index in range(len(names))]
    paths = [file.path for file in group.files]
    corrupt, is_open = F.col(_CORRUPT), F.lit(False)
    columns = [F.col(field) for field in fields]
    if source.quote and not source.multiline:
        lines = read_lines(spark, source, paths, header=source.header)
        options = {key: str(value) for key, value in _options(source).items()}
        row = F.from_csv("line", _schema(fields), options).alias("row")
        frame = lines.select("*", row).select(*lines.columns, "row.*")
        is_open = _has_open_quote(F.col("line"), source.quote, source.escape)
        corrupt = F.coalesce(corrupt, F.when(is_open, F.col("line")))
    else:
        breaks = group.layout.line_breaks
        frame = with_origin(_read(spark, source, paths, fields, source.header, breaks))
        if breaks is not None and breaks.is_mixed:
            columns[-1] = F.regexp_replace(columns[-1], r"\r\z", "")
    named = (column.alias(n) for column, n in zip(columns, _unique(names), strict=True))
    read = {p.names[0] for p in group.places.values() if p.where == "file"}
    return Rows(
        frame,
        broken=corrupt.isNotNull() | _is_header(dict(zip(names, columns, strict=True)), read),
        raw=F.coalesce(corrupt, F.to_json(F.struct(*named))),
        values={
            ours: columns[names.index(place.names[0])]
            for ours, place in group.places.items()
            if place.where == "file"
        },
    )


def read_sequences(spark: SparkSession, source: Source, paths: Sequence[Path]) -> Rows:
    """Read lines "user item item ..." as a row per item."""
    words = F.split(F.trim("line"), r"\s+")
    frame = read_lines(spark, source, paths).withColumn("words", words)
    items = F.when(F.size("words") > 1, F.slice("words", 2, F.size("words")))
    exploded = frame.select("*", F.posexplode_outer(items).alias("position", ITEM_ID))
    # Each item gets its own line number.
    numbered = exploded.withColumn(LINE, F.monotonically_increasing_id())
    return Rows(
        numbered,
        broken=F.col(ITEM_ID).isNull(),
        raw=F.col("line"),
        values={USER_ID: F.col("words")[0], ITEM_ID: F.col(ITEM_ID)},
    )


def read_damaged(spark: SparkSession, source: Source, paths: Sequence[Path]) -> Rows:
    """Read the lines saved from damaged files; none of them counts as a row."""
    frame = read_lines(spark, source, paths)
    return Rows(frame, broken=F.lit(True), raw=F.col("line"), values={})


def read_lines(
    spark: SparkSession, source: Source, paths: Sequence[Path], header: bool = False
) -> DataFrame:
    """Read the unchanged lines, without blank ones, into `line`, in the source's encoding."""
    plain = source.model_copy(
        update={"separator": _NEVER_IN_TEXT, "quote": "", "escape": None, "multiline": False}
    )
    frame = with_origin(_read(spark, plain, paths, ["line"], header))
    return frame.withColumn("line", F.coalesce(_CORRUPT, "line")).drop(_CORRUPT)


def _read(
    spark: SparkSession,
    source: Source,
    paths: Sequence[Path],
    fields: list[str],
    header: bool,
    line_breaks: LineBreaks | None = None,
) -> DataFrame:
    reader = spark.read.schema(_schema(fields)).options(**_options(source)).option("header", header)
    if line_breaks is not None:
        reader = reader.option("lineSep", line_breaks.separator)
    return reader.csv(locations(paths))


def _schema(fields: Sequence[str]) -> str:
    return ", ".join(f"{field} STRING" for field in [*fields, _CORRUPT])


def _options(source: Source) -> dict[str, str | bool]:
    return {
        "sep": source.separator.replace("\\", r"\\"),
        "encoding": source.encoding,
        "quote": source.quote,
        "escape": source.escape or source.quote,
        **({} if source.comment is None else {"comment": source.comment}),
        "multiLine": source.multiline,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": _CORRUPT,
        "ignoreLeadingWhiteSpace": False,
        "ignoreTrailingWhiteSpace": False,
    }


def _has_open_quote(line: Column, quote: str, escape: str | None) -> Column:
    """Return whether a quoted field begins or ends in another line: its quotes are unpaired."""
    if escape is not None:
        line = F.regexp_replace(line, re.escape(escape) + ".", "")
    num_quotes = F.length(line) - F.length(F.replace(line, F.lit(quote)))
    return num_quotes % 2 == 1


def _is_header(columns: Mapping[str, Column], read: Collection[str]) -> Column:
    """Return whether a line has the names of the columns as its values.

    Args:
        columns: The value of each column of the file.
        read: Names of the columns that are read. These count; if it is one, an id could be equal
            to its name, so all columns count.
    """
    counting = sorted(read) if len(read) > 1 else columns.keys()
    plain = (
        F.coalesce(F.btrim(columns[name], F.lit(_AROUND_NAMES)), F.lit("")) for name in counting
    )
    pairs = zip(plain, counting, strict=True)
    return reduce(Column.__and__, (value == name.strip(_AROUND_NAMES) for value, name in pairs))


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, with a number appended to each repeated one."""
    return [f"{n}_{i}" if n in names[:i] else n for i, n in enumerate(names)]
