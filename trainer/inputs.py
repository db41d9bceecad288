"""What models take: batches of histories as tensors.

Legend of shapes: B rows, L padded length.
"""

from typing import NamedTuple

from torch import Tensor


class HistoryBatch(NamedTuple):
    """Histories to encode."""

    item_idx: Tensor
    """[B, L] int64, oldest first, padded behind with 0."""
    lengths: Tensor
    """[B] int64, at least 1."""


class TrainBatch(NamedTuple):
    """Histories with the event that follows each position."""

    item_idx: Tensor
    """[B, L] int64, padded behind with 0."""
    target_idx: Tensor
    """[B, L] int64: the item after each position, 0 where there is none."""
    target_weight: Tensor
    """[B, L] float32: weight of each target, 0 where there is none."""

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
