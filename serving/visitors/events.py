"""Read the events of a file as the log's are read, and count what becomes of them.

Legend of shapes: M rows of the file, E events that are kept.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import ITEM_ID, UNKNOWN_IDX, Manifest
from conf.privacy.log_ids import as_files_name_them
from conf.settings.config import Config
from conf.settings.input import ColumnName, EventSource
from serving.given_files.cells import EVENTS_OPTION, Cells, logs_of, reaches, read_cells
from serving.given_files.times import cut
from trainer.prediction.given import Table, numbers_in

COUNTS = ("read", "known_item", "unknown_item", "unknown_type", "shown_only", "below_min_value")


class GivenEvents(NamedTuple):
    """The events of a file, in its order, whatever their users."""

    named: Sequence[str]
    """The users of all rows of the file, also of those that are left out."""
    user_ids: Sequence[str]
    """[E] as in the file."""
    item_idx: np.ndarray
    """[E] int64; unknown items have negative numbers, one for each id."""
    types: np.ndarray
    """[E] int32"""
    times: np.ndarray
    """[E] int64, microseconds since 1970 UTC or order numbers; all 0 if the order of the lines is
    the time."""

    def taken(self, stays: np.ndarray) -> "GivenEvents":
        """Return only the events that stay: [E] bool."""
        users = [one for one, kept in zip(self.user_ids, stays, strict=True) if kept]
        kept = (self.item_idx[stays], self.types[stays], self.times[stays])
        return GivenEvents(self.named, users, *kept)


def read_events(
    config: Config, manifest: Manifest, path: Path, item_ids: pa.Array
) -> tuple[GivenEvents, Counter[str]]:
    """Return the events of a file, and the counts `COUNTS`.

    Args:
        config: Declares the columns.
        manifest: The dataset.
        path: The file.
        item_ids: Ids of the dataset's items, null for the reserved numbers.

    Raises:
        InputError: When the file cannot be read, lacks a column, or has a row that is wrong.
    """
    name, file = next(logs_of(config, path, _needed))
    log = config.input.events[name]
    cells = read_cells(file, log, config, manifest)
    users, items = cells.users, cells.items
    types, counts = _types(cells, log, config, manifest)
    stays = types >= 0
    table = Table(path, pa.table({ITEM_ID: pa.array(items, pa.string())}))
    as_item = as_files_name_them(config, manifest, "item", EVENTS_OPTION)
    numbers = _with_own_numbers(numbers_in(table, ITEM_ID, item_ids, as_item), items)
    events = GivenEvents(users, users, numbers, types, cut(cells.times, config)).taken(stays)
    is_known = events.item_idx > 0
    counts.update(
        read=file.rows, known_item=int(is_known.sum()), unknown_item=int((~is_known).sum())
    )
    return events, counts


def _needed(log: EventSource) -> tuple[ColumnName, ColumnName]:
    return log.columns.user_id, log.columns.item_id


def _types(
    cells: Cells, log: EventSource, config: Config, manifest: Manifest
) -> tuple[np.ndarray, Counter[str]]:
    """Return the number of each row's type, -1 for rows that are left out, and their counts."""
    kinds, counts = config.etl.event_types, Counter(dict.fromkeys(COUNTS, 0))
    numbers = {name: number for number, name in enumerate(manifest.event_types)}
    found = np.full(len(cells.types), -1, dtype=np.int32)
    for place, (name, value) in enumerate(zip(cells.types, cells.values, strict=True)):
        kind = kinds.get(name)
        if kind is None or name not in numbers:
            counts["unknown_type"] += 1
        elif kind.shown_only:
            counts["shown_only"] += 1
        elif kind.min_value is not None and not reaches(value, kind.min_value, log):
            counts["below_min_value"] += 1
        else:
            found[place] = numbers[name]
    return found, counts


def _with_own_numbers(numbers: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Return the numbers of items with a negative one for each unknown id: [M] int64."""
    places: dict[str, int] = {}
    own = [
        int(number) if number != UNKNOWN_IDX else -1 - places.setdefault(text, len(places))
        for number, text in zip(numbers, ids, strict=True)
    ]
    return np.array(own, dtype=np.int64)
