"""Distribute row groups over Ray tasks, and return the results in the order of the groups."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
import torch
from ray.exceptions import RayTaskError

from conf.contract import RowGroup
from conf.errors import HeadraceError
from conf.settings.config import Config
from conf.settings.train import Train
from trainer.cluster.ray_session import cpus_of_worker

Shared = TypeVar("Shared")
Found = TypeVar("Found")


def on_workers(
    config: Config,
    groups: Sequence[RowGroup],
    work: Callable[[Shared, Sequence[RowGroup]], list[Found]],
    shared: Shared,
) -> list[Found]:
    """Return the result of each row group, in the order of the groups.

    Of W workers, worker w processes the groups w, w + W, w + 2 W and so on.

    Args:
        config: The section `train` has the number of workers and the resources of each.
        groups: The row groups.
        work: Returns one result for each given row group; must be a function of a module.
        shared: Passed to every worker.

    Raises:
        HeadraceError: When a worker meets an error that a user must fix.
    """
    if not groups:
        return []
    once, train, cpus = ray.put(shared), config.train, cpus_of_worker(config)
    task: Any = ray.remote(_in_task).options(
        num_cpus=cpus, num_gpus=train.gpus_per_worker, max_retries=3
    )
    workers = min(train.workers, len(groups))
    shares = [groups[worker::workers] for worker in range(workers)]
    try:
        return in_order(ray.get([task.remote(cpus, work, once, share) for share in shares]))
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
    threads: int,
    work: Callable[[Shared, Sequence[RowGroup]], list[Found]],
    shared: Shared,
    share: Sequence[RowGroup],
) -> list[Found]:
    torch.set_num_threads(threads)
    return work(shared, share)
