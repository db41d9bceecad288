"""One writer at a time: a lock with an owner and a lease.

The lock is a small JSON file in the workspace, so it works on any shared folder. The owner renews
its lease as long as it runs. Another run may take the lock over when the lease has run out, or at
once if the owner was a process of this machine that no longer exists.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from conf.errors import ConfigError, LockHeldError

LOCK_NAME = ".lock.json"


@contextmanager
def workspace_lock(workspace: Path, lease_seconds: int) -> Iterator[None]:
    """Hold the workspace's lock during the block.

    Raises:
        LockHeldError: When another owner holds it.
        ConfigError: When the workspace cannot be written to.
    """
    path = workspace / LOCK_NAME
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": _process_start(os.getpid()),
    }
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        _acquire(path, owner, lease_seconds)
    except OSError as error:
        raise ConfigError(
            f"run.output={str(workspace)!r} is not a writable folder: {error.strerror}; "
            "set run.output to one"
        ) from error
    stop = threading.Event()
    renewal = threading.Thread(
        target=_renew, args=(path, owner, lease_seconds, stop), daemon=True, name="lock-renewal"
    )
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with _guard(path):
            if _is_owner(_read(path), owner):
                path.unlink(missing_ok=True)


def _acquire(path: Path, owner: dict[str, Any], lease_seconds: int) -> None:
    with _guard(path):
        holder = _read(path)
        if holder is not None and _is_alive(holder):
            raise LockHeldError(
                f"{path.parent} is locked by process {holder['pid']} on {holder['host']}; wait for "
                "its end, or end it: the lock can be taken over when its lease has run out"
            )
        _write(path, owner, lease_seconds)


def _renew(path: Path, owner: dict[str, Any], lease_seconds: int, stop: threading.Event) -> None:
    while not stop.wait(lease_seconds / 4):
        with _guard(path):
            if not _is_owner(_read(path), owner):
                return
            _write(path, owner, lease_seconds)


def _guard(path: Path) -> FileLock:
    """Return a lock that is held only while the JSON file is read and written."""
    return FileLock(path.with_suffix(".guard"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return holder if isinstance(holder, dict) and "expires_at" in holder else None


def _write(path: Path, owner: dict[str, Any], lease_seconds: int) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({**owner, "expires_at": time.time() + lease_seconds}))
    temporary.replace(path)


def _is_owner(holder: dict[str, Any] | None, owner: dict[str, Any]) -> bool:
    return holder is not None and all(holder.get(key) == value for key, value in owner.items())


def _is_alive(holder: dict[str, Any]) -> bool:
    if holder["expires_at"] < time.time():
        return False
    if holder["host"] != socket.gethostname():
        return True
    return bool(_process_start(holder["pid"]) == holder["started_at"])


def _process_start(pid: int) -> str | None:
    """Return a mark that a later process of the same number lacks; None if the process is gone."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        state, *fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc").is_dir():
            return None
        return "unknown"  # no /proc: only the lease decides
    return None if state == "Z" else fields[18]
