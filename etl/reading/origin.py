"""Where a row comes from: file, block and line, and facts about the file as a whole."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.runs.inputs.input_files import InputFile
from etl.reading.files.same_content import hash_contents
from etl.reading.layout import partitions_of
from etl.spark.columns import BLOCK, DAMAGED, LINE, REDELIVERED, SOURCE_FILE
from etl.spark.paths import absolute, path_of_row

PATH = "__path"
PARTITIONS = "__partitions"  # map of names and values of the folders `name=value`
ORIGIN = (SOURCE_FILE, BLOCK, LINE, REDELIVERED, DAMAGED)


def with_origin(frame: DataFrame) -> DataFrame:
    """Add the path, block and number of each row; the path is plain, without URL escapes."""
    return frame.select(
        "*",
        path_of_row().alias(PATH),
        F.col("_metadata.file_block_start").alias(BLOCK),
        F.monotonically_increasing_id().alias(LINE),
    )


def describe_files(
    spark: SparkSession,
    files: Sequence[InputFile],
    read_instead: Mapping[InputFile, Path],
    damaged: Collection[InputFile],
    folders: Collection[str],
) -> DataFrame:
    """Return a row per file: path, name, folders, and whether it is a copy or damaged.

    Args:
        spark: The session.
        files: All files of an input.
        read_instead: Files that are read in place of some of them.
        damaged: Those that are damaged.
        folders: Names of folders `name=value` whose values are read as a column.
    """
    repeated = redelivered_files(files, folders)
    rows = [
        {
            PATH: absolute(read_instead.get(file, file.path)),
            SOURCE_FILE: file.name,
            # No others: what is here is in Spark's plans.
            PARTITIONS: {k: v for k, v in partitions_of(file).items() if k in folders},
            REDELIVERED: file.name in repeated,
            DAMAGED: file in damaged,
        }
        for file in files
    ]
    schema = (
        f"array<struct<{PATH}:string,{SOURCE_FILE}:string,{PARTITIONS}:map<string,string>,"
        f"{REDELIVERED}:boolean,{DAMAGED}:boolean>>"
    )
    # createDataFrame would start Python processes on the executors.
    return spark.range(1).select(F.inline(F.from_json(F.lit(json.dumps(rows)), schema)))


def redelivered_files(files: Sequence[InputFile], folders: Collection[str] = ()) -> set[str]:
    """Return the names of files that have the same content as a file with a smaller name.

    Of compressed files the unpacked content counts. Files in folders `name=value` whose values are
    read are equal only if these are equal too.
    """
    hashes = hash_contents(files)

    def content(file: InputFile) -> tuple[str | None, ...]:
        values = partitions_of(file)
        return (hashes[file], *(values.get(name) for name in sorted(folders)))

    first: dict[tuple[str | None, ...], str] = {}
    for file in sorted(files, key=lambda file: file.name):
        first.setdefault(content(file), file.name)
    return {file.name for file in files if first[content(file)] != file.name}


def quoted(column: str) -> Column:
    """Return the column with exactly that name, whatever characters the name contains."""
    return F.col("`" + column.replace("`", "``") + "`")


@dataclass(frozen=True)
class Rows:
    """Rows of some files, and expressions for the parts of a row."""

    frame: DataFrame
    """The rows, with the columns of `etl.reading.origin.with_origin`."""
    broken: Column
    """Whether the line does not have the shape of a row."""
    raw: Column
    """The line, or the row's values as JSON."""
    values: Mapping[str, Column]
    """Values by our column names, as text."""
