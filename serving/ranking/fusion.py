"""Put the candidates of several channels together, and order them by their ranks.

Legend of shapes: B users, C candidates of a channel, M pairs of a user and a candidate, K list
length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from conf.contract import NO_ITEM
from serving.ranking.topk import TopK

RANK_CONSTANT = 60
"""Added to each rank before it is inverted. Source: Cormack, Clarke & Buettcher 2009, section 2."""


class Candidates(NamedTuple):
    """Each pair of a user and an item that a channel named, once, by user and then by item."""

    user: np.ndarray
    """[M] int64, place of the user."""
    item_idx: np.ndarray
    """[M] int64"""
    channels: np.ndarray
    """[M] int64, bit c is set if channel c named the item."""
    fused: np.ndarray
    """[M] float64, see `union`."""

    def of_users(self, chosen: np.ndarray) -> "Candidates":
        """Return the pairs of the chosen users, numbered anew: [B] bool."""
        kept = chosen[self.user]
        places = np.cumsum(chosen) - 1
        return Candidates(places[self.user[kept]], *(column[kept] for column in self[1:]))


def union(named: Sequence[np.ndarray]) -> Candidates:
    """Return the candidates of all channels, with their reciprocal ranks added up.

    Scores of different models have no common scale, but ranks have: an item that several channels
    name early comes before one that a single channel names first. Each channel that names an item
    at rank r adds 1 / (RANK_CONSTANT + r). Source: Cormack, Clarke & Buettcher 2009, eq. in
    section 2.

    Args:
        named: For each channel [B, C] int64, best first, `NO_ITEM` after the last one.
    """
    places = [np.nonzero(items != NO_ITEM) for items in named]  # row and rank - 1
    user = np.concatenate([row for row, _ in places])
    item = np.concatenate([items[at] for items, at in zip(named, places, strict=True)])
    size = int(item.max(initial=0)) + 1
    pairs, inverse = np.unique(user * size + item, return_inverse=True)
    channels, fused = np.zeros(len(pairs), np.int64), np.zeros(len(pairs))
    bits = np.concatenate([np.full(len(row), 1 << c) for c, (row, _) in enumerate(places)])
    shares = np.concatenate([1 / (RANK_CONSTANT + 1.0 + place) for _, place in places])
    np.bitwise_or.at(channels, inverse, bits)
    np.add.at(fused, inverse, shares)
    return Candidates(*np.divmod(pairs, size), channels, fused)


def best_of(
    candidates: Candidates, values: np.ndarray, *, users: int, k: int
) -> tuple[TopK, np.ndarray]:
    """Return the best items of each user, ties to the smaller number.

    Args:
        candidates: Their pairs.
        values: [M]
        users: B
        k: K

    Returns:
        The lists, and the channels of each item: [B, K] int64, 0 after the last item.
    """
    order = np.lexsort((candidates.item_idx, -values, candidates.user))
    user = candidates.user[order]
    counts = np.bincount(user, minlength=users)
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept, order = place < k, order[place < k]
    at = (user[kept], place[kept])
    scores = np.full((users, k), -np.inf, dtype=np.float32)
    items = np.full((users, k), NO_ITEM, dtype=np.int64)
    channels = np.zeros((users, k), dtype=np.int64)
    scores[at], items[at] = values[order], candidates.item_idx[order]
    channels[at] = candidates.channels[order]
    return TopK(torch.from_numpy(scores), torch.from_numpy(items)), channels
