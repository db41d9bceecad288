"""Check the input files before Spark starts: errors that stop the run, and warnings."""

import logging
from collections.abc import Mapping, Sequence

from conf.errors import InputError
from conf.runs.input_files import InputFile, input_sources
from conf.settings.config import Config
from conf.settings.input import ColumnName, EventSource, Source, TableSource
from etl.cleaning.staging import event_columns
from etl.cleaning.tables import ID_OF_TABLE, table_columns
from etl.reading.sources import check_files

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
            found = check_files(source, inputs[name], _columns(name, source))
        except InputError as error:
            problems.append(f"input.{name}: {error}")
            continue
        warnings.setdefault(name.split(".")[0], []).extend(found)
    if problems:
        raise InputError("\n".join(problems))
    for name, told in warnings.items():
        for warning in told:
            log.warning("etl: input.%s: %s", name, warning)
    return {name: tuple(told) for name, told in warnings.items()}


def _columns(name: str, source: Source) -> dict[str, ColumnName]:
    if isinstance(source, EventSource):
        return event_columns(source)
    assert isinstance(source, TableSource)
    return table_columns(source, ID_OF_TABLE[name])
