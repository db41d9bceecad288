"""Start Ray on this machine for a run, or join the cluster that the configuration names."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Ray reads these when it is imported or started: no usage report, Ray Train V2, and
# CUDA_VISIBLE_DEVICES left as it is for workers without a GPU.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

from conf.errors import ConfigError
from conf.settings.config import Config
from trainer.cluster.joined_ray import joined_ray, named_address
from trainer.cluster.lasting import kept_open
from trainer.cluster.machine import num_cores
from trainer.cluster.private_ray import private_ray

_QUIET = {"logging_level": logging.ERROR, "log_to_driver": False}


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Connect to Ray for the block and disconnect afterwards; a Ray started here is stopped.

    If this process is already connected to Ray, the block uses that connection and leaves it open.
    In a block of `one_ray`, what is started here lasts until that block ends.

    Raises:
        BusyError: When Ray does not start on this machine in time.
        ConfigError: When the cluster that `ray.address` names cannot be joined, or this machine has
            no room for a Ray.
    """
    if ray.is_initialized():
        yield
        return
    address = named_address(config.ray)
    session = private_ray(config.ray, _QUIET) if address is None else joined_ray(address, _QUIET)
    with ExitStack() as here:
        (kept_open() or here).enter_context(session)
        yield


def require_room(config: Config) -> None:
    """Refuse more workers than a Ray started here can ever place: they would wait forever.

    A cluster is not checked, because it may grow.

    Raises:
        ConfigError: When Ray on this machine has fewer CPUs or GPUs than `train` needs.
    """
    if named_address(config.ray) is not None:
        return
    train = config.train
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked_for = {"CPU": cpus_of_worker(config), "GPU": train.gpus_per_worker}
    for name, each in asked_for.items():
        needed, has = train.workers * each, there.get(name, 0)
        if needed > has:
            raise ConfigError(
                f"train.workers={train.workers} with train.{name.lower()}s_per_worker={each} need "
                f"{needed} {name}s, but Ray has {has:g} here; lower one of them, raise "
                "ray.num_cpus, or set ray.address to a cluster"
            )


def cpus_of_worker(config: Config) -> int:
    """Return `train.cpus_per_worker`; for `auto` this machine's cores, shared by the workers.

    The machines of a cluster are not known before Ray places a worker, so there `auto` is 1.
    """
    train = config.train
    if train.cpus_per_worker != "auto":
        return train.cpus_per_worker
    if named_address(config.ray) is not None:
        return 1
    cores = min(num_cores(), config.ray.num_cpus or num_cores())
    if ray.is_initialized():  # a container may have fewer
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores = min(cores, int(there.get("CPU", cores)))
    return max(cores // train.workers, 1)
