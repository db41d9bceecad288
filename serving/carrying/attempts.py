"""The folders of a version whose users may keep earlier lists.

Until all of its parts are there, they are in a work folder next to the versions. If the earlier
lists cannot be kept after all, the lists of all users are made in the version's own folder. So no
worker of the first attempt that still runs can write there, and after a kill the version's folder
shows that its lists are not kept.
"""

import shutil
from pathlib import Path

from conf.workspace.folders import listed
from conf.workspace.json_files import sync_folder
from conf.workspace.swap import take_away

_WORK = ".work-"


def work_folder(folder: Path, request: str) -> Path:
    """Return the path of the work folder.

    Args:
        folder: Folder of the version.
        request: Request of the version.
    """
    return folder.with_name(f"{_WORK}{request[:12]}")


def remove_work(lists: Path, *, but: Path | None = None) -> None:
    """Remove all work folders, which interrupted runs left.

    Args:
        lists: Folder of all lists.
        but: The one that stays.
    """
    for work in listed(lists, f"{_WORK}*"):
        if work != but:
            # A worker may write in it for a moment; what then stays is removed by the next run.
            shutil.rmtree(take_away(work), ignore_errors=True)


def finish(work: Path, folder: Path) -> None:
    """Rename a complete work folder to that of its version."""
    work.rename(folder)
    sync_folder(folder.parent)
