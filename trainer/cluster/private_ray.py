"""A Ray for one run: on loopback, with a token and a folder of its own.

Ray has no arguments for most of this; it reads environment variables, which its processes inherit:
they are set for the time of the session and restored afterwards.
"""

import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import _raylet
from ray._private import ray_constants, services

from conf.errors import BusyError, HeadraceError
from conf.settings.config import Ray
from trainer.cluster.ray_processes import (
    POLL_SECONDS,
    end_processes,
    is_alive,
    raylet_of,
    watched_ray,
)
from trainer.cluster.ray_room import (
    FOLDER_PREFIX,
    MIB,
    load_now,
    require_room_for_objects,
    temporary_folder,
    told_refusal,
)
from trainer.cluster.ray_signals import own_handlers, replaced, stop_ray
from trainer.cluster.repeating import repeated

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_LOG_EVERY_SECONDS = 15
_POLLS_WITHOUT = 20
"""Questions for the node without a process raylet after which that process has ended."""
_LEAST_REGISTER_SECONDS = 100
_CLUSTERS = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
_UNSET = ("RAY_AUTH_TOKEN", "RAY_ADDRESS", "RAY_NAMESPACE")
_folder: Path | None = None


class _NotStartedError(Exception):
    """Ray's node did not register in time, or its process ended."""


def private_folder() -> Path | None:
    """Return the folder of the Ray that this process has started; None if it has started none."""
    return _folder


@contextmanager
def private_ray(settings: Ray, quiet: Mapping[str, Any]) -> Iterator[None]:
    """Start Ray on this machine for the block and stop it afterwards.

    All of its processes listen on loopback only. They ask for a token that is in a file of a
    folder that only this user can open. The folder is removed afterwards, unless the block fails
    unexpectedly: then Ray's logs stay in it.

    Args:
        settings: Section of the configuration.
        quiet: Arguments of `ray.init` about its logs.

    Raises:
        BusyError: When Ray does not start within `ray.start_timeout_seconds`.
        ConfigError: When this machine has no room for it.
        EngineDiedError: When its process raylet ends during the block.
    """
    global _folder
    require_room_for_objects(settings.object_store_mib)
    with _private_folder() as folder, _environment(_variables(settings, folder)):
        _folder = folder
        try:
            _start(settings, folder, quiet)
            with watched_ray(folder):
                yield
        finally:
            _folder = None
            try:
                stop_ray()
            finally:
                end_processes(folder)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder that only this user can open, with a new token in it."""
    with told_refusal():
        # Ray opens its own folders to everybody, so they are below one that is closed.
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=temporary_folder()))
    token = folder / "token"
    try:
        with told_refusal():
            token.touch(0o600)
            token.write_text(secrets.token_hex(32))
        yield folder
    except (HeadraceError, KeyboardInterrupt):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        token.unlink(missing_ok=True)
        log.warning("the logs of Ray are in %s", folder)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _variables(settings: Ray, folder: Path) -> dict[str, str]:
    """Return the environment of the Ray that is started; it replaces what is set already."""
    loopback = _loopback_interface()
    # Below its own limits Ray ends while it starts, and whoever connects then waits forever.
    seconds = max(settings.start_timeout_seconds, _LEAST_REGISTER_SECONDS)
    return {
        _CLUSTERS: "0",  # else Ray takes the outside address for 127.0.0.1
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_worker_niceness": str(settings.worker_niceness),
        "RAY_gcs_server_port_wait_time_s": str(settings.start_timeout_seconds),
        "RAY_raylet_start_wait_time_s": "1",  # of one poll; `_waiting` polls until the deadline
        "RAY_agent_register_timeout_ms": str(seconds * 1000),
        "RAY_worker_register_timeout_seconds": str(seconds),
        # Threads that wait in a loop take the cores that others need: next to other programs, a
        # training on two cores was up to ten times as slow as on one.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def _loopback_interface() -> str:
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == _LOOPBACK for address in addresses):
            return str(name)
    return "lo"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block, in Ray's own copies of them too."""
    before = {name: os.environ.get(name) for name in (*variables, *_UNSET)}
    was_cluster = ray_constants.ENABLE_RAY_CLUSTER
    for name in _UNSET:
        os.environ.pop(name, None)
    os.environ.update(variables)
    ray_constants.ENABLE_RAY_CLUSTER = False
    _read_environment()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        ray_constants.ENABLE_RAY_CLUSTER = was_cluster
        _read_environment()


def _read_environment() -> None:
    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _start(settings: Ray, folder: Path, quiet: Mapping[str, Any]) -> None:
    """Start Ray; start it again if its process raylet ends, as it does on a very busy machine.

    Raises:
        BusyError: When Ray is not ready in time.
    """
    begun = time.monotonic()
    deadline = begun + settings.start_timeout_seconds
    starts = 0
    while True:
        starts += 1
        try:
            with told_refusal(), _waiting(folder, begun, deadline):
                ray.init(
                    address="local",
                    include_dashboard=False,
                    num_cpus=settings.num_cpus,
                    object_store_memory=settings.object_store_mib * MIB,
                    _node_ip_address=_LOOPBACK,
                    _temp_dir=str(folder / "ray"),
                    **quiet,
                )
            return
        except HeadraceError:
            raise
        except Exception as error:  # Ray raises plain ones, such as for a wait that was too long
            stop_ray()
            end_processes(folder)
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"Ray did not start on this machine: {_line(error)}; {starts} start(s) in "
                    f"{time.monotonic() - begun:.0f} s; {load_now()}. Run the same command again "
                    "when the machine is less busy, or raise "
                    f"ray.start_timeout_seconds={settings.start_timeout_seconds}"
                ) from error
            log.warning("Ray did not start: %s; starting it again; %s", _line(error), load_now())


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0].rstrip(".") or type(error).__name__


@contextmanager
def _waiting(folder: Path, begun: float, deadline: float) -> Iterator[None]:
    """Let Ray wait for its node until the deadline, not for its fixed time; log that it waits."""
    ask: Callable[[str, str], Any] = services.get_node

    def patient(gcs_address: str, node_id: str) -> Any:
        raylet, polls = None, 0
        while True:
            try:
                node = ask(gcs_address, node_id)
                if time.monotonic() < deadline:
                    return node
                raise _NotStartedError("its node registered too late")
            except RuntimeError as error:  # the node is not registered yet
                if time.monotonic() >= deadline:
                    raise _NotStartedError("its node did not register") from error
                polls += 1
                is_gone = polls > _POLLS_WITHOUT if raylet is None else not is_alive(raylet)
                if is_gone:
                    raise _NotStartedError("its process raylet ended") from error
                raylet = raylet or raylet_of(folder)
                time.sleep(POLL_SECONDS)

    with (
        replaced(services, "get_node", patient),
        own_handlers(),
        repeated(lambda: _log_waiting(begun), every_seconds=_LOG_EVERY_SECONDS),
    ):
        yield


def _log_waiting(begun: float) -> None:
    log.info("Ray has been starting for %.0f s; %s", time.monotonic() - begun, load_now())
