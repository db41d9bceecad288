"""Models with a weight for each pair of items: one in the history, one to be scored.

The score of an item is a sum over the events of the history: the weight of the event's position
times the weight of the pair of items. A score that is the same for every user is added, and decides
if no pair has a weight. The Markov chain, nearest neighbours and EASE are such models.

Legend of shapes: B rows, V catalogue, P pairs of items, E events, K recommended items, L longest
history.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from trainer.data.columns import Ragged
from trainer.models.history_weights import (
    WeightedEvents,
    loaded_mean,
    saved_mean,
    weighted_events,
)
from trainer.models.popularity import scaled_popularity, without_events

TIE_BREAK = 1e-6
"""Factor of popularity in scores that are not whole numbers: smaller than pair weights."""


@dataclass(frozen=True)
class ItemToItem:
    """Weights of pairs of items, without those that are zero."""

    everyones: np.ndarray
    """[V] float64: score without any history, the same for every user."""
    starts: np.ndarray
    """[V + 1] int64: the pairs of item i in a history are at starts[i]:starts[i + 1]."""
    items: np.ndarray
    """[P] int32: the second item of each pair, ascending for each first item."""
    pair_weights: np.ndarray
    """[P] float32"""
    history_decay: float
    """Weight of an event relative to the event after it; 0: only the last event counts."""
    mean_confidence: float | None = None
    """Mean confidence of the pairs of user and item that it was fitted to; None: all count 1."""

    @cached_property
    def pairs(self) -> sparse.csr_array:
        """Return the weights as a sparse matrix: [V, V]."""
        catalogue = len(self.everyones)
        parts = (self.pair_weights, self.items, self.starts)
        return sparse.csr_array(parts, shape=(catalogue, catalogue))

    @cached_property
    def unknown(self) -> np.ndarray:
        """See `trainer.models.scorer.Scorer`: items without a score or weight above 0."""
        found = without_events(self.everyones)
        found[self.items] = False
        return found

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float64, -inf for unknown items."""
        events = self._events(histories, rows)
        said = events.matrix(len(self.everyones)) @ self.pairs  # [B, V]
        scores = said.toarray().astype(np.float64)
        scores += self.everyones
        scores[:, self.unknown] = -np.inf
        return torch.from_numpy(scores)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return [B, K, L] float64; together with `everyones` they add up to the score."""
        events = self._events(histories, rows)
        wanted = recommended.clamp(min=0).cpu().numpy()[events.row]  # [E, K]
        pairs = np.zeros(wanted.shape)  # [E, K]
        if wanted.size:  # SciPy returns a sparse array of another shape for no pairs
            said = np.repeat(events.item, wanted.shape[1]), wanted.reshape(-1)
            pairs = np.asarray(self.pairs[said]).reshape(wanted.shape)
        return events.spread(pairs * events.weight[:, None])

    def to(self, device: torch.device) -> "ItemToItem":
        """Return itself: this model always works on the CPU."""
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that `from_weights` needs, in addition to the section."""
        names = ("everyones", "starts", "items", "pair_weights")
        found = {name: torch.from_numpy(getattr(self, name)) for name in names}
        return found | saved_mean(self.mean_confidence)

    @classmethod
    def from_weights(cls, section: dict[str, Any], weights: dict[str, Tensor]) -> "ItemToItem":
        """Return the model with this section and these weights.

        Raises:
            ValueError: When the weights do not belong together.
        """
        found = {
            name: weights[name].numpy() for name in ("everyones", "starts", "items", "pair_weights")
        }
        mean = loaded_mean(weights)
        model = cls(**found, history_decay=section["history_decay"], mean_confidence=mean)
        model.pairs.check_format(full_check=True)
        return model

    def _events(self, histories: Ragged, rows: np.ndarray) -> WeightedEvents:
        return weighted_events(histories, rows, self.history_decay, self.mean_confidence)


def tie_break(train_events: np.ndarray) -> np.ndarray:
    """Return a score for each item, the same for every user, to break ties: [V] float64."""
    return scaled_popularity(train_events) * TIE_BREAK


def strongest_of_each_row(matrix: sparse.csr_array, keep: int) -> sparse.csr_array:
    """Return the matrix with only the `keep` entries of largest magnitude in each row.

    Zeros are left out; of equal entries, those with smaller column numbers stay.
    """
    matrix.eliminate_zeros()
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), lengths)
    order = np.lexsort((matrix.indices, -np.abs(matrix.data), row))
    rank = np.arange(len(row)) - np.repeat(matrix.indptr[:-1], lengths)
    kept = np.sort(order[rank < keep])  # back in the order of row and column
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, keep))])
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def item_to_item(
    blocks: list[sparse.csr_array],
    everyones: np.ndarray,
    history_decay: float,
    mean_confidence: float | None = None,
) -> ItemToItem:
    """Return the model with the pairs of matrices that together have a row for each item."""
    pairs = sparse.vstack(blocks, format="csr")
    return ItemToItem(
        everyones,
        pairs.indptr.astype(np.int64),
        pairs.indices.astype(np.int32),
        pairs.data.astype(np.float32),
        history_decay,
        mean_confidence,
    )
