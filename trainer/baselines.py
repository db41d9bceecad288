"""Models that count: popularity and the Markov chain, which every other has to beat.

They score like any other model: rows of histories in, scores of all items out.

Legend of shapes: B rows, V catalogue, P distinct pairs of items.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, NUM_RESERVED
from trainer.stream import Columns, Ragged

_MERGE_AT = 1 << 22
"""Pairs held before they are merged: bounds the memory of counting."""


@dataclass(frozen=True)
class Popularity:
    """Every user gets the items with most events in the training part."""

    train_events: np.ndarray
    """[V] int64"""

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float64."""
        counts = torch.from_numpy(self.train_events.astype(np.float64))  # [V]
        return counts.repeat(len(rows), 1)


@dataclass(frozen=True)
class MarkovChain:
    """What most often came right after the user's last item; then what is popular.

    The score of an item is the number of training transitions to it from the last item, plus
    its popularity scaled below one, which decides among equals.
    """

    train_events: np.ndarray
    """[V] int64"""
    starts: np.ndarray
    """[V + 1] int64: the transitions from item i lie at starts[i]:starts[i + 1]."""
    next_items: np.ndarray
    """[P] int64"""
    counts: np.ndarray
    """[P] int64"""

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float64."""
        scaled = self.train_events / (self.train_events.max(initial=0) + 1.0)  # [V]
        scores = np.tile(scaled, (len(rows), 1))  # [B, V]
        last = histories.values[histories.offsets[rows + 1] - 1]  # [B]
        for row, item in enumerate(last):
            part = slice(self.starts[item], self.starts[item + 1])
            scores[row, self.next_items[part]] += self.counts[part]
        return torch.from_numpy(scores)


def fit_markov(blocks: Iterable[Columns], train_events: np.ndarray) -> MarkovChain:
    """Count the transitions in the training part.

    Args:
        blocks: Row groups of `train/`; windows overlap by one item, so each transition lies in
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
    return MarkovChain(train_events, starts, second, counts)


def _transitions(columns: Columns, catalogue: int) -> np.ndarray:
    """Return each transition as one number, first item times V plus second: [pairs] int64."""
    histories = columns[HISTORY_ITEMS]
    assert isinstance(histories, Ragged)
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
