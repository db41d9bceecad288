"""Replace a version's folder by one built next to it; a kill leaves one of the two complete.

The new folder is complete when its manifest is written. Then the old one is renamed, the new one
gets its name, and the old one is removed. A version that is removed is renamed first too.
`finish_swaps` finishes what a kill has interrupted.
"""

import os
import shutil
from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.workspace.folders import emptied, listed, remove
from conf.workspace.json_files import sync_folder

_NEW, _OLD = ".new", ".old"
_PREFIX = ".erasing."  # such a folder is not found when versions are listed
_REMOVING = ".removing-"  # the same
_WITH_VERSIONS = ("identities", *MANIFEST_NAME)


def folder_beside(folder: Path) -> Path:
    """Return an empty folder to build a version's replacement in."""
    beside = name_beside(folder)
    return emptied(beside)


def name_beside(folder: Path) -> Path:
    """Return the folder in which a version's replacement is built."""
    return folder.with_name(f"{_PREFIX}{folder.name}{_NEW}")


def swap(folder: Path) -> None:
    """Replace a version by its replacement."""
    beside, old = name_beside(folder), folder.with_name(f"{_PREFIX}{folder.name}{_OLD}")
    folder.rename(old)
    beside.rename(folder)
    sync_folder(folder.parent)
    remove(old)


def take_away(folder: Path) -> Path:
    """Rename a folder in one step, so that it is no version any more; return its new path."""
    gone = folder.with_name(f"{_REMOVING}{folder.name}")
    remove(gone)
    folder.rename(gone)
    sync_folder(folder.parent)
    return gone


def remove_taken(folder: Path) -> None:
    """Remove the folders that `take_away` renamed in a folder, the manifest of each first."""
    for gone in listed(folder, f"{_REMOVING}*"):
        if not gone.is_symlink():
            for name in MANIFEST_NAME.values():
                (gone / name).unlink(missing_ok=True)
        remove(gone)


def finish_swaps(workspace: Path) -> None:
    """Finish the swaps and removals that a kill has interrupted.

    Swaps whose new folder is incomplete are undone.
    """
    for name in _WITH_VERSIONS:
        remove_taken(workspace / name)
    for kind, manifest in MANIFEST_NAME.items():
        for old in listed(workspace / kind, f"{_PREFIX}*{_OLD}"):
            folder = old.with_name(old.name.removeprefix(_PREFIX).removesuffix(_OLD))
            beside = name_beside(folder)
            if not folder.exists():
                (beside if (beside / manifest).is_file() else old).rename(folder)
            remove(old)
        for beside in listed(workspace / kind, f"{_PREFIX}*{_NEW}"):
            remove(beside)


def link(source: Path, target: Path) -> None:
    """Hard-link a file that does not change, or copy it if links are not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
