"""Popularity, over all time or recent: the same scores for every user.

Legend of shapes: B rows, V catalogue, K recommended items, L longest history, U users.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_WEIGHTS,
    NUM_RESERVED,
    USER_IDX,
)
from trainer.data.columns import Columns, Ragged, lists_of, numbers_of
from trainer.data.trained_on import events_before

MICROSECONDS_PER_DAY = 86_400 * 1_000_000


@dataclass(frozen=True)
class Popularity:
    """Every user gets the items with the most events in the training part.

    An event counts by its confidence: one of half the confidence is half an event.
    """

    train_events: np.ndarray
    """[V] float64: sum of the events' confidences, or of these times their recency."""

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float64, -inf for items without an event."""
        unknown = without_events(self.train_events)
        events = np.where(unknown, -np.inf, self.train_events)  # [V]
        return torch.from_numpy(events).repeat(len(rows), 1)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return zeros: no event of a history contributes to the score."""
        longest = int(histories.lengths[rows].max(initial=0))
        return torch.zeros((*recommended.shape, longest), dtype=torch.float64)

    @property
    def unknown(self) -> np.ndarray | None:
        """See `trainer.models.scorer.Scorer`: items without an event."""
        return without_events(self.train_events)

    def to(self, device: torch.device) -> "Popularity":
        """Return itself: this model always works on the CPU."""
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that `from_weights` needs."""
        return {"train_events": torch.from_numpy(self.train_events.astype(np.float64))}

    @classmethod
    def from_weights(cls, section: dict[str, Any], weights: dict[str, Tensor]) -> "Popularity":
        """Return the model with these weights."""
        return cls(weights["train_events"].numpy())


def without_events(train_events: np.ndarray) -> np.ndarray:
    """Return the items without an event: [V] bool, False for the reserved numbers."""
    found: np.ndarray = train_events == 0
    found[:NUM_RESERVED] = False
    return found


def scaled_popularity(train_events: np.ndarray) -> np.ndarray:
    """Return each item's events, divided by the maximum plus 1: [V] float64, below 1."""
    scaled: np.ndarray = train_events / (train_events.max(initial=0) + 1.0)
    return scaled


def training_lengths(blocks: Iterable[Columns], num_users: int) -> np.ndarray:
    """Return how many events of each user are in the training part: [U] int64.

    Users with a single event are in no training row and have 0 here, see
    `trainer.data.trained_on.with_single_events`.

    Args:
        blocks: Row groups of `train/` with USER_IDX and HISTORY_ITEMS, with all windows; those
            of a user overlap by one event.
        num_users: U, the reserved numbers included.
    """
    lengths = np.zeros(num_users, dtype=np.int64)
    rows = np.zeros(num_users, dtype=np.int64)
    for columns in blocks:
        users, histories = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
        np.add.at(lengths, users, histories.lengths)
        np.add.at(rows, users, 1)
    return lengths - np.maximum(rows - 1, 0)


def fit_recent_popularity(
    blocks: Iterable[Columns], lengths: np.ndarray, *, catalogue: int, half_life_days: float
) -> Popularity:
    """Sum up the training events, each with its confidence times 2 ** (-age / half-life).

    The age is relative to the newest training event of all users. Events after a user's training
    part are ignored.

    Args:
        blocks: Row groups of `histories/` with USER_IDX, HISTORY_ITEMS and HISTORY_TIMES in
            microseconds, and HISTORY_WEIGHTS if events differ in confidence.
        lengths: [U] int64, number of events of each user's history in the training part.
        catalogue: V
        half_life_days: Age at which an event has weight 0.5.
    """
    # Weights are relative to the newest event so far, so one pass is enough.
    half_life, newest = half_life_days * MICROSECONDS_PER_DAY, None
    sums = np.zeros(catalogue, dtype=np.float64)
    for columns in blocks:
        items, times, confidence = _training_events(columns, lengths)
        if not len(items):
            continue
        latest = int(times.max())
        if newest is not None and latest > newest:
            sums *= 2.0 ** ((newest - latest) / half_life)
        newest = latest if newest is None else max(newest, latest)
        sums += np.bincount(items, confidence * 2.0 ** ((times - newest) / half_life), catalogue)
    sums[:NUM_RESERVED] = 0
    return Popularity(sums)


def _training_events(
    columns: Columns, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return item, time and confidence of each training event in a row group of `histories/`."""
    items, times = lists_of(columns, HISTORY_ITEMS), lists_of(columns, HISTORY_TIMES)
    is_training = events_before(columns, lengths)
    confidence = np.ones(int(is_training.sum()))
    if HISTORY_WEIGHTS in columns:
        confidence = lists_of(columns, HISTORY_WEIGHTS).values[is_training].astype(np.float64)
    return items.values[is_training], times.values[is_training], confidence
