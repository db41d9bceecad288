"""What ranking models take: impressions as tensors, and tables of what is known of their ids.

Legend of shapes: B rows, L history length, T labels, C categorical fields, N numbers, S fields of
tags, M tags of a row at most, V rows of a table; ... any leading shape.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor


class FieldSpec(NamedTuple):
    """One feature as a model sees it."""

    name: str
    kind: Literal["categorical", "tags", "numbers"]
    size: int
    """Numbers in use of a categorical field or of tags; length of a vector, 1 for one number."""
    is_count: bool = False
    """Whether its numbers are counts, of which the logarithm is taken."""
    is_cross: bool = False
    """Whether it is made of others; it has a number even where they have none."""


class Values(NamedTuple):
    """The fields of some rows, by kind, in the order of their specs."""

    categorical: Tensor
    """[..., C] int32"""
    tags: Tensor
    """[..., S, M] int32, padded with 0."""
    numbers: Tensor
    """[..., N] float32: of each field its numbers, 0 where there is none, then 1 where there are
    any and 0 where there are none."""

    def rows(self, number: Tensor) -> "Values":
        """Return the rows of a table by their numbers: [V, ...] and [...] -> [..., ...]."""
        number = number.long()
        return Values(self.categorical[number], self.tags[number], self.numbers[number])


class RankingBatch(NamedTuple):
    """Impressions."""

    user_idx: Tensor
    """[B] int64"""
    item_idx: Tensor
    """[B] int64"""
    history_idx: Tensor
    """[B, L] int32, oldest first, padded behind with 0."""
    categorical: Tensor
    """[B, C] int32, see `Values`, as are the next two: of the impression's own fields."""
    tags: Tensor
    """[B, S, M] int32"""
    numbers: Tensor
    """[B, N] float32"""
    labels: Tensor
    """[B, T] float32"""
    log_rate: Tensor
    """[B] float32: logarithm of how often the row's item is drawn as a negative for one positive;
    0 where nothing is drawn or corrected."""
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
        """Places of histories, padding included."""
        return self.history_idx.numel()

    @property
    def num_padding(self) -> int:
        """Places of histories that hold nothing."""
        return self.num_cells - int((self.history_idx != 0).sum())

    def take(self, rows: Tensor) -> "RankingBatch":
        """Return the chosen rows: [B] int64 numbers."""
        return RankingBatch(*(tensor[rows] for tensor in self))


def of_kind(fields: Sequence[FieldSpec], kind: str) -> list[FieldSpec]:
    """Return the fields of a kind."""
    return [field for field in fields if field.kind == kind]
