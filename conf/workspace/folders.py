"""Folders in the workspace that a run makes, empties and removes; links are never followed."""

import os
import shutil
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.errors import VersionError
from conf.workspace.json_files import is_there
from conf.workspace.storage import raise_storage_failure

PRIVATE, WITHOUT_OTHERS = 0o700, 0o770
_PRIVATE_FILE = 0o600


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what a folder holds, in the order of names; a missing folder holds nothing.

    `Path.glob` would also find nothing in a folder that this process may not read.

    Args:
        folder: The folder.
        pattern: Pattern of the names, without `/`.

    Raises:
        StorageError: When the folder cannot be read.
    """
    try:
        found = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise_storage_failure(error, folder)
        raise
    return sorted(path for path in found if fnmatchcase(path.name, pattern))


def manifests_of(workspace: Path, kind: str) -> list[Path]:
    """Return the manifests of all committed versions, in the order of their ids.

    Raises:
        StorageError: When a folder cannot be read.
    """
    found = [path / MANIFEST_NAME[kind] for path in listed(workspace / kind, "[!.]*")]
    return [path for path in found if is_there(path)]


def tables_in(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder and in all folders in it.

    Raises:
        StorageError: When a folder cannot be read.
    """
    found = []
    for path in listed(folder):
        if path.is_dir() and not path.is_symlink():
            found += tables_in(path)
        elif path.suffix == ".parquet":
            found.append(path)
    return found


def own_folder(path: Path, mode: int = 0o777) -> Path:
    """Return a folder of the workspace; create it if necessary.

    Args:
        path: The folder.
        mode: Its permissions if it is created, less the umask.

    Raises:
        VersionError: When a file has its name, or a link, which could lead out of the workspace.
    """
    if path.is_symlink() or (is_there(path) and not path.is_dir()):
        told = "a link" if path.is_symlink() else "no folder"
        raise VersionError(f"{path} is {told}, but has to be a folder; remove it and run again")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)
    return path


def close_to_others(folder: Path) -> None:
    """Take the rights to a folder, and to all that is in it, from everybody but its owner."""
    if not folder.is_dir():
        return
    folder.chmod(PRIVATE)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            with suppress(PermissionError):  # of another owner; the folder is closed anyway
                path.chmod(PRIVATE if path.is_dir() else _PRIVATE_FILE)


def open_as_usual(folder: Path) -> None:
    """Give a folder the rights that a new one gets."""
    folder.chmod(0o777 & ~current_umask())


def set_umask(umask: str | None) -> None:
    """Set the permissions that new files of this process, and of those it starts, do not get.

    Args:
        umask: An octal number; None: they stay as they are.
    """
    if umask is not None:
        os.umask(int(umask, 8))


def current_umask() -> int:
    """Return the umask of this process."""
    umask = os.umask(0o077)  # it can be read only by setting it
    os.umask(umask)
    return umask


def emptied(folder: Path) -> Path:
    """Return `folder`, created new and empty."""
    remove(folder)
    folder.mkdir(parents=True)
    return folder


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link, but not what it leads to.

    A file may be gone already, such as the temporary one of a worker that still writes.
    """
    if path.is_symlink() or (is_there(path) and not path.is_dir()):
        path.unlink(missing_ok=True)
    elif path.is_dir():
        shutil.rmtree(path)
