"""The sample of a dataset for the leak check, read without loading whole parts into memory."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    ITEM_ID,
    ITEM_IDX,
    TARGET_ITEM,
    TRAIN_EVENTS,
    USER_ID,
    USER_IDX,
)
from etl.leaks.facts import ids_of

_HISTORY = (USER_IDX, HISTORY_ITEMS)
_TARGET = (*_HISTORY, HISTORY_TIMES, TARGET_ITEM)
_PARTS = {"train": _HISTORY, "valid": _TARGET, "test": _TARGET}
_IMPRESSIONS = tuple(f"{part}_impressions" for part in _PARTS)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """Rows of a dataset to check, and the raw ids of all numbers in them."""

    users: Mapping[int, str]
    items: Mapping[int, str]
    train_events: Mapping[str, int]
    """For each sampled item of the vocabulary, its training events according to the dataset."""
    rows: Mapping[str, Sequence[Row]]
    """For each part, the rows of the sampled users."""


def draw_sample(
    folder: Path, *, num_users: int, num_items: int, num_impressions: int, seed: int
) -> Sample:
    """Draw users that have a target, and items, and read their rows of the dataset.

    Args:
        folder: Folder of the dataset.
        num_users: Maximum number of users.
        num_items: Maximum number of items of the vocabulary.
        num_impressions: Maximum number of impressions of those users in each part.
        seed: Seed of the draw.
    """
    draw = random.Random(seed)
    targets = np.unique(np.concatenate([_users_of(folder / part) for part in ("valid", "test")]))
    chosen = sorted(draw.sample(targets.tolist(), min(num_users, len(targets))))
    users = {
        row[USER_IDX]: row[USER_ID]
        for row in _read(folder / "users", [USER_IDX, USER_ID], USER_IDX, chosen)
    }
    rows = {part: _read(folder / part, names, USER_IDX, chosen) for part, names in _PARTS.items()}
    for part in _IMPRESSIONS:
        rows[part] = _read_some(folder / part, num_impressions, draw, USER_IDX, chosen)
    entries = _read_some(folder / "items", num_items, draw)
    return Sample(
        users=users,
        items={
            row[ITEM_IDX]: row[ITEM_ID]
            for row in _read(folder / "items", [ITEM_IDX, ITEM_ID], ITEM_IDX, _numbers_in(rows))
        },
        train_events={row[ITEM_ID]: row[TRAIN_EVENTS] for row in entries},
        rows=rows,
    )


def needed_items(sample: Sample) -> list[str]:
    """Return the ids of the items whose raw events the check needs."""
    numbers = {
        row[ITEM_IDX]
        for part, rows in sample.rows.items()
        if part.endswith("impressions")
        for row in rows
    }
    return sorted({*sample.train_events, *ids_of(sample.items, numbers)})


def _numbers_in(rows: Mapping[str, Sequence[Row]]) -> list[int]:
    """Return the numbers of all items in rows."""
    numbers = {
        row[name]
        for of_part in rows.values()
        for row in of_part
        for name in (ITEM_IDX, TARGET_ITEM)
        if name in row
    }
    for of_part in rows.values():
        numbers.update(*(row[HISTORY_ITEMS] for row in of_part))
    return sorted(numbers)


def _files(folder: Path) -> ds.Dataset | None:
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    return ds.dataset(files) if files else None


def _users_of(folder: Path) -> np.ndarray:
    files = _files(folder)
    if files is None:
        return np.array([], np.int64)
    numbers: np.ndarray = files.to_table(columns=[USER_IDX])[USER_IDX].to_numpy()
    return numbers


def _read(folder: Path, columns: Sequence[str], key: str, keys: Sequence[int]) -> list[Row]:
    """Return the rows with one of the keys."""
    files = _files(folder)
    if files is None:
        return []
    chosen = pc.field(key).isin(list(keys))
    rows: list[Row] = files.to_table(columns=list(columns), filter=chosen).to_pylist()
    return rows


def _read_some(
    folder: Path,
    most: int,
    draw: random.Random,
    key: str | None = None,
    keys: Sequence[int] = (),
) -> list[Row]:
    """Draw some of the rows (with one of the keys), without loading all of them into memory."""
    files = _files(folder)
    if files is None:
        return []
    chosen = None if key is None else pc.field(key).isin(list(keys))
    found = files.count_rows(filter=chosen)
    places = np.sort(draw.sample(range(found), min(most, found))).astype(int)
    rows: list[Row] = []
    start = 0
    for batch in files.to_batches(filter=chosen):
        inside = places[(places >= start) & (places < start + batch.num_rows)] - start
        rows += batch.take(pa.array(inside)).to_pylist()
        start += batch.num_rows
    return rows
