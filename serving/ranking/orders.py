"""Orders of items that are counted in the dataset: popularity, overall or by a field of the users.

Counted are the events that a counting model would be fitted to: the training part, and what
`train.refit` adds to it.

Legend of shapes: U users of the dataset, V catalogue, G groups, E events of a row group.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_WEIGHTS,
    NUM_RESERVED,
    USER_IDX,
    catalogue_size,
)
from conf.errors import VersionError
from conf.workspace.parquet import read_columns
from serving.rules.history import popular_items
from trainer.data.columns import Columns, lists_of, numbers_of
from trainer.data.trained_on import events_before
from trainer.models.counting import fit_counting
from trainer.models.fit_source import FitSource
from trainer.models.popularity import MICROSECONDS_PER_DAY, Popularity


class Orders(NamedTuple):
    """Items of each group, best first, and the group of each user."""

    of_groups: Sequence[np.ndarray]
    groups: np.ndarray
    """[U] int64"""


def overall(source: FitSource, kind: str) -> Orders:
    """Return the items by popularity, or recent popularity, among all users."""
    model = fit_counting(kind, source)
    assert isinstance(model, Popularity)
    users = source.manifest.vocabularies["user"].size
    return Orders([popular_items(model.train_events).item_idx], np.zeros(users, dtype=np.int64))


def by_field(source: FitSource, kind: str, field: str) -> Orders:
    """Return the items by popularity among the users with the same value of a field.

    Users without a value, and those of a group without an event, get the order of all users.

    Args:
        source: The dataset, and which of its events count.
        kind: popularity or recent_popularity.
        field: Column of `users/`.

    Raises:
        VersionError: When the dataset has no such field.
    """
    everyone = overall(source, kind)
    groups = user_groups(source, field)
    half_life = None
    if kind == "recent_popularity":
        half_life = source.train.counting.recent_popularity.half_life_days
    counts = _group_counts(source, groups, half_life)
    orders = list(everyone.of_groups)
    for group in range(1, counts.shape[0]):
        row = np.asarray(counts[[group]].todense())[0]
        own = popular_items(row).item_idx
        if len(own):
            orders.append(own)
        else:
            groups[groups == group] = 0
            orders.append(everyone.of_groups[0])
    return Orders(orders, groups)


def user_groups(source: FitSource, field: str) -> np.ndarray:
    """Return each user's group, from 1 in the order of the values; 0 without a value: [U] int64."""
    folder, manifest = source.folder, source.manifest
    tables = [
        read_columns(folder / file.path, (USER_IDX, field)) for file in manifest.files["users"]
    ]
    if any(field not in table.schema.names for table in tables):
        raise VersionError(
            f"dataset {manifest.id} has no field {field!r} of users; run headrace etl with this "
            "configuration first"
        )
    users = pa.concat_tables(tables)
    texts = users[field].cast(pa.string()).to_numpy(zero_copy_only=False)
    is_there = np.array([text is not None and bool(text.strip()) for text in texts], dtype=bool)
    groups = np.zeros(manifest.vocabularies["user"].size, dtype=np.int64)
    _, numbers = np.unique(texts[is_there].astype(str), return_inverse=True)
    groups[users[USER_IDX].to_numpy()[is_there]] = numbers + 1
    return groups


def _group_counts(
    source: FitSource, groups: np.ndarray, half_life_days: float | None
) -> sparse.csr_array:
    """Return the sum of the confidences in each group's events: [G, V], the first row empty."""
    shape = (int(groups.max(initial=0)) + 1, catalogue_size(source.manifest))
    columns = source.with_confidences((USER_IDX, HISTORY_ITEMS, HISTORY_TIMES))
    ends = source.user_events()
    newest = 0
    if half_life_days is not None:
        found = [_times(block, ends) for block in source.blocks("histories", columns)]
        newest = max((int(times.max()) for times in found if len(times)), default=0)
    counts = sparse.csr_array(shape, dtype=np.float64)
    for block in source.blocks("histories", columns):
        counts = counts + _block_counts(block, ends, groups, shape, newest, half_life_days)
    return counts


def _times(columns: Columns, ends: np.ndarray) -> np.ndarray:
    times: np.ndarray = lists_of(columns, HISTORY_TIMES).values[events_before(columns, ends)]
    return times


def _block_counts(
    columns: Columns,
    ends: np.ndarray,
    groups: np.ndarray,
    shape: tuple[int, int],
    newest: int,
    half_life_days: float | None,
) -> sparse.csr_array:
    items = lists_of(columns, HISTORY_ITEMS)
    owner = np.repeat(groups[numbers_of(columns, USER_IDX)], items.lengths)  # [E]
    counted = events_before(columns, ends) & (owner > 0) & (items.values >= NUM_RESERVED)
    weights = np.ones(len(items.values))
    if HISTORY_WEIGHTS in columns:
        weights = lists_of(columns, HISTORY_WEIGHTS).values.astype(np.float64)
    if half_life_days is not None:
        ages = newest - lists_of(columns, HISTORY_TIMES).values
        weights = weights * 2.0 ** (-ages / (half_life_days * MICROSECONDS_PER_DAY))
    at = (owner[counted], items.values[counted].astype(np.int64))
    return sparse.csr_array((weights[counted], at), shape=shape)
