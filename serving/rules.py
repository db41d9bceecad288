"""Rules around the model: what a user has seen is left out, who is new gets what is popular.

Nothing fills up a list that is short because its user has seen the rest of the catalogue: it
stays short, and the gates count it.

Legend of shapes: N users of a part, B users of a batch, V catalogue, S events, K list length.
"""

from collections.abc import Iterator

import numpy as np
import torch

from conf.contract import NUM_RESERVED, UNKNOWN_IDX
from serving.topk import Seen
from trainer.stream import Ragged


def has_known_item(histories: Ragged) -> np.ndarray:
    """Return whether the model has anything to go by: [N] bool."""
    known = np.concatenate([[0], np.cumsum(histories.values >= NUM_RESERVED)])
    counts: np.ndarray = known[histories.offsets[1:]] - known[histories.offsets[:-1]]
    return counts > 0


def known_to_model(histories: Ragged, num_items: int) -> Ragged:
    """Return the histories with items that are newer than the model as unknown ones.

    Args:
        histories: Histories of the dataset.
        num_items: Numbers that the model knows, the reserved ones included.
    """
    values = np.where(histories.values < num_items, histories.values, UNKNOWN_IDX)
    return histories._replace(values=values.astype(histories.values.dtype))


def batches_of_like_length(
    histories: Ragged, rows: np.ndarray, batch_rows: int
) -> Iterator[np.ndarray]:
    """Yield the chosen rows in batches of like history length, so that little is padding."""
    lengths = np.diff(histories.offsets)[rows]
    by_length = rows[np.argsort(lengths, kind="stable")]
    for start in range(0, len(by_length), batch_rows):
        yield by_length[start : start + batch_rows]


def seen_items(histories: Ragged, rows: np.ndarray) -> Seen:
    """Return every event of the chosen rows as (row among them, item): two [S] int64."""
    parts = [histories.values[histories.offsets[r] : histories.offsets[r + 1]] for r in rows]
    row = np.repeat(np.arange(len(rows)), [len(part) for part in parts])
    items = np.concatenate(parts) if parts else np.zeros(0)
    return Seen(torch.from_numpy(row), torch.from_numpy(items.astype(np.int64)))


def nothing_seen() -> Seen:
    """Return no pairs at all."""
    return Seen(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


def popular_items(train_events: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the items with the most training events, ties to the smaller number.

    Args:
        train_events: [V] int64
        k: K

    Returns:
        Their numbers, [K] int64, and their shares of all training events, [K] float32.
    """
    events = train_events[NUM_RESERVED:]
    order = np.argsort(-events, kind="stable")[:k]
    share = events[order] / max(int(events.sum()), 1)
    return order + NUM_RESERVED, share.astype(np.float32)
