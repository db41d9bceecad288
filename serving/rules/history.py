"""Rules around the model: seen items are left out, users that it does not know get popular items.

A list that is short because no more items are left for its user is not filled up: it stays short
with the reason, and the gates count it.

Legend of shapes: N users of a part, B users of a batch, V catalogue, S seen events, K list length,
P popular items.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED, UNKNOWN_IDX
from trainer.data.columns import Ragged, events_of


class Seen(NamedTuple):
    """Items that must not be recommended to a user; a pair may occur more than once."""

    rows: Tensor
    """[S] int64, row of the user."""
    item_idx: Tensor
    """[S] int64"""


def known_to_model(histories: Ragged, num_items: int, unknown: np.ndarray | None = None) -> Ragged:
    """Return the histories with each item that the model does not know replaced by the unknown one.

    Args:
        histories: Histories of the dataset.
        num_items: Catalogue size of the model, reserved numbers included; higher numbers are newer.
        unknown: [V] bool, items of its catalogue that the model does not know; None: no such items.
    """
    values = np.where(histories.values < num_items, histories.values, UNKNOWN_IDX)
    if unknown is not None:
        values = np.where(unknown[values], UNKNOWN_IDX, values)
    return histories._replace(values=values.astype(histories.values.dtype))


def seen_items(histories: Ragged, rows: np.ndarray) -> Seen:
    """Return every event of the chosen rows as (index into `rows`, item): [S] int64 each."""
    events = events_of(histories, rows)
    return Seen(torch.from_numpy(events.row), torch.from_numpy(events.item))


def nothing_seen() -> Seen:
    """Return an empty set of pairs."""
    return Seen(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


class Popular(NamedTuple):
    """The items with a training event, most confidence first, ties to the smaller number."""

    item_idx: np.ndarray
    """[P] int64"""
    shares: np.ndarray
    """[P] float32, share of the sum."""


def popular_items(train_weights: np.ndarray) -> Popular:
    """Return the items by the confidence in their training events.

    Args:
        train_weights: [V] sums of confidences, or numbers of events.
    """
    events = train_weights[NUM_RESERVED:]
    order = np.argsort(-events, kind="stable")
    order = order[events[order] > 0]
    shares = events[order] / max(float(events.sum()), np.finfo(float).tiny)
    return Popular(order + NUM_RESERVED, shares.astype(np.float32))


def fallback_lists(
    popular: Popular, histories: Ragged, rows: np.ndarray, *, k: int, drop_seen: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most popular items for the chosen rows, without those that each has seen.

    Args:
        popular: All items that may be in a list.
        histories: Histories of the dataset, with the items that the model does not know.
        rows: [B]
        k: K
        drop_seen: Whether to leave out items of the history.

    Returns:
        Their numbers, [B, K] int64, and their shares of the training events, [B, K] float32;
        `NO_ITEM` and -inf after the last item.
    """
    numbers = np.full((len(rows), k), NO_ITEM, dtype=np.int64)
    shares = np.full((len(rows), k), -np.inf, dtype=np.float32)
    for place, row in enumerate(rows):
        seen = histories.values[histories.offsets[row] : histories.offsets[row + 1]]
        if not drop_seen:
            seen = seen[:0]
        first = popular.item_idx[: k + len(seen)]
        kept = np.flatnonzero(~np.isin(first, seen))[:k]
        numbers[place, : len(kept)] = first[kept]
        shares[place, : len(kept)] = popular.shares[kept]
    return numbers, shares
