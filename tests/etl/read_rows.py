"""Read files as an input's rows, without the stage around it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from conf.runs.inputs.input_files import InputFile
from conf.settings.input import ColumnName, EventSource, Source
from conf.workspace.hashes import hash_file
from etl.reading.sources import check_files, read_rows
from etl.spark.columns import BROKEN, LINE_ORDER, SOURCE_FILE

COLUMNS: Mapping[str, ColumnName] = {"user_id": "user", "item_id": "item"}


def input_files(root: Path, *paths: Path) -> list[InputFile]:
    return [
        InputFile(path, path.relative_to(root).as_posix(), 0, 0.0, hash_file(path))
        for path in paths
    ]


def read(
    spark: SparkSession, root: Path, *paths: Path,
    columns: Mapping[str, ColumnName] = COLUMNS, scratch: Path | None = None, **source: Any,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return (file, broken, values...) of each row in the order of files and lines."""
    frame = read_rows(
        spark, Source(paths=("*",), **source), input_files(root, *paths), columns, scratch
    ).orderBy(*LINE_ORDER)
    return [tuple(row) for row in frame.select(SOURCE_FILE, BROKEN, *columns).collect()]


def check(
    root: Path, paths: Sequence[Path], columns: Mapping[str, ColumnName] = COLUMNS, **source: Any
) -> list[str]:
    """Return the warnings about files of events, whose times are in ISO 8601 unless said."""
    log = EventSource(paths=("*",), **{"time_unit": "iso", **source})
    return check_files(log, input_files(root, *paths), columns)
