"""Check the input files before Spark starts: errors that stop the run, and warnings."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.errors import InputError
from conf.privacy.file_names import hiding_keys
from conf.runs.inputs.input_files import InputFile, input_sources, unread_siblings
from conf.settings.config import Config
from conf.settings.input import ColumnName, EventSource, Source, TableSource
from etl.cleaning.staging import event_columns
from etl.cleaning.tables import ID_OF_TABLE, table_columns
from etl.reading.sources import check_files
from etl.spark.columns import FIELD

log = logging.getLogger(__name__)


def check_inputs(
    config: Config, inputs: Mapping[str, Sequence[InputFile]]
) -> dict[str, tuple[str, ...]]:
    """Return the warnings of each table, and those of all logs together as `events`.

    Raises:
        InputError: Listing the problems of all inputs.
    """
    warnings: dict[str, list[str]] = {}
    problems = []
    for name, source in input_sources(config).items():
        try:
            columns, encodings = _columns(name, source), _encodings(name, config)
            found = check_files(source, inputs[name], columns, encodings)
        except InputError as error:
            problems.append(f"input.{name}: {error}")
            continue
        unread = unread_siblings(Path(config.input.root), source, hiding_keys(config.privacy))
        found += [
            f"{file} is not read: names have to end in .gz, .bz2 or .zst to be unpacked"
            for file in unread
        ]
        warnings.setdefault(name.split(".")[0], []).extend(found)
    if problems:
        raise InputError("\n".join(problems))
    for name, told in warnings.items():
        for warning in told:
            log.warning("etl: input.%s: %s", name, warning)
    return {name: tuple(told) for name, told in warnings.items()}


def _encodings(name: str, config: Config) -> dict[str, str]:
    """Return the kind of encoding of each column of an input that becomes a feature."""
    table = name.split(".")[0]
    prefix = FIELD if table == "events" else ""
    encodings = getattr(config.etl.features, table).encodings
    return {prefix + field: encoding.kind for field, encoding in encodings.items()}


def _columns(name: str, source: Source) -> dict[str, ColumnName]:
    if isinstance(source, EventSource):
        return event_columns(source)
    assert isinstance(source, TableSource)
    return table_columns(source, ID_OF_TABLE[name])
