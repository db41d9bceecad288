"""The Markov chain: items that most often came directly after the user's last item.

Legend of shapes: V catalogue, T transitions, P distinct pairs of items.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from conf.contract import HISTORY_ITEMS, HISTORY_WEIGHTS, NUM_RESERVED, WEIGHT_STEPS
from trainer.data.columns import Columns, lists_of
from trainer.data.trained_on import in_steps
from trainer.models.item_to_item import ItemToItem, tie_break
from trainer.models.popularity import scaled_popularity

_Counted = tuple[np.ndarray, np.ndarray]
"""Pairs of items, each first item times V plus second, int64; and their counts in
1 / WEIGHT_STEPS, whole numbers in float64."""
_NOTHING: _Counted = np.zeros(0, dtype=np.int64), np.zeros(0)
_MERGE_AT = 1 << 22
"""Number of pairs held before they are merged; limits the memory for counting."""


def fit_markov(blocks: Iterable[Columns], train_events: np.ndarray) -> ItemToItem:
    """Count the transitions in the training part.

    The score of an item is the number of training transitions to it from the last item. If events
    differ in confidence, a transition counts by that of its second event, as a target of a network
    does: it says what the user chose next. One to or from an event with the confidence 0 does not
    count. Popularity breaks ties.

    Args:
        blocks: Row groups of `train/`, with HISTORY_WEIGHTS if events differ in confidence; windows
            overlap by one item, so each transition is in exactly one of them.
        train_events: [V] number of events, or sum of their confidences.
    """
    catalogue = len(train_events)
    pairs, counts = _NOTHING
    waiting: list[_Counted] = []
    has_confidences = False
    for columns in blocks:
        has_confidences |= HISTORY_WEIGHTS in columns
        waiting.append(_transitions(columns, catalogue))
        if sum(len(found) for found, _ in waiting) >= _MERGE_AT:
            pairs, counts = _merge([(pairs, counts), *waiting])
            waiting = []
    pairs, counts = _merge([(pairs, counts), *waiting])
    pairs, counts = pairs[counts > 0], counts[counts > 0] / WEIGHT_STEPS
    first, second = np.divmod(pairs, catalogue)
    starts = np.searchsorted(first, np.arange(catalogue + 1))
    are_whole = bool((counts == np.rint(counts)).all())
    return ItemToItem(
        scaled_popularity(train_events) if are_whole else tie_break(train_events),
        starts.astype(np.int64),
        second.astype(np.int32),
        counts.astype(np.float32),
        history_decay=0.0,
        mean_confidence=1.0 if has_confidences else None,  # only whether there is one matters
    )


def _transitions(columns: Columns, catalogue: int) -> _Counted:
    """Return each transition with its confidence: [T], [T]."""
    histories = lists_of(columns, HISTORY_ITEMS)
    items = histories.values.astype(np.int64)
    inside = np.ones(len(items), dtype=bool)
    inside[histories.offsets[:-1]] = False  # a row's first item follows nothing
    follows = np.flatnonzero(inside)
    known = (items[follows] >= NUM_RESERVED) & (items[follows - 1] >= NUM_RESERVED)
    follows = follows[known]
    pairs = items[follows - 1] * catalogue + items[follows]
    if HISTORY_WEIGHTS not in columns:
        return pairs, np.full(len(pairs), float(WEIGHT_STEPS))
    steps = in_steps(lists_of(columns, HISTORY_WEIGHTS).values)
    return pairs, steps[follows] * (steps[follows - 1] > 0)


def _merge(parts: Sequence[_Counted]) -> _Counted:
    """Return the distinct pairs of all parts, ascending, each with the sum of its counts."""
    pairs, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    merged, places = np.unique(pairs, return_inverse=True)
    return merged, np.bincount(places, counts, len(merged))
