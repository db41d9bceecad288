"""Missing values of the declared fields, in the input tables and logs and in the dataset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import Manifest
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from etl.cleaning.inputs import Staged
from etl.privacy.rows import without_dropped
from etl.report.contents import read_part
from etl.report.counts import Counts
from etl.report.data import MissingField
from etl.spark.columns import EVENT_TYPE, FIELD, VALUE, VERDICT
from etl.spark.folders import stored_batches


def declared_fields(config: Config, staged: Staged) -> dict[str, list[str]]:
    """Return the declared fields of each table that are stored."""
    tables = {"items": config.input.items, "users": config.input.users}
    fields = {
        name: [field for field in table.fields if field in staged[name].judged.columns]
        for name, table in tables.items()
        if table is not None
    }
    return {name: names for name, names in fields.items() if names}


@dataclass(frozen=True)
class LogFields:
    """The fields of a log's events, except user, item and time."""

    files: Sequence[str]
    columns: Mapping[str, str]
    """For each field its column in the staged events."""


def fields_of_logs(
    config: Config, staged: Staged, inputs: Mapping[str, Sequence[InputFile]]
) -> dict[str, LogFields]:
    """Return the stored fields of each log; empty if no log has any.

    Logs that share files cannot be separated by file, so all logs become one without a name.
    """
    logs = {}
    stored = staged["events"].judged.columns
    for name, log in without_dropped(config).input.events.items():
        columns = {field: FIELD + field for field in log.fields}
        if log.columns.event_type is not None:
            columns["event_type"] = EVENT_TYPE
        if log.columns.value is not None:
            columns["value"] = VALUE
        files = [file.name for file in inputs[f"events.{name}"]]
        there = {field: column for field, column in columns.items() if column in stored}
        logs[name] = LogFields(files, there)
    every = [file for log in logs.values() for file in log.files]
    if len(set(every)) < len(every):
        together = {field: c for log in logs.values() for field, c in log.columns.items()}
        logs = {"": LogFields(sorted(set(every)), together)}
    return logs if any(log.columns for log in logs.values()) else {}


def columns_of_logs(logs: Mapping[str, LogFields]) -> list[str]:
    """Return the columns of all logs, without duplicates."""
    return list(dict.fromkeys(column for log in logs.values() for column in log.columns.values()))


def missing_in_logs(logs: Mapping[str, LogFields], counts: Counts) -> list[MissingField]:
    """Return how often each field of each log is missing.

    Args:
        logs: The fields of each log.
        counts: Counts of `missing_by_log`, for the columns returned by `columns_of_logs`.
    """
    places = {column: n for n, column in enumerate(columns_of_logs(logs), start=1)}
    return [
        MissingField(
            table=f"events.{name}".rstrip("."),
            field=field,
            delivered_rows=counts.get((number, 0, 0), 0),
            delivered_missing=counts.get((number, places[column], 0), 0),
            published_rows=counts.get((number, 0, 1), 0),
            published_missing=counts.get((number, places[column], 1), 0),
        )
        for number, (name, log) in enumerate(logs.items())
        for field, column in log.columns.items()
    ]


def missing_fields(
    fields: Mapping[str, Sequence[str]], staged: Staged, folder: Path, manifest: Manifest
) -> list[MissingField]:
    """Return how often each field of each table is missing.

    Args:
        fields: Fields of each table.
        staged: The stored inputs with their verdicts.
        folder: Folder of the dataset.
        manifest: Its manifest.
    """
    found = []
    for table, names in fields.items():
        delivered = count_missing(kept_rows(staged[table].folder, names), names)
        published = count_missing(read_part(folder, manifest, table, names), names)
        found += [
            MissingField(
                table=table,
                field=name,
                delivered_rows=delivered[0],
                delivered_missing=delivered[1][name],
                published_rows=published[0],
                published_missing=published[1][name],
            )
            for name in names
        ]
    return found


def kept_rows(folder: Path, fields: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the fields of a stored table's rows that are kept."""
    for batch in stored_batches(folder, [VERDICT, *fields]):
        yield batch.filter(pc.is_null(batch[VERDICT]))


def count_missing(
    batches: Iterable[pa.RecordBatch], fields: Sequence[str]
) -> tuple[int, dict[str, int]]:
    """Return the number of rows, and of those without a value in each field.

    A field that the rows do not have is missing in every row.
    """
    rows, missing = 0, dict.fromkeys(fields, 0)
    for batch in batches:
        rows += batch.num_rows
        for name in fields:
            is_there = name in batch.schema.names
            missing[name] += _num_missing(batch[name]) if is_there else batch.num_rows
    return rows, missing


def _num_missing(values: pa.Array) -> int:
    if not pa.types.is_string(values.type):
        return int(values.null_count)
    # White space as in Spark: \s would leave out the vertical tab here.
    says = pc.fill_null(pc.match_substring_regex(values, r"[^\t\n\v\f\r ]"), False)
    return len(values) - int(pc.sum(says, min_count=0).as_py())
