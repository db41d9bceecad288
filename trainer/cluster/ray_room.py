"""Whether this machine has room for a Ray: memory, shared memory, a disk that can be written to."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from ray._private import ray_constants

from conf.errors import ConfigError

log = logging.getLogger(__name__)

MIB = 1024 * 1024
FOLDER_PREFIX = "headrace-ray-"
"""Beginning of the name of the folder of a Ray that was started for a run."""
_SHARED_MEMORY = Path("/dev/shm")
_LEAST_MIB = -(-ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES // MIB)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def load_now() -> str:
    """Return the load of this machine in words."""
    memory = psutil.virtual_memory()
    return (
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, "
        f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB of memory free"
    )


def require_room_for_objects(mib: int) -> None:
    """Refuse an object store that Ray would refuse; warn of one that does not fit in /dev/shm.

    Args:
        mib: `ray.object_store_mib`.

    Raises:
        ConfigError: When it is too small, or larger than the memory or, if large, than /dev/shm.
    """
    if mib < _LEAST_MIB:
        raise ConfigError(f"ray.object_store_mib={mib}: Ray needs at least {_LEAST_MIB}; raise it")
    total = psutil.virtual_memory().total // MIB
    if mib > total:
        raise ConfigError(
            f"ray.object_store_mib={mib} is more than the {total} MiB of memory of this machine; "
            "lower it: 256 is enough for most runs"
        )
    if sys.platform != "linux":
        return
    shared = _free_mib(_SHARED_MEMORY)
    if mib <= shared:
        return
    text = (
        f"ray.object_store_mib={mib}, but {_SHARED_MEMORY} has {shared} MiB free; lower it, or "
        "give the machine or the container more shared memory (docker run --shm-size=1g)"
    )
    if mib * MIB > ray_constants.REQUIRE_SHM_SIZE_THRESHOLD:
        raise ConfigError(text)
    log.warning("%s. The object store is on the disk now, which is slower", text)


def _free_mib(folder: Path) -> int:
    return int(psutil.disk_usage(str(folder)).free // MIB) if folder.is_dir() else 0


@contextmanager
def told_refusal() -> Iterator[None]:
    """Turn errors of the folder for temporary files into a `ConfigError` with its name."""
    place = temporary_folder()
    advice = "name another folder in the variable RAY_TMPDIR"
    try:
        yield
    except OSError as error:
        if "AF_UNIX path" in str(error):
            raise ConfigError(
                f"{place} is too long for Ray, whose sockets have paths of at most 107 bytes; "
                f"{advice}, such as /tmp"
            ) from error
        if error.errno in _FULL:
            raise ConfigError(
                f"{place} is full, and Ray needs it for its files; free some space, or {advice}"
            ) from error
        if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError) or (
            error.errno == errno.EROFS
        ):
            raise ConfigError(
                f"Ray cannot write to {place}: {error.strerror}; make it writable, or {advice}"
            ) from error
        raise


def temporary_folder() -> str:
    """Return the folder in which Ray makes its own."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
