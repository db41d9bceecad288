"""Turn each field of some rows into a vector; all vectors have the same width.

Pure torch.

Legend of shapes: F fields, W width, C categorical fields, S fields of tags, M tags of a row,
N numbers and their masks, V rows of a table; ... any leading shape.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn


class FieldSpec(NamedTuple):
    """One feature as a model sees it."""

    name: str
    kind: Literal["categorical", "tags", "numbers"]
    size: int
    """Number of codes of a categorical field or of tags; length of a vector, 1 for one number."""
    is_count: bool = False
    """Whether its numbers are counts, or a place that is counted; models get the logarithm."""
    is_cross: bool = False
    """Whether it combines other fields; it then has a code even if they have no value."""


class Values(NamedTuple):
    """The fields of some rows, by kind, in the order of their specs."""

    categorical: Tensor
    """[..., C] int32"""
    tags: Tensor
    """[..., S, M] int32, padded with 0."""
    numbers: Tensor
    """[..., N] float32: for each field its numbers, 0 if missing, then its mask: 1 if they are
    present, else 0."""

    def rows(self, number: Tensor) -> "Values":
        """Return the rows of a table by their numbers: [V, ...] and [...] -> [..., ...]."""
        number = number.long()
        return Values(self.categorical[number], self.tags[number], self.numbers[number])


class FieldEmbedding(nn.Module):
    """A vector for each field: an embedding, a mean over tags, or a linear map of numbers.

    The modules are named by their index, so the names of weights do not contain the fields' names.
    """

    def __init__(self, *, fields: Sequence[FieldSpec], width: int) -> None:
        super().__init__()
        self.width = width
        ordered = [f for kind in ("categorical", "tags", "numbers") for f in of_kind(fields, kind)]
        self.kinds = [field.kind for field in ordered]
        self.sizes = [field.size for field in ordered]
        self.embeddings = nn.ModuleDict()
        for number, field in enumerate(ordered):
            if field.kind == "numbers":
                self.embeddings[f"{number}_dense"] = nn.Linear(field.size, width)
                # Used in place of a missing value.
                self.embeddings[f"{number}_missing_embedding"] = nn.Embedding(1, width)
            else:
                self.embeddings[f"{number}_embedding"] = nn.Embedding(field.size, width)

    @property
    def num_fields(self) -> int:
        """Return F."""
        return len(self.kinds)

    def initialise_numbers(self, std: float) -> None:
        """Let the vectors of single numbers begin as small as embeddings, drawn from N(0, std).

        Logarithms of counts reach ten and more; with a dense layer's weights their products would
        be thousands when training begins.
        """
        for number, (kind, size) in enumerate(zip(self.kinds, self.sizes, strict=True)):
            if kind == "numbers" and size == 1:
                weight = cast(nn.Linear, self.embeddings[f"{number}_dense"]).weight
                nn.init.normal_(weight, std=std)

    def forward(self, values: Values) -> Tensor:
        """Return the vectors of rows: [..., F, W], those of numbers last."""
        vectors: list[Tensor] = []
        categorical = tags = start = 0
        for number, (kind, size) in enumerate(zip(self.kinds, self.sizes, strict=True)):
            if kind == "categorical":
                vectors.append(self._table(number)(values.categorical[..., categorical]))
                categorical += 1
            elif kind == "tags":
                vectors.append(_mean_of_tags(self._table(number), values.tags[..., tags, :]))
                tags += 1
            else:
                vectors.append(self._dense(number, values.numbers[..., start : start + size + 1]))
                start += size + 1
        if not vectors:
            return values.numbers.new_zeros((*values.numbers.shape[:-1], 0, self.width))
        return torch.stack(vectors, dim=-2)  # [..., F, W]

    def _table(self, number: int) -> nn.Embedding:
        return cast(nn.Embedding, self.embeddings[f"{number}_embedding"])

    def _dense(self, number: int, numbers: Tensor) -> Tensor:
        """Return the vectors for one field's numbers and mask: [..., size + 1] -> [..., W]."""
        is_there = numbers[..., -1:]  # [..., 1]
        made: Tensor = self.embeddings[f"{number}_dense"](numbers[..., :-1])  # [..., W]
        missing = cast(nn.Embedding, self.embeddings[f"{number}_missing_embedding"]).weight[0]
        return made * is_there + missing * (1 - is_there)


def _mean_of_tags(table: nn.Embedding, tags: Tensor) -> Tensor:
    """Return the mean vector of each row's tags, zero without tags: [..., M] -> [..., W]."""
    is_there = (tags != 0).unsqueeze(-1).to(table.weight.dtype)  # [..., M, 1]
    total: Tensor = (table(tags) * is_there).sum(-2)  # [..., W]
    return total / is_there.sum(-2).clamp(min=1)


def of_kind(fields: Sequence[FieldSpec], kind: str) -> list[FieldSpec]:
    """Return the fields of one kind."""
    return [field for field in fields if field.kind == kind]
