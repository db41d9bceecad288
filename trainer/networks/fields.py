"""Turn the fields of rows into vectors of one width each.

Pure torch.

Legend of shapes: F fields, W width; ... any leading shape; others as in `ranking_inputs`.
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


class FieldEmbedding(nn.Module):
    """A vector for each field: looked up, the mean of those of its tags, or made of its numbers.

    The modules are called by their number: what the log calls a field is in no name of a weight.
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
                # What stands in for a value that is not there.
                self.embeddings[f"{number}_missing_embedding"] = nn.Embedding(1, width)
            else:
                self.embeddings[f"{number}_embedding"] = nn.Embedding(field.size, width)

    @property
    def num_fields(self) -> int:
        """Return F."""
        return len(self.kinds)

    def forward(self, values: Values) -> Tensor:
        """Return the vectors of rows: [..., F, W], those made of numbers last."""
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
        """Return the vectors of one field's numbers and mask: [..., size + 1] -> [..., W]."""
        is_there = numbers[..., -1:]  # [..., 1]
        made: Tensor = self.embeddings[f"{number}_dense"](numbers[..., :-1])  # [..., W]
        missing = cast(nn.Embedding, self.embeddings[f"{number}_missing_embedding"]).weight[0]
        return made * is_there + missing * (1 - is_there)


def _mean_of_tags(table: nn.Embedding, tags: Tensor) -> Tensor:
    """Return the mean vector of each row's tags, zero where there are none: -> [..., W]."""
    is_there = (tags != 0).unsqueeze(-1).to(table.weight.dtype)  # [..., M, 1]
    total: Tensor = (table(tags) * is_there).sum(-2)  # [..., W]
    return total / is_there.sum(-2).clamp(min=1)


def of_kind(fields: Sequence[FieldSpec], kind: str) -> list[FieldSpec]:
    """Return the fields of a kind."""
    return [field for field in fields if field.kind == kind]
