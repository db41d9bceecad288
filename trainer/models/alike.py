"""Give each user the same result, to the last bit, whatever other users are in the batch.

A matrix product may add up in another order when its shape changes. So the padded
length of a history depends on that history alone, and batches are filled up to a multiple of `ROWS`
rows, so that kernels for small matrices are not used. Some machines may still differ, so callers
compare a sample.

Legend of shapes: N rows, B rows of a batch, L padded length.
"""

from collections.abc import Iterator

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from trainer.networks.inputs import HistoryBatch

STEP = 4
"""Padded lengths up to 32 are multiples of it; longer ones of an eighth of the next power of 2."""
ROWS = 16
"""Numbers of rows are multiples of it."""


def even_lengths(lengths: np.ndarray, longest: int | None = None) -> np.ndarray:
    """Return the padded length of each history: [N] -> [N].

    Args:
        lengths: Numbers of events.
        longest: Most events that are used; None: all are.
    """
    used = np.maximum(lengths, 1)
    if longest is not None:
        used = np.minimum(used, longest)
    step = np.maximum(STEP, 2 ** np.ceil(np.log2(used)).astype(np.int64) // 8)
    up: np.ndarray = -(-used // step) * step
    return up if longest is None else np.minimum(up, longest)


def even_groups(
    lengths: np.ndarray, *, cells_at_once: int | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the indices of rows that are computed together, with their padded length.

    Args:
        lengths: [N] padded lengths.
        cells_at_once: Most rows times length of a group, if it has more than `ROWS` rows; None:
            any number.
    """
    order = np.argsort(lengths, kind="stable")
    lengths = lengths[order]
    for length in np.unique(lengths).tolist():
        first, end = np.searchsorted(lengths, [length, length + 1])
        step = int(end - first)
        if cells_at_once is not None:
            step = min(step, max(cells_at_once // length // ROWS, 1) * ROWS)
        for start in range(first, end, step):
            yield order[start : min(start + step, end)], length


def filled(rows: np.ndarray) -> np.ndarray:
    """Return the rows, then the first one again until their number is a multiple of `ROWS`."""
    missing = -len(rows) % ROWS
    return np.concatenate([rows, np.repeat(rows[:1], missing)])


def filled_tensor(rows: Tensor) -> Tensor:
    """Return rows of numbers, then rows of zeros until their number is a multiple of `ROWS`."""
    return F.pad(rows, (0, 0, 0, -len(rows) % ROWS))


def widened(values: np.ndarray, length: int) -> np.ndarray:
    """Return rows with zeros up to a length, of the same dtype: [B, N] -> [B, max(N, L)]."""
    return np.pad(values, ((0, 0), (0, max(length - values.shape[1], 0))))


def lengthened(batch: HistoryBatch, length: int) -> HistoryBatch:
    """Return a batch with padding up to a length: [B, ...] -> [B, L, ...]."""
    missing = length - batch.item_idx.shape[1]
    if missing <= 0:
        return batch

    def longer(part: Tensor | None) -> Tensor | None:
        return None if part is None else F.pad(part, (0, 0) * (part.dim() - 2) + (0, missing))

    item_idx = F.pad(batch.item_idx, (0, missing))
    return HistoryBatch(item_idx, batch.lengths, *(longer(part) for part in batch[2:]))
