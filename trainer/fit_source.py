"""What a model that counts is fitted to: the training part, or with it what was held out.

Legend of shapes: U users, the reserved numbers included, V catalogue.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TYPES,
    NUM_RESERVED,
    Manifest,
    catalogue_size,
)
from conf.train_schema import Train
from trainer.catalogue import read_train_events
from trainer.columns import Columns, lists_of
from trainer.popularity import training_lengths
from trainer.refit import cut_windows, events_before, histories_end
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
        most, etl = self._histories_end(), self.manifest.config["etl"]
        weights = [etl["event_types"][name]["weight"] for name in self.manifest.event_types]
        for columns in self.blocks("histories", (*COLUMNS, HISTORY_TYPES)):
            yield cut_windows(
                columns, window_length=etl["window_length"], weights=weights, most=most
            )

    def item_events(self) -> np.ndarray:
        """Return how many events of what is fitted to each item has: [V] int64."""
        if not self.refit:
            return read_train_events(self.folder, self.manifest)
        events, ends = np.zeros(catalogue_size(self.manifest), np.int64), self._histories_end()
        for columns in self.blocks("histories", COLUMNS):
            items = lists_of(columns, HISTORY_ITEMS).values
            events += np.bincount(items[events_before(columns, ends)], minlength=len(events))
        events[:NUM_RESERVED] = 0
        return events

    def user_events(self) -> np.ndarray:
        """Return how many of the oldest events of each user's history are fitted to: [U] int64."""
        if self.refit:
            return self._histories_end()
        num_users = self.manifest.vocabularies["user"].size
        return training_lengths(self.blocks("train", COLUMNS), num_users)

    def _histories_end(self) -> np.ndarray:
        return histories_end(self.folder, self.manifest, self.train.refit)
