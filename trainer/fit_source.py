"""What a model that counts is fitted to: the training part, or with it what was held out.

Legend of shapes: U users, the reserved numbers included, V catalogue.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from conf.contract import HISTORY_TYPES, Manifest
from conf.train_schema import Train
from trainer.catalogue import read_train_events
from trainer.columns import Columns
from trainer.popularity import training_lengths
from trainer.refit import histories_end, item_events, windows_of
from trainer.stream import read_row_groups
from trainer.user_items import COLUMNS


class Source(NamedTuple):
    """A dataset, and which of its events count."""

    train: Train
    seed: int
    folder: Path
    """Of the dataset."""
    manifest: Manifest
    refit: bool = False
    """Whether what `train.refit` names joins the training part."""

    def blocks(self, part: str, columns: Sequence[str]) -> Iterator[Columns]:
        """Yield the row groups of a part."""
        groups = read_row_groups(self.folder, self.manifest.row_groups(part), columns)
        return (found for _, found in groups)

    def rows(self) -> Iterator[Columns]:
        """Yield USER_IDX and HISTORY_ITEMS of windows of what is fitted to.

        Windows of a user that stand next to each other share one event.
        """
        if not self.refit:
            yield from self.blocks("train", COLUMNS)
            return
        ends = self._ends()
        for columns in self.blocks("histories", (*COLUMNS, HISTORY_TYPES)):
            yield windows_of(columns, self.manifest, ends)

    def item_events(self) -> np.ndarray:
        """Return how many events of what is fitted to each item has: [V] int64."""
        if not self.refit:
            return read_train_events(self.folder, self.manifest)
        return item_events(self.folder, self.manifest, self._ends())

    def user_events(self) -> np.ndarray:
        """Return how many of the oldest events of each user's history are fitted to: [U] int64."""
        if self.refit:
            return self._ends()
        num_users = self.manifest.vocabularies["user"].size
        return training_lengths(self.blocks("train", COLUMNS), num_users)

    def _ends(self) -> np.ndarray:
        return histories_end(self.folder, self.manifest, self.train.refit)
