"""The Markov chain: items that most often came directly after the user's last item.

Legend of shapes: V catalogue, P distinct pairs of items.
"""

from collections.abc import Iterable

import numpy as np

from conf.contract import HISTORY_ITEMS, NUM_RESERVED
from trainer.data.columns import Columns, lists_of
from trainer.models.item_to_item import ItemToItem
from trainer.models.popularity import scaled_popularity

_MERGE_AT = 1 << 22
"""Number of pairs held before they are merged; limits the memory for counting."""


def fit_markov(blocks: Iterable[Columns], train_events: np.ndarray) -> ItemToItem:
    """Count the transitions in the training part.

    The score of an item is the number of training transitions to it from the last item, plus
    its popularity scaled below one, which breaks ties.

    Args:
        blocks: Row groups of `train/`; windows overlap by one item, so each transition is in
            exactly one of them.
        train_events: [V] int64
    """
    catalogue = len(train_events)
    pairs = np.zeros(0, dtype=np.int64)
    counts = np.zeros(0, dtype=np.int64)
    waiting: list[np.ndarray] = []
    for columns in blocks:
        waiting.append(_transitions(columns, catalogue))
        if sum(map(len, waiting)) >= _MERGE_AT:
            pairs, counts = _merge(pairs, counts, waiting)
            waiting = []
    pairs, counts = _merge(pairs, counts, waiting)
    first, second = np.divmod(pairs, catalogue)
    starts = np.searchsorted(first, np.arange(catalogue + 1))
    return ItemToItem(
        scaled_popularity(train_events),
        starts.astype(np.int64),
        second.astype(np.int32),
        counts.astype(np.float32),
        history_decay=0.0,
    )


def _transitions(columns: Columns, catalogue: int) -> np.ndarray:
    """Return each transition as one number, first item times V plus second: [pairs] int64."""
    histories = lists_of(columns, HISTORY_ITEMS)
    items = histories.values.astype(np.int64)
    inside = np.ones(len(items), dtype=bool)
    inside[histories.offsets[:-1]] = False  # a row's first item follows nothing
    follows = np.flatnonzero(inside)
    known = (items[follows] >= NUM_RESERVED) & (items[follows - 1] >= NUM_RESERVED)
    follows = follows[known]
    return items[follows - 1] * catalogue + items[follows]


def _merge(
    pairs: np.ndarray, counts: np.ndarray, waiting: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    fresh, fresh_counts = np.unique(np.concatenate([*waiting, pairs[:0]]), return_counts=True)
    merged, places = np.unique(np.concatenate([pairs, fresh]), return_inverse=True)
    total = np.zeros(len(merged), dtype=np.int64)
    np.add.at(total, places, np.concatenate([counts, fresh_counts]))
    return merged, total
