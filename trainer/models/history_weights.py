"""Weights of a history's events in counting models: each known item once, newer items more.

Legend of shapes: B rows, S events of them, E events that count, V catalogue, K recommended items,
L longest history.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from conf.contract import NUM_RESERVED
from trainer.data.columns import Ragged, events_of


class WeightedEvents(NamedTuple):
    """Events in the order of row and item number."""

    row: np.ndarray
    """[E] int64, index among the chosen rows, ascending."""
    place: np.ndarray
    """[E] int64, position in the history, from 0."""
    item: np.ndarray
    """[E] int64"""
    weight: np.ndarray
    """[E] float64, above 0 and at most 1."""
    num_rows: int
    """B"""
    longest: int
    """L"""

    def matrix(self, catalogue: int) -> sparse.csr_array:
        """Return the weights as a sparse matrix: [B, V] float32."""
        starts = np.searchsorted(self.row, np.arange(self.num_rows + 1))
        weights = (self.weight.astype(np.float32), self.item, starts)
        return sparse.csr_array(weights, shape=(self.num_rows, catalogue))

    def spread(self, parts: np.ndarray) -> Tensor:
        """Put each event's contributions at its position in the history: [E, K] -> [B, K, L]."""
        spread = np.zeros((self.num_rows, parts.shape[1], self.longest), dtype=np.float64)
        spread[self.row, :, self.place] = parts
        return torch.from_numpy(spread)


def weighted_events(histories: Ragged, rows: np.ndarray, decay: float) -> WeightedEvents:
    """Return the newest event of each known item of the chosen rows.

    Args:
        histories: Item numbers, oldest first.
        rows: [B]
        decay: The event n positions before the newest has weight decay ** n; with 0 only the
            newest counts. Unknown items keep their positions.
    """
    row, place, item = events_of(histories, rows)  # each [S]
    lengths = histories.lengths[rows]  # [B]
    weight = np.float64(decay) ** (lengths[row] - 1 - place)  # [S]
    order = np.lexsort((place, item, row))
    row, place, item, weight = row[order], place[order], item[order], weight[order]
    is_newest = np.append((row[1:] != row[:-1]) | (item[1:] != item[:-1]), True)[: len(row)]
    counts = is_newest & (item >= NUM_RESERVED) & (weight > 0)
    return WeightedEvents(
        row[counts],
        place[counts],
        item[counts],
        weight[counts],
        len(rows),
        int(lengths.max(initial=0)),
    )
