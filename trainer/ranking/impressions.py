"""Read impressions and features as tensors.

Legend of shapes: N rows, V numbers of a table, T labels; others as in `trainer.networks.inputs`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    LABEL_PREFIX,
    NUM_RESERVED,
    SAMPLING_PROBABILITY,
    USER_IDX,
    Manifest,
    RowGroup,
    catalogue_size,
)
from trainer.data.columns import Columns, lists_of, numbers_of, padded
from trainer.data.feature_tables import (
    ITEM_FEATURES,
    USER_FEATURES,
    read_table,
    values_of,
)
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events
from trainer.networks.fields import Values
from trainer.networks.inputs import RankingBatch
from trainer.ranking.layout import RankingLayout


@dataclass(frozen=True)
class Sampling:
    """How a dataset's negatives were drawn, and how training corrects for it."""

    log_rate: np.ndarray
    """[V] float32, logarithm of the expected draws of each item per positive; 0: no correction."""
    draws: float
    """Draws per positive, each with the probability of the row; 0: rows are not weighted."""

    def row_weights(self, probability: np.ndarray) -> np.ndarray:
        """Return the weights of rows by their probability of being drawn: [N] float32.

        The weight of a drawn negative is the inverse of its expected number of draws, so sums over
        rows estimate sums over all items. Source: Horvitz & Thompson 1952.
        """
        if not self.draws:
            return np.ones(len(probability), dtype=np.float32)
        drawn = probability < 1
        rate = np.where(drawn, probability * self.draws, 1.0)
        return (1 / np.maximum(rate, np.finfo(np.float32).tiny)).astype(np.float32)


def sampling_of(folder: Path, manifest: Manifest, how: str) -> Sampling:
    """Return the correction for a dataset's negatives that `train.ranking.sampling` selects.

    Args:
        folder: Folder of the dataset.
        manifest: Its manifest, whose configuration says how negatives were drawn.
        how: `none`, `logit` or `weight`.
    """
    spec = manifest.config["etl"]["impressions"]
    size = catalogue_size(manifest)
    nothing = np.zeros(size, dtype=np.float32)
    if how == "none" or spec["negatives"] == "logged":
        return Sampling(nothing, 0)
    # Each other item of a session is drawn at most once; its probability is that of this draw.
    draws = 1 if spec["negatives"] == "session" else spec["negatives_per_positive"]
    if how == "weight":
        return Sampling(nothing, draws)
    if spec["negatives"] == "uniform":
        share = np.full(size, 1 / max(size - NUM_RESERVED, 1))
    else:
        events = np.maximum(read_train_events(folder, manifest), 1)
        share = events / events[NUM_RESERVED:].sum()
    return Sampling(np.log(draws * share).astype(np.float32), 0)


def impressions_of(columns: Columns, layout: RankingLayout, sampling: Sampling) -> RankingBatch:
    """Return the rows of row groups as one batch."""
    items, probability = numbers_of(columns, ITEM_IDX), numbers_of(columns, SAMPLING_PROBABILITY)
    labels = np.stack([numbers_of(columns, LABEL_PREFIX + name) for name in layout.labels], axis=1)
    return RankingBatch(
        torch.from_numpy(numbers_of(columns, USER_IDX).astype(np.int64)),
        torch.from_numpy(items.astype(np.int64)),
        _histories(columns, layout.history_length, len(items)),
        *values_of(columns, layout.context_fields, len(items)),
        torch.from_numpy(labels.astype(np.float32)),  # [N, T]
        torch.from_numpy(sampling.log_rate[np.minimum(items, len(sampling.log_rate) - 1)]),
        torch.from_numpy(sampling.row_weights(probability)),
    )


def read_impressions(
    folder: Path,
    groups: Sequence[RowGroup],
    manifest: Manifest,
    layout: RankingLayout,
    sampling: Sampling,
) -> Iterator[RankingBatch]:
    """Yield each row group as one batch, in the order given."""
    for _, columns in read_row_groups(folder, groups, layout.impression_columns(manifest)):
        yield impressions_of(columns, layout, sampling)


def read_tables(folder: Path, manifest: Manifest, layout: RankingLayout) -> tuple[Values, Values]:
    """Return the features of users and of items, one row for each number in use: [V, ...]."""
    users = read_table(folder, manifest, USER_FEATURES, layout.user_fields, USER_IDX, "user")
    items = read_table(folder, manifest, ITEM_FEATURES, layout.item_fields, ITEM_IDX, "item")
    return users, items


def _histories(columns: Columns, length: int, num_rows: int) -> torch.Tensor:
    """Return the newest items before each row: [N, L] int32."""
    if not length:
        return torch.zeros((num_rows, 0), dtype=torch.int32)
    items, _ = padded(lists_of(columns, HISTORY_ITEMS), np.arange(num_rows), length)
    return torch.from_numpy(items.astype(np.int32))
