"""Weights of a history's events in counting models: each known item once, newer and surer more.

Legend of shapes: B rows, S events of them, E events that count, V catalogue, K recommended items,
L longest history.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from conf.contract import HISTORY_WEIGHTS, NUM_RESERVED
from trainer.data.columns import Events, Ragged, events_of

_MEAN = "mean_confidence"


class WeightedEvents(NamedTuple):
    """Events in the order of row and item number."""

    row: np.ndarray
    """[E] int64, index among the chosen rows, ascending."""
    place: np.ndarray
    """[E] int64, position in the history, from 0."""
    item: np.ndarray
    """[E] int64"""
    weight: np.ndarray
    """[E] float64, above 0; without confidences at most 1."""
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


def weighted_events(
    histories: Ragged, rows: np.ndarray, decay: float, mean: float | None = None
) -> WeightedEvents:
    """Return the newest event of each known item of the chosen rows.

    Args:
        histories: Item numbers, oldest first, with the events' confidences in `beside` if the
            dataset has any.
        rows: [B]
        decay: The event n positions before the newest has weight decay ** n; with 0 only the
            newest counts. Unknown items keep their positions.
        mean: Mean confidence that the model was fitted with. The weight is multiplied by the
            largest confidence of the item's events over this mean, unless `decay` is 0. Events with
            the confidence 0 have no position. None: confidences do not count.
    """
    events = events_of(histories, rows)
    lengths = histories.lengths[rows]  # [B]
    confidence = _confidences(histories, rows, events, mean)  # [S]
    age = lengths[events.row] - 1 - events.place  # [S]
    if confidence is not None:
        events, age, confidence = _positive(events, confidence, len(rows))
    weight = np.float64(decay) ** age  # [S]
    order = np.lexsort((events.place, events.item, events.row))
    row, place, item = (part[order] for part in events)
    weight = weight[order]
    is_newest = np.append((row[1:] != row[:-1]) | (item[1:] != item[:-1]), True)[: len(row)]
    if confidence is not None and decay > 0 and len(row):
        begins = np.flatnonzero(np.append(True, is_newest[:-1]))
        weight[is_newest] *= np.maximum.reduceat(confidence[order], begins)
    counts = is_newest & (item >= NUM_RESERVED) & (weight > 0)
    return WeightedEvents(
        row[counts],
        place[counts],
        item[counts],
        weight[counts],
        len(rows),
        int(lengths.max(initial=0)),
    )


def _confidences(
    histories: Ragged, rows: np.ndarray, events: Events, mean: float | None
) -> np.ndarray | None:
    """Return each event's confidence as a multiple of the mean, [S] float64; None: all count 1."""
    found = (histories.beside or {}).get(HISTORY_WEIGHTS)
    if mean is None or found is None:
        return None
    at = histories.offsets[rows][events.row] + events.place
    confidences: np.ndarray = found[at].astype(np.float64) / mean
    return confidences


def _positive(
    events: Events, confidence: np.ndarray, num_rows: int
) -> tuple[Events, np.ndarray, np.ndarray]:
    """Return the events with a confidence above 0, how many follow each, and the confidences."""
    stays = confidence > 0
    left = Events(*(part[stays] for part in events))
    ends = np.cumsum(np.bincount(left.row, minlength=num_rows))  # [B]
    return left, ends[left.row] - 1 - np.arange(len(left.row)), confidence[stays]


def saved_mean(mean: float | None) -> dict[str, Tensor]:
    """Return the mean confidence as a tensor of a model's weights; {}: there is none."""
    return {} if mean is None else {_MEAN: torch.tensor(mean, dtype=torch.float64)}


def loaded_mean(weights: Mapping[str, Tensor]) -> float | None:
    """Return the mean confidence that `saved_mean` stored; None: there is none."""
    return float(weights[_MEAN]) if _MEAN in weights else None
