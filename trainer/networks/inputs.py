"""Inputs of the models: batches of histories and of impressions as tensors.

Legend of shapes: B rows, L padded length, C categorical features of an event, N numbers, T labels.
For impressions, C, S, M and N are as in `fields`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.networks.fields import Values

WEEK_HOURS = 168
HOURS_TO_1970 = 72
"""From Monday at midnight to the Thursday at midnight on which 1970 began."""
HOUR_MICROSECONDS = 3_600_000_000
GAP_CLASSES = 34
"""Classes of the time since the previous event: none, below a second, then one for each power of
two."""


class HistoryBatch(NamedTuple):
    """Histories to encode."""

    item_idx: Tensor
    """[B, L] int64, oldest first, padded at the end with 0."""
    lengths: Tensor
    """[B] int64, at least 1."""
    type_idx: Tensor | None = None
    """[B, L] int64 event types. This and the next four are None if the batch lacks them."""
    gap_idx: Tensor | None = None
    """[B, L] int64 classes of the time since the previous event."""
    hour_idx: Tensor | None = None
    """[B, L] int64 hours of the week, from 0 on Monday at midnight (UTC)."""
    feature_idx: Tensor | None = None
    """[B, L, C] int64 codes of the events' categorical features, 0 if missing."""
    feature_numbers: Tensor | None = None
    """[B, L, 2 N] float32: each number's value, then 1 if it is present, else 0."""

    def to(self, device: torch.device) -> "HistoryBatch":
        """Return the batch with its tensors on the device."""
        return HistoryBatch(*(moved(tensor, device) for tensor in self))  # type: ignore[arg-type]

    def take(self, rows: Tensor) -> "HistoryBatch":
        """Return the chosen rows: [B] int64 row numbers."""
        return HistoryBatch(*(None if tensor is None else tensor[rows] for tensor in self))  # type: ignore[arg-type]


class TrainBatch(NamedTuple):
    """Histories with the event that follows each position."""

    item_idx: Tensor
    """[B, L] int64, padded at the end with 0."""
    target_idx: Tensor
    """[B, L] int64: the item after each position, 0 if there is none."""
    target_weight: Tensor
    """[B, L] float32: weight of each target, 0 if there is none."""
    type_idx: Tensor | None = None
    """[B, L] int64. This and the next four are as in `HistoryBatch`."""
    gap_idx: Tensor | None = None
    """[B, L] int64"""
    hour_idx: Tensor | None = None
    """[B, L] int64"""
    feature_idx: Tensor | None = None
    """[B, L, C] int64"""
    feature_numbers: Tensor | None = None
    """[B, L, 2 N] float32"""

    @property
    def histories(self) -> HistoryBatch:
        """The inputs alone."""
        lengths = (self.target_idx != 0).sum(1)
        return HistoryBatch(self.item_idx, lengths, *self.context)

    @property
    def context(self) -> tuple[Tensor | None, ...]:
        """The inputs other than items, in the order of `HistoryBatch`."""
        return (self.type_idx, self.gap_idx, self.hour_idx, self.feature_idx, self.feature_numbers)

    @property
    def weight(self) -> Tensor:
        """Sum of the weights of all targets."""
        return self.target_weight.sum()

    @property
    def num_rows(self) -> int:
        """Rows of the training part."""
        return self.item_idx.shape[0]

    @property
    def num_cells(self) -> int:
        """Positions, padding included."""
        return self.item_idx.numel()

    @property
    def num_padding(self) -> int:
        """Positions without a target."""
        return self.num_cells - int((self.target_idx != 0).sum())


def moved(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    """Return the tensor on the device, if there is one."""
    return None if tensor is None else tensor.to(device, non_blocking=True)


def gap_classes(times: Tensor) -> Tensor:
    """Return the class of the time since the previous event: [B, L] microseconds -> [B, L] int64.

    The first event has class 0. The others have a class for each power of two in seconds, up to
    2 ** 32.
    """
    seconds = (times[:, 1:] - times[:, :-1]).clamp(min=0).double() / 1e6  # [B, L - 1]
    classes = (seconds + 1).log2().floor().long().clamp(max=GAP_CLASSES - 2) + 1
    return F.pad(classes, (1, 0))


def hours_of_week(times: Tensor) -> Tensor:
    """Return the hour of the week, 0 on Monday at midnight (UTC): microseconds -> int64."""
    hours = torch.div(times, HOUR_MICROSECONDS, rounding_mode="floor")
    return (hours + HOURS_TO_1970) % WEEK_HOURS


class RankingBatch(NamedTuple):
    """Impressions to rank."""

    user_idx: Tensor
    """[B] int64"""
    item_idx: Tensor
    """[B] int64"""
    history_idx: Tensor
    """[B, L] int32, oldest first, padded at the end with 0."""
    categorical: Tensor
    """[B, C] int32. This and the next two are the impression's own fields, see `Values`."""
    tags: Tensor
    """[B, S, M] int32"""
    numbers: Tensor
    """[B, N] float32"""
    labels: Tensor
    """[B, T] float32"""
    log_rate: Tensor
    """[B] float32: logarithm of how often the row's item is drawn as a negative per positive; 0 if
    negatives are not drawn or not corrected for."""
    row_weight: Tensor
    """[B] float32"""

    @property
    def context(self) -> Values:
        """The impressions' own fields."""
        return Values(self.categorical, self.tags, self.numbers)

    @property
    def weight(self) -> Tensor:
        """Sum of the rows' weights."""
        return self.row_weight.sum()

    @property
    def num_rows(self) -> int:
        """Rows of the training part."""
        return self.labels.shape[0]

    @property
    def num_cells(self) -> int:
        """Positions of histories, padding included."""
        return self.history_idx.numel()

    @property
    def num_padding(self) -> int:
        """Positions of histories that are padding."""
        return self.num_cells - int((self.history_idx != 0).sum())

    def take(self, rows: Tensor) -> "RankingBatch":
        """Return the chosen rows: [B] int64 row numbers."""
        return RankingBatch(*(tensor[rows] for tensor in self))
