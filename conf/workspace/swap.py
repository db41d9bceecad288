"""Replace a version's folder by one built beside it, so that a kill leaves one of the two whole.

The new folder is complete when its manifest is written. Then the old one steps aside, the new
one takes its name, and the old one is removed. What a kill interrupts, `finish_swaps` ends.
"""

import os
import shutil
from pathlib import Path

from conf.contract import MANIFEST_NAME

_NEW, _OLD = ".new", ".old"
_PREFIX = ".erasing."  # with an ending of its own, so that no search for a version finds it


def folder_beside(folder: Path) -> Path:
    """Return an empty folder to build a version's replacement in."""
    beside = name_beside(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    return beside


def name_beside(folder: Path) -> Path:
    """Return where a version's replacement is built."""
    return folder.with_name(f"{_PREFIX}{folder.name}{_NEW}")


def swap(folder: Path) -> None:
    """Put what was built beside a version in its place."""
    beside, old = name_beside(folder), folder.with_name(f"{_PREFIX}{folder.name}{_OLD}")
    folder.rename(old)
    beside.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old)


def finish_swaps(workspace: Path) -> None:
    """End the swaps that a kill has interrupted; those not ready yet are undone."""
    for kind, manifest in MANIFEST_NAME.items():
        for old in (workspace / kind).glob(f"{_PREFIX}*{_OLD}"):
            folder = old.with_name(old.name.removeprefix(_PREFIX).removesuffix(_OLD))
            beside = name_beside(folder)
            if not folder.exists():
                (beside if (beside / manifest).is_file() else old).rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        for beside in (workspace / kind).glob(f"{_PREFIX}*{_NEW}"):
            shutil.rmtree(beside)


def link(source: Path, target: Path) -> None:
    """Give a file that stays as it is a second name, or copy it where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
