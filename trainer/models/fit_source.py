"""The events that counting models are fitted to: the training part, with or without held-out ones.

Legend of shapes: U users, the reserved numbers included, V catalogue.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    NUM_RESERVED,
    USER_IDX,
    Manifest,
)
from conf.settings.train import Train
from trainer.data.columns import Columns, lists_of, numbers_of
from trainer.data.event_features import has_confidences
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import (
    histories_end,
    item_weights,
    read_train_weights,
    windows_of,
    with_single_events,
)
from trainer.models.popularity import training_lengths

COLUMNS = (USER_IDX, HISTORY_ITEMS)


class FitSource(NamedTuple):
    """A dataset, and which of its events a model is fitted to."""

    train: Train
    seed: int
    folder: Path
    """Folder of the dataset."""
    manifest: Manifest
    refit: bool = False
    """Whether the held-out events that `train.refit` names are added to the training part."""
    threads: int = 1
    """Threads of the fit."""

    def blocks(self, part: str, columns: Sequence[str]) -> Iterator[Columns]:
        """Yield the row groups of a part."""
        groups = read_row_groups(self.folder, self.manifest.row_groups(part), columns)
        return (found for _, found in groups)

    def rows(self) -> Iterator[Columns]:
        """Yield windows of the events to fit, with at least USER_IDX and HISTORY_ITEMS.

        They have HISTORY_WEIGHTS only if the events differ in confidence. Adjacent windows of a
        user share one event.
        """
        if not self.refit:
            yield from self.blocks("train", self.with_confidences(COLUMNS))
            return
        ends = self._ends()
        for columns in self.blocks("histories", self.with_confidences((*COLUMNS, HISTORY_TYPES))):
            windows = windows_of(columns, self.manifest, ends)
            yield {name: windows[name] for name in self.with_confidences(COLUMNS)}

    def with_confidences(self, columns: Sequence[str]) -> Sequence[str]:
        """Return the columns, with HISTORY_WEIGHTS if the events differ in confidence."""
        return (*columns, HISTORY_WEIGHTS) if has_confidences(self.manifest) else columns

    def item_weights(self) -> np.ndarray:
        """Return each item's sum of confidences in the events to fit: [V] float64."""
        if not self.refit:
            return read_train_weights(self.folder, self.manifest)
        return item_weights(self.folder, self.manifest, self._ends())

    def user_events(self) -> np.ndarray:
        """Return each user's number of events to fit, which are the oldest ones: [U] int64."""
        if self.refit:
            return self._ends()
        num_users = self.manifest.vocabularies["user"].size
        lengths = training_lengths(self.blocks("train", COLUMNS), num_users)
        return with_single_events(lengths, self.folder, self.manifest)

    def _ends(self) -> np.ndarray:
        return histories_end(self.folder, self.manifest, self.train.refit)


class UserItems(NamedTuple):
    """Which items each user has had, and how sure we are that the user wants them."""

    matrix: sparse.csr_array
    """[users with items, V] float32: the confidence in each pair as a multiple of their mean;
    without confidences 1 for each item that a user has had."""
    mean: float | None
    """Mean confidence of the pairs; None: events have no confidences."""


def user_items(blocks: Iterable[Columns], catalogue: int) -> UserItems:
    """Return the items that each user has had, however often.

    The confidence in a pair is the largest among its events. Pairs with the confidence 0 are left
    out. As all are divided by their mean, only their ratios matter.

    Args:
        blocks: Row groups of `train/` with `COLUMNS`, and HISTORY_WEIGHTS if events differ in
            confidence; all windows of a user become one row.
        catalogue: V
    """
    found = [_pairs(columns, catalogue) for columns in blocks]
    pairs = np.concatenate([np.zeros(0, np.int64), *(pairs for pairs, _ in found)])
    weights = [weights for _, weights in found if weights is not None]
    mean = None
    if weights:
        pairs, largest = _largest_of_each(pairs, np.concatenate(weights))
        pairs, largest = pairs[largest > 0], largest[largest > 0].astype(np.float64)
        mean = float(largest.mean()) if len(largest) else 1.0
        values = (largest / mean).astype(np.float32)
    else:
        pairs = np.unique(pairs)
        values = np.ones(len(pairs), dtype=np.float32)
    users, items = np.divmod(pairs, catalogue)
    numbers, rows = np.unique(users, return_inverse=True)
    matrix = sparse.csr_array((values, (rows, items)), shape=(len(numbers), catalogue))
    return UserItems(matrix, mean)


def _pairs(columns: Columns, catalogue: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the distinct pairs of a row group, as user times V plus item, and the confidences."""
    users, histories = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
    owner = np.repeat(users.astype(np.int64), histories.lengths)
    known = histories.values >= NUM_RESERVED
    pairs = owner[known] * catalogue + histories.values[known]
    if HISTORY_WEIGHTS not in columns:
        return np.unique(pairs), None
    return _largest_of_each(pairs, lists_of(columns, HISTORY_WEIGHTS).values[known])


def _largest_of_each(pairs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct pairs, ascending, and the largest weight of each."""
    distinct, places = np.unique(pairs, return_inverse=True)
    largest = np.zeros(len(distinct), dtype=weights.dtype)
    np.maximum.at(largest, places, weights)
    return distinct, largest
