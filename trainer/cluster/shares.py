"""Distribute row groups over Ray tasks, and return the results in the order of the groups."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
import torch
from ray.exceptions import RayTaskError

from conf.contract import RowGroup
from conf.errors import HeadraceError
from conf.settings.train import Train

Shared = TypeVar("Shared")
Found = TypeVar("Found")


def on_workers(
    train: Train,
    groups: Sequence[RowGroup],
    work: Callable[[Shared, Sequence[RowGroup]], list[Found]],
    shared: Shared,
) -> list[Found]:
    """Return the result of each row group, in the order of the groups.

    Of W workers, worker w processes the groups w, w + W, w + 2 W and so on.

    Args:
        train: Number of workers and the resources of each.
        groups: The row groups.
        work: Returns one result for each given row group; must be a function of a module.
        shared: Passed to every worker.

    Raises:
        HeadraceError: When a worker meets an error that a user must fix.
    """
    if not groups:
        return []
    once = ray.put(shared)
    task: Any = ray.remote(_in_task).options(
        num_cpus=train.cpus_per_worker, num_gpus=train.gpus_per_worker, max_retries=3
    )
    workers = min(train.workers, len(groups))
    shares = [groups[worker::workers] for worker in range(workers)]
    try:
        return in_order(ray.get([task.remote(train, work, once, share) for share in shares]))
    except RayTaskError as error:
        if isinstance(error.cause, HeadraceError):
            raise error.cause from None  # without Ray's traceback in its message
        raise


def in_order(shares: Sequence[Sequence[Found]]) -> list[Found]:
    """Return the results of W workers in the order of the groups: worker w had w, w + W, ..."""
    workers, total = len(shares), sum(map(len, shares))
    return [shares[number % workers][number // workers] for number in range(total)]


def device_of(train: Train) -> torch.device:
    """Return the device of a worker."""
    return torch.device("cuda" if train.gpus_per_worker else "cpu")


def _in_task(
    train: Train,
    work: Callable[[Shared, Sequence[RowGroup]], list[Found]],
    shared: Shared,
    share: Sequence[RowGroup],
) -> list[Found]:
    torch.set_num_threads(train.cpus_per_worker)
    return work(shared, share)
