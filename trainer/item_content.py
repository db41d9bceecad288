"""What is known of items besides who took them: their features as vectors of the model's width.

Pure torch.

Legend of shapes: V catalogue, M items asked for, D width; of fields as in `ranking_inputs`.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.ranking_fields import FieldEmbedding
from trainer.ranking_inputs import FieldSpec, Values, of_kind


class ItemContent(nn.Module):
    """The sum of an item's projected features, normalised, and what a small network makes of it.

    The features themselves are part of the model, so that it needs no dataset to score.
    """

    def __init__(self, *, fields: Sequence[FieldSpec], width: int, dropout: float) -> None:
        """Make the network, with an empty table.

        Args:
            fields: Features of the items.
            width: D
            dropout: Chance of each feature of an item to be taken for missing, in training.
        """
        super().__init__()
        self.specs = tuple(fields)
        self.fields = FieldEmbedding(fields=fields, width=width)
        # Brings features to a scale of their own: added up as they are, they learn too slowly.
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = dropout
        sizes = torch.tensor([field.size + 1 for field in of_kind(fields, "numbers")]).long()
        # Which field each number belongs to, and which say whether a field is there.
        places = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.register_buffer("number_field", places, persistent=False)
        self.register_buffer("present_at", sizes.cumsum(0) - 1, persistent=False)
        own = [not field.is_cross for field in of_kind(fields, "categorical")]
        self.register_buffer("is_own", torch.tensor(own, dtype=torch.bool), persistent=False)
        for name in Values._fields:
            self.register_buffer(name, torch.zeros(0))

    @property
    def table(self) -> Values:
        """The features of all items: [V, ...]."""
        return Values(*(self.get_buffer(name) for name in Values._fields))

    def set_table(self, values: Values) -> None:
        """Take the features of all items: [V, ...]."""
        for name, tensor in values._asdict().items():
            setattr(self, name, tensor)

    def has_any(self) -> Tensor:
        """Return whether anything is known of each item: [V] bool."""
        table = self.table
        codes = table.categorical[:, self.get_buffer("is_own")]
        coded = (codes != 0).any(1) | (table.tags != 0).flatten(1).any(1)
        present = table.numbers[:, self.get_buffer("present_at")].any(1)
        known: Tensor = coded | present
        return known

    def forward(self, item_idx: Tensor) -> Tensor:
        """Return the vectors of items: [M] -> [M, D]."""
        values = self.table.rows(item_idx)
        if self.training and self.dropout > 0:
            values = self._with_gaps(values)
        total: Tensor = self.norm(self.fields(values).sum(-2))  # [M, D]
        made: Tensor = self.outer(F.gelu(self.inner(total)))
        return total + made

    def _with_gaps(self, values: Values) -> Values:
        """Return the values with some of the features of each item missing."""
        counts = (
            values.categorical.shape[1],
            values.tags.shape[1],
            len(self.get_buffer("present_at")),
        )
        rows, device = len(values.numbers), values.numbers.device
        kept = [torch.rand(rows, count, device=device) >= self.dropout for count in counts]
        return Values(
            values.categorical * kept[0],
            values.tags * kept[1][..., None],
            values.numbers * kept[2][:, self.get_buffer("number_field")],
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the table as it comes: its size is the catalogue's and the longest tags'."""
        for name in Values._fields:
            if prefix + name in state_dict:
                own = torch.empty_like(state_dict[prefix + name], device=self.inner.weight.device)
                setattr(self, name, own)
        super()._load_from_state_dict(state_dict, prefix, *rest)
