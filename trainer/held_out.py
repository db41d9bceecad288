"""Held-out events: read in batches of like length, on as many workers as there are.

Batches are cut inside a row group, the same however many workers share the work.

Legend of shapes: B rows, V catalogue.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import ray
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    TARGET_ITEM,
    USER_IDX,
    Manifest,
    RowGroup,
)
from conf.schema import Config
from trainer.batches import histories_of
from trainer.metrics import target_ranks
from trainer.scorer import Scorer
from trainer.stream import Columns, Ragged, read_row_groups

COLUMNS = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, TARGET_ITEM)
Found = TypeVar("Found")


class HeldOut(NamedTuple):
    """Some rows of a held-out part."""

    histories: Ragged
    rows: np.ndarray
    """[B]"""
    targets: np.ndarray
    """[B]"""

    def ranks(self, scores: Tensor) -> Tensor:
        """Return the targets' ranks, [B], and change the scores, [B, V]."""
        seen_rows, seen_items = _seen(self.histories, self.rows, scores.device)
        targets = torch.from_numpy(self.targets.astype(np.int64)).to(scores.device)
        return target_ranks(scores, targets, seen_rows, seen_items)


def held_out_batches(columns: Columns, batch_rows: int) -> Iterator[HeldOut]:
    """Yield a row group with the columns `COLUMNS` in batches of like history length."""
    histories, targets = histories_of(columns), columns[TARGET_ITEM]
    assert isinstance(targets, np.ndarray)
    for rows in _batches(histories, batch_rows):
        yield HeldOut(histories, rows, targets[rows])


def _batches(histories: Ragged, batch_rows: int) -> Iterator[np.ndarray]:
    """Yield the rows in batches of like length."""
    order = np.argsort(np.diff(histories.offsets), kind="stable")
    for start in range(0, len(order), batch_rows):
        yield order[start : start + batch_rows]


def _seen(histories: Ragged, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (row in the batch, item) of every event in the chosen histories: two [S] int64."""
    starts, ends = histories.offsets[rows], histories.offsets[rows + 1]  # [B], [B]
    lengths = ends - starts
    seen_rows = np.repeat(np.arange(len(rows)), lengths)  # [S]
    within = np.arange(len(seen_rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = histories.values[np.repeat(starts, lengths) + within].astype(np.int64)  # [S]
    return torch.from_numpy(seen_rows).to(device), torch.from_numpy(items).to(device)


def each_row_group(
    config: Config,
    manifest: Manifest,
    part: str,
    scorers: Mapping[str, Scorer],
    find: Callable[[Mapping[str, Scorer], Columns], Found],
) -> list[Found]:
    """Return what `find` finds in each row group of a held-out part, in the order of the groups.

    Args:
        config: Its section `train` says how many workers there are.
        manifest: The dataset.
        part: `valid` or `test`.
        scorers: Models by name.
        find: Takes the models and a row group with the columns `COLUMNS`.
    """
    train, groups = config.train, manifest.row_groups(part)
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    shared = ray.put(dict(scorers))
    task: Any = ray.remote(_find_in_share).options(
        num_cpus=train.cpus_per_worker, num_gpus=train.gpus_per_worker, max_retries=3
    )
    how = _How(threads=train.cpus_per_worker, on_gpu=train.gpus_per_worker > 0)
    shares = [groups[worker :: train.workers] for worker in range(train.workers)]
    parts = ray.get([task.remote(find, shared, folder, share, how) for share in shares if share])
    found: list[Found] = [parts[place % len(parts)][place // len(parts)]
                          for place in range(len(groups))]  # fmt: skip
    return found


class _How(NamedTuple):
    threads: int
    on_gpu: bool


def _find_in_share(
    find: Callable[[Mapping[str, Scorer], Columns], Found],
    scorers: dict[str, Scorer],
    folder: Path,
    groups: Sequence[RowGroup],
    how: _How,
) -> list[Found]:
    torch.set_num_threads(how.threads)
    device = torch.device("cuda" if how.on_gpu else "cpu")
    scorers = {name: scorer.to(device) for name, scorer in scorers.items()}
    return [find(scorers, found) for _, found in read_row_groups(folder, groups, COLUMNS)]
