"""Folders in the workspace that a run makes, empties and removes; links are never followed."""

import shutil
from pathlib import Path

from conf.errors import VersionError
from conf.workspace.json_files import is_there

PRIVATE = 0o700


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
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    return path


def emptied(folder: Path) -> Path:
    """Return `folder`, created new and empty."""
    remove(folder)
    folder.mkdir(parents=True)
    return folder


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link, but not what it leads to."""
    if path.is_symlink() or (is_there(path) and not path.is_dir()):
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
