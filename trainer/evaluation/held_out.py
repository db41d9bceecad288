"""Read held-out events in batches of similar history length, on all workers.

Batches never span row groups, so they are the same for any number of workers.

Legend of shapes: B rows, V catalogue.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    NUM_RESERVED,
    TARGET_ITEM,
    USER_IDX,
    Manifest,
    RowGroup,
)
from conf.settings.config import Config
from trainer.cluster.shares import device_of, on_workers
from trainer.data.batches import histories_of, rows_of_like_length
from trainer.data.columns import Columns, Ragged, events_of, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.stream import read_row_groups
from trainer.evaluation.metrics import target_ranks
from trainer.models.scorer import Scorer

COLUMNS = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, TARGET_ITEM)
Found = TypeVar("Found")


def columns_of(manifest: Manifest, part: str) -> tuple[str, ...]:
    """Return `COLUMNS` and the columns of the event features in the part's histories."""
    return (*COLUMNS, *context_columns(manifest, part))


class HeldOut(NamedTuple):
    """Some rows of a held-out part."""

    histories: Ragged
    rows: np.ndarray
    """[B]"""
    targets: np.ndarray
    """[B]"""
    drops_seen: bool
    """Whether the items of the history are left out of the ranking."""

    def ranks(self, scores: Tensor) -> Tensor:
        """Return the targets' ranks, [B]; the scores, [B, V], are changed in place."""
        seen = _left_out(self.histories, self.rows, drop_seen=self.drops_seen)
        parts = (self.targets.astype(np.int64), *seen)
        return target_ranks(scores, *(torch.from_numpy(part).to(scores.device) for part in parts))


def recommendable(
    scores: Tensor, histories: Ragged, rows: np.ndarray, *, drop_seen: bool
) -> Tensor:
    """Set the scores, [B, V], of items that no list may contain to -inf in place; return them."""
    scores[:, :NUM_RESERVED] = -torch.inf
    row, item = _left_out(histories, rows, drop_seen=drop_seen)
    scores[torch.from_numpy(row), torch.from_numpy(item)] = -torch.inf
    return scores


def best_items(scores: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the scores and the numbers of each row's best items, best first.

    Of equal scores the smaller number comes first, as in published lists.

    Args:
        scores: [B, V]
        length: K

    Returns:
        [B, K] each; K is at most the number of items without the reserved ones.
    """
    length = max(min(length, scores.shape[1] - NUM_RESERVED), 0)
    if not length:
        return scores[:, :0], scores.new_zeros((len(scores), 0), dtype=torch.int64)
    found = scores.topk(length, dim=1)
    least = found.values[:, -1:]  # [B, 1]
    ties, needed = scores == least, (found.values == least).sum(1, keepdim=True)
    items = found.indices
    if bool((ties.sum(1, keepdim=True) > needed).any()):  # else all of them are in the lists
        first = ties & (ties.cumsum(1, dtype=torch.int32) <= needed)
        items = ((scores > least) | first).nonzero()[:, 1].reshape(-1, length)
    items = items.sort(dim=1).values
    ordered, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return ordered, items.gather(1, order)


def _left_out(
    histories: Ragged, rows: np.ndarray, *, drop_seen: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the item of each score to leave out as seen: [S] int64 each."""
    if not drop_seen:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    seen = events_of(histories, rows)
    return seen.row, seen.item


def held_out_batches(columns: Columns, batch_rows: int, *, drop_seen: bool) -> Iterator[HeldOut]:
    """Yield a row group with the columns `columns_of` in batches of similar history length.

    Args:
        columns: The row group.
        batch_rows: Most rows per batch.
        drop_seen: Whether the ranking leaves the items of the history out, as `score.drop_seen`
            does in lists.
    """
    histories, targets = histories_of(columns), numbers_of(columns, TARGET_ITEM)
    for rows in rows_of_like_length(histories, np.arange(len(targets)), batch_rows):
        yield HeldOut(histories, rows, targets[rows], drop_seen)


def each_row_group(
    config: Config,
    manifest: Manifest,
    part: str,
    scorers: Mapping[str, Scorer],
    find: Callable[[Mapping[str, Scorer], Columns], Found],
) -> list[Found]:
    """Return the result of `find` for each row group of a held-out part, in order.

    Args:
        config: The section `train` sets the number of workers.
        manifest: The dataset.
        part: `valid` or `test`.
        scorers: Models by name.
        find: Takes the models and a row group with the columns `columns_of`.
    """
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    columns = columns_of(manifest, part)
    shared = _Shared(find, dict(scorers), folder, columns, device_of(config.train))
    return on_workers(config, manifest.row_groups(part), _find_in_share, shared)


class _Shared(NamedTuple):
    find: Callable[[Mapping[str, Scorer], Columns], Any]
    scorers: dict[str, Scorer]
    folder: Path
    columns: tuple[str, ...]
    device: torch.device


def _find_in_share(shared: _Shared, groups: Sequence[RowGroup]) -> list[Any]:
    scorers = {name: scorer.to(shared.device) for name, scorer in shared.scorers.items()}
    blocks = read_row_groups(shared.folder, groups, shared.columns)
    return [shared.find(scorers, columns) for _, columns in blocks]
