"""Facts about the events and items in the finished files of a dataset, read with pyarrow."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import HISTORY_TIMES, HISTORY_TYPES, ITEM_ID, TRAIN_EVENTS, Manifest
from conf.pages.inequality import gini
from conf.workspace.parquet import open_parquet, told_if_damaged
from conf.workspace.versions import UNDATED, version_path
from etl.report.data import LongTail

_MICROS_PER_HOUR = 3_600_000_000
_POINTS = 60
_HEADS = (0.01, 0.1, 0.5)


@dataclass(frozen=True)
class Contents:
    """The events and items of one dataset."""

    manifest: Manifest
    lengths: Counter[int]
    """Number of users by the length of their history."""
    types: Counter[str]
    """Number of events by type."""
    hours: Counter[int]
    """Number of events by hour since 1970 UTC; empty if the log is not dated."""
    items: pa.Table
    """ITEM_ID and TRAIN_EVENTS, items with the most events first."""


def read_profile(folder: Path, manifest: Manifest) -> Contents:
    """Read the histories and items of a dataset once, in batches."""
    lengths: Counter[int] = Counter()
    types: Counter[int] = Counter()
    hours: Counter[int] = Counter()
    is_dated = manifest.logical_date != UNDATED
    columns = [HISTORY_TYPES, *([HISTORY_TIMES] if is_dated else [])]
    for batch in read_part(folder, manifest, "histories", columns):
        _add(lengths, pc.list_value_length(batch[HISTORY_TYPES]).to_numpy(zero_copy_only=False))
        _add(types, batch[HISTORY_TYPES].flatten().to_numpy())
        if is_dated:
            _add(hours, batch[HISTORY_TIMES].flatten().to_numpy() // _MICROS_PER_HOUR)
    names = manifest.event_types
    return Contents(
        manifest=manifest,
        lengths=lengths,
        types=Counter({name: types[number] for number, name in enumerate(names)}),
        hours=hours,
        items=_items(folder, manifest),
    )


def read_part(
    folder: Path, manifest: Manifest, part: str, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part's files, with those of the `columns` that the files have."""
    for member in manifest.files[part]:
        path = version_path(folder, member.path)
        with told_if_damaged(path), open_parquet(path) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            yield from file.iter_batches(columns=names)


def describe_long_tail(profile: Contents) -> LongTail | None:
    """Return how the training events are spread over the items, None if there are none."""
    events = profile.items[TRAIN_EVENTS].to_numpy()
    inequality = gini(events)
    if inequality is None:
        return None
    held = np.concatenate([[0], np.cumsum(events)]) / events.sum()
    # Denser at the head, where the curve bends.
    places = np.unique((np.linspace(0, 1, _POINTS + 1) ** 2 * len(events)).round().astype(int))
    return LongTail(
        points=[(float(place / len(events)), float(held[place])) for place in places],
        heads={at: float(held[math.ceil(len(events) * at)]) for at in _HEADS},
        gini=inequality,
        num_items=len(events),
        num_events=int(events.sum()),
    )


def _items(folder: Path, manifest: Manifest) -> pa.Table:
    schema = pa.schema({ITEM_ID: pa.string(), TRAIN_EVENTS: pa.int64()})
    batches = list(read_part(folder, manifest, "items", [ITEM_ID, TRAIN_EVENTS]))
    table = pa.Table.from_batches(batches) if batches else schema.empty_table()
    return table.sort_by([(TRAIN_EVENTS, "descending"), (ITEM_ID, "ascending")])


def _add(total: Counter[int], numbers: np.ndarray) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        total[value] += count
