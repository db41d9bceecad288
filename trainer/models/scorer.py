"""The interface of all models: score all items for histories, and attribute scores to events.

Legend of shapes: B rows, V catalogue, K recommended items, L longest history, N newest events
that a network sees.
"""

from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED, UNKNOWN_IDX
from trainer.data.batches import history_batch
from trainer.data.columns import Ragged
from trainer.models.alike import even_groups, even_lengths, filled, filled_tensor, lengthened
from trainer.models.attribution import parts_by_removal
from trainer.networks.inputs import HistoryBatch
from trainer.networks.retrieval import RetrievalModel


class Scorer(Protocol):
    """A model that scores all items for rows of histories."""

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] scores of the chosen rows."""

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return each event's contribution to the scores of some items: [B, K, L].

        Position l is the l-th event of a row, oldest first; after a row's last event are zeros.
        Only the sum over the events of an item matters; it may be at any one of them.

        Args:
            histories: As for `scores`.
            rows: [B]
            recommended: [B, K] int64; entries for negative item numbers are undefined.
        """

    def to(self, device: torch.device) -> "Scorer":
        """Return the same scorer, moved to the device if it can use one."""

    @property
    def unknown(self) -> np.ndarray | None:
        """Unknown items, which the model never recommends: [V] bool; None if there are none."""


class ModelScorer:
    """A retrieval model as a scorer."""

    def __init__(self, model: RetrievalModel, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)

    @cached_property
    def item_vectors(self) -> Tensor:
        """Vectors that users are scored against, from the weights at the first use: [V, D]."""
        with torch.no_grad():
            return self.model.item_vectors()

    @cached_property
    def middle(self) -> Tensor:
        """Mean of the vectors of the items that are known: [D]."""
        known = torch.ones(len(self.item_vectors), dtype=torch.bool, device=self.device)
        if self.left_out is not None:
            known &= ~self.left_out
        known[:NUM_RESERVED] = False
        return (known.float() @ self.item_vectors) / known.sum().clamp(min=1)

    @cached_property
    def left_out(self) -> Tensor | None:
        """The same as `unknown`, on the device."""
        return self.model.items.unknown()

    @property
    def unknown(self) -> np.ndarray | None:
        """See `Scorer`."""
        return None if self.left_out is None else self.left_out.cpu().numpy()

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float32, -inf for unknown items."""
        vectors = filled_tensor(self.vectors(histories, rows))
        scores: Tensor = (vectors @ self.item_vectors.T)[: len(rows)]
        return scores if self.left_out is None else scores.masked_fill(self.left_out, -torch.inf)

    def vectors(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return the vectors of the chosen rows, each the same whatever the other rows: [B, D]."""
        found = self.item_vectors.new_zeros((len(rows), self.item_vectors.shape[1]))
        lengths = even_lengths(histories.lengths[rows], self.model.history_length)
        for some, length in even_groups(lengths):
            batch = lengthened(self.batch(histories, rows[filled(some)]), length)
            found[torch.from_numpy(some).to(found.device)] = self.model.encode(batch)[: len(some)]
        return found

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return [B, K, L] float32, an item's contribution at one event: see `attribution`."""
        return parts_by_removal(self, histories, rows, recommended)

    def to(self, device: torch.device) -> "ModelScorer":
        """Return the same model on the device; itself, with its vectors, if it is there already."""
        return self if device == self.device else ModelScorer(self.model, device)

    def batch(self, histories: Ragged, rows: np.ndarray) -> HistoryBatch:
        """Return the chosen rows as input of the model, with `UNKNOWN_IDX` for unknown items."""
        length, context = self.model.history_length, self.model.context
        batch = history_batch(
            histories, rows, length, with_context=context.is_used, fields=context.specs
        ).to(self.device)
        if self.left_out is None:
            return batch
        unknown = self.left_out[batch.item_idx]  # [B, L]
        return batch._replace(item_idx=batch.item_idx.masked_fill(unknown, UNKNOWN_IDX))
