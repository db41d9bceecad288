"""Cut streamed rows into batches of similar length, so that batches contain little padding.

Legend of shapes: B rows of a batch, L padded length, N rows of a block.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_CONTEXT,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    PADDING_IDX,
)
from trainer.data.columns import Columns, Ragged, lists_of, padded
from trainer.data.event_features import as_columns, event_values
from trainer.data.plan import batch_sizes
from trainer.networks.fields import FieldSpec
from trainer.networks.inputs import HistoryBatch, TrainBatch, gap_classes, hours_of_week

POOL_BATCHES = 64
"""Number of batches whose rows are sorted by length together; these batches are then shuffled."""


def histories_of(columns: Columns) -> Ragged:
    """Return the items of the histories, with the other columns of the events in `beside`."""
    items = lists_of(columns, HISTORY_ITEMS)
    beside = {
        name: lists_of(columns, name).values
        for name in columns
        if name in (HISTORY_TYPES, HISTORY_TIMES, HISTORY_WEIGHTS)
        or name.startswith(HISTORY_CONTEXT)
    }
    return Ragged(items.values, items.offsets, beside)


def history_batch(
    histories: Ragged,
    rows: np.ndarray,
    max_length: int,
    *,
    with_context: bool = False,
    fields: Sequence[FieldSpec] = (),
) -> HistoryBatch:
    """Return the newest `max_length` events of the chosen rows.

    Args:
        histories: Result of `histories_of`, or the items alone.
        rows: [B]
        max_length: Largest number of events of one row.
        with_context: Whether to add types, time gaps, hours and `fields` from `beside`.
        fields: Features of the events to add; `beside` must contain them.
    """
    items, lengths = padded(histories, rows, max_length)  # [B, L], [B]
    context: tuple[Tensor | None, ...] = ()
    if with_context:
        context = _context(as_columns(histories), fields, rows, max_length)
    return HistoryBatch(
        torch.from_numpy(items.astype(np.int64)), torch.from_numpy(lengths), *context
    )


def train_batch(
    columns: Columns, rows: np.ndarray, max_length: int, fields: Sequence[FieldSpec] = ()
) -> TrainBatch:
    """Return the chosen rows as inputs with features of their events, and the targets."""
    items, _ = padded(lists_of(columns, HISTORY_ITEMS), rows, max_length + 1)  # [B, L + 1]
    weights, _ = padded(lists_of(columns, HISTORY_WEIGHTS), rows, max_length + 1)  # [B, L + 1]
    item_idx = torch.from_numpy(items.astype(np.int64))  # [B, L + 1]
    target_idx = item_idx[:, 1:]  # [B, L]
    target_weight = torch.from_numpy(weights.astype(np.float32))[:, 1:]  # [B, L]
    inputs = item_idx[:, :-1].masked_fill(target_idx == PADDING_IDX, PADDING_IDX)  # [B, L]
    context = [
        part[:, :-1] if part is not None else None
        for part in _context(columns, fields, rows, max_length + 1)
    ]
    return TrainBatch(inputs, target_idx, target_weight, *context)


def block_batches(
    columns: Columns,
    *,
    steps: int,
    max_length: int,
    row_seed: tuple[int, ...],
    order_seed: tuple[int, ...],
    fields: Sequence[FieldSpec] = (),
) -> Iterator[TrainBatch]:
    """Yield a block's rows, shuffled, as `steps` batches of nearly equal size.

    Args:
        columns: The block's rows.
        steps: Number of batches; some are empty if there are fewer rows.
        max_length: Largest number of targets of a row.
        row_seed: Seed of the row order; different for each rank.
        order_seed: Seed of the batch order; the same for all ranks, so that they process batches
            of similar length at the same step.
        fields: Features of the events that the model takes.
    """
    lengths = lists_of(columns, HISTORY_ITEMS).lengths  # [N]
    order = np.random.default_rng(row_seed).permutation(len(lengths))  # [N]
    bounds = np.concatenate([[0], np.cumsum(batch_sizes(len(lengths), steps))])
    batch_order = np.random.default_rng(order_seed)
    for first in range(0, steps, POOL_BATCHES):
        last = min(first + POOL_BATCHES, steps)
        start = bounds[first]
        pool = order[start : bounds[last]]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        for step in batch_order.permutation(np.arange(first, last)):
            rows = pool[bounds[step] - start : bounds[step + 1] - start]
            yield train_batch(columns, rows, max_length, fields)


def _context(
    columns: Columns, fields: Sequence[FieldSpec], rows: np.ndarray, max_length: int
) -> tuple[Tensor | None, ...]:
    """Return types, time gap classes, hours and the results of `event_values`, each or None."""
    types = gaps = hours = None
    if HISTORY_TYPES in columns:
        found, _ = padded(lists_of(columns, HISTORY_TYPES), rows, max_length)
        types = torch.from_numpy(found.astype(np.int64))
    if HISTORY_TIMES in columns:
        times, _ = padded(lists_of(columns, HISTORY_TIMES), rows, max_length)
        moments = torch.from_numpy(times.astype(np.int64))
        gaps, hours = gap_classes(moments), hours_of_week(moments)
    return types, gaps, hours, *event_values(columns, fields, rows, max_length)


def rows_of_like_length(
    histories: Ragged, rows: np.ndarray, batch_rows: int
) -> Iterator[np.ndarray]:
    """Yield the chosen rows in batches of similar history length, to limit padding."""
    by_length = rows[np.argsort(histories.lengths[rows], kind="stable")]
    for start in range(0, len(by_length), batch_rows):
        yield by_length[start : start + batch_rows]
