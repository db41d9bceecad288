"""Whether all that a pattern could mean can be seen: a glob passes over the rest in silence."""

import os
from collections.abc import Sequence
from pathlib import Path

from conf.errors import InputError

_WILDCARDS = frozenset("*?[")


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder, as far as one can tell."""
    try:
        return path.is_dir()
    except OSError:
        return False


def require_reachable(folder: Path, parts: Sequence[str]) -> None:
    """Refuse folders on a pattern's way that cannot be looked into.

    Args:
        folder: Where the pattern begins.
        parts: Its parts from there on.

    Raises:
        InputError: Naming the first such folder.
    """
    level = [folder]
    for number, part in enumerate(parts, start=1):
        for place in level:
            _look_into(place, part)
        if number < len(parts):  # what the last one finds are the files
            level = [found for place in level for found in place.glob(part) if is_folder(found)]


def regular_files(found: Sequence[Path]) -> list[Path]:
    """Return the files among what was found, without the folders.

    Raises:
        InputError: When something is neither: a link that leads nowhere, a pipe.
    """
    for path in found:
        try:
            is_there, is_plain = path.exists(), path.is_file() or path.is_dir()
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_there:
            raise InputError(f"{path} is a link that leads nowhere; mend or remove it")
        if not is_plain:
            raise InputError(f"{path} is neither a file nor a folder (a pipe, a device); write "
                             "what comes from it into a file")  # fmt: skip
    return [path for path in found if path.is_file()]


def unreadable(path: Path, error: OSError) -> InputError:
    """Return what is to be said of a file or folder that cannot be read."""
    return InputError(f"{path} cannot be read: {error.strerror}; allow it to the user who runs "
                      "this, or have it delivered again")  # fmt: skip


def _look_into(folder: Path, part: str) -> None:
    try:
        if _WILDCARDS.isdisjoint(part):
            (folder / part).stat()
        else:
            with os.scandir(folder):
                pass
    except (FileNotFoundError, NotADirectoryError):
        return  # nothing is there that a glob could pass over
    except OSError as error:
        raise unreadable(folder, error) from error
