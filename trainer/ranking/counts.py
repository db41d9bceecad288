"""Counts over the training part of impressions, and the baselines computed from them.

Legend of shapes: N rows, T labels, V items, U users.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conf.contract import Manifest, catalogue_size
from conf.errors import InputError
from trainer.ranking.impressions import Sampling, read_impressions
from trainer.ranking.layout import TRAIN_PART, RankingLayout


@dataclass(frozen=True)
class TrainingCounts:
    """Sums over the training part; each row counts with its weight."""

    label_sums: np.ndarray
    """[V, T] float64"""
    row_weights: np.ndarray
    """[V] float64"""
    known_users: np.ndarray
    """[U] bool, whether a user has any rows."""

    def means(self) -> np.ndarray:
        """Return each label's mean: [T]."""
        means: np.ndarray = self.label_sums.sum(0) / max(self.row_weights.sum(), 1e-12)
        return means

    def mean_over_rows(self, by_item: np.ndarray) -> float:
        """Return the mean over all rows of a number that each item has: [V] -> scalar."""
        return float(self.row_weights @ by_item / max(self.row_weights.sum(), 1e-12))

    def item_rates(self, label: int, prior_rows: float) -> np.ndarray:
        """Return each item's mean, shrunk to the overall mean by `prior_rows` extra rows: [V]."""
        prior = prior_rows * self.means()[label]
        rates: np.ndarray = (self.label_sums[:, label] + prior) / (self.row_weights + prior_rows)
        return rates


def count_training(
    folder: Path, manifest: Manifest, layout: RankingLayout, sampling: Sampling, *, is_rating: bool
) -> TrainingCounts:
    """Return the counts, from one pass over the training part.

    Raises:
        InputError: When a label is not 0 or 1 although `is_rating` is false.
    """
    users = np.zeros(manifest.vocabularies["user"].size, dtype=bool)
    size = catalogue_size(manifest)
    sums, weights = np.zeros((size, len(layout.labels))), np.zeros(size)
    groups = manifest.row_groups(TRAIN_PART)
    for batch in read_impressions(folder, groups, manifest, layout, sampling):
        labels = batch.labels.numpy()
        if not is_rating:
            _require_classes(labels, layout)
        users[batch.user_idx.numpy()] = True
        items, weight = batch.item_idx.numpy(), batch.row_weight.numpy().astype(np.float64)
        weights += np.bincount(items, weights=weight, minlength=size)
        for label, column in enumerate(labels.T):
            sums[:, label] += np.bincount(items, weights=weight * column, minlength=size)
    return TrainingCounts(sums, weights, users)


def _require_classes(labels: np.ndarray, layout: RankingLayout) -> None:
    odd = ~np.isin(labels, (0, 1))
    if odd.any():
        row, label = np.argwhere(odd)[0]
        raise InputError(
            f"label {layout.labels[label]} is {labels[row, label]:g} in a row of {TRAIN_PART}; "
            "train.ranking.loss=bce accepts only 0 and 1; use mse with train.metric=rmse, or a "
            "label of event types"
        )
