"""Find and hash the files that lists are made with besides dataset and models."""

from collections.abc import Mapping
from pathlib import Path

from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile, is_folder, matching_files, unreadable
from conf.settings.config import Config
from conf.settings.lists.rules import ListRules
from conf.settings.score import Channel
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
    found |= _of_lists("score", score.candidates, score.rules)
    for name, audience in score.audiences.items():
        if audience.path is not None:
            found[f"score.audiences.{name}"] = "path", (audience.path,)
    for name, scenario in score.scenarios.items():
        found |= _of_lists(f"score.scenarios.{name}", scenario.candidates, scenario.rules)
    if score.similar_items is not None:
        found |= _of_lists("score.similar_items", None, score.similar_items.rules)
    return found


def _of_lists(
    section: str, candidates: Mapping[str, Channel] | None, rules: ListRules | None
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the same for what one section says of its lists."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, channel in (candidates or {}).items():
        if channel.path is not None:
            found[f"{section}.candidates.{name}"] = "path", (channel.path,)
    if rules is not None:
        for kind, lists in (("allow", rules.allow), ("deny", rules.deny)):
            for name, one in lists.items():
                found[f"{section}.rules.{kind}.{name}"] = "path", (one.path,)
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
