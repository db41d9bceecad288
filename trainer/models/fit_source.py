"""The events that counting models are fitted to: the training part, with or without held-out ones.

Legend of shapes: U users, the reserved numbers included, V catalogue.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from conf.contract import HISTORY_ITEMS, HISTORY_TYPES, NUM_RESERVED, USER_IDX, Manifest
from conf.settings.train import Train
from trainer.data.columns import Columns, lists_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import (
    histories_end,
    item_events,
    read_train_events,
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

    def blocks(self, part: str, columns: Sequence[str]) -> Iterator[Columns]:
        """Yield the row groups of a part."""
        groups = read_row_groups(self.folder, self.manifest.row_groups(part), columns)
        return (found for _, found in groups)

    def rows(self) -> Iterator[Columns]:
        """Yield windows of the events to fit, with at least USER_IDX and HISTORY_ITEMS.

        Adjacent windows of a user share one event.
        """
        if not self.refit:
            yield from self.blocks("train", COLUMNS)
            return
        ends = self._ends()
        for columns in self.blocks("histories", (*COLUMNS, HISTORY_TYPES)):
            yield windows_of(columns, self.manifest, ends)

    def item_events(self) -> np.ndarray:
        """Return each item's number of events to fit: [V] int64."""
        if not self.refit:
            return read_train_events(self.folder, self.manifest)
        return item_events(self.folder, self.manifest, self._ends())

    def user_events(self) -> np.ndarray:
        """Return each user's number of events to fit, which are the oldest ones: [U] int64."""
        if self.refit:
            return self._ends()
        num_users = self.manifest.vocabularies["user"].size
        lengths = training_lengths(self.blocks("train", COLUMNS), num_users)
        return with_single_events(lengths, self.folder, self.manifest)

    def _ends(self) -> np.ndarray:
        return histories_end(self.folder, self.manifest, self.train.refit)


def user_items(blocks: Iterable[Columns], catalogue: int) -> sparse.csr_array:
    """Return 1 for each item that a user has had, however often: [users with items, V] float32.

    Args:
        blocks: Row groups of `train/` with `COLUMNS`; all windows of a user become one row.
        catalogue: V
    """
    pairs = np.unique(np.concatenate([np.zeros(0, np.int64), *_pairs(blocks, catalogue)]))
    users, items = np.divmod(pairs, catalogue)
    numbers, rows = np.unique(users, return_inverse=True)
    ones = np.ones(len(pairs), dtype=np.float32)
    return sparse.csr_array((ones, (rows, items)), shape=(len(numbers), catalogue))


def _pairs(blocks: Iterable[Columns], catalogue: int) -> Iterable[np.ndarray]:
    """Yield the distinct pairs of each row group, each as user times V plus item."""
    for columns in blocks:
        users, histories = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
        owner = np.repeat(users.astype(np.int64), histories.lengths)
        known = histories.values >= NUM_RESERVED
        yield np.unique(owner[known] * catalogue + histories.values[known])
