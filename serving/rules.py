"""Rules around the model: seen items are left out, new users get the most popular items.

A list that is short because its user has seen the rest of the catalogue is not filled up: it
stays short, and the gates count it.

Legend of shapes: N users of a part, B users of a batch, V catalogue, S events, K list length.
"""

import numpy as np
import torch

from conf.contract import NO_ITEM, NUM_RESERVED, UNKNOWN_IDX
from serving.topk import Seen
from trainer.data.columns import Ragged, events_of


def has_known_item(histories: Ragged) -> np.ndarray:
    """Return whether each history contains an item that the model knows: [N] bool."""
    known = np.concatenate([[0], np.cumsum(histories.values >= NUM_RESERVED)])
    counts: np.ndarray = known[histories.offsets[1:]] - known[histories.offsets[:-1]]
    return counts > 0


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


def popular_items(train_events: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the items with the most training events, ties to the smaller number.

    Args:
        train_events: [V] int64
        k: K

    Returns:
        Their numbers, [K] int64, and their shares of all training events, [K] float32;
        if fewer than K items have an event, the rest is `NO_ITEM` and -inf.
    """
    events = train_events[NUM_RESERVED:]
    order = np.argsort(-events, kind="stable")
    order = order[events[order] > 0][:k]
    numbers, shares = np.full(k, NO_ITEM), np.full(k, -np.inf, dtype=np.float32)
    numbers[: len(order)] = order + NUM_RESERVED
    shares[: len(order)] = events[order] / max(int(events.sum()), 1)
    return numbers, shares
