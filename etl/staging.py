"""Read, judge and store the raw input once; every later step reads what is stored here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial, reduce
from pathlib import Path

import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.errors import InputError
from conf.etl_schema import Clean, Etl
from conf.fingerprint import InputFile
from conf.input_schema import ColumnName, EventSource, TableSource
from etl import columns as c
from etl.clean import (
    drop_bots,
    drop_duplicates,
    drop_repeated_items,
    judge_rows,
    number_lines,
    parse_events,
)
from etl.sources import read_rows
from etl.tables import judge_table, read_table
from etl.times import day_of, day_start

_TEXTS = (c.TIME_TEXT, c.TYPE_TEXT, c.VALUE_TEXT)


@dataclass(frozen=True)
class Log:
    """One of the logs that together are the events."""

    source: EventSource
    files: Sequence[InputFile]


def stage_events(
    spark: SparkSession, logs: Sequence[Log], etl: Etl, *, logical_date: str | None, folder: Path
) -> tuple[DataFrame, int]:
    """Return the stored events of all logs with their verdicts, and how many rows were read."""
    scratch = _beside(folder)
    judged = [_read_log(spark, log, etl, logical_date, scratch) for log in logs]
    together = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), judged)
    counter = Observation("events")
    counted = together.transform(_keep_texts_of_bad_rows).observe(counter, _num_rows())
    is_numbered = any(_has_no_time(log.source) for log in logs)
    by_user = counted.repartition(USER_ID).transform(_judge_histories, etl, is_numbered)
    with _damaged_files_named():
        stored = store(by_user.drop(c.EVENT_ID), folder)
    return stored, _counted(counter, folder)


def _read_log(
    spark: SparkSession, log: Log, etl: Etl, logical_date: str | None, scratch: Path
) -> DataFrame:
    """Return one log's rows with the verdict that each row alone decides."""
    source, dated = log.source, log.source.time_unit != "order"
    until = date.fromisoformat(logical_date) if dated and logical_date else None
    rows = read_rows(spark, source, log.files, event_columns(source), scratch)
    return parse_events(rows, source.time_unit, etl.event_types, source.event_type).transform(
        judge_rows,
        earliest=day_start(etl.clean.earliest_time) if dated else None,
        latest=day_start(_latest_day(etl.clean, log.files) + timedelta(days=1)) if dated else None,
        until=None if until is None else day_start(until + timedelta(days=1)),
        allow_negative_value=etl.clean.allow_negative_value,
        event_types=etl.event_types,
    )


def stage_table(
    spark: SparkSession,
    source: TableSource,
    files: Sequence[InputFile],
    *,
    id_name: str,
    folder: Path,
) -> tuple[DataFrame, int]:
    """Return the stored rows of a table with their verdicts, and how many were read."""
    counter, scratch = Observation(id_name), _beside(folder)
    rows = read_table(spark, source, files, id_name, scratch).observe(counter, _num_rows())
    judged = judge_table(rows, id_name)
    with _damaged_files_named():
        stored = store(judged.transform(_keep_texts_of_bad_rows), folder)
    return stored, _counted(counter, folder)


def quarantined_rows(inputs: dict[str, DataFrame]) -> DataFrame:
    """Return all quarantined rows as text, with input, file and reason, in the files' order."""
    texts = {"time": c.TIME_TEXT, "event_type": c.TYPE_TEXT, "value": c.VALUE_TEXT}
    read_from = {USER_ID: USER_ID, ITEM_ID: ITEM_ID, **texts}
    reason = F.expr(f"substring({c.VERDICT}, {len(c.QUARANTINED) + 1})").alias("reason")
    frames = []
    for name, judged in inputs.items():
        columns = {
            ours: F.col(column) if column in judged.columns else F.lit(None)
            for ours, column in read_from.items()
        }
        values = [column.cast("string").alias(ours) for ours, column in columns.items()]
        bad = judged.where(F.col(c.VERDICT).startswith(c.QUARANTINED))
        frames.append(bad.select(F.lit(name).alias("input"), *c.LINE_ORDER, reason, c.RAW, *values))
    return reduce(DataFrame.unionByName, frames)


def store(frame: DataFrame, folder: Path) -> DataFrame:
    """Write rows as Parquet and return a frame that reads them back."""
    frame.write.mode("overwrite").parquet(folder.as_uri())
    return frame.sparkSession.read.schema(frame.schema).parquet(folder.as_uri())


def event_columns(source: EventSource) -> dict[str, ColumnName]:
    """Return for each column of an event the log's column that it is read from."""
    if source.format == "sequences":
        return {}
    names = source.columns
    wanted = {
        USER_ID: names.user_id, ITEM_ID: names.item_id, c.TIME_TEXT: names.time,
        c.TYPE_TEXT: names.event_type, c.VALUE_TEXT: names.value, c.EVENT_ID: names.event_id,
    }  # fmt: skip
    return {ours: theirs for ours, theirs in wanted.items() if theirs is not None}


def _has_no_time(source: EventSource) -> bool:
    return source.format == "sequences" or source.columns.time is None


def _judge_histories(events: DataFrame, etl: Etl, is_numbered: bool) -> DataFrame:
    """Judge what takes more than the row itself."""
    if is_numbered:
        events = number_lines(events)
    events = drop_duplicates(events)
    if etl.clean.max_events_per_user_day is not None:
        events = drop_bots(events, etl.clean.max_events_per_user_day)
    if etl.repeated_items != "keep":
        events = drop_repeated_items(events, etl.repeated_items)
    return events


def _keep_texts_of_bad_rows(judged: DataFrame) -> DataFrame:
    """Drop what only a quarantined row needs from all others."""
    bad = F.coalesce(F.col(c.VERDICT).startswith(c.QUARANTINED), F.lit(False))
    texts = [name for name in (c.RAW, *_TEXTS) if name in judged.columns]
    return judged.withColumns({name: F.when(bad, F.col(name)) for name in texts}).drop(
        c.BROKEN, c.REDELIVERED, c.DAMAGED
    )


def _beside(folder: Path) -> Path:
    """Return the folder for what is saved of an input's damaged files."""
    return folder.with_name(f"salvaged-{folder.name}")


def _latest_day(clean: Clean, files: Sequence[InputFile]) -> date:
    newest = max(file.modified_at for file in files)
    return clean.latest_time or day_of(int(newest * 1_000_000))


def _counted(counter: Observation, folder: Path) -> int:
    """Return what was counted on the way into stored files."""
    if all(pq.read_metadata(path).num_rows == 0 for path in folder.glob("*.parquet")):
        return 0  # Spark leaves a count out of the plan of a frame that turns out empty
    return int(counter.get["rows"])


def _num_rows() -> Column:
    return F.count(F.lit(1)).alias("rows")


@contextmanager
def _damaged_files_named() -> Iterator[None]:
    """Turn Spark's failure to read a file into an error that names the file."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if "FAILED_READ_FILE" not in text:
            raise
        start = text.index("FAILED_READ_FILE")
        raise InputError(f"a file cannot be read to its end: {text[start:].splitlines()[0]}; "
                         "deliver it again") from error  # fmt: skip
