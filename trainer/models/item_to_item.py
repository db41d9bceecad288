"""Models that add up what each item of a history says of each other one.

The score of an item is the sum, over the events of the history, of a weight of the event's place
times a weight of the pair of items; to that comes a score which is the same for everybody and
decides where no pair says anything. The Markov chain, nearest neighbours and EASE are such models.

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
from trainer.models.history_weights import weighted_events
from trainer.models.popularity import scaled_popularity, without_events

TIE_BREAK = 1e-6
"""Share of popularity in scores that are no whole numbers: below what pairs of items say."""


@dataclass(frozen=True)
class ItemToItem:
    """Weights of pairs of items, those that are zero left out."""

    everyones: np.ndarray
    """[V] float64: score without any history."""
    starts: np.ndarray
    """[V + 1] int64: what item i says lies at starts[i]:starts[i + 1]."""
    items: np.ndarray
    """[P] int32: the other item, ascending for each first one."""
    pair_weights: np.ndarray
    """[P] float32"""
    history_decay: float
    """Weight of an event over that of the one after it; 0: the last event alone counts."""

    @cached_property
    def pairs(self) -> sparse.csr_array:
        """Return the weights as a sparse matrix: [V, V]."""
        catalogue = len(self.everyones)
        parts = (self.pair_weights, self.items, self.starts)
        return sparse.csr_array(parts, shape=(catalogue, catalogue))

    @cached_property
    def unknown(self) -> np.ndarray:
        """See `trainer.models.scorer.Scorer`: items that nothing says anything of."""
        found = without_events(self.everyones)
        found[self.items] = False
        return found

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float64, -inf for items that nothing is known of."""
        events = weighted_events(histories, rows, self.history_decay)
        said = events.matrix(len(self.everyones)) @ self.pairs  # [B, V]
        scores = said.toarray().astype(np.float64)
        scores += self.everyones
        scores[:, self.unknown] = -np.inf
        return torch.from_numpy(scores)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return [B, K, L] float64; with the score that is everybody's they add up to the score."""
        events = weighted_events(histories, rows, self.history_decay)
        wanted = recommended.clamp(min=0).cpu().numpy()[events.row]  # [E, K]
        said = np.repeat(events.item, wanted.shape[1]), wanted.reshape(-1)
        pairs = np.asarray(self.pairs[said]).reshape(wanted.shape)  # [E, K]
        return events.spread(pairs * events.weight[:, None])

    def to(self, device: torch.device) -> "ItemToItem":
        """Return itself: it works on the CPU."""
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return all that `from_weights` needs besides the section."""
        names = ("everyones", "starts", "items", "pair_weights")
        return {name: torch.from_numpy(getattr(self, name)) for name in names}

    @classmethod
    def from_weights(cls, section: dict[str, Any], weights: dict[str, Tensor]) -> "ItemToItem":
        """Return the model that these are the weights of.

        Raises:
            ValueError: When they are not those of one model.
        """
        found = {
            name: weights[name].numpy() for name in ("everyones", "starts", "items", "pair_weights")
        }
        model = cls(**found, history_decay=section["history_decay"])
        model.pairs.check_format(full_check=True)
        return model


def tie_break(train_events: np.ndarray) -> np.ndarray:
    """Return a score for everybody that only decides between equals: [V] float64."""
    return scaled_popularity(train_events) * TIE_BREAK


def strongest_of_each_row(matrix: sparse.csr_array, keep: int) -> sparse.csr_array:
    """Return a matrix with the `keep` entries of largest magnitude of each row.

    Zeros are left out; of equal ones those of smaller number stay.
    """
    matrix.eliminate_zeros()
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), lengths)
    order = np.lexsort((matrix.indices, -np.abs(matrix.data), row))
    rank = np.arange(len(row)) - np.repeat(matrix.indptr[:-1], lengths)
    kept = np.sort(order[rank < keep])  # in the order of row and number again
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, keep))])
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def item_to_item(
    blocks: list[sparse.csr_array], everyones: np.ndarray, history_decay: float
) -> ItemToItem:
    """Return the model of matrices that together have a row for each item."""
    pairs = sparse.vstack(blocks, format="csr")
    return ItemToItem(
        everyones,
        pairs.indptr.astype(np.int64),
        pairs.indices.astype(np.int32),
        pairs.data.astype(np.float32),
        history_decay,
    )
