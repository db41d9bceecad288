"""Find and hash the files that lists are made with besides dataset and models."""

from pathlib import Path

from conf.errors import InputError
from conf.runs.input_files import InputFile, is_folder, matching_files, unreadable
from conf.settings.config import Config
from conf.workspace.hashes import hash_file


def list_files(config: Config) -> dict[str, tuple[InputFile, ...]]:
    """Return the files of `score.items_now` and of all lists of items, by dotted name.

    Raises:
        InputError: When one is missing or cannot be read, or when a `path` names several.
    """
    root = Path(config.input.root)
    patterns = _patterns(config)
    if patterns and not is_folder(root):
        raise InputError(
            f"input.root={str(root)!r} is not a folder that can be opened, but "
            f"{next(iter(patterns))} reads files in it; set input.root=FOLDER"
        )
    return {
        key: tuple(_hashed(root, path) for path in _matching(root, key, setting, paths))
        for key, (setting, paths) in patterns.items()
    }


def _patterns(config: Config) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the setting that names files, and what it says, by the dotted name before it."""
    score = config.score
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    if score.items_now is not None:
        found["score.items_now"] = "paths", score.items_now.paths
    for name, channel in (score.candidates or {}).items():
        if channel.path is not None:
            found[f"score.candidates.{name}"] = "path", (channel.path,)
    for name, audience in score.audiences.items():
        if audience.items is not None:
            found[f"score.audiences.{name}"] = "items", (audience.items,)
    if score.rules is not None:
        for kind, lists in (("allow", score.rules.allow), ("deny", score.rules.deny)):
            for name, one in lists.items():
                found[f"score.rules.{kind}.{name}"] = "path", (one.path,)
    return found


def _matching(root: Path, key: str, setting: str, patterns: tuple[str, ...]) -> list[Path]:
    found = matching_files(root, key, patterns, setting)
    if setting != "paths" and len(found) > 1:
        raise InputError(
            f"{key}.{setting}={patterns[0]!r} matches {len(found)} files, among them "
            f"{found[0].name} and {found[1].name}; name one"
        )
    return found


def _hashed(root: Path, path: Path) -> InputFile:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        stat = path.stat()
        return InputFile(path, name, stat.st_size, stat.st_mtime, hash_file(path))
    except OSError as error:
        raise unreadable(path, error) from error
