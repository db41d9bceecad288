"""One writer at a time: a lock with an owner and a lease.

The lock is a small JSON file in the workspace, so it works on any shared folder. The owner renews
its lease as long as it runs. Another run may take the lock over when the lease has run out, or at
once if the owner was a process of this machine that no longer exists. Each owner gets a number that
is larger than all before it, and publishes under it, so an owner who comes too late is refused.
"""

import errno
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from conf.contract import MANIFEST_NAME
from conf.errors import ConfigError, LockHeldError, StorageError, VersionError
from conf.workspace.folders import listed
from conf.workspace.json_files import is_there, read_json, written_whole
from conf.workspace.storage import raise_storage_failure, storage_error

log = logging.getLogger(__name__)

LOCK_NAME = ".lock.json"
_NO_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR)
_MOST_AHEAD_SECONDS = 2.0  # file systems round times
_RETRY_SECONDS = 5.0


@dataclass
class Lease:
    """The right to write to a workspace, as long as it is renewed in time."""

    path: Path
    owner: dict[str, Any]
    seconds: int
    number: int
    """Larger than that of every owner before."""
    held_until: float = 0.0
    """Until when nobody else can take the lock over: seconds of this process's monotonic clock."""
    lost: str | None = None
    """Why the lease is lost; None: it is not."""
    failure: OSError | None = None
    """What kept it from being renewed, if that is why."""

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Yield the number, while nobody else can take the lock over.

        Raises:
            LockHeldError: When another owner has it already.
        """
        with _guard(self.path):
            if not _is_owner(_read(self.path), self.owner):
                self.lost = self.lost or "another run has taken it over"
            if self.lost is not None:
                raise self.error()
            yield self.number

    def error(self) -> LockHeldError | StorageError:
        """Return what to tell of a lost lease."""
        told = None if self.failure is None else storage_error(self.failure, [self.path.parent])
        if told is not None:
            return told
        return LockHeldError(
            f"{self.path.parent}: this run has lost the lock ({self.lost}), so it stops and "
            "publishes nothing; run again; if this happens often, raise run.lock_lease_seconds"
        )


@contextmanager
def workspace_lock(workspace: Path, lease_seconds: int) -> Iterator[Lease]:
    """Hold the workspace's lock during the block.

    A run that cannot renew its lease in time is stopped before the lease ends, as by SIGTERM.

    Raises:
        LockHeldError: When another owner holds it, or the lease is lost during the block.
        ConfigError: When there is no such folder and it cannot be made.
        StorageError: When the workspace cannot be written to.
        VersionError: When the lock is no plain file.
    """
    path = workspace / LOCK_NAME
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": _process_start(os.getpid()),
    }
    for file in (path, path.with_suffix(".guard")):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise VersionError(f"{file} is no plain file, so it cannot be the lock; remove it")
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        lease = _acquire(path, owner, lease_seconds)
    except OSError as error:
        if workspace.is_dir() or error.errno not in _NO_FOLDER:
            raise_storage_failure(error, workspace)
        raise ConfigError(
            f"run.output={str(workspace)!r} is not a writable folder: {error.strerror}; "
            "set run.output to one"
        ) from error
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lease, stop), daemon=True, name="lock-renewal")
    renewal.start()
    try:
        yield lease
    except BaseException as error:  # whatever ended the block: if the lease is lost, that is why
        if lease.lost is None or isinstance(error, LockHeldError | StorageError):
            raise
        raise lease.error() from error
    finally:
        stop.set()
        renewal.join()
        _release(lease)


def _acquire(path: Path, owner: dict[str, Any], lease_seconds: int) -> Lease:
    with _guard(path):
        holder = _read(path)
        if holder is not None and _is_alive(path, holder):
            raise LockHeldError(
                f"{path.parent} is locked by process {holder['pid']} on {holder['host']}; wait for "
                "its end, or end it: the lock can be taken over when its lease has run out"
            )
        lease = Lease(path, owner, lease_seconds, number=_last_number(path) + 1)
        _write(lease)
    return lease


def _renew(lease: Lease, stop: threading.Event) -> None:
    """Renew the lease again and again; stop the run if it cannot be renewed before it ends."""
    pause = lease.seconds / 4
    while not stop.wait(pause):
        try:
            with _guard(lease.path):
                if _is_owner(_read(lease.path), lease.owner):
                    _write(lease)
                    pause = lease.seconds / 4
                    continue
                lease.lost = "another run has taken it over"
        except OSError as error:
            pause = min(lease.seconds / 20, _RETRY_SECONDS)
            log.warning("the lock of the workspace cannot be renewed: %s; trying again", error)
            if time.monotonic() + 2 * pause < lease.held_until:
                continue
            lease.lost, lease.failure = f"it could not be renewed: {error}", error
        log.error("%s", lease.error())
        os.kill(os.getpid(), signal.SIGTERM)
        return


def _release(lease: Lease) -> None:
    """Free the lock; its file stays, because it holds the last number."""
    with suppress(OSError), _guard(lease.path):  # else the lease ends by itself
        if _is_owner(_read(lease.path), lease.owner):
            _replace(lease.path, {"number": lease.number})


def _guard(path: Path) -> FileLock:
    """Return a lock that is held only while the JSON file is read and written."""
    return FileLock(path.with_suffix(".guard"))


def _read(path: Path) -> dict[str, Any] | None:
    """Return the owner; None if the lock is free, or its file is damaged."""
    holder = _content(path)
    is_right = {"host": str, "pid": int, "started_at": str | None, "lease_seconds": int | float}
    is_owned = all(isinstance(holder.get(key), kind) for key, kind in is_right.items())
    return holder if is_owned else None


def _content(path: Path) -> dict[str, Any]:
    if not is_there(path):
        return {}
    try:
        return read_json(path)
    except VersionError as error:
        if path.name == LOCK_NAME:
            log.warning("%s is damaged, so the lock is free; the file is written again", path)
        else:
            log.warning("the lock goes on without this file: %s", error)
        return {}


def _last_number(path: Path) -> int:
    """Return the largest number that an owner of this lock has had, as far as is known."""
    known = [_content(path).get("number")]
    known += [_content(pointer).get("number") for pointer in _pointers(path.parent)]
    return max((number for number in known if type(number) is int), default=0)


def _pointers(workspace: Path) -> list[Path]:
    return [path for kind in MANIFEST_NAME for path in listed(workspace / kind, "CURRENT*.json")]


def _write(lease: Lease) -> None:
    until = time.monotonic() + lease.seconds
    mark = {"number": lease.number, "lease_seconds": lease.seconds}
    _replace(lease.path, {**lease.owner, **mark})
    lease.held_until = until


def _replace(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as stream:
        stream.write(json.dumps(content).encode())


def _is_owner(holder: dict[str, Any] | None, owner: dict[str, Any]) -> bool:
    return holder is not None and all(holder.get(key) == value for key, value in owner.items())


def _is_alive(path: Path, holder: dict[str, Any]) -> bool:
    if _age(path) > holder["lease_seconds"]:
        return False
    if holder["host"] != socket.gethostname():
        return True
    return bool(_process_start(holder["pid"]) == holder["started_at"])


def _age(path: Path) -> float:
    """Return how many seconds ago the lock was renewed, by the clock of its file system.

    Clocks of machines differ; a file written now tells the time of the machine with the disk.
    """
    probe = path.with_name(f"{path.name}.{os.getpid()}.now")
    try:
        probe.write_text("now")
        now = probe.stat().st_mtime
        age = now - path.stat().st_mtime
        if age < -_MOST_AHEAD_SECONDS:  # a clock was wrong: its age counts from now on
            os.utime(path, (now, now))
        return max(age, 0.0)
    finally:
        probe.unlink(missing_ok=True)


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
