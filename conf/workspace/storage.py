"""Failures of disks and file systems, told in one line: the path, what is free, what to do.

Such a failure is an OSError of Python, or a text in an error of Arrow, Spark, Ray or PyTorch.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit
from typing import NamedTuple

from conf.errors import HeadraceError, StorageError

_MIB = 1 << 20
_FULL_BYTES = 1 << 20
"""A file system with less room is taken for full when an error does not say why."""
_AGAIN = "run the same command again; committed versions and finished parts stay"
_CHECK = f"check the mount and the disk, then {_AGAIN}"
_FREE = f"free some space, then {_AGAIN}"
_FIXES: dict[int, str] = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: f"free some space or have the quota raised, then {_AGAIN}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f), then {_AGAIN}",
    errno.EROFS: f"mount it writable, then {_AGAIN}",
    errno.EACCES: f"give the user of this process the right to it, then {_AGAIN}",
    errno.EPERM: f"give the user of this process the right to it, then {_AGAIN}",
    errno.EMFILE: f"raise the limit (ulimit -n), then {_AGAIN}",
    errno.ENFILE: f"raise the limit of the machine (fs.file-max), then {_AGAIN}",
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT,
         errno.EREMOTEIO, errno.EHOSTDOWN, errno.ESHUTDOWN), _CHECK),
}  # fmt: skip
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)
"""Of a path in the workspace: somebody else has removed or replaced it."""
_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Those that errors of Java, Rust and C++ spell out; of others only `errno` is trusted.
_SPELT = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ENOTCONN,
)  # fmt: skip
_TEXTS = {os.strerror(number): number for number in _SPELT}
_SPELT_OUT = re.compile("|".join(map(re.escape, _TEXTS)))
_NUMBER = re.compile(r"(?:\berrno |\bos error )(\d+)\b", re.IGNORECASE)
_NAMED = re.compile(
    r"(?P<java>/[^\n()]*?) \((?:{t})\)|(?:{t})[^\n]{{0,20}}?: '(?P<python>/[^'\n]+)'".format(
        t="|".join(map(re.escape, _TEXTS))
    )
)


class _Failure(NamedTuple):
    number: int
    path: Path | None


def storage_error(error: BaseException, folders: Sequence[Path]) -> StorageError | None:
    """Return what to tell of an error if a disk or a file system is its reason, else None.

    Args:
        error: The error; its causes are looked at too, also those in other processes.
        folders: Folders that were in use, the most important first. If the error names no path, it
            is told of the one with the least space.
    """
    for one in _causes(error):
        if isinstance(one, StorageError):
            return one
        found = _said_by(one) or _gone(one, folders)
        if found is not None:
            return StorageError(_told(found, folders))
    fullest = _fullest(folders)
    if fullest is None or _free(fullest) >= _FULL_BYTES:
        return None
    said = next(iter(_text(error).strip().splitlines()), type(error).__name__)
    return StorageError(
        f"{fullest}: {_told_room(fullest)}, the likely reason of: {said[:200]}; {_FREE}"
    )


def raise_storage_failure(error: BaseException, path: Path) -> None:
    """Raise a StorageError if a disk or a file system failed, not the data of the file `path`.

    Raises:
        StorageError: See `storage_error`; an error without a path is told of this one.
    """
    found = _said_by(error)
    if found is not None:
        raise StorageError(_told(found._replace(path=found.path or path), ())) from error


@contextmanager
def storage_told(folders: Sequence[Path]) -> Iterator[None]:
    """Turn failures of disks and file systems in the block into StorageErrors.

    Args:
        folders: See `storage_error`.
    """
    try:
        yield
    except HeadraceError:
        raise
    except Exception as error:
        told = storage_error(error, folders)
        if told is None:
            raise
        raise told from error


def require_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse to begin to write what does not fit.

    Args:
        folder: Where it is to be written.
        needed_bytes: Its size.
        what: Its name in the message.

    Raises:
        StorageError: When less is free.
    """
    if _free(folder) < needed_bytes:
        raise StorageError(
            f"{folder}: {what} needs {_mib(needed_bytes)}, but {_told_room(folder)}; {_FREE}"
        )


def _told(failure: _Failure, folders: Sequence[Path]) -> str:
    number, path = failure
    if path is None:
        chosen = _fullest(folders) if number in _ROOM else None
        path = chosen or (folders[0] if folders else Path.cwd())
    if number in _GONE:
        return (
            f"{path}: {os.strerror(number)}: it was removed or replaced while the command ran, or "
            f"its file system is gone; {_CHECK}"
        )
    more = f"; {_told_room(path)}" if number in _ROOM else ""
    if number == errno.EMFILE:
        more = f"; this process may open {getrlimit(RLIMIT_NOFILE)[0]}"
    return f"{path}: {os.strerror(number)}{more}; {_FIXES[number]}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, also on workers of Ray, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        workers = getattr(one, "worker_failures", None)
        near = [one.__cause__, one.__context__, getattr(one, "cause", None)]
        near += [getattr(one, "controller_failure", None)]
        near += list(workers.values()) if isinstance(workers, dict) else []
        waiting += [cause for cause in near if isinstance(cause, BaseException)]


def _said_by(error: BaseException) -> _Failure | None:
    if isinstance(error, HeadraceError):
        return None
    if isinstance(error, OSError) and error.errno in _FIXES:
        if isinstance(error, ConnectionError | TimeoutError) and error.filename is None:
            return None  # a network
        return _Failure(error.errno, _path(error.filename))
    text = _text(error)
    spelt, number = _SPELT_OUT.search(text), _NUMBER.search(text)
    if spelt is not None:
        named = _NAMED.search(text)
        path = None if named is None else _path(named["java"] or named["python"])
        return _Failure(_TEXTS[spelt[0]], path)
    if number is not None and int(number[1]) in _SPELT:
        return _Failure(int(number[1]), None)
    return None


def _text(error: BaseException) -> str:
    """Return the message of an error; that of Spark is asked of a JVM, which may be gone."""
    try:
        return str(error)
    except Exception:  # whatever the asking ends with
        return ""


def _gone(error: BaseException, folders: Sequence[Path]) -> _Failure | None:
    """Return the failure of a path below one of the folders that should be there."""
    if not isinstance(error, OSError) or error.errno not in _GONE:
        return None
    path = _path(error.filename)
    is_ours = path is not None and any(
        path.absolute().is_relative_to(folder.absolute()) for folder in folders
    )
    return _Failure(error.errno, path) if is_ours else None


def _path(name: object) -> Path | None:
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) and name else None


def _fullest(folders: Sequence[Path]) -> Path | None:
    """Return the folder whose file system has the least free space."""
    return min(folders, key=_free, default=None)


def _free(path: Path) -> int:
    """Return the free bytes of a path's file system; 0 if it has no room for another file."""
    try:
        found = os.statvfs(_there(path))
    except OSError:
        return 1 << 62
    has_room = found.f_favail > 0 or found.f_files == 0  # without a limit, both are 0
    return found.f_bavail * found.f_frsize if has_room else 0


def _told_room(path: Path) -> str:
    try:
        found = os.statvfs(_there(path))
    except OSError:
        return "how much is free there cannot be found out"
    if found.f_files and not found.f_favail:
        return f"its file system has no room for another file (inodes: {found.f_files:,}, 0 free)"
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return f"{_mib(free)} of {_mib(size)} are free there"


def _there(path: Path) -> Path:
    """Return the nearest folder above a path that exists, or the path."""
    return next((place for place in (path, *path.absolute().parents) if place.exists()), path)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / _MIB:,.1f} MiB"
