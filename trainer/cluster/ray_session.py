"""Start Ray on this machine for a run, or join the cluster that the configuration names."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tenacity import retry, retry_if_exception_message, stop_after_attempt

from conf.errors import ConfigError
from conf.settings.config import Config

# Ray reads these when it is imported or started: no usage report, Ray Train V2, and
# CUDA_VISIBLE_DEVICES left as it is for workers without a GPU.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

MIB = 1024 * 1024
_CONNECT_SECONDS = 10


@retry(
    retry=retry_if_exception_message(match=r"[\s\S]*timed out during startup"),
    stop=stop_after_attempt(4),
    before_sleep=lambda _: ray.shutdown(),
    reraise=True,
)
def _start_here(config: Config, quiet: dict[str, Any]) -> None:
    """Start Ray on this machine; retry if a busy machine exceeds Ray's limit of 30 seconds."""
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=config.ray.num_cpus,
        object_store_memory=config.ray.object_store_mib * MIB,
        _node_ip_address="127.0.0.1",
        **quiet,
    )


def _require_listener(address: str) -> None:
    """Refuse a HOST:PORT that nothing listens on: Ray would retry for minutes.

    Raises:
        OSError: When no connection is made within `_CONNECT_SECONDS`.
    """
    target = urlsplit(address if "://" in address else f"ray://{address}")
    if target.hostname is not None and target.port is not None:
        socket.create_connection((target.hostname, target.port), _CONNECT_SECONDS).close()


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Connect to Ray for the block and disconnect afterwards; a Ray started here is stopped.

    If this process is already connected to Ray, the block uses that connection and leaves it open.

    Raises:
        ConfigError: When the cluster that `ray.address` names does not answer.
    """
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    in_main_thread = threading.current_thread() is threading.main_thread()
    on_terminate = signal.getsignal(signal.SIGTERM)
    address = config.ray.address or os.environ.get("RAY_ADDRESS")
    if address is None:
        _start_here(config, quiet)
    else:
        try:
            _require_listener(address)
            ray.init(address=address, **quiet)
        except OSError as error:
            raise ConfigError(
                f"ray.address={address!r} does not answer; start Ray there, or set "
                "ray.address=null to start it here"
            ) from error
    if in_main_thread:
        signal.signal(signal.SIGTERM, on_terminate)  # Ray installs its own handler, which aborts
    try:
        yield
    finally:
        ray.shutdown()


def require_room(config: Config) -> None:
    """Refuse more workers than a Ray started here can ever place: they would wait forever.

    A cluster is not checked, because it may grow.

    Raises:
        ConfigError: When Ray on this machine has fewer CPUs or GPUs than `train` needs.
    """
    if config.ray.address is not None or "RAY_ADDRESS" in os.environ:
        return
    train = config.train
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked_for = {"CPU": train.cpus_per_worker, "GPU": train.gpus_per_worker}
    for name, each in asked_for.items():
        needed, has = train.workers * each, there.get(name, 0)
        if needed > has:
            raise ConfigError(
                f"train.workers={train.workers} with train.{name.lower()}s_per_worker={each} need "
                f"{needed} {name}s, but Ray has {has:g} here; lower one of them, raise "
                "ray.num_cpus, or set ray.address to a cluster"
            )
