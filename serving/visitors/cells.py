"""Cells of a file of events: ids, times and values. Nothing here needs a model.

Legend of shapes: M rows of the file.
"""

from typing import Any

import numpy as np

from conf.contract import Manifest
from conf.settings.config import Config
from conf.settings.input import EventSource
from serving.visitors.files import GivenFile
from serving.visitors.times import as_numbers, why_wrong

EVENTS_OPTION = "--events"


def ids_of(file: GivenFile, log: EventSource, name: Any, wrong: dict[int, str]) -> list[str]:
    """Return the id in each row; note the rows without one: [M]."""
    values = file.column(name, log)
    for place, value in enumerate(values):
        if value is None:
            wrong.setdefault(place, f"{name} is missing; every event needs a user and an item")
    return [str(value) for value in values]


def times_of(
    file: GivenFile, log: EventSource, config: Config, manifest: Manifest, wrong: dict[int, str]
) -> np.ndarray:
    """Return the time of each row; note what cannot be one: [M] int64."""
    name = log.columns.time
    if log.is_ordered_by_lines or name is None:
        return np.zeros(file.rows, dtype=np.int64)
    values, odd = file.column(name, log), dict[int, str]()
    found = as_numbers(values, log, odd)
    if config.input.is_dated:
        odd = {**why_wrong(found, config, manifest), **odd}
    for place, why in odd.items():
        wrong.setdefault(place, f"{name}={values[place]!r} {why}")
    return found


def reaches(value: Any, least: float, log: EventSource) -> bool:
    """Return whether the value of an event is at least this number."""
    try:
        return (
            float(str(value).replace(log.thousands or " ", "").replace(log.decimal, ".")) >= least
        )
    except ValueError:
        return False
