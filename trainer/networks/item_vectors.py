"""Item vectors: each item's own embedding plus a vector made from its features.

Pure torch.

Legend of shapes: V catalogue, D width, M items; ... any leading shape.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conf.contract import NUM_RESERVED
from trainer.networks.fields import FieldEmbedding, FieldSpec, Values, of_kind

ITEMS_AT_ONCE = 1 << 16
"""Number of items whose features are looked up together if no gradient is needed."""


class ItemVectors(nn.Module):
    """The embeddings of items that training has seen, plus their content if it is used."""

    def __init__(
        self,
        *,
        catalogue: int,
        width: int,
        fields: Sequence[FieldSpec],
        dropout: float,
        id_dropout: float,
    ) -> None:
        """Make the tables.

        Args:
            catalogue: V
            width: D
            fields: Features to use; if there are none, embeddings alone.
            dropout: Probability that a feature is treated as missing in training.
            id_dropout: Probability that a candidate's own embedding is left out in training.
        """
        super().__init__()
        self.embedding = nn.Embedding(catalogue, width)
        self.content = ItemContent(fields=fields, width=width, dropout=dropout) if fields else None
        self.id_dropout = id_dropout if fields else 0.0
        self.register_buffer("is_trained", torch.ones(catalogue, dtype=torch.bool))
        self.has_untrained = False
        self.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    def look_for_untrained(self) -> None:
        """Record whether there are items without a training event."""
        self.has_untrained = not bool(self.get_buffer("is_trained").all())

    def set_catalogue(self, train_events: Tensor, features: Values | None) -> None:
        """Set which items training will see, and the features of all items.

        Args:
            train_events: [V] number of training events of each item.
            features: [V, ...]; None if no feature is used.
        """
        is_trained = train_events > 0
        is_trained[:NUM_RESERVED] = True  # the number of unknown items is learned too
        self.is_trained = is_trained
        self.look_for_untrained()
        if self.content is not None and features is not None:
            self.content.set_table(features)

    def add_trained(self, is_trained: Tensor) -> None:
        """Mark items that an earlier training has seen, too: [old V] bool, the first items."""
        seen = self.get_buffer("is_trained")
        seen[: len(is_trained)] |= is_trained.to(seen.device)
        self.look_for_untrained()

    @torch.no_grad()
    def extend(self, features: Values) -> None:
        """Add items that are new since the training and known by their features alone.

        Args:
            features: [V, ...] of all items, the old ones first.
        """
        assert self.content is not None
        self.content.set_table(features)
        old, count = self.embedding, len(features.numbers) - self.embedding.num_embeddings
        weight = torch.cat([old.weight, old.weight.new_zeros(count, old.embedding_dim)])
        self.embedding = nn.Embedding(len(weight), old.embedding_dim, _weight=weight)
        seen = self.get_buffer("is_trained")
        self.is_trained = torch.cat([seen, seen.new_zeros(count)])
        self.look_for_untrained()

    def unknown(self) -> Tensor | None:
        """Return the items that have neither training events nor features: [V] bool.

        None if every item has training events.
        """
        if not self.has_untrained:
            return None
        known = self.get_buffer("is_trained")
        return ~known if self.content is None else ~(known | self.content.has_any())

    def forward(self, item_idx: Tensor, *, are_candidates: bool = False) -> Tensor:
        """Return the vectors of some items: [...] -> [..., D].

        Args:
            item_idx: Their numbers.
            are_candidates: Whether the items are to be scored. Only then `id_dropout` leaves out
                embeddings, never in histories.
        """
        if self.content is None:
            return self._own(item_idx)
        items, places = torch.unique(item_idx, return_inverse=True)  # [M], [...]
        return self._whole(items, self.id_dropout if are_candidates else 0.0)[places]

    def all(self) -> Tensor:
        """Return the vectors of all items, as candidates: [V, D]."""
        if self.content is None:
            weight = self.embedding.weight
            seen = self.get_buffer("is_trained").unsqueeze(-1)
            return weight * seen if self.has_untrained else weight
        numbers = torch.arange(self.embedding.num_embeddings, device=self.embedding.weight.device)
        if torch.is_grad_enabled():
            return self._whole(numbers, self.id_dropout)
        return torch.cat([self._whole(part, 0.0) for part in torch.split(numbers, ITEMS_AT_ONCE)])

    def _whole(self, items: Tensor, id_dropout: float) -> Tensor:
        assert self.content is not None
        own, content = self._own(items), self.content(items)  # [M, D], [M, D]
        if self.training and id_dropout > 0:
            keeps = torch.rand(len(items), 1, device=own.device) >= id_dropout
            own = own * keeps
        whole: Tensor = own + content
        return whole

    def _own(self, item_idx: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(item_idx)
        if self.has_untrained:
            vectors = vectors * self.get_buffer("is_trained")[item_idx].unsqueeze(-1)
        return vectors


def _look_again(vectors: ItemVectors, _: Any) -> None:
    vectors.look_for_untrained()


class ItemContent(nn.Module):
    """The normalised sum of an item's projected features, plus a small network's output for it.

    The features themselves are part of the model, so scoring needs no dataset.
    """

    def __init__(self, *, fields: Sequence[FieldSpec], width: int, dropout: float) -> None:
        """Make the network, with an empty table.

        Args:
            fields: Features of the items.
            width: D
            dropout: Probability that a feature of an item is treated as missing in training.
        """
        super().__init__()
        self.specs = tuple(fields)
        self.fields = FieldEmbedding(fields=fields, width=width)
        # Without normalisation, the sum of the features learns too slowly.
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = dropout
        sizes = torch.tensor([field.size + 1 for field in of_kind(fields, "numbers")]).long()
        # The field of each number, and the positions of the presence masks.
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
        """Set the features of all items: [V, ...]."""
        for name, tensor in values._asdict().items():
            setattr(self, name, tensor)

    def has_any(self) -> Tensor:
        """Return whether each item has any feature, apart from crosses: [V] bool."""
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
        """Return the values with random features of each item set to missing."""
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
        """Accept a table of any size, which depends on the catalogue and the longest tags."""
        for name in Values._fields:
            if prefix + name in state_dict:
                own = torch.empty_like(state_dict[prefix + name], device=self.inner.weight.device)
                setattr(self, name, own)
        super()._load_from_state_dict(state_dict, prefix, *rest)
