"""Read, judge and store the raw input once; all later steps read the stored rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.errors import InputError
from conf.privacy.protection import UNPROTECTED, Protection
from conf.runs.inputs.input_files import InputFile
from conf.settings.etl import Clean, Etl
from conf.settings.input import ColumnName, EventSource, TableSource
from conf.workspace.storage import raise_storage_failure
from etl.cleaning.accounting.losses import UNUSED
from etl.cleaning.accounting.tally import Count
from etl.cleaning.event_ids import mark_shared_ids
from etl.cleaning.judge import clean_ids, judge_histories, judge_log, limits_of
from etl.cleaning.tables import judge_table, read_table
from etl.privacy.rows import (
    coarsen_events,
    drop_erased,
    hide_users,
    label_ids,
    reduce_fields,
    shield_events,
    shield_table,
)
from etl.reading.sources import field_columns, read_rows
from etl.spark import columns as c
from etl.spark.folders import store
from etl.spark.notation import notation_of
from etl.spark.paths import path_in
from etl.spark.times import day_of

_FILE_OF_FAILURE = re.compile(r"while reading file file:/*(/\S+?)\.?(?:\s|$)")
_TEXTS = (c.TIME_TEXT, c.TYPE_TEXT, c.VALUE_TEXT)


@dataclass(frozen=True)
class Log:
    """One of the logs that make up the events."""

    name: str
    source: EventSource
    files: Sequence[InputFile]


def stage_events(
    spark: SparkSession,
    logs: Sequence[Log],
    etl: Etl,
    *,
    logical_date: str | None,
    folder: Path,
    protection: Protection = UNPROTECTED,
) -> tuple[DataFrame, Mapping[str, int]]:
    """Return the stored events of all logs with verdicts, and what `Count` counted.

    LOG is the number of an event's log in `logs`.
    """
    scratch = _beside(folder)
    judged = [
        _read_log(spark, log, etl, logical_date, protection, scratch).withColumn(c.LOG, F.lit(n))
        for n, log in enumerate(logs)
    ]
    together = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), judged)
    # The raw texts go first: they are expensive, and what is counted has to be there.
    needed = together.transform(_keep_needed_texts, not protection.hides_texts)
    count = Count(needed, are_trimmed=etl.clean.trim_ids)
    by_user = (
        count.counted_rows()
        .transform(shield_events, protection)
        .transform(mark_shared_ids)
        .repartition(USER_ID)
        .transform(
            judge_histories,
            etl,
            is_numbered=any(log.source.is_ordered_by_lines for log in logs),
            is_dated=all(log.source.time_unit != "order" for log in logs),
        )
    )
    with _damaged_files_named():
        stored = store(coarsen_events(by_user.drop(c.EVENT_ID), protection), folder)
        return stored, count.result(folder)


def _read_log(
    spark: SparkSession,
    log: Log,
    etl: Etl,
    logical_date: str | None,
    protection: Protection,
    scratch: Path,
) -> DataFrame:
    """Return the rows of one log, judged by the rules that need one row only."""
    source, dated = log.source, log.source.time_unit != "order"
    until = date.fromisoformat(logical_date) if dated and logical_date else None
    newest_file = _newest_day(log.files) if dated else None
    limits = limits_of(etl.clean, newest_file=newest_file, logical_date=until)
    rows = raw_events(spark, log, scratch).transform(reduce_fields, "events", protection)
    return judge_log(rows, source, etl, limits)


def stage_table(
    spark: SparkSession,
    source: TableSource,
    files: Sequence[InputFile],
    *,
    id_name: str,
    clean: Clean,
    vectors: Mapping[str, int],
    folder: Path,
    protection: Protection = UNPROTECTED,
) -> tuple[DataFrame, Mapping[str, int]]:
    """Return the stored rows of a table with verdicts, and what `Count` counted."""
    rows = read_table(spark, source, files, id_name, _beside(folder))
    table = "users" if id_name == USER_ID else "items"
    rows = clean_ids(rows, clean, (id_name,))
    count = Count(rows, are_trimmed=clean.trim_ids)
    shielded = count.counted_rows().transform(reduce_fields, table, protection)
    shielded = shielded.transform(shield_table, table, protection)
    judged = judge_table(shielded, id_name, source.fields, vectors, notation_of(source))
    judged = judged.transform(drop_erased)
    if table == "users":
        judged = judged.transform(hide_users, protection)
    with _damaged_files_named():
        stored = store(judged.transform(_keep_needed_texts), folder)
        return stored, count.result(folder)


def quarantined_rows(inputs: dict[str, DataFrame]) -> DataFrame:
    """Return all quarantined rows as text, with input, file, block, line and reason."""
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


def raw_events(spark: SparkSession, log: Log, scratch: Path) -> DataFrame:
    """Return the rows of one log as read, not judged.

    Args:
        spark: The session.
        log: The log.
        scratch: Folder for the lines saved from damaged files.
    """
    return read_rows(spark, log.source, log.files, event_columns(log.source), scratch)


def known_events(
    spark: SparkSession, log: Log, etl: Etl, protection: Protection, scratch: Path
) -> DataFrame:
    """Return the raw rows of one log, with user and item ids as in the dataset."""
    rows = raw_events(spark, log, scratch)
    return label_ids(clean_ids(rows, etl.clean, (USER_ID, ITEM_ID)), protection)


def event_columns(source: EventSource) -> dict[str, ColumnName]:
    """Return for each column of an event the name, or names, of its column in the log."""
    if source.format == "sequences":
        return {}
    names = source.columns
    wanted = {
        USER_ID: names.user_id, ITEM_ID: names.item_id, c.TIME_TEXT: names.time,
        c.TYPE_TEXT: names.event_type, c.VALUE_TEXT: names.value, c.EVENT_ID: names.event_id,
    }  # fmt: skip
    named = {ours: theirs for ours, theirs in wanted.items() if theirs is not None}
    fields = {c.FIELD + ours: theirs for ours, theirs in field_columns(source).items()}
    return {**named, **fields}


def _keep_needed_texts(judged: DataFrame, shows_types: bool = False) -> DataFrame:
    """Set the raw texts to null except those of quarantined rows, and types that are not used.

    Args:
        judged: Rows with verdicts.
        shows_types: Whether types that are not used are kept, so that a warning can name them.
    """
    bad = F.coalesce(F.col(c.VERDICT).startswith(c.QUARANTINED), F.lit(False))
    unused = F.coalesce(F.col(c.VERDICT) == UNUSED, F.lit(False)) & F.lit(shows_types)
    texts = [name for name in (c.RAW, *_TEXTS) if name in judged.columns]
    needed = {name: bad | unused if name == c.TYPE_TEXT else bad for name in texts}
    kept = {name: F.when(is_needed, F.col(name)) for name, is_needed in needed.items()}
    return judged.withColumns(kept).drop(c.BROKEN, c.REDELIVERED, c.DAMAGED)


def _beside(folder: Path) -> Path:
    """Return the folder for the lines saved from damaged files of an input."""
    return folder.with_name(f"salvaged-{folder.name}")


def _newest_day(files: Sequence[InputFile]) -> date:
    return day_of(int(max(file.modified_at for file in files) * 1_000_000))


@contextmanager
def _damaged_files_named() -> Iterator[None]:
    """Turn Spark's failure to read a file into an error that names the file."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if "FAILED_READ_FILE" not in text:
            raise
        named = _FILE_OF_FAILURE.search(text)
        if named is not None:
            raise_storage_failure(error, Path(path_in(named[1])))
        file = "a file of the input" if named is None else path_in(named[1])
        raise InputError(
            f"{file} cannot be read to its end: it is damaged or was removed; deliver it again"
        ) from error
