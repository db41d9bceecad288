"""Find and hash the files that rules of lists read."""

from pathlib import Path

from conf.errors import InputError
from conf.runs.input_files import InputFile, is_folder, matching_files, unreadable
from conf.settings.config import Config
from conf.workspace.hashes import hash_file


def list_files(config: Config) -> dict[str, tuple[InputFile, ...]]:
    """Return the files of `score.items_now` and of the lists of items, by dotted name.

    Raises:
        InputError: When one is missing or cannot be read.
    """
    root = Path(config.input.root)
    patterns = _patterns(config)
    if patterns and not is_folder(root):
        raise InputError(
            f"input.root={str(root)!r} is not a folder that can be opened, but "
            f"{next(iter(patterns))} reads files in it; set input.root=FOLDER"
        )
    return {
        key: tuple(_hashed(root, path) for path in matching_files(root, key, paths))
        for key, paths in patterns.items()
    }


def _patterns(config: Config) -> dict[str, tuple[str, ...]]:
    score, found = config.score, {}
    if score.items_now is not None:
        found["score.items_now"] = score.items_now.paths
    if score.rules is not None:
        for kind, lists in (("allow", score.rules.allow), ("deny", score.rules.deny)):
            found |= {f"score.rules.{kind}.{name}": (one.path,) for name, one in lists.items()}
    return found


def _hashed(root: Path, path: Path) -> InputFile:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        stat = path.stat()
        return InputFile(path, name, stat.st_size, stat.st_mtime, hash_file(path))
    except OSError as error:
        raise unreadable(path, error) from error
